//! What is known of names, as fixed bytes in which the ledger keeps it for the next exporter.
//!
//! Of a flow: a sequence of a kind, a length, and text, the most telling kinds first, up to a zero. What does not fit whole is left
//! out. Of a DNS answer: who asked and the address as the key; until when it holds, and the name.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::resolved::Asker;
use super::{FlowNames, Origin};
use crate::enrich::Privacy;

/// Names of a flow: with the key and the kernel's header an entry has 256 bytes.
pub(crate) type NamesBytes = [u8; 192];
/// Who asked, and the address.
pub(crate) type AnswerKey = [u8; 56];
/// Until when, and the name.
pub(crate) type AnswerBytes = [u8; 232];

/// The first two words of [`AnswerBytes`]: until when, and the name's length.
const ANSWER_HEAD_BYTES: usize = 16;

/// That a name led somebody to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(super) asker: Asker,
    pub(super) address: IpAddr,
    pub(super) name: Arc<str>,
    /// By the clock of the boot.
    pub(super) until_ns: u64,
}

/// What the settings make of names: names that were kept under others are not to be told.
pub(crate) fn fingerprint(privacy: &Privacy, wanted: bool) -> u64 {
    const PROBE: &str = "probe.invalid";
    let treated = (
        wanted,
        privacy.server_name(PROBE),
        privacy.user_agent(PROBE),
    );
    xxh3_64(format!("{treated:?}").as_bytes())
}

impl FlowNames {
    /// What [`Self::from_kept`] reads.
    pub(crate) fn to_kept(&self) -> NamesBytes {
        let server = self.server.as_ref();
        let parts = [
            (
                server.map_or(0, |(_, origin)| kind_of(*origin)),
                server.map(|(name, _)| name),
            ),
            (5, self.question.as_ref()),
            (6, self.ja4.as_ref()),
            (7, self.alpn.as_ref()),
            (8, self.method.as_ref()),
            (9, self.ja3.as_ref()),
            (10, self.user_agent.as_ref()),
        ];
        let mut bytes = [0; size_of::<NamesBytes>()];
        let mut rest = &mut bytes[..];
        for (kind, text) in parts {
            let Some(text) = text else { continue };
            let Ok(length) = u8::try_from(text.len()) else {
                continue;
            };
            let needed = 2 + text.len();
            if needed > rest.len() {
                continue;
            }
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(needed);
            put(part, [kind, length].iter().chain(text.as_bytes()));
            rest = behind;
        }
        bytes
    }

    /// Names that were kept.
    pub(crate) fn from_kept(bytes: &NamesBytes) -> Self {
        let mut names = Self::default();
        let mut rest = &bytes[..];
        while let [kind, length, behind @ ..] = rest {
            if *kind == 0 {
                break;
            }
            let Some((text, behind)) = behind.split_at_checked(usize::from(*length)) else {
                break;
            };
            rest = behind;
            let Ok(text) = str::from_utf8(text) else {
                continue;
            };
            names.take_kept(*kind, text.into());
        }
        names
    }

    fn take_kept(&mut self, kind: u8, text: Arc<str>) {
        match kind {
            1 => self.server = Some((text, Origin::Tls)),
            2 => self.server = Some((text, Origin::Quic)),
            3 => self.server = Some((text, Origin::Http)),
            4 => self.server = Some((text, Origin::Dns)),
            5 => self.question = Some(text),
            6 => self.ja4 = Some(text),
            7 => self.alpn = Some(text),
            8 => self.method = Some(text),
            9 => self.ja3 = Some(text),
            10 => self.user_agent = Some(text),
            _ => {}
        }
    }
}

const fn kind_of(origin: Origin) -> u8 {
    match origin {
        Origin::Tls => 1,
        Origin::Quic => 2,
        Origin::Http => 3,
        Origin::Dns => 4,
    }
}

impl Answer {
    /// Key and value; `None` when the name has no room.
    pub(crate) fn to_kept(&self) -> Option<(AnswerKey, AnswerBytes)> {
        let mut key = [0; size_of::<AnswerKey>()];
        let host = self.asker.host.unwrap_or_default();
        let address = match self.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let parts = [
            &self.asker.namespace.to_be_bytes()[..],
            &self.asker.process_start_ns.to_be_bytes(),
            &self.asker.pid.to_be_bytes(),
            &u32::from(self.asker.host.is_some()).to_be_bytes(),
            &host,
            &address.octets(),
        ];
        put(&mut key, parts.into_iter().flatten());
        let name = self.name.as_bytes();
        let mut value = [0; size_of::<AnswerBytes>()];
        if name.len() > value.len() - ANSWER_HEAD_BYTES {
            return None;
        }
        let length = u64::try_from(name.len()).unwrap_or_default();
        let parts = [
            &self.until_ns.to_be_bytes()[..],
            &length.to_be_bytes(),
            name,
        ];
        put(&mut value, parts.into_iter().flatten());
        Some((key, value))
    }

    /// What [`Self::to_kept`] wrote; `None` for anything else.
    pub(crate) fn from_kept(key: &AnswerKey, value: &AnswerBytes) -> Option<Self> {
        let mut key = &key[..];
        let namespace = u64::from_be_bytes(take(&mut key)?);
        let process_start_ns = u64::from_be_bytes(take(&mut key)?);
        let pid = u32::from_be_bytes(take(&mut key)?);
        let has_host = u32::from_be_bytes(take(&mut key)?) != 0;
        let host: [u8; 16] = take(&mut key)?;
        let address: [u8; 16] = take(&mut key)?;
        let mut value = &value[..];
        let until_ns = u64::from_be_bytes(take(&mut value)?);
        let length = usize::try_from(u64::from_be_bytes(take(&mut value)?)).ok()?;
        let name = str::from_utf8(value.get(..length)?).ok()?;
        Some(Self {
            asker: Asker {
                namespace,
                pid,
                process_start_ns,
                host: has_host.then_some(host),
            },
            address: IpAddr::from(Ipv6Addr::from(address)).to_canonical(),
            name: name.into(),
            until_ns,
        })
    }
}

fn put<'a>(to: &mut [u8], from: impl Iterator<Item = &'a u8>) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Arc<str> {
        "x".repeat(length).into()
    }

    #[test]
    fn names_are_read_as_they_were_kept() {
        for origin in [Origin::Tls, Origin::Quic, Origin::Http, Origin::Dns] {
            let names = FlowNames {
                server: Some(("kept.example.com".into(), origin)),
                ja4: Some(text(36)),
                ja3: Some(text(32)),
                alpn: Some(text(2)),
                method: Some(text(4)),
                user_agent: Some(text(20)),
                question: Some(text(10)),
            };
            assert_eq!(FlowNames::from_kept(&names.to_kept()), names);
        }
        let none = FlowNames::default();
        assert_eq!(FlowNames::from_kept(&none.to_kept()), none);
    }

    #[test]
    fn what_has_no_room_is_left_out_whole_and_the_rest_stays() {
        let names = FlowNames {
            server: Some((text(188), Origin::Tls)),
            ja4: Some(text(36)),
            user_agent: Some(text(300)),
            ..FlowNames::default()
        };
        let kept = FlowNames::from_kept(&names.to_kept());
        assert_eq!(kept.server, names.server);
        assert_eq!((kept.ja4, kept.user_agent), (None, None));
        let longest = FlowNames {
            server: Some((text(190), Origin::Tls)),
            ..FlowNames::default()
        };
        assert_eq!(FlowNames::from_kept(&longest.to_kept()), longest);
        let longer = FlowNames {
            server: Some((text(191), Origin::Tls)),
            alpn: Some(text(2)),
            ..FlowNames::default()
        };
        let kept = FlowNames::from_kept(&longer.to_kept());
        assert_eq!((kept.server, kept.alpn), (None, longer.alpn));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_no_names_and_no_fault() {
        assert_eq!(FlowNames::from_kept(&[255; 192]), FlowNames::default());
        assert_eq!(
            FlowNames::from_kept(&[1; 192]).server,
            Some(("\u{1}".into(), Origin::Tls))
        );
        assert_eq!(Answer::from_kept(&[0; 56], &[255; 232]), None);
    }

    #[test]
    fn answers_are_read_as_they_were_kept_if_they_have_room() {
        let mut answer = Answer {
            asker: Asker {
                namespace: 1,
                pid: 2,
                process_start_ns: u64::MAX,
                host: None,
            },
            address: "192.0.2.1".parse().unwrap(),
            name: "n".repeat(216).into(),
            until_ns: 4,
        };
        for (address, host) in [("192.0.2.1", None), ("2001:db8::1", Some([0; 16]))] {
            answer.address = address.parse().unwrap();
            answer.asker.host = host;
            let (key, value) = answer.to_kept().unwrap();
            assert_eq!(Answer::from_kept(&key, &value), Some(answer.clone()));
        }
        answer.name = "n".repeat(217).into();
        assert_eq!(answer.to_kept(), None);
    }
}
