//! An exporter in trouble, with a real Collector and independent programs: what it exported and what it counted as lost
//! are together what was made.

mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment;
use beaconwatch_tests::exporter::Exporter;
use beaconwatch_tests::flows::{Flow, Flows};
use beaconwatch_tests::matching::{self, Role};
use beaconwatch_tests::program::Truth;
use beaconwatch_tests::tools;
use beaconwatch_tests::wait::wait_for;

use crate::scene::{Scene, Story};

/// How long anything that happens by itself may take.
const DEADLINE: Duration = Duration::from_mins(2);
/// Connections on each side of a fault.
const SOME: usize = 25;
/// Two records of the kernel may overtake each other by less than this.
const DISORDER_NS: i64 = 50_000_000;

fn now_ns() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_nanos())?)
}

/// Settings with which little waits in memory, and not for long.
fn little_memory() -> [(&'static str, String); 4] {
    [
        ("QUEUE__MAX_RECORDS", "400".to_owned()),
        ("BATCH__MAX_RECORDS", "50".to_owned()),
        ("RETRY__INITIAL_S", "0.05".to_owned()),
        ("RETRY__MAX_S", "0.2".to_owned()),
    ]
}

/// Requests that wait on disk.
fn waiting(directory: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(directory).context("reading the queue on disk")? {
        let path: PathBuf = entry?.path();
        count += usize::from(path.extension().is_some_and(|it| it == "otlp"));
    }
    Ok(count)
}

#[test]
fn while_the_collector_is_away_records_wait_on_disk_and_arrive_once() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let queue = folder.join("queue");
        let directory = ("QUEUE__DISK__DIRECTORY", queue.display().to_string());
        let settings = [&[directory], &little_memory()[..]].concat();
        let mut exporter = scene.exporter(&settings)?;
        let mut steady = scene.steady()?;
        steady.more(SOME)?;
        scene.collector.stop()?;
        wait_for("several requests on disk", DEADLINE, || {
            exporter.process().expect_running()?;
            Ok((waiting(&queue)? >= 5).then_some(()))
        })?;
        steady.more(SOME)?;
        scene.collector.start_again()?;
        wait_for("an empty queue", DEADLINE, || {
            Ok((waiting(&queue)? == 0).then_some(()))
        })?;
        steady.more(SOME)?;
        let story = scene.close(&mut steady, &mut exporter)?;
        story.expect_all_told_once(&scene.network)?;
        story.expect_whole(&exporter)
    })
}

#[test]
fn what_a_small_queue_cannot_hold_while_the_collector_is_away_is_counted_and_a_gap() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let mut exporter = scene.exporter(&little_memory())?;
        let mut steady = scene.steady()?;
        steady.more(SOME)?;
        scene.collector.stop()?;
        // Two flows each.
        steady.more(300)?;
        scene.collector.start_again()?;
        steady.more(SOME)?;
        let story = scene.close(&mut steady, &mut exporter)?;
        let made = exporter.metric("beaconwatch.exporter.records")?;
        let lost = exporter.lost("\"queue\"")?;
        let elsewhere = exporter.lost_elsewhere(&["\"queue\""])?;
        ensure!(elsewhere.is_empty(), "lost: {elsewhere:?}");
        let sequence = story.flows.sequence(&exporter.id)?;
        ensure!(sequence.iter().all(|number| (0..made).contains(number)));
        let arrived = i64::try_from(sequence.len())?;
        ensure!(lost > 0, "a queue of 400 records lost none of {made}");
        ensure!(
            arrived + lost == made,
            "{arrived} arrived, {lost} lost, {made} made"
        );
        // In connections: each that is not told lost at least the record of its end.
        let [told, not_told] = story.expect_told_but_within(0, i64::MAX)?;
        let lost = usize::try_from(lost)?;
        ensure!(
            told > 2 * SOME && not_told <= lost,
            "{told} told, {not_told} not, {lost} records lost"
        );
        Ok(())
    })
}

#[test]
fn an_exporter_that_is_stopped_and_started_misses_at_most_what_was_between() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let mut first = scene.exporter_of_all("first")?;
        let mut steady = scene.steady()?;
        steady.more(SOME)?;
        let stopped_ns = now_ns()?;
        first.stop()?;
        let mut second = scene.exporter_of_all("second")?;
        let started_ns = now_ns()?;
        steady.more(SOME)?;
        let story = scene.close(&mut steady, &mut second)?;
        let [told, missed] = story.expect_told_but_within(stopped_ns, started_ns)?;
        ensure!(told >= 4 * SOME, "{told} told, {missed} missed");
        expect_kept_open(&story)?;
        if first.id == second.id {
            return story.expect_whole(&second);
        }
        story.expect_whole(&first)?;
        story.expect_whole(&second)
    })
}

#[test]
fn a_killed_exporter_takes_only_what_it_had_not_sent() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let mut first = scene.exporter_of_all("first")?;
        let mut steady = scene.steady()?;
        steady.more(SOME)?;
        wait_for("records of the first exporter", DEADLINE, || {
            let flows = Flows::read(&scene.collector.flows())?;
            let made = steady.client.so_far()?;
            let earliest = made.first().context("no connection is over")?;
            let told = matching::ended(&flows, earliest, Role::Client)?.len();
            Ok((told > 0).then_some(()))
        })?;
        steady.more(SOME)?;
        first.process().kill()?;
        let mut second = scene.exporter_of_all("second")?;
        let started_ns = now_ns()?;
        steady.more(SOME)?;
        let story = scene.close(&mut steady, &mut second)?;
        let known_ns = last_end_ns(&story.flows, &first.id, started_ns)? - DISORDER_NS;
        let [told, taken] = story.expect_told_but_within(known_ns, started_ns)?;
        // At least those that began after the second exporter.
        ensure!(told > 2 * SOME, "{told} told, {taken} taken");
        expect_kept_open(&story)?;
        let sequence = story.flows.sequence(&first.id)?;
        let numbers: BTreeSet<i64> = sequence.iter().copied().collect();
        let gap = sequence.last().map_or(0, |last| last + 1) - i64::try_from(numbers.len())?;
        if first.id == second.id {
            ensure!(
                usize::try_from(gap)? >= taken,
                "{taken} were taken, and the gap is {gap}"
            );
            return Ok(());
        }
        ensure!(gap == 0, "the killed exporter's numbers have gaps: {gap}");
        story.expect_whole(&second)
    })
}

/// The connection that was open all the while is told once by each end, with all that it carried.
fn expect_kept_open(story: &Story) -> Result<()> {
    // The program closes it last.
    let kept = story.client.connections.last().context("none was made")?;
    let accepted = story.server.connections.iter();
    let accepted = accepted
        .filter(|it| it.remote_port == kept.local_port)
        .map(|it| (it, Role::Server));
    for (connection, role) in accepted.chain([(kept, Role::Client)]) {
        let ended = matching::ended(&story.flows, connection, role)?;
        ensure!(ended.len() == 1, "{connection:?} is {ended:#?}");
    }
    Ok(())
}

/// When the latest flow ended of those that an exporter has told the end of, before an instant.
fn last_end_ns(flows: &Flows, exporter: &str, before_ns: i64) -> Result<i64> {
    let mut latest = None;
    for flow in &flows.flows {
        let last = flow.last();
        if flow.has_ended()? && last.text("beaconwatch.exporter.id")? == exporter {
            let end = last.number("beaconwatch.flow.end")?;
            latest = latest.max((end < before_ns).then_some(end));
        }
    }
    latest.context("the exporter told no end")
}

#[test]
fn an_interface_that_falls_and_rises_takes_nothing_away() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let mut exporter = scene.exporter(&[])?;
        let mut steady = scene.steady()?;
        steady.more(SOME)?;
        let client = scene.network.ends.client.clone();
        scene.network.ip(&client, "link set LINK down")?;
        wait_for("attempts that find no way", DEADLINE, || {
            let so_far = steady.client.so_far()?;
            let failed = so_far.iter().filter(|it| it.outcome == "unreachable");
            Ok((failed.count() >= 3).then_some(()))
        })?;
        scene.network.ip(&client, "link set LINK up")?;
        steady.more(SOME)?;
        let story = scene.close(&mut steady, &mut exporter)?;
        ensure!(!story.unreachable.is_empty());
        story.expect_all_told_once(&scene.network)?;
        story.expect_whole(&exporter)
    })
}

#[test]
fn connections_of_a_namespace_that_goes_are_told_to_their_end() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let mut exporter = scene.exporter(&[])?;
        let mut server = scene.server()?;
        let ends = scene.network.ends.clone();
        for host in [&ends.client, &ends.server] {
            // A closed socket whose other end is silent gives up after one attempt instead of eight.
            let namespace = format!("--net=/run/netns/{}", host.namespace);
            let mut command = Command::new("nsenter");
            let set = "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries";
            tools::output_of(command.args([&namespace, "sh", "-c", set]))?;
        }
        let ready = folder.join("living.ready");
        let arguments = [
            ready.display().to_string(),
            SOME.to_string(),
            ends.client.ipv4.to_string(),
            ends.server.ipv4.to_string(),
            server.port("tcp_later_ipv4")?.to_string(),
        ];
        let mut living = scene.program("living", &arguments)?;
        living.wait_for_file(&ready, DEADLINE)?;
        scene.network.ip(&ends.client, "link delete LINK")?;
        scene.network.forget()?;
        let truth = living.truth()?;
        living.kill()?;
        server.kill()?;
        let told = |role| -> Result<usize> {
            let flows = Flows::read(&scene.collector.flows())?;
            let mut count = 0;
            for connection in &truth.connections {
                let ended = match role {
                    Role::Client => matching::ended(&flows, connection, role)?,
                    Role::Server => matching::ended(&flows, &connection.reversed(), role)?,
                };
                ensure!(ended.len() <= 1, "told twice: {ended:#?}");
                count += ended.len();
            }
            Ok(count)
        };
        wait_for("the end of every connection at both ends", DEADLINE, || {
            exporter.process().expect_running()?;
            let counts = [told(Role::Client)?, told(Role::Server)?];
            ensure!(counts == [SOME; 2], "{counts:?} of {SOME} are told");
            Ok(Some(()))
        })?;
        exporter.stop()?;
        scene.collector.stop()?;
        let lost = exporter.lost_elsewhere(&[])?;
        ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(())
    })
}

/// Runs the pressing program while the exporter is held up, and ends everything.
fn press(
    scene: &mut Scene<'_>,
    exporter: &mut Exporter,
    [connections, peers]: [usize; 2],
) -> Result<(Truth, Flows)> {
    let arguments = [
        "127.0.0.1".to_owned(),
        connections.to_string(),
        peers.to_string(),
    ];
    exporter.process().suspend()?;
    let mut pressing = scene.program("pressing", &arguments)?;
    let truth = pressing.finish(DEADLINE)?;
    exporter.process().resume()?;
    exporter.stop()?;
    scene.collector.stop()?;
    Ok((truth, Flows::read(&scene.collector.flows())?))
}

#[test]
fn a_full_ring_counts_every_record_that_it_refuses() -> Result<()> {
    const CONNECTIONS: usize = 400;
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let settings = [
            ("CAPTURE__RING_BYTES", "65536".to_owned()),
            ("CAPTURE__NAMES", "false".to_owned()),
        ];
        let mut exporter = scene.exporter(&settings)?;
        let (truth, flows) = press(&mut scene, &mut exporter, [CONNECTIONS, 0])?;
        let made = truth.connections.len();
        ensure!(made == 2 * CONNECTIONS);
        let has_no_reason =
            |flow: &&Flow| flow.last().text("beaconwatch.flow.close_reason").is_err();
        let halves = flows.flows.iter().filter(has_no_reason).count();
        let untold = made - flows.flows.len();
        let lost = usize::try_from(exporter.lost("\"kernel_ring\"")?)?;
        ensure!(untold > made / 2, "64 KiB held all but {untold} of {made}");
        // The kernel says of a flow that it closed, and of some that they opened: who is not told lost all that was said, who is
        // told without a reason one record.
        let most = 2 * untold + halves;
        ensure!(
            (untold + halves..=most).contains(&lost),
            "{made} made, {untold} not told, {halves} without a reason, {lost} lost"
        );
        let elsewhere = exporter.lost_elsewhere(&["\"kernel_ring\""])?;
        ensure!(elsewhere.is_empty(), "lost: {elsewhere:?}");
        Ok(())
    })
}

#[test]
fn peers_and_names_that_find_no_room_are_counted_and_connections_are_not_among_them() -> Result<()>
{
    const CONNECTIONS: usize = 400;
    const PEERS: usize = 200;
    const ROOM: usize = 4;
    const FLOWS: usize = 150;
    deployment::in_folder(|folder| {
        let mut scene = Scene::set(folder)?;
        let settings = [
            ("CAPTURE__MAX_PEERS", ROOM.to_string()),
            ("CAPTURE__SLICE_RING_BYTES", "65536".to_owned()),
            // Fewer than live at a time in the end: what leaves is told to its end all the same.
            ("MAX_FLOWS", FLOWS.to_string()),
        ];
        let mut exporter = scene.exporter(&settings)?;
        let (truth, flows) = press(&mut scene, &mut exporter, [CONNECTIONS, PEERS])?;
        let (mut told, mut named) = ([0; 4], 0);
        for connection in &truth.connections {
            let client = connection.outcome == "connected";
            let role = if client { Role::Client } else { Role::Server };
            let ended = matching::ended(&flows, connection, role)?;
            ensure!(ended.len() <= 1, "told twice: {ended:#?}");
            let place = 2 * usize::from(connection.transport == "udp") + usize::from(!client);
            told[place] += ended.len();
            named += ended.iter().filter(|it| has_name(it)).count();
        }
        let [tcp_client, tcp_server, udp_sender, udp_peers] = told;
        ensure!([tcp_client, tcp_server] == [CONNECTIONS; 2], "{told:?}");
        ensure!(udp_peers == PEERS, "{told:?}");
        // The first peer lies in the socket's own storage.
        ensure!(udp_sender == 1 + ROOM, "{told:?}");
        let lost = usize::try_from(exporter.lost("\"kernel_peers\"")?)?;
        ensure!(
            udp_sender + lost == PEERS,
            "{lost} peers lost, {told:?} told"
        );
        let lost = usize::try_from(exporter.lost("\"kernel_slice\"")?)?;
        ensure!(lost > 0, "64 KiB held every name");
        ensure!(
            named + lost == 2 * CONNECTIONS,
            "{named} named, {lost} lost of {}",
            2 * CONNECTIONS
        );
        let left = exporter.lost("\"flow_table\"")?;
        ensure!(left > 0, "a table of {FLOWS} flows held {PEERS}");
        flows.check()?;
        let places = ["\"kernel_peers\"", "\"kernel_slice\"", "\"flow_table\""];
        let elsewhere = exporter.lost_elsewhere(&places)?;
        ensure!(elsewhere.is_empty(), "lost: {elsewhere:?}");
        Ok(())
    })
}

fn has_name(flow: &Flow) -> bool {
    let name = flow.last().text("server.address");
    name.is_ok_and(|name| name == "pressed.example.org")
}
