//! The exporter while it is attached.

use std::sync::Arc;

use async_trait::async_trait;
use beaconwatch_exporter::capture::doctor;
use beaconwatch_exporter::capture::statistics::Baseline;
use beaconwatch_exporter::{Config, Counters, ExportError, Exporter, LogsTarget};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::cgroup::Cgroup;
use crate::rounds::Stop;

/// Takes everything.
struct Anything;

#[async_trait]
impl LogsTarget for Anything {
    async fn export(&self, _request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        Ok(ExportLogsServiceResponse::default())
    }
}

/// An exporter that captures the sockets of one cgroup.
pub(crate) struct Attached {
    stop: CancellationToken,
    exporter: JoinHandle<Result<Counters, beaconwatch_exporter::RunError>>,
}

impl Attached {
    /// Starts it; it captures when this returns.
    pub(crate) fn start(cgroup: &Cgroup) -> Outcome<Self> {
        let mut config = Config::default();
        config.capture.cgroup = Some(cgroup.path.clone());
        let exporter = Exporter::start(config, Arc::new(Anything))?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let exporter = tokio::spawn(async move { exporter.run(stopped).await });
        Ok(Self { stop, exporter })
    }

    /// Ends it; gives what it made and what it lost.
    pub(crate) fn stop(self) -> Outcome<Counters> {
        self.stop.cancel();
        let ended = tokio::runtime::Handle::current().block_on(self.exporter)?;
        Ok(ended?)
    }
}

/// The exporter, until it is stopped.
pub(crate) fn exporter(cgroup: &Cgroup) -> Outcome<Stop> {
    let attached = Attached::start(cgroup)?;
    Ok(Box::new(move || {
        let counters = attached.stop()?;
        if counters.flows == 0 {
            return Err("the exporter saw no flow".into());
        }
        Ok(counters.losses.iter().map(|(_, count)| count).sum())
    }))
}

/// Programs that do nothing, at the exporter's hooks: what the kernel takes for calling any.
pub(crate) fn empty_programs(cgroup: &Cgroup) -> Outcome<Stop> {
    let programs = Baseline::start(Some(&cgroup.path))?;
    Ok(Box::new(move || {
        drop(programs);
        Ok(0)
    }))
}

/// Whether other programs hang at the hook of all sockets now: with a second exporter of this machine, what is
/// measured as without has most of the costs already.
pub(crate) fn others_are() -> bool {
    let report = doctor::examine(&doctor::Options::default());
    let hook = report.find("hook cgroup_sock_ops");
    !hook.is_some_and(|check| check.finding.ends_with("attached already: nothing"))
}
