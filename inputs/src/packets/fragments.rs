//! Ports of fragmented packets: only the first fragment has them.
//!
//! # Limits
//! Between [`FRAGMENTED_MAX`] and twice as many packets are remembered, in two generations.

use std::collections::HashMap;
use std::net::IpAddr;

const FRAGMENTED_MAX: usize = 4096;

/// Which packet a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentId {
    pub(crate) sender: IpAddr,
    pub(crate) receiver: IpAddr,
    pub(crate) number: u32,
    pub(crate) protocol: u8,
}

/// Ports by packet.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    young: HashMap<FragmentId, (u16, u16)>,
    old: HashMap<FragmentId, (u16, u16)>,
}

impl Fragments {
    pub(crate) fn remember(&mut self, id: FragmentId, ports: (u16, u16)) {
        if self.young.len() >= FRAGMENTED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, ports);
    }

    pub(crate) fn ports(&self, id: &FragmentId) -> Option<(u16, u16)> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }
}
