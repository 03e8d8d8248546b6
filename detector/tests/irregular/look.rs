//! One look at simulated beats, as the detector looks: for the test of calibration and its long form.

use beaconwatch_detector::Timestamp;
use beaconwatch_detector::evidence::{
    CadenceMeter, MOST_GAPS, PARTING_SILENCE_S, clock_rhythm, p_value,
};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::irregular::Kind;
use crate::neighbours;

/// A number of gaps from 3 to 200, log-uniform.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 3 and 200"
)]
pub(crate) fn any_gaps(rng: &mut StdRng) -> usize {
    rng.random_range(3_f64.ln()..200_f64.ln()).exp() as usize
}

/// p-value of the newest beats, in seconds and ascending; `None` when they cannot be measured.
pub(crate) fn look(meter: &mut CadenceMeter, beats: &[f64]) -> Option<f64> {
    look_at_newest(meter, beats, MOST_GAPS)
}

/// The same of so many gaps.
pub(crate) fn look_at_newest(meter: &mut CadenceMeter, beats: &[f64], gaps: usize) -> Option<f64> {
    let newest = &beats[beats.len().saturating_sub(gaps + 1)..];
    let gaps_s: Vec<f64> = newest.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let times = newest
        .iter()
        .filter_map(|beat| Timestamp::from_unix_seconds(*beat));
    let clock = clock_rhythm(&times.collect::<Vec<_>>()).map(|clock| clock.statistic);
    let cadence = meter.measure(&gaps_s)?;
    Some(p_value(&cadence, clock))
}

/// Beats of a source that talks irregularly to many destinations, in seconds, as if it had one only: what a view of
/// all of them weighs.
pub(crate) fn superposed(kind: Kind, rng: &mut StdRng) -> Vec<f64> {
    let mut beats = Vec::new();
    let mut previous = f64::NEG_INFINITY;
    for observation in neighbours::observations(kind, rng) {
        let time = observation.time.unix_seconds();
        if time - previous > PARTING_SILENCE_S {
            beats.push(time);
        }
        previous = time;
    }
    beats
}
