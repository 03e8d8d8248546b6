//! What the detector is told: one event of one connection.
//!
//! An observation carries all that the later views and context need (process, server name, sizes); a
//! scoring method uses what it can. Strings are shared (`Arc<str>`), because most repeat.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Joins the observations of one connection (start, activity, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u128);

/// Which moment of a connection's life an observation tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It began at `time`; sizes are not known yet.
    Opened,
    /// It lives; sizes are totals so far. `time` is when the observer looked, which may be its own rhythm:
    /// it counts as no beat.
    Active,
    /// It ended at `time`; an [`Phase::Opened`] was observed before; sizes are final.
    Closed,
    /// It began at `time` and is over: the only observation of this connection.
    Whole,
    /// It lives, and something was sent in it at `time` after a silence; sizes are totals so far.
    Activity,
}

/// Which end of the connection the observer stood at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// At the end that initiated.
    Client,
    /// At the end that answered.
    Server,
    /// In between (a network sensor): as good as the client's side.
    Between,
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or `ICMPv6`.
    Icmp,
    /// Anything else, by its IANA protocol number.
    Other(u8),
}

impl Transport {
    /// Lower-case name: `tcp`, `udp`, `icmp`, or `other`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Other(_) => "other",
        }
    }
}

/// The process at the observer's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// When the process began.
    pub started: Option<Timestamp>,
    /// Command name.
    pub name: Option<Arc<str>>,
    /// Path of the executable.
    pub executable: Option<Arc<str>>,
    /// User id.
    pub user_id: Option<u32>,
}

/// Who runs the process at the observer's end: what the detector does not weigh and people ask for. It belongs to the
/// process of its observation. A series keeps at most 1024 bytes of each text: a longer one is left out, a command line
/// cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Name of the user.
    pub user_name: Option<Arc<str>>,
    /// Command line.
    pub command_line: Option<Arc<str>>,
    /// SHA-256 of the executable, hexadecimal.
    pub executable_sha256: Option<Arc<str>>,
    /// Process id of the parent.
    pub parent_pid: Option<u32>,
    /// Command name of the parent.
    pub parent_name: Option<Arc<str>>,
    /// Path of the parent's executable.
    pub parent_executable: Option<Arc<str>>,
    /// Identity of the container.
    pub container_id: Option<Arc<str>>,
    /// Runtime of the container.
    pub container_runtime: Option<Arc<str>>,
    /// Unit of the host's systemd.
    pub unit: Option<Arc<str>>,
    /// Unit of a user's systemd.
    pub user_unit: Option<Arc<str>>,
    /// Uid of the pod.
    pub pod_uid: Option<Arc<str>>,
    /// Name of the pod.
    pub pod_name: Option<Arc<str>>,
    /// Namespace of the pod.
    pub pod_namespace: Option<Arc<str>>,
    /// Name of the container in the pod.
    pub pod_container: Option<Arc<str>>,
}

/// Which series an observation belongs to: one source talking to one place on one port.
///
/// Host and network namespace are part of the key, because addresses overlap between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Host or sensor that observed; empty when the input has none.
    pub host: Arc<str>,
    /// Network namespace on that host; empty when the input has none.
    pub namespace: Arc<str>,
    /// End that initiated.
    pub source: IpAddr,
    /// End that answered.
    pub destination: IpAddr,
    /// Port of the end that answered.
    pub destination_port: u16,
    /// Transport protocol.
    pub transport: Transport,
}

/// One event of one connection: the detector's only input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When it happened (see [`Phase`]).
    pub time: Timestamp,
    /// Which moment of the connection's life.
    pub phase: Phase,
    /// The series it belongs to.
    pub key: SeriesKey,
    /// Name of the host that observed, for people.
    pub host_name: Option<Arc<str>>,
    /// Joins this connection's observations; `None` when the input has no identity.
    pub connection: Option<ConnectionId>,
    /// Where the observer stood.
    pub side: Side,
    /// Port of the end that initiated; 0 when unknown.
    pub source_port: u16,
    /// Name of the server (TLS server name, HTTP host, DNS).
    pub server_name: Option<Arc<str>>,
    /// Process at the observer's end.
    pub process: Option<Arc<Process>>,
    /// Fingerprint of the client's TLS: JA4, or JA3 where that is all there is. It came after the other fields and is
    /// not part of the written form, which has no names: who writes observations keeps it beside them.
    #[serde(skip)]
    pub client_fingerprint: Option<Arc<str>>,
    /// Who runs the process; kept as the fingerprint is.
    #[serde(skip)]
    pub owner: Option<Arc<Owner>>,
    /// Bytes from source to destination so far.
    pub bytes_out: Option<u64>,
    /// Bytes from destination to source so far.
    pub bytes_in: Option<u64>,
    /// How long the connection lasted ([`Phase::Closed`], [`Phase::Whole`]).
    pub duration: Option<Duration>,
    /// Whether the connection was established; `None` when unknown.
    pub established: Option<bool>,
    /// Traffic of Beaconwatch itself: never scored.
    pub own: bool,
}

impl Observation {
    /// An observation at the client's end that says nothing more than this.
    #[must_use]
    pub const fn new(time: Timestamp, phase: Phase, key: SeriesKey) -> Self {
        Self {
            time,
            phase,
            key,
            host_name: None,
            connection: None,
            side: Side::Client,
            source_port: 0,
            server_name: None,
            process: None,
            client_fingerprint: None,
            owner: None,
            bytes_out: None,
            bytes_in: None,
            duration: None,
            established: None,
            own: false,
        }
    }
}
