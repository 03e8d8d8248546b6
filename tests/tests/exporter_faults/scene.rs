//! What stands while a test runs, and the story that it tells afterwards.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::cgroup::Cgroup;
use beaconwatch_tests::exporter::Exporter;
use beaconwatch_tests::flows::Flows;
use beaconwatch_tests::matching::{self, Role};
use beaconwatch_tests::network::Network;
use beaconwatch_tests::program::{Connection, Program, Truth};
use beaconwatch_tests::servers::collector::{self, Collector};
use beaconwatch_tests::traffic::Server;
use beaconwatch_tests::wait::wait_for;

use crate::{DEADLINE, SOME};

/// What stands while a test runs.
pub(crate) struct Scene<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) network: Network,
    pub(crate) collector: Collector,
    // Last: it can go when its programs are gone.
    cgroup: Cgroup,
}

impl<'a> Scene<'a> {
    pub(crate) fn set(folder: &'a Path) -> Result<Self> {
        let network = Network::create()?;
        let program = collector::install(&mut |_progress| ())?;
        let collector = Collector::alone(&program, &folder.join("collector"))?;
        Ok(Self {
            folder,
            network,
            collector,
            cgroup: Cgroup::create()?,
        })
    }

    /// Starts an exporter of the whole machine.
    pub(crate) fn exporter_of_all(&self, name: &str) -> Result<Exporter> {
        Exporter::start(self.folder, name, &self.collector, &[])
    }

    /// Starts an exporter of the test's own programs: bounds that are meant to be reached are not reached by others.
    pub(crate) fn exporter(&self, settings: &[(&'static str, String)]) -> Result<Exporter> {
        let cgroup = ("CAPTURE__CGROUP", self.cgroup.path.display().to_string());
        let settings = [&[cgroup], settings].concat();
        Exporter::start(self.folder, "exporter", &self.collector, &settings)
    }

    /// Starts one of the test's own programs.
    pub(crate) fn program(&self, name: &str, arguments: &[String]) -> Result<Program> {
        let namespace = self.network.ends.client.namespace.as_str();
        let script = format!("{name}.py");
        let place = (namespace, Some(&self.cgroup));
        Program::start_in(self.folder, name, &script, place, arguments)
    }

    /// Starts a server, after the exporter so that it knows whose it is.
    pub(crate) fn server(&self) -> Result<Server> {
        Server::start_in(self.folder, &self.network.ends, Some(&self.cgroup))
    }

    /// Starts a program that connects to a server every few milliseconds.
    pub(crate) fn steady(&self) -> Result<Steady> {
        let (ends, server) = (&self.network.ends, self.server()?);
        let arguments = [
            "0.01".to_owned(),
            ends.client.ipv4.to_string(),
            ends.server.ipv4.to_string(),
            server.port("tcp_beacon_ipv4")?.to_string(),
        ];
        let client = self.program("steady", &arguments)?;
        Ok(Steady { client, server })
    }

    /// Ends the programs, then the exporter, then the Collector; gives what the programs did and what is in the
    /// Collector's file.
    pub(crate) fn close(&mut self, steady: &mut Steady, exporter: &mut Exporter) -> Result<Story> {
        let mut client = steady.client.stop(DEADLINE)?;
        let is_unreachable = |it: &Connection| it.outcome == "unreachable";
        let (unreachable, made) = client.connections.into_iter().partition(is_unreachable);
        client.connections = made;
        let server = steady.server.stop()?;
        exporter.stop()?;
        self.collector.stop()?;
        Ok(Story {
            client,
            server,
            unreachable,
            flows: Flows::read(&self.collector.flows())?,
        })
    }
}

/// A program that connects, and its server.
pub(crate) struct Steady {
    pub(crate) client: Program,
    pub(crate) server: Server,
}

impl Steady {
    /// Waits until there are so many connections more.
    pub(crate) fn more(&mut self, count: usize) -> Result<()> {
        let before = self.made()?;
        wait_for("more connections", DEADLINE, || {
            Ok((self.made()? >= before + count).then_some(()))
        })
    }

    fn made(&mut self) -> Result<usize> {
        let so_far = self.client.so_far()?;
        Ok(so_far.iter().filter(|it| it.outcome == "connected").count())
    }
}

/// What the programs did, and what was told of it.
pub(crate) struct Story {
    pub(crate) client: Truth,
    pub(crate) server: Truth,
    pub(crate) unreachable: Vec<Connection>,
    pub(crate) flows: Flows,
}

impl Story {
    /// Every connection is told once by each of its ends, as it was, and nothing else is.
    pub(crate) fn expect_all_told_once(&self, network: &Network) -> Result<()> {
        let expected = self.client.connections.len() + self.server.connections.len();
        ensure!(expected > 2 * SOME, "only {expected} were made");
        let mut flows = matching::finished_flows(&self.flows, &network.ends, expected)?
            .with_context(|| format!("fewer than {expected} flows, or one that has not ended"))?;
        matching::claim(&mut flows, &self.client, Role::Client)?;
        matching::claim(&mut flows, &self.server, Role::Server)?;
        ensure!(flows.is_empty(), "flows that nobody counted: {flows:#?}");
        Ok(())
    }

    /// No connection is told twice, and one that is not told was still there at `from_ns` and there already at
    /// `until_ns`. Gives how many are told, and how many are not.
    pub(crate) fn expect_told_but_within(&self, from_ns: i64, until_ns: i64) -> Result<[usize; 2]> {
        let mut counts = [0; 2];
        for (truth, role) in [(&self.client, Role::Client), (&self.server, Role::Server)] {
            for connection in &truth.connections {
                let ended = matching::ended(&self.flows, connection, role)?;
                ensure!(ended.len() <= 1, "told twice: {ended:#?}");
                let within = connection.after_ns >= from_ns && connection.before_ns <= until_ns;
                ensure!(
                    within || !ended.is_empty(),
                    "{role:?}: not told: {connection:?}, not within {from_ns} to {until_ns}"
                );
                counts[usize::from(ended.is_empty())] += 1;
            }
        }
        Ok(counts)
    }

    /// The exporter's numbers go from 0 without a gap, and are as many as it says that it made and delivered.
    pub(crate) fn expect_whole(&self, exporter: &Exporter) -> Result<()> {
        let sequence = self.flows.sequence(&exporter.id)?;
        let made = i64::try_from(sequence.len())?;
        ensure!(
            sequence.iter().copied().eq(0..made),
            "gaps among {made} numbers: {sequence:?}"
        );
        ensure!(made == exporter.metric("beaconwatch.exporter.records")?);
        ensure!(made == exporter.metric("beaconwatch.exporter.records.delivered")?);
        let lost = exporter.lost_elsewhere(&[])?;
        ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(())
    }
}
