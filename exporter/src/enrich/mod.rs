//! What user space adds to a flow: who owns its socket, and whether that is Beaconwatch itself.
//!
//! - [`owner`]: process, parent, user, container, pod and unit, remembered
//! - [`own`]: which processes are Beaconwatch's own
//! - [`workload`]: what a path in the cgroup tree names
//! - [`kubernetes`]: what the kubelet says of pods
//! - [`privacy`]: what is left out or pseudonymised
//! - [`host`]: identity of this host and run

mod cgroup;
mod executables;
pub mod hash;
pub mod host;
pub mod kubernetes;
pub mod own;
pub mod owner;
pub mod privacy;
mod procfs;
mod users;
pub mod workload;

pub use kubernetes::{PodReader, Pods};
pub use own::OwnProcesses;
pub use owner::{Attribution, Handler, OwnerLookup, Parent};
pub use privacy::Privacy;
