//! What user space tells the kernel part of interfaces, as it lies in the maps.

/// Where a flow in transit is counted: an interface and a way through it, in one word.
///
/// Shape: the interface's index, shifted by one, and in the lowest bit whether the packet leaves.
#[must_use]
pub const fn point(interface: u32, leaves: bool) -> u32 {
    interface << 1 | leaves as u32
}

/// The interface of a [`point`].
#[must_use]
pub const fn interface_of(point: u32) -> u32 {
    point >> 1
}

/// What is known of an interface; value of the kernel part's map `INTERFACES`, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum InterfaceUse {
    /// The programs are attached: what came in here is counted here.
    Counted = 1,
    /// Behind it are sockets of this kernel alone (the host's end of a pair whose other end is in another
    /// network namespace, or a bridge of those): what came in here is told by its socket.
    SocketsBehind = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_keeps_its_interface_and_differs_by_way() {
        assert_eq!(interface_of(point(7, true)), 7);
        assert_eq!(interface_of(point(7, false)), 7);
        assert_ne!(point(7, true), point(7, false));
    }
}
