//! Joins what the programs said with what the flow records say.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::flows::{Flow, Flows};
use crate::network::Ends;
use crate::program::{Connection, Truth};

/// A flow's start may lie this far outside of what the program noted: the kernel's clock of boot time is
/// read once and may drift from the wall clock.
const CLOCK_TOLERANCE_NS: i64 = 20_000_000;

/// Which end reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that began.
    Client,
    /// The one that answered.
    Server,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The flows of the test's own network, each of which has ended.
///
/// `None` when there are fewer than `expected` so far, or one still lives.
pub fn finished_flows(flows: &Flows, ends: &Ends, expected: usize) -> Result<Option<Vec<Flow>>> {
    let mut ours = Vec::new();
    for flow in &flows.flows {
        let source = flow.first().address("source.address")?;
        let destination = flow.first().address("destination.address")?;
        // Both: the kernel of each namespace also talks to neighbours and routers.
        if ends.have(source) && ends.have(destination) {
            if !flow.has_ended()? {
                return Ok(None);
            }
            ours.push(flow.clone());
        }
    }
    Ok((ours.len() >= expected).then_some(ours))
}

/// Takes from `flows` the one flow of every connection of `truth`, seen from `role`; an error when one has
/// none.
pub fn claim(flows: &mut Vec<Flow>, truth: &Truth, role: Role) -> Result<()> {
    for connection in &truth.connections {
        let position = flows
            .iter()
            .position(|flow| is_flow_of(flow, connection, role).unwrap_or(false))
            .with_context(|| no_flow(flows, connection, role))?;
        let flow = flows.swap_remove(position);
        check(&flow, connection, truth, role)
            .with_context(|| format!("{connection:?} is {flow:?}"))?;
    }
    Ok(())
}

/// The flows of a connection, seen from `role`, that have ended; over TCP each must have the payload that the program
/// counted.
pub fn ended<'a>(flows: &'a Flows, connection: &Connection, role: Role) -> Result<Vec<&'a Flow>> {
    let mut found = Vec::new();
    for flow in &flows.flows {
        if flow.has_ended()? && has_ends(flow, connection, role)? {
            if connection.transport == "tcp" {
                check_payload(flow, connection, role)
                    .with_context(|| format!("{connection:?} is {flow:?}"))?;
            }
            found.push(flow);
        }
    }
    Ok(found)
}

fn no_flow(flows: &[Flow], connection: &Connection, role: Role) -> String {
    let near: Vec<&Flow> = flows
        .iter()
        .filter(|flow| has_ends(flow, connection, role).unwrap_or(false))
        .collect();
    format!(
        "no {} flow for {connection:?}; of the same ends: {near:?}",
        role.name()
    )
}

/// Same role and ends, and begun while the connection was made.
fn is_flow_of(flow: &Flow, connection: &Connection, role: Role) -> Result<bool> {
    let start = flow.first().number("beaconwatch.flow.start")?;
    // The accepting end notices a connection only after it began.
    let earliest = match role {
        Role::Client => connection.before_ns - CLOCK_TOLERANCE_NS,
        Role::Server => connection.before_ns - 400_000_000,
    };
    Ok(has_ends(flow, connection, role)?
        && (earliest..=connection.after_ns + CLOCK_TOLERANCE_NS).contains(&start))
}

fn has_ends(flow: &Flow, connection: &Connection, role: Role) -> Result<bool> {
    let record = flow.first();
    let local: (IpAddr, u16) = (connection.local_address, connection.local_port);
    let remote: (IpAddr, u16) = (connection.remote_address, connection.remote_port);
    let (from, to) = match role {
        Role::Client => (local, remote),
        Role::Server => (remote, local),
    };
    // Ports first: they tell most flows apart, and are numbers.
    Ok(record.number("source.port")? == i64::from(from.1)
        && record.number("destination.port")? == i64::from(to.1)
        && record.text("beaconwatch.flow.role")? == role.name()
        && record.text("network.transport")? == connection.transport
        && record.address("source.address")? == from.0
        && record.address("destination.address")? == to.0)
}

/// What must be true of a connection's flow beside its ends.
fn check(flow: &Flow, connection: &Connection, truth: &Truth, role: Role) -> Result<()> {
    let (first, last) = (flow.first(), flow.last());
    ensure!(
        first.text("network.type")? == connection.family,
        "network type"
    );
    ensure!(
        !first.flag("beaconwatch.flow.own"),
        "marked as Beaconwatch's own"
    );
    ensure!(
        !first.flag("beaconwatch.flow.start_inferred"),
        "its start is inferred"
    );
    ensure!(
        first.number("process.pid")? == i64::from(truth.identity.pid),
        "process id"
    );
    ensure!(
        first.text("process.executable.name")? == truth.identity.name,
        "process name"
    );
    ensure!(
        first.number("process.real_user.id")? == i64::from(truth.identity.user_id),
        "user id"
    );
    let established = connection.outcome != "refused";
    ensure!(
        last.flag("beaconwatch.flow.established") == established,
        "established"
    );
    let reason = last.text("beaconwatch.flow.close_reason")?;
    match connection.outcome.as_str() {
        "refused" => ensure!(reason == "refused", "close reason {reason}"),
        _ if connection.transport == "udp" => {
            ensure!(
                ["idle", "socket_closed"].contains(&reason),
                "close reason {reason}"
            );
        }
        "connected" => ensure!(reason == "fin_local", "close reason {reason}"),
        "accepted" => ensure!(reason == "fin_remote", "close reason {reason}"),
        other => bail!("unknown outcome {other}"),
    }
    let end = last.number("beaconwatch.flow.end")?;
    ensure!(
        end >= first.number("beaconwatch.flow.start")?,
        "ends before it starts"
    );
    check_sizes(flow, connection, role)
}

/// Payload by its sender.
fn payload(connection: &Connection, role: Role) -> [(&'static str, u64); 2] {
    let (from_source, from_destination) = match role {
        Role::Client => (connection.sent, connection.received),
        Role::Server => (connection.received, connection.sent),
    };
    [("source", from_source), ("destination", from_destination)]
}

/// TCP counts payload itself: it is what the programs counted.
fn check_payload(flow: &Flow, connection: &Connection, role: Role) -> Result<()> {
    for (end, payload) in payload(connection, role) {
        let name = format!("beaconwatch.flow.{end}.payload_bytes");
        let counted = flow.last().number(&name)?;
        ensure!(
            counted == i64::try_from(payload)?,
            "{counted} bytes of payload from the {end}"
        );
    }
    Ok(())
}

/// Each packet has headers, and each UDP datagram headers of known size.
fn check_sizes(flow: &Flow, connection: &Connection, role: Role) -> Result<()> {
    let ip_header = if connection.family == "ipv4" { 20 } else { 40 };
    for (end, payload) in payload(connection, role) {
        let number = |what: &str| {
            flow.last()
                .number(&format!("beaconwatch.flow.{end}.{what}"))
        };
        let (payload, packets, bytes) = (
            i64::try_from(payload)?,
            number("packets")?,
            number("bytes")?,
        );
        if connection.transport == "udp" {
            ensure!(packets == 1, "{packets} packets from the {end}");
            ensure!(
                bytes == payload + ip_header + 8,
                "{bytes} bytes from the {end}"
            );
        } else {
            ensure!(packets > 0, "{packets} packets from the {end}");
            ensure!(
                bytes >= payload + packets * (ip_header + 20),
                "{bytes} bytes from the {end}"
            );
        }
    }
    if connection.transport == "tcp" {
        return check_payload(flow, connection, role);
    }
    Ok(())
}
