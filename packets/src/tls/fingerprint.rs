//! JA3 and JA4 of a `ClientHello`.
//!
//! JA4 as `technical_details/JA4.md` of `FoxIO-LLC/ja4` has it: client fingerprints only. JA3 as
//! `salesforce/ja3` has it. Both pass over GREASE (RFC 8701).

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{APPLICATION_PROTOCOLS, Carrier, ClientHello, SERVER_NAME};

/// What JA4 puts where there is nothing to hash.
const NOTHING: &str = "000000000000";

impl ClientHello {
    /// JA4; `None` when the hello was not whole.
    #[must_use]
    pub fn ja4(&self) -> Option<String> {
        let hashed = |text: &str| {
            if text.is_empty() {
                return NOTHING.to_owned();
            }
            let mut hash = hex::encode(Sha256::digest(text.as_bytes()));
            hash.truncate(NOTHING.len());
            hash
        };
        let (ciphers, extensions) = (self.ja4_ciphers(), self.ja4_extensions());
        self.whole.then(|| {
            let (first, ciphers, extensions) =
                (self.ja4_first(), hashed(&ciphers), hashed(&extensions));
            format!("{first}_{ciphers}_{extensions}")
        })
    }

    /// JA4 before hashing (`JA4_r`); `None` when the hello was not whole.
    #[must_use]
    pub fn ja4_raw(&self) -> Option<String> {
        self.whole.then(|| {
            let (ciphers, extensions) = (self.ja4_ciphers(), self.ja4_extensions());
            format!("{}_{ciphers}_{extensions}", self.ja4_first())
        })
    }

    /// JA3: MD5 in hexadecimal digits; `None` when the hello was not whole.
    #[must_use]
    pub fn ja3(&self) -> Option<String> {
        self.ja3_raw()
            .map(|text| hex::encode(Md5::digest(text.as_bytes())))
    }

    /// JA3 before hashing; `None` when the hello was not whole.
    #[must_use]
    pub fn ja3_raw(&self) -> Option<String> {
        self.whole.then(|| {
            let formats = self.point_formats.iter().map(|it| u16::from(*it));
            let lists = [
                dashed(meaningful(&self.ciphers)),
                dashed(meaningful(&self.extensions)),
                dashed(meaningful(&self.groups)),
                dashed(formats),
            ];
            format!("{},{}", self.version, lists.join(","))
        })
    }

    /// The readable part: carrier, version, whether a domain is asked for, counts, first protocol.
    fn ja4_first(&self) -> String {
        let carrier = match self.carrier {
            Carrier::Tcp => 't',
            Carrier::Quic => 'q',
        };
        let version = version(meaningful(&self.versions).max().unwrap_or(self.version));
        let domain = if self.extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let count = |list: &[u16]| meaningful(list).count().min(99);
        let (ciphers, extensions) = (count(&self.ciphers), count(&self.extensions));
        let [first, last] = self.first_protocol.unwrap_or(['0', '0']);
        format!("{carrier}{version}{domain}{ciphers:02}{extensions:02}{first}{last}")
    }

    fn ja4_ciphers(&self) -> String {
        let mut ciphers: Vec<u16> = meaningful(&self.ciphers).collect();
        ciphers.sort_unstable();
        listed(&ciphers)
    }

    fn ja4_extensions(&self) -> String {
        let mut extensions: Vec<u16> = meaningful(&self.extensions)
            .filter(|it| !matches!(*it, SERVER_NAME | APPLICATION_PROTOCOLS))
            .collect();
        if extensions.is_empty() {
            return String::new();
        }
        extensions.sort_unstable();
        let algorithms: Vec<u16> = meaningful(&self.signature_algorithms).collect();
        let mut text = listed(&extensions);
        if !algorithms.is_empty() {
            text.push('_');
            text.push_str(&listed(&algorithms));
        }
        text
    }
}

/// First and last character of a protocol's name; of its hexadecimal digits when one of them is neither letter nor
/// digit. `None` of an empty name.
pub(super) fn first_and_last(protocol: &[u8]) -> Option<[char; 2]> {
    let (&first, &last) = (protocol.first()?, protocol.last()?);
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return Some([first.into(), last.into()]);
    }
    let digit = |value: u8| char::from_digit(value.into(), 16);
    Some([digit(first >> 4)?, digit(last & 0xf)?])
}

const fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// A list without GREASE.
fn meaningful(list: &[u16]) -> impl Iterator<Item = u16> {
    list.iter().copied().filter(|it| {
        let [high, low] = it.to_be_bytes();
        !(high == low && low & 0x0f == 0x0a)
    })
}

/// Decimal numbers with dashes between, written piece by piece: a hello has a hundred numbers.
fn dashed(list: impl Iterator<Item = u16>) -> String {
    let mut text = String::new();
    for number in list {
        if !text.is_empty() {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _infallible = write!(text, "{number}");
    }
    text
}

/// Hexadecimal numbers with commas between.
fn listed(list: &[u16]) -> String {
    let mut text = String::with_capacity(5 * list.len());
    for number in list {
        if !text.is_empty() {
            text.push(',');
        }
        let nibbles = [12, 8, 4, 0].map(|shift| u32::from(number >> shift) & 0xf);
        text.extend(nibbles.iter().filter_map(|it| char::from_digit(*it, 16)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `technical_details/JA4.md`, with GREASE as clients mix it in.
    fn published() -> ClientHello {
        let numbers = |text: &str| {
            let number = |it| u16::from_str_radix(it, 16).unwrap();
            text.split(',').map(number).collect()
        };
        ClientHello {
            version: 0x0303,
            versions: vec![0x5a5a, 0x0304, 0x0303],
            ciphers: numbers(
                "2a2a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
            ),
            extensions: numbers(
                "dada,001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015,caca",
            ),
            signature_algorithms: numbers("0403,0804,0401,0503,0805,0501,0806,0601"),
            first_protocol: first_and_last(b"h2"),
            whole: true,
            ..ClientHello::default()
        }
    }

    #[test]
    fn the_published_example_has_its_fingerprint() {
        let hello = published();
        let ja4 = hello.ja4().unwrap();
        assert_eq!(ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let raw = "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
             _0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
             _0403,0804,0401,0503,0805,0501,0806,0601";
        assert_eq!(hello.ja4_raw().unwrap(), raw);
        let quic = ClientHello {
            carrier: Carrier::Quic,
            signature_algorithms: Vec::new(),
            ..hello
        };
        assert_eq!(quic.ja4().unwrap(), "q13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn what_is_missing_has_the_published_stand_ins() {
        let hello = ClientHello {
            version: 0x0002,
            whole: true,
            ..ClientHello::default()
        };
        let ja4 = hello.ja4().unwrap();
        assert_eq!(ja4, "ts2i000000_000000000000_000000000000");
        let many = ClientHello {
            ciphers: (0..120).collect(),
            extensions: vec![SERVER_NAME, APPLICATION_PROTOCOLS],
            version: 0x7f1c,
            ..hello
        };
        let ja4 = many.ja4().unwrap();
        assert!(ja4.starts_with("t00d990200_") && ja4.ends_with("_000000000000"));
    }

    #[test]
    fn protocols_have_the_published_characters() {
        for (protocol, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            let ours = first_and_last(protocol).unwrap();
            assert_eq!(String::from_iter(ours), expected, "{protocol:?}");
        }
        assert_eq!(first_and_last(b""), None);
    }
}
