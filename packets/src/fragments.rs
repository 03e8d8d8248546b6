//! Ports and such of fragmented packets: only the first fragment has them.
//!
//! # Limits
//! Between [`FRAGMENTED_MAX`] and twice as many packets are remembered, in two generations.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::Icmp;

const FRAGMENTED_MAX: usize = 4096;

/// Which packet a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentId {
    pub(crate) sender: IpAddr,
    pub(crate) receiver: IpAddr,
    pub(crate) number: u32,
    pub(crate) protocol: u8,
}

/// What the first fragment of a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Sender's and receiver's port, and what a header of ICMP says.
    Header((u16, u16), Option<Icmp>),
    /// The beginning of a packet in a tunnel.
    Tunnel,
}

/// First fragments by packet. Between 4096 and twice as many are remembered.
#[derive(Debug, Default)]
pub struct Fragments {
    young: HashMap<FragmentId, First>,
    old: HashMap<FragmentId, First>,
}

impl Fragments {
    pub(crate) fn remember(&mut self, id: FragmentId, first: First) {
        if self.young.len() >= FRAGMENTED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, first);
    }

    pub(crate) fn first(&self, id: &FragmentId) -> Option<First> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }
}
