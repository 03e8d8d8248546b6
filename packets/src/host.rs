//! Names of hosts as protocols carry them.

/// A host's name from a header such as `Www.Example.com:8080` or `[2001:db8::1]:80`: lower case,
/// without port, brackets and the dot of the root.
#[must_use]
pub fn host_name(text: &str) -> String {
    let text = text.trim();
    let host = if let Some(rest) = text.strip_prefix('[') {
        rest.split_once(']').map_or(rest, |(address, _)| address)
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
            _ => text,
        }
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a name has only characters that host names have in practice.
pub(crate) fn is_host_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(byte))
}
