//! What prevalence and age say.

use std::net::IpAddr;
use std::sync::Arc;

use super::prevalence::{Prevalence, Sighting, process_name};
use super::signals::Found;
use super::traffic::whole;
use super::way::{Way, is_public};
use super::weights as w;
use crate::evidence::explain::span;
use crate::series::Series;
use crate::server_name::of_server;
use crate::{SeriesKey, Timestamp};

/// A sketch, with what is the same for all series estimated once.
#[derive(Clone, Debug)]
pub(super) struct World {
    prevalence: Arc<Prevalence>,
    sources: f64,
    with_process: f64,
    history_s: f64,
    pub(super) named_share: Option<f64>,
}

/// The server of a series in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// By its name, or by its address when it has none.
    seen: Option<Sighting>,
    /// It says a name that many use at an address that only one does.
    pub(super) is_pretended: bool,
}

impl World {
    pub(super) fn new(prevalence: Arc<Prevalence>) -> Self {
        Self {
            sources: prevalence.sources(),
            with_process: prevalence.sources_with_process(),
            history_s: prevalence.history().as_secs_f64(),
            named_share: prevalence.named_share(),
            prevalence,
        }
    }

    /// Whether a public address that talks to few calls one that talks to many, which a server of others does not:
    /// then the latter is one's own.
    pub(super) fn leads_in(&self, key: &SeriesKey) -> bool {
        is_public(key.source)
            && !self.prevalence.is_client(key.source)
            && self.prevalence.is_client(key.destination)
    }

    /// Whether a public address calls as many as hosts of one's own do.
    pub(super) fn is_client(&self, address: IpAddr) -> bool {
        self.prevalence.is_client(address)
    }

    pub(super) fn server(&self, series: &Series) -> Server {
        let address = || self.prevalence.address(&series.key);
        let Some(name) = server_name(series) else {
            return Server {
                seen: address(),
                is_pretended: false,
            };
        };
        let seen = self.prevalence.name(name);
        let common = self.sources >= w::FEWEST_SOURCES
            && seen.is_some_and(|it| {
                it.sources >= w::COMMON_SHARE * self.sources && it.sources >= 3.0
            });
        Server {
            seen,
            is_pretended: common && address().is_none_or(|it| it.sources <= 1.0),
        }
    }
}

fn server_name(series: &Series) -> Option<&str> {
    of_server(&series.key, series.server_name.value.as_deref())
}

pub(super) fn weigh(
    series: &Series,
    way: Way,
    world: &World,
    server: Server,
    now: Timestamp,
    found: &mut Found,
) {
    if let Some(seen) = server.seen {
        weigh_server(way, world.sources, seen, server.is_pretended, found);
        if way == Way::Outbound {
            weigh_age(world.history_s, seen, now, found);
        }
    }
    if let Some(process) = process_name(series.process().map(|it| &**it)) {
        weigh_process(world, process, found);
        let name = server_name(series);
        let here = || world.prevalence.process_at(&series.key, name, process);
        // Among few sources nothing is strange: no need to look.
        let many = server.seen.filter(|it| it.sources >= w::FEWEST_SOURCES);
        if let Some((seen, here)) = many.and_then(|seen| Some((seen, here()?))) {
            weigh_process_here(process, seen, here, found);
        }
    }
}

/// How far a share of so many sources is to be trusted, 0.5 at ten of them and 1 from a hundred on.
fn trust(sources: f64) -> f64 {
    if sources < w::FEWEST_SOURCES {
        return 0.0;
    }
    (sources.ln() / w::SOURCES_AT_FULL_WEIGHT.ln()).min(1.0)
}

fn is_rare(count: f64, sources: f64) -> bool {
    count <= 1.0 || count <= w::RARE_SHARE * sources
}

fn weigh_server(way: Way, sources: f64, server: Sighting, is_pretended: bool, found: &mut Found) {
    let trust = trust(sources);
    let share = server.sources / sources.max(1.0);
    let seen = format!(
        "the server is used by {} of {} sources",
        whole(server.sources),
        whole(sources)
    );
    if is_rare(server.sources, sources) {
        if way == Way::Outbound {
            let weight = w::RARE_SERVER;
            found.add("prevalence", weight * trust, weight, share, seen);
        }
    } else if !is_pretended {
        let part = (share / w::COMMON_SHARE).ln() / (w::USUAL_SHARE / w::COMMON_SHARE).ln();
        let part = part.clamp(0.0, 1.0);
        let weight = w::COMMON_SERVER;
        found.add("prevalence", weight * trust * part, weight, share, seen);
    }
}

fn weigh_age(history_s: f64, server: Sighting, now: Timestamp, found: &mut Found) {
    if history_s < w::SHORTEST_HISTORY_S {
        return;
    }
    let age_s = now.saturating_since(server.first_seen).as_secs_f64();
    let text = format!(
        "the server was first seen {} ago, in {} of history",
        span(age_s),
        span(history_s)
    );
    let fading = (w::SHORTEST_HISTORY_S - age_s) / (w::SHORTEST_HISTORY_S - w::NEW_S);
    let new = w::NEW_SERVER * fading.clamp(0.0, 1.0);
    found.add("first_seen", new, w::NEW_SERVER, age_s, text.clone());
    if age_s >= w::OLD_S {
        found.add("first_seen", w::OLD_SERVER, w::OLD_SERVER, age_s, text);
    }
}

fn weigh_process(world: &World, process: &str, found: &mut Found) {
    let sources = world.with_process;
    let Some(seen) = world.prevalence.process(process) else {
        return;
    };
    if is_rare(seen.sources, sources) {
        let text = format!(
            "{process} talks on {} of {} sources",
            whole(seen.sources),
            whole(sources)
        );
        let weight = w::RARE_PROCESS;
        let share = seen.sources / sources.max(1.0);
        found.add(
            "process_rarity",
            weight * trust(sources),
            weight,
            share,
            text,
        );
    }
}

fn weigh_process_here(process: &str, server: Sighting, here: Sighting, found: &mut Found) {
    let share = here.sources / server.sources.max(1.0);
    if share <= w::STRANGE_SHARE || here.sources <= 1.0 {
        let text = format!(
            "{process} talks to this server on {} of the {} sources that use it",
            whole(here.sources),
            whole(server.sources)
        );
        let weight = w::STRANGE_PROCESS;
        let trust = trust(server.sources);
        found.add("process_at_server", weight * trust, weight, share, text);
    }
}
