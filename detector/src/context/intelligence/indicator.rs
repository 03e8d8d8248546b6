//! One indicator, as people and feeds write it.

use std::net::IpAddr;

use super::SkipReason;
use crate::context::way::is_public;
use crate::server_name::{MAX_DOMAIN_BYTES, normal, registered_domain};
use crate::{DomainPattern, Network};

/// Widest networks that are taken: the largest blocks that registries give out.
const WIDEST_V4_BITS: u8 = 8;
const WIDEST_V6_BITS: u8 = 19;

/// What an indicator says is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::context) enum Indicator {
    Network(Network),
    /// In lower case.
    Name(String),
    /// The host of a URL, in lower case.
    HostOfUrl(String),
    AddressOfUrl(Network),
}

const EXPECTED: &str = "an IP address, a network, a domain name or a URL";

/// Reads an indicator; an error says why it does not count and what was expected.
pub(in crate::context) fn parse(text: &str) -> Result<Indicator, (SkipReason, &'static str)> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    let plain = refanged(text);
    if let Some(rest) = after_scheme(&plain) {
        return url(rest);
    }
    if let Some(network) = network(&plain) {
        return public(network).map(Indicator::Network);
    }
    // `192.0.2.1:443`, `example.org:8080`, `example.org/path`
    if let Some((host, _)) = plain.split_once('/') {
        return url(host);
    }
    match host_and_port(&plain) {
        Some(host) => match network(host) {
            Some(network) => public(network).map(Indicator::Network),
            None => name(host).map(Indicator::Name),
        },
        None => name(&plain).map(Indicator::Name),
    }
}

/// Undoes the marks that keep an indicator from being clicked on.
fn refanged(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower
        .replace("[.]", ".")
        .replace("(.)", ".")
        .replace("[:]", ":")
        .replace("[://]", "://")
        .replace("hxxp", "http")
}

fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = ["http", "https", "tcp", "udp", "ftp", "ws", "wss", "dns"];
    known.contains(&scheme).then_some(rest)
}

/// The host of what follows the scheme (RFC 3986, section 3.2).
fn url(rest: &str) -> Result<Indicator, (SkipReason, &'static str)> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let bare = host_and_port(host).unwrap_or(host);
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => public(Network::from(address)).map(Indicator::AddressOfUrl),
        Err(_not_an_address) => name(bare).map(Indicator::HostOfUrl),
    }
}

/// The host before a port, when there is one; an IPv6 address with a port stands in brackets.
fn host_and_port(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|it| it.is_ascii_digit());
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    (is_port && (bare.is_some() || !host.contains(':'))).then_some(host)
}

fn network(text: &str) -> Option<Network> {
    text.parse().ok()
}

fn public(network: Network) -> Result<Network, (SkipReason, &'static str)> {
    let widest = if network.address().is_ipv4() {
        WIDEST_V4_BITS
    } else {
        WIDEST_V6_BITS
    };
    if network.prefix_bits() < widest {
        Err((
            SkipReason::TooBroad,
            "a network of at least 8 bits (IPv4) or 19 (IPv6)",
        ))
    } else if is_public(network.address()) {
        Ok(network)
    } else {
        Err((
            SkipReason::NotPublic,
            "an address that an outsider can have",
        ))
    }
}

fn name(text: &str) -> Result<String, (SkipReason, &'static str)> {
    let name = normal(text.strip_prefix("*.").unwrap_or(text));
    // A single label is no name of a server on the Internet.
    let is_name = name.len() <= MAX_DOMAIN_BYTES
        && name.contains('.')
        && DomainPattern::parse(&name).is_ok()
        && !name.ends_with(|last: char| last.is_ascii_digit());
    if !is_name {
        Err((SkipReason::NotAnIndicator, EXPECTED))
    } else if registered_domain(&name).is_none() {
        Err((SkipReason::TooBroad, "a name below a public suffix"))
    } else {
        Ok(name)
    }
}
