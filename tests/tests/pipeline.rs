//! Real programs, captured by the exporter, through a real Collector, scored by the sidecar, delivered to a
//! real OpenSearch; then the same with crashes in between.
#![expect(
    clippy::print_stdout,
    reason = "a test of a minute tells how far it is"
)]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, DATA_STREAM, Deployment};
use beaconwatch_tests::ecs::Schema;
use beaconwatch_tests::findings::{self, Finding};
use beaconwatch_tests::matching::{self, Role};
use beaconwatch_tests::network::Network;
use beaconwatch_tests::program::Truth;
use beaconwatch_tests::servers::Servers;
use beaconwatch_tests::traffic::{self, Server};
use beaconwatch_tests::wait::wait_for;

/// How long anything that happens by itself may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Everything that stands while the test runs.
struct Scene<'a> {
    folder: &'a Path,
    network: Network,
    deployment: Deployment,
    schema: Schema,
}

#[test]
fn every_connection_is_told_once_and_every_beacon_is_found_even_across_crashes() -> Result<()> {
    deployment::in_folder(|folder| {
        let network = Network::create()?;
        let servers = Servers::install(&mut |progress| println!("{progress}"))?;
        let schema = Schema::read(&servers.ecs_schema)?;
        let deployment = Deployment::start(&servers, folder)?;
        let mut scene = Scene {
            folder,
            network,
            deployment,
            schema,
        };
        let server = Server::start(folder, &scene.network)?;
        let early = scene.quiet_weather(&server)?;
        let late = scene.crashes(&server)?;
        let mut truths = early.clone();
        truths.push(late);
        scene.every_connection_is_told_once(&truths, &server.stop()?)?;
        scene.deployment.sidecar.stop()
    })
}

impl Scene<'_> {
    /// All servers run: beacons become findings, the rest does not.
    fn quiet_weather(&mut self, server: &Server) -> Result<Vec<Truth>> {
        println!("beacons, browsing and refused connections");
        let (folder, network) = (self.folder, &self.network);
        let [tcp, udp, browsing, refused] = traffic::finish([
            traffic::tcp_beacon(folder, "tcp-beacon", network, server, "beacon")?,
            traffic::udp_beacon(folder, network, server)?,
            traffic::browsing(folder, network, server)?,
            traffic::refused(folder, network, server)?,
        ])?;
        let mut found = wait_for("three findings", DEADLINE, || {
            let found = self.findings()?;
            Ok((found.len() >= 3).then_some(found))
        })?;
        for innocent in [&browsing, &refused] {
            let about = findings::any_about(&found, innocent);
            ensure!(
                about.is_none(),
                "a finding about {}: {about:#?}",
                innocent.identity.name
            );
        }
        findings::claim(&mut found, &tcp, "ipv4")?;
        findings::claim(&mut found, &tcp, "ipv6")?;
        findings::claim(&mut found, &udp, "ipv4")?;
        ensure!(
            found.is_empty(),
            "findings about nothing that was done: {found:#?}"
        );
        Ok(vec![tcp, udp, browsing, refused])
    }

    /// OpenSearch is away while detections are made, and the sidecar is killed before it could deliver
    /// them: nothing is lost, nothing is there twice.
    fn crashes(&mut self, server: &Server) -> Result<Truth> {
        println!("OpenSearch is killed; a new beacon is found; the sidecar is killed twice");
        let known = self.findings_known()?;
        self.deployment.opensearch.kill()?;
        let beacon =
            traffic::tcp_beacon(self.folder, "late-beacon", &self.network, server, "later")?;
        wait_for("two findings that cannot be delivered", DEADLINE, || {
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let waiting = findings::count(&status, "/store/outbox_documents")?;
            Ok((self.findings_known()? >= known + 2 && waiting >= 2).then_some(()))
        })?;
        // The beacon goes on: what the exporter sends now waits in the Collector.
        self.deployment.sidecar.kill()?;
        self.deployment.sidecar.start_again()?;
        self.deployment.sidecar.kill()?;
        self.deployment.opensearch.start_again()?;
        self.deployment.sidecar.start_again()?;
        let [late] = traffic::finish([beacon])?;
        let mut found = wait_for("all findings after the crashes", DEADLINE, || {
            let found = self.findings()?;
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let waiting = findings::count(&status, "/store/outbox_documents")?;
            Ok((found.len() >= 5 && waiting == 0).then_some(found))
        })?;
        findings::claim(&mut found, &late, "ipv4")?;
        findings::claim(&mut found, &late, "ipv6")?;
        ensure!(
            found.len() == 3,
            "the crashes changed the findings of before: {found:#?}"
        );
        self.everything_received_is_scored_once(&late)?;
        Ok(late)
    }

    /// The connections that the sidecar knows are those that were made, in spite of the crashes.
    fn everything_received_is_scored_once(&self, truth: &Truth) -> Result<()> {
        for family in ["ipv4", "ipv6"] {
            let made: Vec<_> = truth
                .connections
                .iter()
                .filter(|c| c.family == family)
                .collect();
            let beat = made.first().context("the beacon made no connection")?;
            wait_for(
                &format!("{} connections over {family}", made.len()),
                DEADLINE,
                || {
                    let answer = self
                        .deployment
                        .sidecar
                        .ask("/api/v1/connections?limit=10000")?;
                    let pairs = answer["pairs"].as_array().context("no pairs")?;
                    let pair = pairs.iter().find(|pair| {
                        pair["src_ip"] == beat.local_address.to_string()
                            && pair["dst_port"] == beat.remote_port
                    });
                    let count =
                        findings::number(pair.context("no such pair")?, "/connection_count")?;
                    ensure!(
                        count == f64::from(u32::try_from(made.len())?),
                        "{count} are known"
                    );
                    Ok(Some(()))
                },
            )?;
        }
        Ok(())
    }

    /// Everything that programs and server counted is in the Collector's file, once per end, and nothing
    /// else of their network is.
    fn every_connection_is_told_once(&mut self, clients: &[Truth], server: &Truth) -> Result<()> {
        println!("comparing the programs' counts with the Collector's file");
        let made: usize = clients.iter().map(|truth| truth.connections.len()).sum();
        let expected = made + server.connections.len();
        let mut flows = wait_for(&format!("{expected} finished flows"), DEADLINE, || {
            matching::finished_flows(&self.deployment.flows()?, &self.network, expected)
        })?;
        for truth in clients {
            matching::claim(&mut flows, truth, Role::Client)?;
        }
        matching::claim(&mut flows, server, Role::Server)?;
        ensure!(flows.is_empty(), "flows that nobody counted: {flows:#?}");
        println!(
            "{made} connections of clients, {} of the server",
            server.connections.len()
        );
        self.deployment.stop_exporter()?;
        self.deployment.expect_complete_sequences()
    }

    fn findings(&self) -> Result<Vec<Finding>> {
        let hits = self.deployment.opensearch.documents(DATA_STREAM)?;
        findings::read(&hits, &self.schema, &self.network)
    }

    fn findings_known(&self) -> Result<u64> {
        let status = self.deployment.sidecar.ask("/api/v1/status")?;
        findings::count(&status, "/findings/known")
    }
}
