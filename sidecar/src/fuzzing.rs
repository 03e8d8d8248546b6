//! Ways into parsers that have no other one, for the fuzz targets only.

pub use crate::api::fuzzing::{
    alerts_cursor, body, connections_cursor, host_is_accepted, page_cursor,
};
pub use crate::control::fuzzing::patched;
pub use crate::receive::fuzzing::{gunzip, otlp_json};
pub use crate::store::fuzzing::{KINDS, stored};
