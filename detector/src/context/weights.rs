//! What each piece of context weighs, in log-odds, and why.
//!
//! # Rules
//! - A weight is the logarithm of a likelihood ratio that is argued for, halved where the pieces overlap (a server
//!   that is rare is often new as well); none was fitted to data.
//! - What is not known weighs nothing and is not shown.
//! - All weights together stay within ±[`BOUND`]: a factor of 20 in the odds. A steady cadence says up to 9.2 above
//!   the base rate by itself, so that context re-orders series of like cadence, and overrules none. A mark as
//!   benign stands outside of the bound ([`MOST_BENIGN`]), because it wants more than one reason and is shown.
//!
//! | signal | log-odds | reason |
//! |---|---|---|
//! | `intelligence` | +3.0 × confidence | a list says so; half for the host of a URL, which may host others |
//! | `prevalence` | +1.0 .. -1.5 | RITA and the "rare domain" analytics of endpoint products weigh both ways; a C2 server serves few hosts of one network, a common service most |
//! | `first_seen` | +0.7 .. -0.3 | infrastructure of an attack is younger than a history of weeks (RITA: 7 and 30 days) |
//! | `process_rarity` | +0.5 | tools brought in run on few hosts; so do servers' own programs: half |
//! | `process_at_server` | +0.8 | a program that others do not use for a server that many use (MITRE ATT&CK T1102, T1036) |
//! | `process_path` | +0.2 .. +2.0 | T1036.005, T1070.004, T1564.001, T1620: temporary, deleted, hidden, in memory, in another's name |
//! | `destination` | -0.5 .. -2.5 | C2 leads out; what comes from outside scans; a group or a link reaches no further than routers let it |
//! | `source_port` | -0.5 | a fixed privileged port at both ends is a protocol between servers |
//! | `port` | +0.4 .. +0.8 | T1571: a port that is not its protocol's; much legitimate software does so too |
//! | `direct_to_address` | +1.0 | where most web servers are named, one without a name is rare (RITA: missing host) |
//! | `size_regularity` | +0.2 | check-ins without work are equal, and so are keep-alives: measured on real days it told nothing |
//! | `byte_symmetry` | +0.2, -0.5 | a check-in is small both ways; a large answer is content |
//! | `long_connection` | +0.3 | channels stay open, push services as well |
//! | `failed_connections` | +0.5 | a C2 server that is gone is called on and on (T1008); a service that is gone too |
//! | `subdomains` | +2.0 | names that are never asked twice carry data (T1071.004, T1048.003) |
//! | `catalogue` | -3.0 .. 0 | what a known service looks like, by one trait only |
//! | `benign` | -8.0 .. 0 | the same by several traits that must all hold |

/// Most that all context but a mark as benign adds or takes.
pub const BOUND: f64 = 3.0;
/// Most that a mark as benign takes: from the strongest cadence (7.3) to less than one half.
pub const MOST_BENIGN: f64 = 8.0;

/// Fewer sources in the world than this tell nothing by being few.
pub(super) const FEWEST_SOURCES: f64 = 10.0;
/// Sources from which a share is taken at its word; fewer weigh by the logarithm of their number.
pub(super) const SOURCES_AT_FULL_WEIGHT: f64 = 100.0;
/// A server of at most this share of the sources is rare.
pub(super) const RARE_SHARE: f64 = 0.02;
/// From this share on a server is less and less suspicious.
pub(super) const COMMON_SHARE: f64 = 0.1;
/// From this share on it is as common as can be.
pub(super) const USUAL_SHARE: f64 = 0.5;
pub(super) const RARE_SERVER: f64 = 1.0;
pub(super) const COMMON_SERVER: f64 = -1.5;

/// History below which no server is called new.
pub(super) const SHORTEST_HISTORY_S: f64 = 7.0 * 86_400.0;
/// Age up to which a server is entirely new; it is not new at [`SHORTEST_HISTORY_S`].
pub(super) const NEW_S: f64 = 86_400.0;
/// Age from which a server is old.
pub(super) const OLD_S: f64 = 30.0 * 86_400.0;
pub(super) const NEW_SERVER: f64 = 0.7;
pub(super) const OLD_SERVER: f64 = -0.3;

pub(super) const RARE_PROCESS: f64 = 0.5;
pub(super) const STRANGE_PROCESS: f64 = 0.8;
/// A process of at most this share of a server's sources is strange there.
pub(super) const STRANGE_SHARE: f64 = 0.05;

/// Most that a path adds.
pub(super) const PATH: f64 = 2.0;
/// From this on, what a path adds speaks against a mark as benign.
pub(super) const PATH_AGAINST_BENIGN: f64 = 1.0;

pub(super) const INBOUND: f64 = -2.5;
pub(super) const GROUP: f64 = -2.0;
pub(super) const LOCAL: f64 = -1.0;
pub(super) const INTERNAL: f64 = -0.5;
pub(super) const PEERS: f64 = -0.5;

pub(super) const KNOWN_BAD_PORT: f64 = 0.8;
pub(super) const ODD_PORT: f64 = 0.4;

pub(super) const DIRECT: f64 = 1.0;
/// Share of named servers from which a missing name begins to tell.
pub(super) const FEWEST_NAMED: f64 = 0.5;

/// Connections from which their sizes and endings tell.
pub(super) const FEWEST_ENDED: u32 = 8;
pub(super) const REGULAR: f64 = 0.2;
/// Spread of log2 at which sizes are not regular any more.
pub(super) const IRREGULAR_SPREAD: f64 = 0.5;
pub(super) const SMALL: f64 = 0.2;
/// Most bytes of a connection without work, handshake and certificates included.
pub(super) const SMALL_BYTES: f64 = 16_384.0;
/// Most by which the two directions of such a connection differ.
pub(super) const SMALL_RATIO: f64 = 16.0;
pub(super) const CONTENT: f64 = -0.5;
pub(super) const CONTENT_BYTES: f64 = 1_048_576.0;

pub(super) const LONG: f64 = 0.3;
/// Lengths from which, and at which, a connection is long.
pub(super) const LONG_H: (f64, f64) = (1.0, 12.0);

pub(super) const FAILED: f64 = 0.5;
/// Share of failed connections that begins to tell.
pub(super) const MANY_FAILED: f64 = 0.5;

pub(super) const SUBDOMAINS: f64 = 2.0;
/// Numbers of names from which, and at which, a domain is like a tunnel.
pub(super) const TUNNEL_NAMES: (f64, f64) = (100.0, 10_000.0);

pub(super) const INTELLIGENCE: f64 = 3.0;

/// Decades of the p-value from which on what speaks for a beacon counts in full.
pub(super) const DECADES_AT_FULL_WEIGHT: f64 = 3.0;
