//! Real programs, captured by the exporter, through a real Collector, scored by the sidecar, delivered to a
//! real OpenSearch; then the same with crashes in between.
#![expect(
    clippy::print_stdout,
    reason = "a test of a minute tells how far it is"
)]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, DATA_STREAM, Deployment, INDEX_TEMPLATE};
use beaconwatch_tests::ecs::Schema;
use beaconwatch_tests::findings::{self, Finding};
use beaconwatch_tests::matching::{self, Role};
use beaconwatch_tests::network::Network;
use beaconwatch_tests::program::Truth;
use beaconwatch_tests::servers::Servers;
use beaconwatch_tests::traffic::{self, Server};
use beaconwatch_tests::wait::wait_for;
use serde_json::{Value, json};

/// How long anything that happens by itself may take.
const DEADLINE: Duration = Duration::from_mins(3);

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
        let mut server = Server::start(folder, &scene.network.ends)?;
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
        let (folder, ends) = (self.folder, &self.network.ends);
        let [tcp, udp, browsing, refused] = traffic::finish([
            traffic::tcp_beacon(folder, "tcp-beacon", ends, server, "beacon")?,
            traffic::udp_beacon(folder, ends, server)?,
            traffic::browsing(folder, ends, server)?,
            traffic::refused(folder, ends, server)?,
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
        self.the_server_finds_it_by_its_fields(&udp)?;
        ensure!(
            found.is_empty(),
            "findings about nothing that was done: {found:#?}"
        );
        Ok(vec![tcp, udp, browsing, refused])
    }

    /// The mapping is the committed template, and its types are right: the server's own search finds the
    /// beacon by network, name and score.
    fn the_server_finds_it_by_its_fields(&self, truth: &Truth) -> Result<()> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../integrations/elasticsearch/sidecar-template/detection.json");
        let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let committed: Value = serde_json::from_slice(&text).context("reading the template")?;
        let installed = self.deployment.opensearch.index_template(INDEX_TEMPLATE)?;
        let mappings = "/template/mappings";
        ensure!(
            installed.pointer(mappings) == committed.pointer(mappings),
            "the sidecar installed another template: {installed:#}"
        );
        self.deployment
            .opensearch
            .put_index_template(INDEX_TEMPLATE, &committed)?;

        let beat = truth
            .connections
            .first()
            .context("the program made no connection")?;
        let filters = |network: String| {
            json!([
                {"term": {"source.ip": network}},
                {"term": {"process.name": truth.identity.name}},
                {"term": {"destination.port": beat.remote_port}},
                {"range": {"beaconwatch.score": {"gte": 0.5, "lte": 1.0}}},
            ])
        };
        let own = filters(format!("{}/30", beat.local_address));
        let other = filters("192.0.2.0/24".to_owned());
        let count = |filters| self.deployment.opensearch.count(DATA_STREAM, filters);
        ensure!(count(&own)? >= 1, "the search finds no document for {own}");
        ensure!(
            count(&other)? == 0,
            "the search finds a document for {other}"
        );
        Ok(())
    }

    /// OpenSearch is away while detections are made, and the sidecar is killed before it could deliver
    /// them: nothing is lost, nothing is there twice.
    fn crashes(&mut self, server: &Server) -> Result<Truth> {
        println!(
            "OpenSearch is killed; a new beacon is found; the sidecar is killed again and again"
        );
        self.deployment.opensearch.kill()?;
        let beacon = traffic::tcp_beacon(
            self.folder,
            "late-beacon",
            &self.network.ends,
            server,
            "later",
        )?;
        let ports = [
            server.port("tcp_later_ipv4")?,
            server.port("tcp_later_ipv6")?,
        ];
        wait_for("two findings that cannot be delivered", DEADLINE, || {
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let waiting = findings::count(&status, "/store/outbox_documents")?;
            ensure!(waiting >= 2, "{waiting} documents wait: {status:#}");
            self.expect_detected(&ports).map(Some)
        })?;
        // The beacon goes on: what the exporter sends now waits in the Collector.
        self.deployment.sidecar.kill()?;
        self.deployment.sidecar.start_again()?;
        self.deployment.sidecar.kill()?;
        self.deployment.opensearch.start_again()?;
        for _ in 0..3 {
            self.deployment.sidecar.start_again()?;
            self.kill_after_a_request()?;
        }
        self.deployment.sidecar.start_again()?;
        let [late] = traffic::finish([beacon])?;
        let mut found = wait_for("all findings after the crashes", DEADLINE, || {
            let found = self.findings()?;
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let waiting = findings::count(&status, "/store/outbox_documents")?;
            let complete = found.len() >= 5 && waiting == 0;
            ensure!(
                complete,
                "{} findings, {waiting} wait: {status:#}",
                found.len()
            );
            Ok(Some(found))
        })?;
        findings::claim(&mut found, &late, "ipv4")?;
        findings::claim(&mut found, &late, "ipv6")?;
        ensure!(
            found.len() == 3,
            "the crashes changed the findings of before: {found:#?}"
        );
        self.everything_received_is_scored_once(&late)?;
        self.both_destinations_have_the_same()?;
        Ok(late)
    }

    /// Kills the sidecar as soon as it has acknowledged a request of this run.
    fn kill_after_a_request(&mut self) -> Result<()> {
        wait_for("a request", DEADLINE, || {
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            Ok((findings::count(&status, "/receive/requests")? > 0).then_some(()))
        })?;
        self.deployment.sidecar.kill()
    }

    /// The file has every document of OpenSearch, and each once.
    fn both_destinations_have_the_same(&self) -> Result<()> {
        let ids = |documents: Vec<Value>| -> Result<Vec<String>> {
            let ids: Result<Vec<_>> = documents
                .iter()
                .map(|document| findings::text(document, "/event/id").map(str::to_owned))
                .collect();
            let mut ids = ids?;
            ids.sort();
            Ok(ids)
        };
        wait_for("the same documents at both destinations", DEADLINE, || {
            let hits = self.deployment.opensearch.documents(DATA_STREAM)?;
            let in_search = ids(hits.into_iter().map(|hit| hit.source).collect())?;
            let in_file = ids(findings::read_file(&self.deployment.sidecar.detections())?)?;
            ensure!(
                in_file == in_search,
                "file {in_file:?}, OpenSearch {in_search:?}"
            );
            Ok(Some(()))
        })
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
                    let known =
                        findings::count(pair.context("no such pair")?, "/connection_count")?;
                    ensure!(known == u64::try_from(made.len())?, "{known} are known");
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
            matching::finished_flows(&self.deployment.flows()?, &self.network.ends, expected)
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
        self.an_idle_exporter_is_heard()?;
        self.deployment.stop_exporter()?;
        self.deployment.expect_complete_sequences()?;
        self.deployment.expect_own_traffic_marked()?;
        self.deployment.expect_no_losses()?;
        self.the_sidecar_misses_nothing()
    }

    /// The Collector passes heartbeats on, and the sidecar takes them for no flows.
    fn an_idle_exporter_is_heard(&self) -> Result<()> {
        wait_for("heartbeats", DEADLINE, || {
            ensure!(self.deployment.flows()?.heartbeats > 0, "none in the file");
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let heard = findings::count(&status, "/receive/heartbeats")?;
            ensure!(heard > 0, "none at the sidecar: {status:#}");
            ensure!(status["receive"]["foreign"] == 0, "{status:#}");
            Ok(Some(()))
        })
    }

    /// The sidecar has seen every sequence number, too, in spite of the crashes.
    fn the_sidecar_misses_nothing(&self) -> Result<()> {
        wait_for("every record at the sidecar", DEADLINE, || {
            let status = self.deployment.sidecar.ask("/api/v1/status")?;
            let exporters = status["exporters"].as_array().context("no exporters")?;
            ensure!(
                exporters.len() == 1,
                "{} exporters: {exporters:#?}",
                exporters.len()
            );
            for count in ["missing", "before_first_contact"] {
                ensure!(exporters[0][count] == 0, "{count}: {exporters:#?}");
            }
            Ok(Some(()))
        })
    }

    /// What OpenSearch has about the test's network; checks everything that it has.
    fn findings(&self) -> Result<Vec<Finding>> {
        let hits = self.deployment.opensearch.documents(DATA_STREAM)?;
        for hit in &hits {
            let event_id = findings::text(&hit.source, "/event/id")?;
            ensure!(
                hit.id == event_id,
                "_id {} differs from event.id {event_id}",
                hit.id
            );
            ensure!(
                hit.index.starts_with(".ds-"),
                "{} is no backing index",
                hit.index
            );
        }
        let documents: Vec<Value> = hits.into_iter().map(|hit| hit.source).collect();
        findings::read(&documents, &self.schema, |document| {
            findings::is_between(&self.network.ends, document)
        })
    }

    /// The sidecar counts the series to each of `ports` as a beacon.
    fn expect_detected(&self, ports: &[u16]) -> Result<()> {
        let answer = self.deployment.sidecar.ask("/api/v1/beacons?limit=10000")?;
        let beacons = answer["beacons"].as_array().context("no beacons")?;
        for port in ports {
            let detected = beacons
                .iter()
                .any(|b| b["dst_port"] == *port && b["is_beacon"] == true);
            ensure!(detected, "port {port} is no beacon yet");
        }
        Ok(())
    }
}
