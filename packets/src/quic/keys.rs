//! Keys of a client's Initial packets (RFC 9001, section 5; RFC 9369, section 3.3).

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf::{self, HKDF_SHA256, Prk, Salt};

use super::Version;

const NONCE_BYTES: usize = aead::NONCE_LEN;
/// Where the sample for header protection begins, behind the longest packet number.
const NUMBER_BYTES_MAX: usize = 4;

/// The keys of one client and version.
#[derive(Debug)]
pub(super) struct Keys {
    version: Version,
    payload: LessSafeKey,
    nonce: [u8; NONCE_BYTES],
    header: HeaderKey,
}

struct HeaderKey(quic::HeaderProtectionKey);

impl std::fmt::Debug for HeaderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeaderKey")
    }
}

/// A packet as it was sent.
pub(super) struct Header<'a> {
    /// The whole packet.
    pub(super) bytes: &'a [u8],
    /// Where its number is.
    pub(super) number_at: usize,
}

impl Version {
    const fn salt(self) -> [u8; 20] {
        match self {
            Self::V1 => [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Self::V2 => [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
        }
    }

    /// Labels of key, nonce and header protection.
    const fn labels(self) -> [&'static [u8]; 3] {
        match self {
            Self::V1 => [b"quic key", b"quic iv", b"quic hp"],
            Self::V2 => [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
        }
    }
}

impl Keys {
    /// The keys that follow from the identity that the client gave the server.
    pub(super) fn of_client(version: Version, destination: &[u8]) -> Option<Self> {
        let initial = Salt::new(HKDF_SHA256, &version.salt()).extract(destination);
        let secret: Prk = expand(&initial, b"client in", HKDF_SHA256)?;
        let [key, nonce, header] = version.labels();
        let payload: UnboundKey = expand(&secret, key, &aead::AES_128_GCM)?;
        let header: quic::HeaderProtectionKey = expand(&secret, header, &quic::AES_128)?;
        Some(Self {
            version,
            payload: LessSafeKey::new(payload),
            nonce: expand::<_, NonceBytes>(&secret, nonce, NonceLength)?.0,
            header: HeaderKey(header),
        })
    }

    pub(super) const fn version(&self) -> Version {
        self.version
    }

    /// The frames of a packet; `None` when it does not authenticate.
    ///
    /// The number is taken as sent: nobody acknowledges a client's first packets, so none of it is left out.
    pub(super) fn open(&self, header: &Header<'_>) -> Option<Vec<u8>> {
        let mut bytes = header.bytes.to_vec();
        let at = header.number_at;
        let sample_at = at.checked_add(NUMBER_BYTES_MAX)?;
        let length = self.header.0.algorithm().sample_len();
        let sample = bytes.get(sample_at..sample_at.checked_add(length)?)?;
        let [first_mask, number_mask @ ..] = self.header.0.new_mask(sample).ok()?;
        let first = bytes.first_mut()?;
        *first ^= first_mask & 0x0f;
        let number_end = at + usize::from(*first & 3) + 1;
        let mut number = 0_u32;
        for (byte, mask) in bytes.get_mut(at..number_end)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            number = (number << 8) | u32::from(*byte);
        }
        let mut nonce = self.nonce;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        let mut payload = bytes.split_off(number_end);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .payload
            .open_in_place(nonce, Aad::from(&bytes), &mut payload)
            .ok()?
            .len();
        payload.truncate(opened);
        Some(payload)
    }
}

struct NonceLength;

impl hkdf::KeyType for NonceLength {
    fn len(&self) -> usize {
        NONCE_BYTES
    }
}

struct NonceBytes([u8; NONCE_BYTES]);

impl From<hkdf::Okm<'_, NonceLength>> for NonceBytes {
    fn from(okm: hkdf::Okm<'_, NonceLength>) -> Self {
        let mut bytes = [0; NONCE_BYTES];
        // It fails only for another length than the type's.
        let filled = okm.fill(&mut bytes);
        debug_assert!(filled.is_ok());
        Self(bytes)
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand<L, K>(secret: &Prk, label: &[u8], length: L) -> Option<K>
where
    L: hkdf::KeyType,
    K: for<'a> From<hkdf::Okm<'a, L>>,
{
    const PREFIX: &[u8] = b"tls13 ";
    let bytes = u16::try_from(length.len()).ok()?.to_be_bytes();
    let label_bytes = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let info: [&[u8]; 5] = [&bytes, &label_bytes, PREFIX, label, &[0]];
    Some(K::from(secret.expand(&info, length).ok()?))
}
