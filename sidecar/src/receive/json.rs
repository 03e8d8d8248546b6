//! OTLP in JSON: turned into the Protocol Buffers encoding, so that one decoder judges both.
//!
//! The generated types take more memory than their text: an empty log record of three bytes becomes about
//! 250. So the objects in the text are counted first, and bodies with more than one per
//! [`BYTES_PER_OBJECT`] bytes of the body limit are refused: no attribute is shorter than that.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

const BYTES_PER_OBJECT: usize = 16;

/// Why a JSON body was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonError {
    #[error("the body has {found} objects, the limit is {limit}")]
    TooManyObjects { found: usize, limit: usize },
    #[error("the body is not an OTLP logs export request in JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads JSON and gives the same request in Protocol Buffers encoding.
pub(super) fn to_protobuf(json: &[u8], body_limit: usize) -> Result<Vec<u8>, JsonError> {
    let limit = body_limit / BYTES_PER_OBJECT;
    let found = objects(json);
    if found > limit {
        return Err(JsonError::TooManyObjects { found, limit });
    }
    let request: ExportLogsServiceRequest = serde_json::from_slice(json)?;
    Ok(request.encode_to_vec())
}

/// Counts opening braces outside of strings.
fn objects(json: &[u8]) -> usize {
    let mut count = 0;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::objects;

    #[test]
    fn braces_in_strings_are_not_objects() {
        assert_eq!(objects(br#"{"a":"{{\"{","b":[{},{}]}"#), 3);
    }
}
