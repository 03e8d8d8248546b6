//! Series as JSON, with the field names of the published beacon analyser's API.

use std::sync::PoisonError;

use beaconwatch_detector::{Assessment, SeriesKey, Timestamp, Transport};
use serde_json::{Value, json};

use crate::observe::{Connections, SharedBoard};
use crate::time_text::rfc3339;

/// Connections from which a sample has full confidence, and the number at which it has none.
const FULL_CONFIDENCE: f64 = 20.0;
const NO_CONFIDENCE: f64 = 4.0;

/// The body of `/api/v1/beacons`. `count` is the number of series listed.
pub(super) fn list(board: &SharedBoard, min_score: f64, limit: usize) -> Value {
    let board = board.read().unwrap_or_else(PoisonError::into_inner);
    let beacons: Vec<Value> = board
        .best(min_score)
        .take(limit)
        .map(|assessment| beacon(assessment))
        .collect();
    json!({ "count": beacons.len(), "beacons": beacons })
}

/// The body of `/api/v1/connections`. `count` is the number of series listed, `total` of all.
pub(super) fn connections(total: usize, series: &[Connections]) -> Value {
    let pairs: Vec<Value> = series
        .iter()
        .map(|series| {
            json!({
                "pair_key": pair_key(&series.key),
                "host": series.key.host,
                "network_namespace": series.key.namespace,
                "src_ip": series.key.source,
                "dst_ip": series.key.destination,
                "dst_port": series.key.destination_port,
                "protocol": protocol(series.key.transport),
                "connection_count": series.count,
                "duration_seconds": seconds(series.first_seen, series.last_seen),
                "first_seen": rfc3339(series.first_seen),
                "last_seen": rfc3339(series.last_seen),
            })
        })
        .collect();
    json!({ "count": pairs.len(), "total": total, "pairs": pairs })
}

fn beacon(assessment: &Assessment) -> Value {
    let key = &assessment.key;
    json!({
        "pair_key": pair_key(key),
        "host": key.host,
        "host_name": assessment.host_name,
        "network_namespace": key.namespace,
        "src_ip": key.source,
        "dst_ip": key.destination,
        "dst_port": key.destination_port,
        "protocol": protocol(key.transport),
        "server_name": assessment.server_name,
        "process": assessment.process,
        "method": assessment.method,
        "cv_score": signal(assessment, "coefficient_of_variation"),
        "periodicity_score": signal(assessment, "periodicity"),
        "jitter_score": signal(assessment, "jitter"),
        "size_score": signal(assessment, "size"),
        "combined_score": assessment.score,
        "severity": assessment.severity,
        "is_beacon": assessment.detected,
        "confidence": confidence(assessment.count),
        "interval_s": assessment.interval_s,
        "jitter": assessment.jitter,
        "interval_stats": interval_statistics(assessment),
        "periodicity_result": periodicity(assessment),
        "connection_count": assessment.count,
        "bytes_out": assessment.bytes_out,
        "bytes_in": assessment.bytes_in,
        "duration_seconds": seconds(assessment.first_seen, assessment.last_seen),
        "first_seen": rfc3339(assessment.first_seen),
        "last_seen": rfc3339(assessment.last_seen),
        "explanation": explanation(assessment),
    })
}

fn interval_statistics(assessment: &Assessment) -> Option<Value> {
    assessment.intervals.map(|intervals| {
        json!({
            "count": intervals.count,
            "mean": intervals.mean_s,
            "std_dev": intervals.standard_deviation_s,
            "cv": intervals.coefficient_of_variation,
            "median": intervals.median_s,
            "min_interval": intervals.minimum_s,
            "max_interval": intervals.maximum_s,
            "jitter": intervals.maximum_deviation_s,
        })
    })
}

fn periodicity(assessment: &Assessment) -> Value {
    json!({
        "is_periodic": assessment.detected,
        "dominant_period": assessment.interval_s,
        "periodicity_score": signal(assessment, "periodicity"),
    })
}

fn explanation(assessment: &Assessment) -> Value {
    let signals: Vec<Value> = assessment
        .signals
        .iter()
        .map(|signal| {
            json!({
                "name": signal.name,
                "score": signal.score,
                "weight": signal.weight,
                "contribution": signal.contribution,
                "raw_value": signal.raw_value,
                "threshold": signal.threshold,
                "text": signal.text,
            })
        })
        .collect();
    let above = assessment
        .signals
        .iter()
        .filter(|signal| signal.score >= 0.5)
        .count();
    json!({
        "text": assessment.explanation,
        "contributing_signals": signals,
        "signals_above_threshold": above,
    })
}

fn signal(assessment: &Assessment, name: &str) -> Option<f64> {
    assessment
        .signals
        .iter()
        .find(|signal| &*signal.name == name)
        .map(|signal| signal.score)
}

/// How much the number of connections alone lets one trust the scores: clip((n − 4) / 16, 0, 1).
fn confidence(count: u64) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    ((count - NO_CONFIDENCE) / (FULL_CONFIDENCE - NO_CONFIDENCE)).clamp(0.0, 1.0)
}

fn protocol(transport: Transport) -> String {
    match transport {
        Transport::Other(number) => number.to_string(),
        named => named.name().to_ascii_uppercase(),
    }
}

/// `source->destination:port/PROTOCOL`; IPv6 destinations in brackets.
fn pair_key(key: &SeriesKey) -> String {
    let destination = std::net::SocketAddr::new(key.destination, key.destination_port);
    format!("{}->{destination}/{}", key.source, protocol(key.transport))
}

fn seconds(first: Timestamp, last: Timestamp) -> f64 {
    last.saturating_since(first).as_secs_f64()
}
