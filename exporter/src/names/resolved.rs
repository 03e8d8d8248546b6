//! [`Resolved`]: which name led to an address.
//!
//! An answer that a process got is a candidate for its own later flows to the addresses in it, and for those of
//! the whole network namespace: processes ask through a resolver that runs beside them. The process's own
//! answer counts before another's, the latest of each before earlier ones. A candidate lives as long as the
//! answer says, at least [`SHORTEST_LIFE_NS`], because programs hold on to addresses, and at most a day.
//!
//! # Limits
//! 2 × [`MAX_ANSWERS`] addresses by process and as many by namespace. Addresses that several names share
//! (content networks) get the name that was asked for last.

use std::net::IpAddr;
use std::sync::Arc;

use super::kept::Answer;
use crate::memory::Memory;

/// Addresses remembered in one generation.
const MAX_ANSWERS: usize = 32_768;
const SECOND_NS: u64 = 1_000_000_000;
const SHORTEST_LIFE_NS: u64 = 60 * SECOND_NS;
const LONGEST_LIFE_S: u64 = 86_400;

/// Who asked: a process of a network namespace, or another host whose traffic passes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) namespace: u64,
    pub(super) pid: u32,
    pub(super) process_start_ns: u64,
    /// Address of the other host; none for processes of this one.
    pub(super) host: Option<[u8; 16]>,
}

impl Asker {
    /// Anybody in the namespace, or on the other host.
    const fn anybody(self) -> Self {
        Self {
            namespace: self.namespace,
            pid: 0,
            process_start_ns: 0,
            host: self.host,
        }
    }
}

#[derive(Clone, Debug)]
struct Candidate {
    name: Arc<str>,
    until_ns: u64,
}

#[derive(Debug)]
pub(super) struct Resolved {
    by_process: Memory<(Asker, IpAddr), Candidate>,
    by_namespace: Memory<(Asker, IpAddr), Candidate>,
}

impl Resolved {
    pub(super) fn new() -> Self {
        Self {
            by_process: Memory::new(MAX_ANSWERS),
            by_namespace: Memory::new(MAX_ANSWERS),
        }
    }

    /// Notes, and returns, that `asker` was told at `now_ns` that `name` has `address` for so many seconds.
    pub(super) fn learn(
        &mut self,
        asker: Asker,
        name: &Arc<str>,
        address: IpAddr,
        ttl_s: u32,
        now_ns: u64,
    ) -> Answer {
        let life_ns = u64::from(ttl_s).min(LONGEST_LIFE_S) * SECOND_NS;
        let answer = Answer {
            asker,
            address: address.to_canonical(),
            name: Arc::clone(name),
            until_ns: now_ns.saturating_add(life_ns.max(SHORTEST_LIFE_NS)),
        };
        self.keep(&answer);
        answer
    }

    /// Notes an answer.
    pub(super) fn keep(&mut self, answer: &Answer) {
        let (asker, address) = (answer.asker, answer.address);
        let candidate = Candidate {
            name: Arc::clone(&answer.name),
            until_ns: answer.until_ns,
        };
        self.by_namespace
            .insert((asker.anybody(), address), candidate.clone());
        if asker.pid != 0 {
            self.by_process.insert((asker, address), candidate);
        }
    }

    /// The name that led `asker` to `address`, of a flow that began at `start_ns`.
    pub(super) fn find(
        &mut self,
        asker: Asker,
        address: IpAddr,
        start_ns: u64,
    ) -> Option<Arc<str>> {
        let address = address.to_canonical();
        let lives = |candidate: &Candidate| candidate.until_ns >= start_ns;
        let own = self.by_process.get(&(asker, address)).filter(lives);
        let found = own.or_else(|| {
            let others = self.by_namespace.get(&(asker.anybody(), address));
            others.filter(lives)
        });
        found.map(|candidate| candidate.name)
    }
}
