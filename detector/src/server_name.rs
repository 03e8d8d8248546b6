//! Names of servers: how they are compared, and which part of them somebody registered.
//!
//! Contract: names are compared in lower case without the dot of the root. The Public Suffix List that is
//! compiled in (crate `psl`) says below which names anybody can register one: also `github.io` and the
//! like, whose names belong to different people.

use crate::SeriesKey;

/// Longest name in the domain name system (RFC 1035, section 2.3.4).
pub(crate) const MAX_DOMAIN_BYTES: usize = 253;

/// Port of DNS (RFC 1035, section 4.2).
pub(crate) const DNS_PORT: u16 = 53;

/// Lower case, without the dot of the root.
pub(crate) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The name of the server of a series. At the port of DNS the inputs give the name that is asked for, which says
/// nothing of the server that is asked.
pub(crate) fn of_server<'a>(key: &SeriesKey, name: Option<&'a str>) -> Option<&'a str> {
    name.filter(|_| key.destination_port != DNS_PORT)
}

/// The part of a name that somebody registered: its public suffix and one label more. `None` for a public suffix
/// itself, an address, and what is no name. Compares in lower case: give it a normal name.
///
/// # Example
/// ```
/// use beaconwatch_detector::registered_domain;
///
/// assert_eq!(registered_domain("a.b.example.co.uk"), Some("example.co.uk"));
/// assert_eq!(registered_domain("some.body.github.io"), Some("body.github.io"));
/// assert_eq!(registered_domain("co.uk"), None);
/// assert_eq!(registered_domain("192.0.2.1"), None);
/// ```
#[must_use]
pub fn registered_domain(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > MAX_DOMAIN_BYTES || !name.contains('.') || name.starts_with('.') {
        return None;
    }
    if name.contains("..") || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_has_no_registered_domain() {
        for name in [
            "",
            ".",
            "..",
            "com",
            "localhost",
            ".example.org",
            "a..example.org",
            "::1",
        ] {
            assert_eq!(registered_domain(name), None, "{name:?}");
        }
        let long = format!("{}.example.org", "a.".repeat(130));
        assert_eq!(registered_domain(&long), None);
    }

    #[test]
    fn the_dot_of_the_root_is_left_out() {
        assert_eq!(registered_domain("www.example.org."), Some("example.org"));
    }
}
