//! The captures in `data/captures`, and what tshark says of them.
use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::ops::ControlFlow;

use crate::link::{self, Frame};
use crate::{End, Fragments, Packet, Transport, capture};
use serde_json::Value;

/// One direction of a connection.
pub(super) type Way = (End, End, Transport);

/// Offsets in a stream, or numbers of datagrams, and what stands there.
pub(super) type Pieces = Vec<(usize, Vec<u8>)>;

/// The packets of a capture, each as `take` sees it.
pub(super) fn each_frame(name: &str, mut take: impl FnMut(u64, Frame<'_>)) {
    let mut fragments = Fragments::default();
    let packets = capture::read(&plain(name)[..], |captured| {
        let (link, time_ns) = (captured.link.unwrap(), captured.time_ns.unwrap());
        let frame = link::read(link, time_ns, captured.frame, &mut fragments);
        take(captured.number, frame);
        ControlFlow::Continue(())
    });
    assert!(packets.unwrap() > 10);
}

pub(super) fn each_packet(name: &str, mut take: impl FnMut(&Packet<'_>)) {
    each_frame(name, |_, frame| {
        if let Frame::Packet(packet) = frame {
            take(&packet);
        }
    });
}

fn plain(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = std::fs::read(path(&format!("{name}.pcap.gz"))).unwrap();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn path(name: &str) -> String {
    format!("{}/tests/data/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The payloads of each direction: offset in its stream, or number of the datagram, and bytes.
pub(super) fn payloads(name: &str) -> BTreeMap<Way, Pieces> {
    let mut ways: BTreeMap<Way, (u32, Pieces)> = BTreeMap::new();
    each_packet(name, |packet| {
        let (base, pieces) = ways
            .entry((packet.sender, packet.receiver, packet.transport))
            .or_default();
        let offset = match packet.tcp {
            Some(segment) => {
                let number = segment.numbers.unwrap().0;
                if segment.syn {
                    *base = number + 1;
                }
                number.wrapping_sub(*base) as usize
            }
            None => pieces.len(),
        };
        if !packet.payload.is_empty() {
            pieces.push((offset, packet.payload.to_vec()));
        }
    });
    ways.into_iter()
        .map(|(way, (_, pieces))| (way, pieces))
        .filter(|(_, pieces)| !pieces.is_empty())
        .collect()
}

/// What tshark says of one packet.
pub(super) struct Row(Value);

/// What tshark says, packet by packet.
pub(super) fn told_by_tshark(name: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(path(&format!("{name}.json"))).unwrap();
    let Value::Array(rows) = serde_json::from_str(&text).unwrap() else {
        panic!("{name}");
    };
    rows.into_iter().map(Row).collect()
}

impl Row {
    /// All values of a field, in order.
    pub(super) fn all(&self, field: &str) -> Vec<&str> {
        let values = self.0.get(field).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .map(|it| it.as_str().unwrap())
            .collect()
    }

    pub(super) fn one(&self, field: &str) -> Option<&str> {
        let all = self.all(field);
        assert!(all.len() <= 1, "{field}: {all:?}");
        all.first().copied()
    }

    /// All values as numbers, whether decimal or hexadecimal.
    pub(super) fn numbers<T: TryFrom<u64, Error: std::fmt::Debug>>(&self, field: &str) -> Vec<T> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => text.parse().unwrap(),
        };
        self.all(field)
            .into_iter()
            .map(|it| number(it).try_into().unwrap())
            .collect()
    }

    pub(super) fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(&self, field: &str) -> Option<T> {
        let mut all = self.numbers(field);
        assert!(all.len() <= 1, "{field}");
        all.pop()
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.one(field) == Some("True")
    }

    /// Sender and receiver of a packet without tunnels.
    pub(super) fn way(&self) -> Way {
        let transport = if self.all("tcp.srcport").is_empty() {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        let end = |which: &str| {
            let address = [format!("ip.{which}"), format!("ipv6.{which}")];
            let address = address.iter().find_map(|field| self.one(field)).unwrap();
            let port = [format!("tcp.{which}port"), format!("udp.{which}port")];
            let port = port.iter().find_map(|field| self.one(field)).unwrap();
            End {
                address: address.parse().unwrap(),
                port: port.parse().unwrap(),
            }
        };
        (end("src"), end("dst"), transport)
    }

    /// `ip` or `ipv6`, whichever header is the innermost.
    fn family(&self) -> &'static str {
        let protocols = self.one("frame.protocols").unwrap();
        let last = protocols
            .rsplit(':')
            .find(|it| matches!(*it, "ip" | "ipv6"));
        match (self.all("ip.src").len(), self.all("ipv6.src").len()) {
            (0, _) => "ipv6",
            (_, 0) => "ip",
            _ if last == Some("ipv6") => "ipv6",
            _ => "ip",
        }
    }

    /// A field of the innermost header, when it has it.
    pub(super) fn number_in_innermost(&self, field: &str) -> Option<u64> {
        let (family, _) = field.split_once('.').unwrap();
        let of_family = (family == self.family()).then(|| self.numbers(field));
        of_family.and_then(|it| it.last().copied())
    }

    /// Sender's and receiver's address in the innermost of several headers.
    pub(super) fn innermost(&self) -> (IpAddr, IpAddr) {
        let address = |which: &str| -> IpAddr {
            let all = self.all(&format!("{}.{which}", self.family()));
            all.last().unwrap().parse().unwrap()
        };
        (address("src"), address("dst"))
    }
}
