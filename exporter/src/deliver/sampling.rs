//! [`Sampling`]: which flows are reported when not all are.
//!
//! The identity of a flow is a hash; those below a threshold stay. So all records of a flow go or stay, in
//! every run on the same boot, and half of the ratio keeps half of what the ratio kept. It is no secret which
//! they are: whoever knows the identity of its own flow knows whether it is reported. What is left out has no number, so
//! that a receiver misses nothing; metrics count all flows.

use std::hash::{BuildHasher, BuildHasherDefault};

use crate::flow::FlowId;
use crate::flow::key::AlreadyHashed;

/// A part of all flows; see the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    ratio: f64,
    /// The largest hash that stays.
    last: u64,
}

impl Sampling {
    /// So much of all flows; `None` when the ratio leaves nothing out, or is none.
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        const HASHES: f64 = 18_446_744_073_709_551_616.0;
        if !(ratio > 0.0 && ratio < 1.0) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of hashes"
        )]
        let last = (ratio * HASHES) as u64;
        Some(Self { ratio, last })
    }

    /// The part of all flows that stays.
    #[must_use]
    pub const fn ratio(self) -> f64 {
        self.ratio
    }

    /// Whether a flow is reported.
    #[must_use]
    pub fn keeps(self, flow: FlowId) -> bool {
        let hash = BuildHasherDefault::<AlreadyHashed>::default().hash_one(flow);
        hash <= self.last
    }
}

#[cfg(test)]
mod tests {
    use beaconwatch_records::FlowRecord;

    use super::*;
    use crate::flow::BootId;

    fn flows() -> impl Iterator<Item = FlowId> {
        (0..20_000).map(|cookie| {
            let record = FlowRecord {
                cookie,
                ..FlowRecord::ZERO
            };
            FlowId::of(BootId(5), &record)
        })
    }

    #[test]
    fn the_ratio_of_all_flows_stays_and_a_smaller_one_keeps_some_of_the_same() {
        let mut kept_before = 20_000;
        for ratio in [0.999, 0.5, 0.1, 0.01, 1e-9] {
            let sampling = Sampling::new(ratio).unwrap();
            let kept = flows().filter(|flow| sampling.keeps(*flow)).count();
            let expected = 20_000.0 * ratio;
            let deviation = (expected * (1.0 - ratio)).sqrt();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let off = (kept as f64 - expected).abs();
            assert!(off <= 4.0 * deviation + 1e-3, "{kept} of {expected}");
            assert!(kept <= kept_before);
            kept_before = kept;
            let half = Sampling::new(ratio / 2.0).unwrap();
            assert!(flows().all(|flow| sampling.keeps(flow) || !half.keeps(flow)));
        }
    }

    #[test]
    fn a_ratio_that_leaves_nothing_out_is_no_sampling() {
        for ratio in [1.0, 1.5, 0.0, -0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sampling::new(ratio), None, "{ratio}");
        }
    }
}
