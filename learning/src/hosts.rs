//! Series to their risk, and the risk of series to that of their hosts: the same on files and in a sidecar.

use beaconwatch_detector::{Assessment, HostSummaries};

use crate::{Model, Risk, RowError, series_features};

impl Model {
    /// The risk of a series: of its features, by [`Model::assess`]. An error with a model of another set than
    /// [`crate::FeatureSet::Series`].
    pub fn assess_series(&self, assessment: &Assessment) -> Result<Risk, RowError> {
        self.assess(&series_features(assessment))
    }
}

/// Adds a series to the host of its source address: by its risk and what drove it or, without one, by the detector's
/// score and its explanation.
///
/// # Example
/// ```
/// # fn ranked(found: &[beaconwatch_detector::Assessment]) -> Result<(), Box<dyn std::error::Error>> {
/// use beaconwatch_detector::HostSummaries;
/// use beaconwatch_learning::{Model, add_series};
///
/// let model = Model::builtin()?;
/// let mut hosts = HostSummaries::default();
/// for it in found {
///     add_series(&mut hosts, it, Some(&model.assess_series(it)?));
/// }
/// for host in hosts.ranked() {
///     println!("{} {:.2} {}", host.host, host.max_risk, host.reason);
/// }
/// # Ok(()) }
/// # ranked(&[]).unwrap();
/// ```
pub fn add_series(hosts: &mut HostSummaries, assessment: &Assessment, risk: Option<&Risk>) {
    let by = risk.map_or(assessment.score, |risk| risk.risk);
    hosts.add_series(assessment, by, || {
        risk.map_or_else(|| assessment.explanation.clone(), Risk::reason)
    });
}
