//! Which addresses a webhook may be sent to (a guard against server-side request forgery).
//!
//! # Contract
//! The address is checked where the connection is made, after the name was resolved, so that a name that
//! points somewhere else today is caught; an address written as a number in the configuration is checked when
//! the destination is made.
//!
//! | address | allowed |
//! |---|---|
//! | public | always |
//! | loopback, private, shared (RFC 6598), unique local | when the address itself or `localhost` is written in the configuration, or with `allow_private`: a SOAR server on the own network is usual, a public name that suddenly points inside is not |
//! | link-local, cloud metadata, multicast, unspecified, reserved | only when `allow_networks` names it |
//!
//! IPv4 addresses inside of IPv6 addresses (mapped, compatible, translated, NAT64, 6to4, ISATAP, Teredo) count as what
//! they carry. Names of metadata services count as such whatever they are resolved to.
//!
//! # Limits
//! A network's own NAT64 prefix is not known here; the one for local use (RFC 8215) is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Name, Resolve, Resolving};

/// Addresses where clouds tell their machines' secrets, outside of the link-local ones.
const METADATA: [IpAddr; 6] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Names under which clouds answer with them.
const METADATA_NAMES: [&str; 6] = [
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
];

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Public,
    /// On this machine or the own network.
    Private,
    /// Nothing that a webhook is sent to.
    Forbidden(&'static str),
}

/// Which addresses are allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) allow_private: bool,
    pub(crate) allow_networks: Vec<IpNet>,
}

impl Guard {
    /// The reason why nothing may be sent to a name, whatever its address is.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        // Who allows an address of such a service wants to reach it.
        if self.allow_networks.is_empty() && METADATA_NAMES.contains(&name.as_str()) {
            return Err(format!(
                "{name} is where a cloud tells its machines' secrets: only allow_networks can allow it"
            ));
        }
        Ok(())
    }

    /// The reason why nothing may be sent to an address; `written` when it stands in the configuration.
    pub(crate) fn check(&self, address: IpAddr, written: bool) -> Result<(), String> {
        let address = address.to_canonical();
        if self.allow_networks.iter().any(|it| it.contains(&address)) {
            return Ok(());
        }
        match place(address) {
            Place::Public => Ok(()),
            Place::Private if written || self.allow_private => Ok(()),
            Place::Private => Err(format!(
                "{address} is on this machine or a private network: set allow_private = true to allow it"
            )),
            Place::Forbidden(what) => Err(format!(
                "{address} is {what}: only allow_networks can allow it"
            )),
        }
    }
}

fn place(address: IpAddr) -> Place {
    if METADATA.contains(&address) {
        return Place::Forbidden("where a cloud tells its machines' secrets");
    }
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => match carried(address) {
            // What is translated inside the own network is never public.
            Some(carried) if is_local_translation(address) => match place(carried.into()) {
                Place::Public => Place::Private,
                place => place,
            },
            Some(carried) => place(carried.into()),
            None => place_v6(address),
        },
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [first, second, third, _] = address.octets();
    if first == 0 {
        Place::Forbidden("unspecified")
    } else if address.is_link_local() {
        Place::Forbidden("link-local, where clouds tell their machines' secrets")
    } else if address.is_multicast() {
        Place::Forbidden("multicast")
    } else if first >= 240 {
        Place::Forbidden("reserved or broadcast")
    } else if address.is_loopback()
        || address.is_private()
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (18..20).contains(&second))
    {
        Place::Private
    } else {
        Place::Public
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let [first, ..] = address.segments();
    if address.is_unspecified() {
        Place::Forbidden("unspecified")
    } else if address.is_unicast_link_local() {
        Place::Forbidden("link-local")
    } else if address.is_multicast() {
        Place::Forbidden("multicast")
    } else if address.is_loopback() || address.is_unique_local() || (first & 0xffc0) == 0xfec0 {
        Place::Private
    } else {
        Place::Public
    }
}

/// The prefix for translation inside a network (RFC 8215).
fn is_local_translation(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 1, ..])
}

/// The IPv4 address that an IPv6 address carries.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 1, .., high, low]
        | [.., 0 | 0x200, 0x5efe, high, low] => Some(join(high, low)),
        // Teredo hides the client's address by turning its bits over.
        [0x2001, 0, .., high, low] => Some(join(!high, !low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Resolves names to the addresses that the guard allows.
#[derive(Debug)]
pub(crate) struct GuardedResolver(pub(crate) Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            guard.check_name(name).map_err(Refused)?;
            let local = is_localhost(name);
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut refused = None;
            for address in tokio::net::lookup_host((name, 0)).await? {
                match guard.check(address.ip(), local && address.ip().is_loopback()) {
                    Ok(()) => allowed.push(address),
                    Err(reason) => refused = Some(reason),
                }
            }
            match refused {
                Some(reason) if allowed.is_empty() => Err(Refused(reason).into()),
                _ => Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs),
            }
        })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// A name that points to where nothing may be sent.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
struct Refused(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, guard: &Guard, written: bool) -> bool {
        guard.check(address.parse().unwrap(), written).is_ok()
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "8.8.8.8",
            "2001:4860:4860::8888",
            "198.51.100.1",
            "172.32.0.1",
        ] {
            assert!(check(address, &Guard::default(), false), "{address}");
        }
    }

    #[test]
    fn private_addresses_want_consent() {
        let consent = Guard {
            allow_private: true,
            ..Guard::default()
        };
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::192.168.0.1",
            "2002:0a00:0001::1",
            "::ffff:0:10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2001:db8::5efe:10.0.0.1",
            "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        ] {
            assert!(!check(address, &Guard::default(), false), "{address}");
            assert!(check(address, &Guard::default(), true), "{address}");
            assert!(check(address, &consent, false), "{address}");
        }
    }

    #[test]
    fn metadata_link_local_and_multicast_are_refused_unless_named() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "fd00:ec2::254",
            "fd20:ce::254",
            "168.63.129.16",
            "64:ff9b:1::a9fe:a9fe",
            "::ffff:0:169.254.169.254",
            "fe80::5efe:169.254.169.254",
            "100.100.100.200",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
        ] {
            let consent = Guard {
                allow_private: true,
                ..Guard::default()
            };
            assert!(!check(address, &consent, true), "{address}");
            let parsed: IpAddr = address.parse().unwrap();
            let named = Guard {
                allow_networks: vec![parsed.to_canonical().into()],
                ..Guard::default()
            };
            assert!(check(address, &named, false), "{address}");
        }
    }

    #[tokio::test]
    async fn names_of_metadata_services_are_not_even_resolved_unless_a_network_is_allowed() {
        for name in [
            "metadata.google.internal",
            "METADATA.google.internal.",
            "instance-data",
        ] {
            let resolver = GuardedResolver(Arc::new(Guard {
                allow_private: true,
                ..Guard::default()
            }));
            let refused = resolver.resolve(name.parse().unwrap()).await;
            let problem = refused.err().map(|it| it.to_string()).unwrap_or_default();
            assert!(problem.contains("allow_networks"), "{name}: {problem}");
            let named = Guard {
                allow_networks: vec!["169.254.169.254/32".parse().unwrap()],
                ..Guard::default()
            };
            assert!(named.check_name(name).is_ok());
        }
        assert!(Guard::default().check_name("metadata.example.org").is_ok());
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_allowed_addresses_only() {
        let resolver = GuardedResolver(Arc::new(Guard::default()));
        let local = resolver
            .resolve("localhost".parse().unwrap())
            .await
            .unwrap();
        assert!(local.into_iter().all(|it| it.ip().is_loopback()));
    }
}
