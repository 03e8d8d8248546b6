//! Two network namespaces joined by a veth pair: a client's host and a server's host.
//!
//! Names and addresses are made from the process id of the test, so tests that run at the same time do not meet
//! and each can tell its own traffic from the rest of the machine's. Namespaces of runs that were killed are removed
//! by the next run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use crate::tools;

/// Number of the next network of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Names of the namespaces begin with this.
const PREFIX: &str = "bwt";

/// One end of the link.
#[derive(Clone, Debug)]
pub struct Host {
    /// Name of its network namespace.
    pub namespace: String,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
}

impl Host {
    /// Whether `address` is one of this host's.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.ipv4) || address == IpAddr::V6(self.ipv6)
    }
}

/// Who talks to whom.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The end where connections begin.
    pub client: Host,
    /// The end that answers.
    pub server: Host,
}

impl Ends {
    /// Whether `address` is one of either end's.
    #[must_use]
    pub fn have(&self, address: IpAddr) -> bool {
        self.client.has(address) || self.server.has(address)
    }

    /// A host that talks to itself over its loopback interface: the client of these ends.
    #[must_use]
    pub fn loopback(&self) -> Self {
        let host = Host {
            namespace: self.client.namespace.clone(),
            ipv4: Ipv4Addr::LOCALHOST,
            ipv6: Ipv6Addr::LOCALHOST,
        };
        Self {
            client: host.clone(),
            server: host,
        }
    }
}

/// Two joined network namespaces, removed when this value goes.
#[derive(Debug)]
pub struct Network {
    /// Its two hosts.
    pub ends: Ends,
}

impl Network {
    /// Makes the namespaces, the link and the addresses.
    pub fn create() -> Result<Self> {
        if !tools::is_root()? {
            bail!(
                "the end-to-end tests need root: they make network namespaces and load eBPF programs"
            );
        }
        tools::or_apt("ip", "iproute2")?;
        remove_left_behind()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let host = |letter: char, index: u32| Host {
            namespace: format!("{PREFIX}{pid}{letter}{number}"),
            ipv4: ipv4(pid, number, index),
            ipv6: ipv6(pid, number, index),
        };
        let network = Self {
            ends: Ends {
                client: host('c', 1),
                server: host('s', 2),
            },
        };
        network.set_up()?;
        Ok(network)
    }

    /// Runs an `ip` command in the namespace of a host; `LINK` stands for its end of the link.
    pub fn ip(&self, host: &Host, arguments: &str) -> Result<()> {
        let name = &host.namespace;
        let arguments = arguments.replace("LINK", name);
        ip(&format!("-n {name} {arguments}")).map(drop)
    }

    /// Takes the names from both namespaces: they live on for the processes and sockets in them.
    pub fn forget(&self) -> Result<()> {
        for host in [&self.ends.client, &self.ends.server] {
            ip(&format!("netns delete {}", host.namespace))?;
        }
        Ok(())
    }

    fn set_up(&self) -> Result<()> {
        let (client, server) = (&self.ends.client.namespace, &self.ends.server.namespace);
        ip(&format!("netns add {client}"))?;
        ip(&format!("netns add {server}"))?;
        ip(&format!(
            "link add {client} netns {client} type veth peer name {server} netns {server}"
        ))?;
        for host in [&self.ends.client, &self.ends.server] {
            let name = &host.namespace;
            ip(&format!("-n {name} addr add {}/30 dev {name}", host.ipv4))?;
            ip(&format!(
                "-n {name} addr add {}/64 dev {name} nodad",
                host.ipv6
            ))?;
            ip(&format!("-n {name} link set {name} up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [&self.ends.client, &self.ends.server] {
            // Not there when `set_up` failed half-way.
            drop(ip(&format!("netns delete {}", host.namespace)));
        }
    }
}

fn ip(arguments: &str) -> Result<String> {
    tools::output_of(Command::new("ip").args(arguments.split(' ')))
}

/// An address in 198.18.0.0/15, which is set aside for tests (RFC 2544): a /30 per process and network.
fn ipv4(pid: u32, number: u32, index: u32) -> Ipv4Addr {
    let subnet = (pid.wrapping_mul(8).wrapping_add(number)) & 0x7fff;
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() | (subnet << 2) | index)
}

/// A unique local address (RFC 4193): a /64 per process and network.
fn ipv6(pid: u32, number: u32, index: u32) -> Ipv6Addr {
    let prefix = Ipv6Addr::new(0xfd62, 0x6577, 0, 0, 0, 0, 0, 0).to_bits();
    let subnet = (u128::from(pid) << 8) | u128::from(number & 0xff);
    Ipv6Addr::from_bits(prefix | (subnet << 64) | u128::from(index))
}

/// Removes the namespaces of tests whose process is gone.
fn remove_left_behind() -> Result<()> {
    for line in ip("netns list")?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let pid: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if !pid.is_empty() && !Path::new("/proc").join(&pid).exists() {
            ip(&format!("netns delete {name}"))?;
        }
    }
    Ok(())
}
