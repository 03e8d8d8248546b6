//! Metrics of the SDK as `OpenMetrics` text, by OpenTelemetry's rules for Prometheus: dots become underscores, the unit and
//! `_total` are appended, the scope is a label, the resource is `target_info`.
//! See <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

use std::fmt;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

/// What the text is, as the `OpenMetrics` standard names it.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of what was collected.
pub(super) fn text(collected: ResourceMetrics) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(collected)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

type Labels = Vec<(String, String)>;

#[derive(Debug)]
struct Collected(ResourceMetrics);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let resource = self.0.resource().iter();
        let labels: Labels = resource
            .map(|(key, value)| (name(key.as_str()), value.to_string()))
            .collect();
        encoder
            .encode_descriptor("target", "Who is measured", None, MetricType::Info)?
            .encode_info(&labels)?;
        for scope in self.0.scope_metrics() {
            for metric in scope.metrics() {
                family(&mut encoder, scope.scope().name(), metric)?;
            }
        }
        Ok(())
    }
}

fn family(encoder: &mut DescriptorEncoder<'_>, scope: &str, metric: &Metric) -> fmt::Result {
    match metric.data() {
        AggregatedMetrics::U64(data) => points(encoder, scope, metric, data),
        AggregatedMetrics::F64(data) => points(encoder, scope, metric, data),
        // No instrument of ours counts below zero.
        AggregatedMetrics::I64(_) => Ok(()),
    }
}

/// One family; what has no counterpart in `OpenMetrics` is left out.
fn points<T: Copy + EncodeCounterValue + EncodeGaugeValue + Into<Number>>(
    encoder: &mut DescriptorEncoder<'_>,
    scope: &str,
    metric: &Metric,
    data: &MetricData<T>,
) -> fmt::Result {
    let kind = match data {
        MetricData::Sum(sum) if sum.is_monotonic() => MetricType::Counter,
        MetricData::Gauge(_) => MetricType::Gauge,
        MetricData::Histogram(_) => MetricType::Histogram,
        MetricData::Sum(_) | MetricData::ExponentialHistogram(_) => return Ok(()),
    };
    let (name, unit) = (name(metric.name()), unit(metric.unit()));
    let mut family = encoder.encode_descriptor(&name, metric.description(), unit.as_ref(), kind)?;
    match data {
        MetricData::Sum(sum) => {
            for point in sum.data_points() {
                let labels = labels(scope, point.attributes());
                let mut counter = family.encode_family(&labels)?;
                counter.encode_counter::<NoLabelSet, _, f64>(&point.value(), None)?;
            }
        }
        MetricData::Gauge(gauge) => {
            for point in gauge.data_points() {
                let labels = labels(scope, point.attributes());
                family
                    .encode_family(&labels)?
                    .encode_gauge(&point.value())?;
            }
        }
        MetricData::Histogram(histogram) => {
            for point in histogram.data_points() {
                let labels = labels(scope, point.attributes());
                let bounds = point.bounds().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(point.bucket_counts()).collect();
                let Number(sum) = point.sum().into();
                let mut encoder = family.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(sum, point.count(), &buckets, None)?;
            }
        }
        MetricData::ExponentialHistogram(_) => {}
    }
    Ok(())
}

/// A sum as the text has it.
struct Number(f64);

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl From<u64> for Number {
    #[expect(clippy::cast_precision_loss, reason = "the text has doubles only")]
    fn from(value: u64) -> Self {
        Self(value as f64)
    }
}

fn labels<'a>(scope: &str, attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let mut labels: Labels = attributes
        .map(|pair| (name(pair.key.as_str()), pair.value.to_string()))
        .collect();
    labels.sort_unstable();
    labels.push(("otel_scope_name".to_owned(), scope.to_owned()));
    labels
}

/// Letters, digits and underscores, never two of these in a row, and no digit at the front.
fn name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' => name.push(letter),
            '0'..='9' if !name.is_empty() => name.push(letter),
            '0'..='9' => name.extend(['_', letter]),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name
}

/// The unit's name by its UCUM symbol; what is counted in braces is no unit.
fn unit(symbol: &str) -> Option<Unit> {
    match symbol {
        "By" => Some(Unit::Bytes),
        "s" => Some(Unit::Seconds),
        "" => None,
        counted if counted.starts_with('{') => None,
        other => Some(Unit::Other(name(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_follow_the_rules_for_prometheus() {
        assert_eq!(
            name("beaconwatch.network.tcp.rtt"),
            "beaconwatch_network_tcp_rtt"
        );
        assert_eq!(name("a..b-c_d"), "a_b_c_d");
        assert_eq!(name("2xx"), "_2xx");
        assert_eq!(unit("By").unwrap().as_str(), "bytes");
        assert_eq!(unit("s").unwrap().as_str(), "seconds");
        assert!(unit("{record}").is_none() && unit("").is_none());
    }
}
