//! Names of servers and fingerprints of clients, from slices of payload: [`NameReader`].
//!
//! | source | gives |
//! |---|---|
//! | TLS and QUIC `ClientHello` | server name, ALPN, JA4, JA3 |
//! | HTTP/1 request | host, method, user agent |
//! | DNS question | the name that a DNS flow asks for |
//! | DNS answer | a candidate for later flows to the addresses in it, see `resolved` |
//!
//! What a client asked for beats what DNS says. The kernel part hands out the slices
//! ([`Capture::take_slices`](crate::capture::Capture::take_slices)); `beaconwatch-packets` parses them. What the
//! settings hide is hidden here, before anything keeps it.
//!
//! # Limits
//! Beginnings of at most 2 × [`MAX_HEADS`] flows that are not whole. HTTP/2 without TLS and names inside
//! encrypted hellos are not seen: with ECH the name is the public one of the outer hello.

mod kept;
mod resolved;

use std::net::Ipv6Addr;
use std::sync::Arc;

use beaconwatch_packets::classify::{Classifier, DNS_PORT, Protocol};
use beaconwatch_packets::{Transport, Verdict, dns, http, tls};
use beaconwatch_records::{
    Direction, FlowRecord, Protocol as IpProtocol, Role, Slice, SliceHeader,
};

pub(crate) use self::kept::{Answer, AnswerBytes, AnswerKey, NamesBytes, fingerprint};
use self::resolved::{Asker, Resolved};
use crate::capture::ledger::Inherited;
use crate::enrich::Privacy;
use crate::flow::{BootId, FlowId};
use crate::memory::Memory;

#[cfg(test)]
mod tests;

/// Flows whose beginning is put together, in one generation.
pub const MAX_HEADS: usize = 4096;

/// Where a server's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A TLS `ClientHello`.
    Tls,
    /// A QUIC `ClientHello`.
    Quic,
    /// An HTTP/1 `Host` header.
    Http,
    /// A DNS answer that led to the address.
    Dns,
}

impl Origin {
    /// As records say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Dns => "dns",
        }
    }
}

/// What is known of the names of one flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowNames {
    /// Name of the server, and where it comes from.
    pub server: Option<(Arc<str>, Origin)>,
    /// JA4 of the client's hello.
    pub ja4: Option<Arc<str>>,
    /// JA3 of the client's hello.
    pub ja3: Option<Arc<str>>,
    /// Application protocol that the client named first.
    pub alpn: Option<Arc<str>>,
    /// Method of the first request.
    pub method: Option<Arc<str>>,
    /// User agent of the first request.
    pub user_agent: Option<Arc<str>>,
    /// What a DNS flow asks for first.
    pub question: Option<Arc<str>>,
}

/// The beginning of what the initiator sends, while it is not whole.
#[derive(Debug)]
struct Head {
    classifier: Classifier,
    /// Sequence number of the first byte.
    base: u32,
}

/// One direction of DNS over TCP.
#[derive(Debug)]
struct DnsStream {
    stream: dns::Stream,
    /// Sequence number of the next byte.
    next: u32,
}

/// Reads slices and knows the names of flows.
#[derive(Debug)]
pub struct NameReader {
    boot: BootId,
    privacy: Privacy,
    heads: Memory<FlowId, Head>,
    streams: Memory<(FlowId, u8), DnsStream>,
    names: Memory<FlowId, Arc<FlowNames>>,
    resolved: Resolved,
    /// What was learnt of answers since it was taken; `None`: nobody takes it.
    learnt: Option<Vec<Answer>>,
}

impl NameReader {
    /// Knows nothing yet; remembers the names of at most 2 × `max_flows` flows.
    #[must_use]
    pub fn new(boot: BootId, privacy: Privacy, max_flows: usize) -> Self {
        Self {
            boot,
            privacy,
            heads: Memory::new(MAX_HEADS),
            streams: Memory::new(MAX_HEADS),
            names: Memory::new(max_flows),
            resolved: Resolved::new(),
            learnt: None,
        }
    }

    /// Knows what an earlier run knew, and from here on hands out what answers say.
    pub(crate) fn inherit(&mut self, inherited: Inherited) {
        for (id, names) in inherited.flows {
            self.names.insert(id, names);
        }
        let mut answers = inherited.answers;
        // The latest counts.
        answers.sort_by_key(|answer| answer.until_ns);
        for answer in &answers {
            self.resolved.keep(answer);
        }
        self.learnt = Some(Vec::new());
    }

    /// What answers said since the last call.
    pub(crate) fn take_learnt(&mut self) -> Vec<Answer> {
        self.learnt.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes in a slice. Slices of a flow come in the order in which its packets passed.
    pub fn read(&mut self, slice: &Slice<'_>) {
        let header = &slice.header;
        let tcp = header.protocol == IpProtocol::Tcp as u8;
        if service_port(header) != DNS_PORT {
            self.read_head(slice, tcp);
        } else if tcp {
            self.read_dns_stream(slice);
        } else if let Some(message) = dns::parse(slice.bytes) {
            self.read_dns(header, &message);
        }
    }

    /// The names of a flow; of a client without a name of its own, by the address that it talks to.
    pub fn find(&mut self, id: FlowId, record: &FlowRecord) -> Option<Arc<FlowNames>> {
        if let Some(names) = self.names.get(&id) {
            return Some(names);
        }
        if record.role == Role::Server as u8 || record.remote_port == DNS_PORT {
            return None;
        }
        let transit = record.role == Role::Transit as u8;
        let asker = Asker {
            namespace: record.netns_cookie,
            pid: record.owner.pid,
            process_start_ns: record.owner.process_start_ns,
            host: transit.then_some(record.local_address),
        };
        let address = Ipv6Addr::from(record.remote_address);
        let name = self.resolved.find(asker, address.into(), record.start_ns)?;
        let names = Arc::new(FlowNames {
            server: Some((name, Origin::Dns)),
            ..FlowNames::default()
        });
        self.names.insert(id, Arc::clone(&names));
        Some(names)
    }

    /// Forgets a flow that has ended.
    pub fn forget(&mut self, id: FlowId) {
        self.names.remove(&id);
        self.heads.remove(&id);
    }

    /// Beginnings and names of flows that lived and found no room: so many names may be missing.
    pub(crate) const fn lost(&self) -> u64 {
        self.heads.forgotten() + self.names.forgotten()
    }

    fn read_head(&mut self, slice: &Slice<'_>, tcp: bool) {
        let header = &slice.header;
        let id = FlowId::of_slice(self.boot, header);
        let mut head = self.heads.remove(&id).unwrap_or_else(|| Head {
            classifier: Classifier::new(
                if tcp { Transport::Tcp } else { Transport::Udp },
                (header.local_port, header.remote_port),
            ),
            base: header.sequence,
        });
        let offset = usize::try_from(header.sequence.wrapping_sub(head.base));
        let offset = offset.unwrap_or(usize::MAX);
        let found = match head.classifier.take(offset, slice.bytes) {
            Verdict::Found(found) => Some(found),
            Verdict::NeedsMore => {
                // Should nothing more come, this is what there was.
                let so_far = head.classifier.so_far();
                self.heads.insert(id, head);
                so_far
            }
            Verdict::Nothing => None,
        };
        if let Some(names) = found.and_then(|found| self.names_of(found)) {
            self.names.insert(id, Arc::new(names));
        }
    }

    fn names_of(&self, found: Protocol) -> Option<FlowNames> {
        match found {
            Protocol::Tls(hello) => Some(self.of_hello(*hello, Origin::Tls)),
            Protocol::Quic(_, hello) => Some(self.of_hello(*hello, Origin::Quic)),
            Protocol::Http(request) => Some(self.of_request(*request)),
            Protocol::Dns(_) => None,
        }
    }

    fn of_hello(&self, hello: tls::ClientHello, origin: Origin) -> FlowNames {
        FlowNames {
            ja4: hello.ja4().map(Into::into),
            ja3: hello.ja3().map(Into::into),
            server: self.server(hello.server_name.as_deref(), origin),
            alpn: hello.alpn.into_iter().next().map(Into::into),
            ..FlowNames::default()
        }
    }

    fn of_request(&self, request: http::Request) -> FlowNames {
        let user_agent = request.user_agent.as_deref();
        FlowNames {
            server: self.server(request.host.as_deref(), Origin::Http),
            user_agent: user_agent
                .and_then(|it| self.privacy.user_agent(it))
                .map(Into::into),
            method: Some(request.method.into()),
            ..FlowNames::default()
        }
    }

    fn server(&self, name: Option<&str>, origin: Origin) -> Option<(Arc<str>, Origin)> {
        let name = self.privacy.server_name(name?)?;
        Some((name.into(), origin))
    }

    /// What lies between segments that come out of order ends the reading of its direction.
    fn read_dns_stream(&mut self, slice: &Slice<'_>) {
        let header = &slice.header;
        let key = (FlowId::of_slice(self.boot, header), header.direction);
        let mut stream = self.streams.remove(&key).unwrap_or_else(|| DnsStream {
            stream: dns::Stream::default(),
            next: header.sequence,
        });
        let cut = slice.bytes.len() != usize::try_from(header.length).unwrap_or(usize::MAX);
        if stream.next != header.sequence || cut {
            return;
        }
        stream.next = stream.next.wrapping_add(header.length);
        let messages = stream.stream.take(slice.bytes);
        self.streams.insert(key, stream);
        for message in &messages {
            self.read_dns(header, message);
        }
    }

    fn read_dns(&mut self, header: &SliceHeader, message: &dns::Message) {
        let Some(name) = self.privacy.server_name(&message.name) else {
            return;
        };
        let name: Arc<str> = name.into();
        if !message.response {
            let id = FlowId::of_slice(self.boot, header);
            if self.names.get(&id).is_none() && !name.is_empty() {
                let names = FlowNames {
                    question: Some(name),
                    ..FlowNames::default()
                };
                self.names.insert(id, Arc::new(names));
            }
            return;
        }
        let Some(asker) = asker_of(header) else {
            return;
        };
        for (address, ttl_s) in message.addresses() {
            let answer = self
                .resolved
                .learn(asker, &name, address, ttl_s, header.time_ns);
            if let Some(learnt) = &mut self.learnt {
                learnt.push(answer);
            }
        }
    }
}

/// Whom a DNS answer is for: the process at this end, or another host that asked through or at this one. `None`
/// for what is no answer to a question.
fn asker_of(header: &SliceHeader) -> Option<Asker> {
    let received = header.direction == Direction::Received as u8;
    let of_host = |address| Asker {
        namespace: header.netns_cookie,
        pid: 0,
        process_start_ns: 0,
        host: Some(address),
    };
    if header.role == Role::Server as u8 {
        return (!received).then(|| of_host(header.remote_address));
    }
    if !received {
        return None;
    }
    if header.role == Role::Transit as u8 {
        return Some(of_host(header.local_address));
    }
    Some(Asker {
        namespace: header.netns_cookie,
        pid: header.pid,
        process_start_ns: header.process_start_ns,
        host: None,
    })
}

/// The port of the end that answers.
const fn service_port(header: &SliceHeader) -> u16 {
    if header.role == Role::Server as u8 {
        header.local_port
    } else {
        header.remote_port
    }
}
