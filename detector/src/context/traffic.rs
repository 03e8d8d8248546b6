//! What sizes, lengths and endings of connections say. Only of series that lead out.

use super::signals::Found;
use super::weights as w;
use crate::evidence::explain::span;
use crate::series::Series;
use crate::stats::{real, seconds};

pub(super) fn weigh(series: &Series, found: &mut Found) {
    weigh_regularity(series, found);
    weigh_symmetry(series, found);
    weigh_length(series, found);
    weigh_failures(series, found);
}

fn weigh_regularity(series: &Series, found: &mut Found) {
    let (out, back) = (&series.sizes_out, &series.sizes_in);
    if out.count.min(back.count) < w::FEWEST_ENDED {
        return;
    }
    let (Some(out), Some(back)) = (out.spread(), back.spread()) else {
        return;
    };
    let spread = out.max(back);
    let regular = (1.0 - spread / w::IRREGULAR_SPREAD).clamp(0.0, 1.0);
    let text = format!(
        "connections are of like size both ways (within ± {:.0} %)",
        100.0 * (spread.exp2() - 1.0)
    );
    found.add(
        "size_regularity",
        w::REGULAR * regular,
        w::REGULAR,
        spread,
        text,
    );
}

fn weigh_symmetry(series: &Series, found: &mut Found) {
    let (out, back) = (&series.sizes_out, &series.sizes_in);
    if out.count.min(back.count) < w::FEWEST_ENDED {
        return;
    }
    let (Some(out), Some(back)) = (out.typical_bytes(), back.typical_bytes()) else {
        return;
    };
    let larger = out.max(back);
    let alike = larger <= w::SMALL_RATIO * out.min(back).max(1.0);
    if larger <= w::SMALL_BYTES && alike && out.min(back) >= 1.0 {
        let text = format!("small both ways: {out:.0} bytes out and {back:.0} in");
        found.add("byte_symmetry", w::SMALL, w::SMALL, larger, text);
    } else if back >= w::CONTENT_BYTES {
        let text = format!("brings content: {:.1} MiB a connection", back / 1_048_576.0);
        found.add("byte_symmetry", w::CONTENT, w::CONTENT, back, text);
    }
}

fn weigh_length(series: &Series, found: &mut Found) {
    let longest_s = seconds(series.longest_ns);
    let (from, to) = w::LONG_H;
    let part = ((longest_s / 3600.0 / from).ln() / (to / from).ln()).clamp(0.0, 1.0);
    let text = format!("the longest connection lasted {}", span(longest_s));
    found.add("long_connection", w::LONG * part, w::LONG, longest_s, text);
}

fn weigh_failures(series: &Series, found: &mut Found) {
    let endings = series.endings;
    let all = endings.established.saturating_add(endings.failed);
    if all < w::FEWEST_ENDED {
        return;
    }
    let share = f64::from(endings.failed) / f64::from(all);
    let part = ((share - w::MANY_FAILED) / (1.0 - w::MANY_FAILED)).clamp(0.0, 1.0);
    let text = format!("{:.0} % of the connections failed", 100.0 * share);
    found.add(
        "failed_connections",
        w::FAILED * part,
        w::FAILED,
        share,
        text,
    );
}

/// A web server without a name, where others have one.
pub(super) fn weigh_name(series: &Series, named_share: Option<f64>, found: &mut Found) {
    let ports = super::prevalence::PORTS_WITH_NAMES;
    let nameable = ports.contains(&series.key.destination_port)
        && series.key.transport == crate::Transport::Tcp;
    let Some(share) = named_share.filter(|_| nameable) else {
        return;
    };
    if series.server_name.value.is_none() {
        let part = ((share - w::FEWEST_NAMED) / (1.0 - w::FEWEST_NAMED)).clamp(0.0, 1.0);
        let text = format!(
            "no name of the server, where {:.0} % of web servers have one",
            100.0 * share
        );
        found.add(
            "direct_to_address",
            w::DIRECT * part,
            w::DIRECT,
            share,
            text,
        );
    }
}

/// Names that are asked for below a domain.
pub(super) fn weigh_subdomains(names: f64, domain: &str, found: &mut Found) {
    let (from, to) = w::TUNNEL_NAMES;
    let part = ((names / from).ln() / (to / from).ln()).clamp(0.0, 1.0);
    let text = format!("about {names:.0} different names were asked for below {domain}");
    found.add(
        "subdomains",
        w::SUBDOMAINS * part,
        w::SUBDOMAINS,
        names,
        text,
    );
}

/// A count in a sentence: exact while the sketch is.
pub(super) fn whole(count: f64) -> String {
    if count <= real(super::MOST_EXACT) {
        format!("{count:.0}")
    } else {
        format!("about {count:.0}")
    }
}
