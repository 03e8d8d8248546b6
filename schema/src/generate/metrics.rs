//! The page about the exporter's metrics.

use std::fmt::Write as _;

use crate::metric::METRICS;

/// Reference of all metrics in Markdown.
pub(super) fn reference() -> String {
    let mut text = "<!-- Generated from the field model in schema/ by `./x generate`: do not edit. -->\n\
         # Metrics of the exporter\n\n\
         Over OTLP under the first name (`[exporter.metrics]`), and as OpenMetrics text under the second \
         (`[exporter.metrics.prometheus]`): the same instruments. Units are UCUM symbols. Values of attributes come from fixed \
         sets; `exporter.metrics.max_attribute_sets` bounds how many sets a metric has, and what comes past that is counted \
         together with the attribute `otel.metric.overflow`. Scraped, dots in attributes are underscores, every series has the label \
         `otel_scope_name`, and `target_info` says who the exporter is. Sampling leaves metrics of traffic as they are.\n\n\
         | metric | scraped as | instrument | unit | attributes | what it says |\n\
         |---|---|---|---|---|---|\n"
        .to_owned();
    for metric in METRICS {
        let attributes = metric.attributes.iter().map(|name| format!("`{name}`"));
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            text,
            "| `{}` | `{}` | {} | {} | {} | {} |",
            metric.name,
            metric.scraped_name(),
            metric.instrument.name(),
            metric.unit,
            attributes.collect::<Vec<_>>().join(", "),
            metric.description,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metric::Metric;

    #[test]
    fn every_metric_has_a_row_and_a_name_of_its_own() {
        let text = reference();
        for metric in METRICS {
            assert!(text.contains(&format!("\n| `{}` | ", metric.name)));
            assert!(metric.name.starts_with("beaconwatch."), "{}", metric.name);
            assert!(metric.description.ends_with('.'), "{}", metric.name);
        }
        let scraped: BTreeSet<String> = METRICS.iter().map(Metric::scraped_name).collect();
        assert_eq!(scraped.len(), METRICS.len());
        assert!(scraped.contains("beaconwatch_network_flow_io_bytes_total"));
        assert!(scraped.contains("beaconwatch_network_tcp_rtt_seconds"));
    }
}
