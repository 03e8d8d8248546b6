//! Ranges of addresses, as people write them.
//!
//! Contract: an address or a CIDR block. IPv4 addresses mapped into IPv6 (`::ffff:192.0.2.1`) are taken for
//! the IPv4 addresses they are, in the text and in what is compared with it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address or a CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network {
    /// First address of the block.
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}, expected an IP address or a block such as 192.0.2.0/24")]
pub struct NetworkError(String);

impl Network {
    /// The block of `prefix_bits` bits that an address lies in; `None` when there are more bits than the
    /// address has.
    #[must_use]
    pub fn new(address: IpAddr, prefix_bits: u8) -> Option<Self> {
        let address = address.to_canonical();
        (prefix_bits <= width(address)).then(|| Self {
            address: mask(address, prefix_bits),
            prefix_bits,
        })
    }

    /// Whether an address lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && mask(address, self.prefix_bits) == self.address
    }

    /// First address of the block.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Number of bits that all addresses of the block share.
    #[must_use]
    pub const fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix_bits: width(address),
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first address of the block of an address.
pub(crate) fn mask(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let zeros = 32_u32.saturating_sub(u32::from(prefix_bits));
            let bits = u32::MAX.checked_shl(zeros).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & bits).into())
        }
        IpAddr::V6(v6) => {
            let zeros = 128_u32.saturating_sub(u32::from(prefix_bits));
            let bits = u128::MAX.checked_shl(zeros).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & bits).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NetworkError(text.chars().take(100).collect());
        let Some((address, bits)) = text.split_once('/') else {
            return text
                .parse::<IpAddr>()
                .map(Self::from)
                .map_err(|_not_an_address| error());
        };
        let address: IpAddr = address.parse().map_err(|_not_an_address| error())?;
        // A sign or leading zeros are typing errors.
        let plain = bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits: u8 = bits
            .parse()
            .ok()
            .filter(|_| plain && (bits.len() == 1 || !bits.starts_with('0')))
            .ok_or_else(error)?;
        // The bits of a mapped address count from the start of the IPv6 address.
        let mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
        let bits = if mapped {
            bits.checked_sub(96)
        } else {
            Some(bits)
        };
        bits.and_then(|bits| Self::new(address, bits))
            .ok_or_else(error)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == width(self.address) {
            write!(formatter, "{}", self.address)
        } else {
            write!(formatter, "{}/{}", self.address, self.prefix_bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_contains_its_first_and_last_address_and_not_their_neighbours() {
        let block = network("192.0.2.64/26");
        assert!(block.contains(address("192.0.2.64")) && block.contains(address("192.0.2.127")));
        assert!(!block.contains(address("192.0.2.63")) && !block.contains(address("192.0.2.128")));
        let block = network("2001:db8::/127");
        assert!(block.contains(address("2001:db8::1")) && !block.contains(address("2001:db8::2")));
    }

    #[test]
    fn the_whole_internet_and_a_single_address_are_blocks() {
        assert!(network("0.0.0.0/0").contains(address("255.255.255.255")));
        assert!(!network("0.0.0.0/0").contains(address("::1")));
        assert!(network("::/0").contains(address("ffff::")));
        assert_eq!(network("198.51.100.7/32").to_string(), "198.51.100.7");
    }

    #[test]
    fn bits_of_the_host_are_cut_off() {
        assert_eq!(network("192.0.2.77/24").to_string(), "192.0.2.0/24");
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_addresses_that_they_are() {
        assert!(network("192.0.2.0/24").contains(address("::ffff:192.0.2.9")));
        assert_eq!(network("::ffff:192.0.2.0/120"), network("192.0.2.0/24"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "/",
            "192.0.2.1/",
            "192.0.2.1/33",
            "::1/129",
            "192.0.2.1/+8",
            "192.0.2.1/08",
            "example.org",
            "192.0.2",
            "192.0.2.1 ",
            "::ffff:192.0.2.0/24",
            "192.0.2.1/-1",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
