//! The capture on a real kernel: sockets of this process and of programs in network namespaces of
//! their own, compared with what those ends counted themselves.
//!
//! Needs root, and says so otherwise. Tests run beside each other on one machine and look at their own
//! ports only.

#[cfg(test)]
mod activity;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod icmp_transit;
#[cfg(test)]
mod interface_moves;
#[cfg(test)]
mod interfaces;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod payload;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
#[path = "../receiver/mod.rs"]
mod receiver;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod restart_forwarding;
#[cfg(test)]
mod restart_interfaces;
#[cfg(test)]
mod restart_names;
#[cfg(test)]
mod running;
#[cfg(test)]
mod successor;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod udp;
