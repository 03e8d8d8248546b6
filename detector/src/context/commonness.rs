//! What prevalence and age say.

use super::prevalence::{Prevalence, Sighting, process_name};
use super::signals::Found;
use super::traffic::whole;
use super::way::Way;
use super::weights as w;
use crate::Timestamp;
use crate::evidence::explain::span;
use crate::series::Series;

/// A name that many use at an address that only one does: it may be pretended.
pub(super) fn is_pretended(series: &Series, prevalence: &Prevalence) -> bool {
    let Some(name) = series.server_name.value.as_deref() else {
        return false;
    };
    let sources = prevalence.sources();
    let common = prevalence
        .name(name)
        .is_some_and(|it| it.sources >= w::COMMON_SHARE * sources && it.sources >= 3.0);
    let alone = prevalence
        .address(&series.key)
        .is_none_or(|it| it.sources <= 1.0);
    sources >= w::FEWEST_SOURCES && common && alone
}

pub(super) fn weigh(
    series: &Series,
    way: Way,
    prevalence: &Prevalence,
    now: Timestamp,
    found: &mut Found,
) {
    let name = series.server_name.value.as_deref();
    let server = match name {
        Some(name) => prevalence.name(name),
        None => prevalence.address(&series.key),
    };
    if let Some(server) = server {
        weigh_server(series, way, prevalence, server, found);
        if way == Way::Outbound {
            weigh_age(prevalence, server, now, found);
        }
    }
    if let Some(process) = process_name(series.process.value.as_deref()) {
        weigh_process(prevalence, process, found);
        let here = prevalence.process_at(&series.key, name, process);
        if let (Some(server), Some(here)) = (server, here) {
            weigh_process_here(process, server, here, found);
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

fn weigh_server(
    series: &Series,
    way: Way,
    prevalence: &Prevalence,
    server: Sighting,
    found: &mut Found,
) {
    let sources = prevalence.sources();
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
    } else if !is_pretended(series, prevalence) {
        let part = (share / w::COMMON_SHARE).ln() / (w::USUAL_SHARE / w::COMMON_SHARE).ln();
        let part = part.clamp(0.0, 1.0);
        let weight = w::COMMON_SERVER;
        found.add("prevalence", weight * trust * part, weight, share, seen);
    }
}

fn weigh_age(prevalence: &Prevalence, server: Sighting, now: Timestamp, found: &mut Found) {
    let history_s = prevalence.history().as_secs_f64();
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

fn weigh_process(prevalence: &Prevalence, process: &str, found: &mut Found) {
    let sources = prevalence.sources_with_process();
    let Some(seen) = prevalence.process(process) else {
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
    if share <= w::STRANGE_SHARE || (here.sources <= 1.0 && server.sources >= w::FEWEST_SOURCES) {
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
