//! Ways into parsers that have no other one, for the fuzz targets only.

use crate::Verdict;
use crate::quic;
use crate::tls::ClientHello;

/// The hello in the frames of a QUIC packet, as if it had been decrypted.
#[must_use]
pub fn hello_in_frames(payload: &[u8]) -> Verdict<ClientHello> {
    quic::hello_in_frames(payload)
}
