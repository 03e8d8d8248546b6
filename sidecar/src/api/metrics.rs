//! The counters of every part as `OpenMetrics` text.
//!
//! Names begin with `beaconwatch_`, labels are `destination`, `input`, `reason`, `fault`, `field`, `kind`, `rule` and `state`: each
//! from a small set. Of Sigma rules those that matched most are named, at most 200; the others are `other`.
//! Sensors are counted and not named, because anybody who may send records can invent them.

use std::fmt;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use beaconwatch_inputs::tail::TailStatus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Api;
use super::error::ApiError;
use crate::status::Status;

/// What the answer is, as the `OpenMetrics` standard names it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters of every part.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "OpenMetrics text.", body = str,
        content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let status = api.status.status().await?;
    let text = text(status).map_err(|error| ApiError::Answer(error.to_string()))?;
    let content_type = HeaderValue::from_static(OPEN_METRICS);
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

fn text(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("beaconwatch");
    registry.register_collector(Box::new(Snapshot(status)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The counters at one instant.
#[derive(Debug)]
struct Snapshot(Status);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families = Families(encoder);
        families.process(&self.0)?;
        families.receive(&self.0)?;
        families.followed(&self.0)?;
        families.detector(&self.0)?;
        families.findings(&self.0)?;
        families.rules(&self.0)?;
        families.destinations(&self.0)?;
        families.store(&self.0)
    }
}

/// Writes families of metrics.
struct Families<'a>(DescriptorEncoder<'a>);

/// A value that a counter can have: as many as ever fit.
type Count = ConstCounter<u64>;
/// A value that a gauge can have.
type Level = ConstGauge<f64>;

impl Families<'_> {
    fn single(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, metric.metric_type())?;
        metric.encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.single(name, help, &Count::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.single(name, help, &Level::new(level(value)))
    }

    /// A family with one metric for each set of labels.
    fn labelled<M: EncodeMetric, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl IntoIterator<Item = ([(&'static str, String); LABELS], M)>,
    ) -> fmt::Result {
        let mut metrics = metrics.into_iter().peekable();
        let Some((_, first)) = metrics.peek() else {
            return Ok(());
        };
        let mut family = self
            .0
            .encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, metric) in metrics {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn process(&mut self, status: &Status) -> fmt::Result {
        let version = [("version", status.version.to_owned())];
        self.labelled(
            "build",
            "Version of the program",
            [(version, Level::new(1.0))],
        )?;
        self.single(
            "uptime_seconds",
            "Seconds since the start",
            &Level::new(status.uptime_s),
        )
    }

    fn receive(&mut self, status: &Status) -> fmt::Result {
        let receive = &status.receive;
        self.counter("receive_requests", "Requests accepted", receive.requests)?;
        let refused = "Requests refused for good";
        self.counter(
            "receive_requests_refused",
            refused,
            receive.requests_refused,
        )?;
        let unauthenticated = "Of these, requests without a known token";
        self.counter(
            "receive_requests_unauthenticated",
            unauthenticated,
            receive.requests_unauthenticated,
        )?;
        let put_off = "Requests that were told to come again";
        self.counter(
            "receive_requests_put_off",
            put_off,
            receive.requests_put_off,
        )?;
        self.counter("receive_records", "Flow records accepted", receive.records)?;
        let heartbeats = "Heartbeats of idle exporters accepted";
        self.counter("receive_heartbeats", heartbeats, receive.heartbeats)?;
        let waiting = "Flow records that wait to be scored";
        self.gauge("receive_records_waiting", waiting, receive.records_waiting)?;
        let duplicates = "Flow records that came again and were dropped";
        self.counter("receive_duplicates", duplicates, receive.duplicates)?;
        self.counter(
            "receive_foreign",
            "Log records of other kinds",
            receive.foreign,
        )?;
        let inputs = &status.inputs;
        let batches = "Batches of telemetry accepted";
        self.counter("telemetry_batches", batches, inputs.telemetry_batches)?;
        let repeated = "Batches of telemetry that came again";
        self.counter("telemetry_repeated", repeated, inputs.telemetry_repeated)?;
        self.counter(
            "telemetry_events",
            "Events of telemetry",
            inputs.telemetry_events,
        )?;
        let skipped = "Events of telemetry that could not be used";
        self.counter(
            "telemetry_events_skipped",
            skipped,
            inputs.telemetry_events_skipped,
        )?;
        let rejected = receive.rejected.iter().map(|it| {
            let fault = ("fault", format!("{:?}", it.fault).to_ascii_lowercase());
            (
                [fault, ("field", it.field.to_owned())],
                Count::new(it.count),
            )
        });
        self.labelled("receive_rejected", "Flow records refused", rejected)
    }

    /// Files that are followed, by input.
    fn followed(&mut self, status: &Status) -> fmt::Result {
        type Number = fn(&TailStatus) -> u64;
        let all = &status.inputs.followed;
        let label = |name: &String| ("input", name.clone());
        let counters: [(&str, &str, Number); 4] = [
            (
                "input_read_bytes",
                "Bytes read of followed files, decompressed",
                |it| it.bytes_read,
            ),
            ("input_lines", "Lines read of followed files", |it| it.lines),
            (
                "input_observations",
                "Connections in lines of followed files",
                |it| it.observations,
            ),
            (
                "input_rotations",
                "Followed files that were rotated or written anew",
                |it| it.rotations,
            ),
        ];
        for (name, help, number) in counters {
            let counts = all.iter();
            let counts = counts.map(|(name, it)| ([label(name)], Count::new(number(it))));
            self.labelled(name, help, counts)?;
        }
        let gauges: [(&str, &str, Number); 3] = [
            ("input_files", "Files that are followed", |it| it.files),
            (
                "input_files_of_other_kind",
                "Followed files of no known format",
                |it| it.files_of_other_kind,
            ),
            (
                "input_lag_bytes",
                "Bytes of followed files that are not read yet",
                |it| it.lag_bytes,
            ),
        ];
        for (name, help, number) in gauges {
            let levels = all.iter();
            let levels = levels.map(|(name, it)| ([label(name)], Level::new(level(number(it)))));
            self.labelled(name, help, levels)?;
        }
        let refused = all.iter().flat_map(|(name, it)| {
            let reasons = it.skipped.iter();
            reasons.map(move |(reason, count)| {
                let reason = ("reason", reason.name().to_owned());
                ([label(name), reason], Count::new(*count))
            })
        });
        self.labelled(
            "input_lines_refused",
            "Lines of followed files that could not be used",
            refused,
        )
    }

    fn detector(&mut self, status: &Status) -> fmt::Result {
        let detector = &status.detector;
        self.gauge("series", "Series kept", detector.series)?;
        self.counter("observations", "Observations scored", detector.observations)?;
        let late = "Connection starts older than the newest of their series";
        self.counter("observations_out_of_order", late, detector.out_of_order)?;
        let evicted = "Series that went because there was no room";
        self.counter("series_evicted", evicted, detector.evicted)?;
        let ignored = detector.ignored.iter();
        let ignored =
            ignored.map(|(reason, count)| ([("reason", (*reason).to_owned())], Count::new(*count)));
        self.labelled("observations_ignored", "Observations ignored", ignored)?;
        self.counter("analyses", "Analyses made", detector.analyses)?;
        self.gauge("sensors", "Sensors known", status.exporters_known)?;
        let forgotten = "Sensors forgotten because there were too many";
        self.counter("sensors_forgotten", forgotten, status.exporters_forgotten)?;
        let missing = status.exporters.iter().map(|sensor| sensor.missing).sum();
        let help =
            "Flow records that should have come and have not, from the sensors that came last";
        self.gauge("sensor_records_missing", help, missing)
    }

    fn findings(&mut self, status: &Status) -> fmt::Result {
        let findings = &status.findings;
        self.gauge("findings", "Findings known", findings.known)?;
        let forgotten = "Findings forgotten because there were too many";
        self.counter("findings_forgotten", forgotten, findings.forgotten)?;
        let alerts = status.alerts;
        let counts = [
            ("open", alerts.open),
            ("closed", alerts.closed),
            ("acknowledged", alerts.acknowledged),
            ("allowed", alerts.allowed),
        ];
        let by_state =
            counts.map(|(state, count)| ([("state", state.to_owned())], Level::new(level(count))));
        self.labelled("alerts", "Alerts by state; states overlap", by_state)?;
        let entries = "Entries of the allow-list";
        self.gauge("allow_entries", entries, status.allow.entries)?;
        let failed = "Detections of which no document could be made";
        self.counter("documents_failed", failed, findings.failed_documents)?;
        let postponed = "Findings that wait for a document until there is room";
        self.gauge("findings_postponed", postponed, findings.postponed)
    }

    /// Sigma rules.
    fn rules(&mut self, status: &Status) -> fmt::Result {
        let rules = &status.rules;
        let kinds = [
            ("rule", rules.rules),
            ("correlation", rules.correlations),
            ("filter", rules.filters),
        ];
        let loaded =
            kinds.map(|(kind, count)| ([("kind", kind.to_owned())], Level::new(level(count))));
        self.labelled("sigma_rules", "Sigma rules in force", loaded)?;
        let broken = "Sigma rules that do not count because something is wrong with them";
        self.gauge("sigma_rules_broken", broken, rules.broken)?;
        let kinds = [("detection", rules.detections), ("flow", rules.flows)];
        let evaluated = kinds.map(|(kind, count)| ([("kind", kind.to_owned())], Count::new(count)));
        let help = "Documents held against Sigma rules";
        self.labelled("sigma_evaluated", help, evaluated)?;
        let named = rules.matches.iter().map(|it| (it.id.clone(), it.matches));
        let others = (rules.other_matches > 0).then(|| ("other".to_owned(), rules.other_matches));
        let matches = named.chain(others);
        let matches = matches.map(|(id, count)| ([("rule", id)], Count::new(count)));
        self.labelled("sigma_matches", "Matches of Sigma rules", matches)?;
        let counters: [(&str, &str, u64); 6] = [
            (
                "sigma_suppressed",
                "Matches past the alerts of an hour",
                rules.suppressed,
            ),
            (
                "sigma_dropped",
                "Matches for which the outbox had no room",
                rules.dropped,
            ),
            (
                "sigma_evicted_groups",
                "Groups of correlations that went early",
                rules.evicted_groups,
            ),
            (
                "sigma_evicted_events",
                "Documents that left a group early",
                rules.evicted_events,
            ),
            (
                "sigma_late",
                "Documents that came after their window",
                rules.late,
            ),
            (
                "sigma_ungrouped",
                "Documents without a field of the group",
                rules.ungrouped,
            ),
        ];
        for (name, help, count) in counters {
            self.counter(name, help, count)?;
        }
        let groups = "Groups that correlations keep";
        self.gauge("sigma_groups", groups, rules.groups)
    }

    fn destinations(&mut self, status: &Status) -> fmt::Result {
        type Number = fn(&crate::deliver::DestinationStatus) -> u64;
        let counters: [(&str, &str, Number); 7] = [
            ("delivered", "Documents acknowledged", |it| it.delivered),
            (
                "delivery_unconfirmed",
                "Documents sent to where nothing answers",
                |it| it.unconfirmed,
            ),
            (
                "delivery_filtered",
                "Documents that the route left out",
                |it| it.filtered,
            ),
            (
                "delivered_already_there",
                "Documents that had been there before",
                |it| it.already_there,
            ),
            ("delivery_retries", "Documents tried again", |it| it.retries),
            ("delivery_dead", "Documents refused for good", |it| it.dead),
            ("delivery_dead_dropped", "Dead letters dropped", |it| {
                it.dead_dropped
            }),
        ];
        let label = |it: &crate::deliver::DestinationStatus| [("destination", it.name.clone())];
        for (name, help, number) in counters {
            let all = status.destinations.iter();
            self.labelled(
                name,
                help,
                all.map(|it| (label(it), Count::new(number(it)))),
            )?;
        }
        let gauges: [(&str, &str, Number); 3] = [
            ("delivery_pending", "Documents that wait", |it| it.pending),
            ("delivery_dead_letters", "Dead letters kept", |it| {
                it.dead_letters
            }),
            ("delivery_failures", "Failed attempts in a row", |it| {
                it.failures.into()
            }),
        ];
        for (name, help, number) in gauges {
            let all = status.destinations.iter();
            let all = all.map(|it| (label(it), Level::new(level(number(it)))));
            self.labelled(name, help, all)?;
        }
        Ok(())
    }

    fn store(&mut self, status: &Status) -> fmt::Result {
        let store = &status.store;
        if let Some(bytes) = store.file_bytes {
            self.gauge("store_file_bytes", "Bytes of the store's file", bytes)?;
        }
        self.gauge(
            "store_up",
            "Whether the store works",
            store.error.is_none().into(),
        )?;
        let journal = "Batches that are not in the saved state yet";
        self.gauge("store_journal_batches", journal, store.journal_batches)?;
        self.gauge(
            "store_outbox_documents",
            "Documents on their way",
            store.outbox_documents,
        )?;
        let failed = "Checkpoints that could not be written";
        self.counter("store_checkpoints_failed", failed, store.failed_checkpoints)
    }
}

/// A count as a gauge's value: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are doubles in the format"
)]
const fn level(value: u64) -> f64 {
    value as f64
}
