//! Traffic that harms nobody: eight families of irregular pairs and six of beacons.
//!
//! | irregular | what it is like | times |
//! |---|---|---|
//! | `once` | one-off requests | 1 to 4 moments while the host is on |
//! | `pages` | reading pages | sessions of pages, log-normal reading times, each page some connections at once |
//! | `chat` | an application that connects anew | hyperexponential renewal: short retries among long waits |
//! | `served` | many people behind one proxy | Poisson with a rate that follows the day |
//! | `cascades` | calls in a local network | Poisson parents, each with children a while later |
//! | `lookups` | names asked for | gamma renewal, shape 0.5, over UDP |
//! | `transfers` | backup, crawl, scan | one to three bursts of up to 400 |
//! | `segments` | media | sessions of 10 to 90 minutes, Weibull renewal, shape 0.6 |
//!
//! In worlds of many days every renewal is slower, by days^0.7: a world keeps a size that can be measured with.

use super::host::Host;
use crate::random::Numbers;

/// Connections that a pair has at most, about: what is faster than that ends early.
const MOST: usize = 1_500;

/// Makes the times of one pair, in seconds since the world began.
pub type Times = fn(&mut Numbers, &Host) -> Vec<f64>;

/// Where connections go.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub(super) ports: &'static [u16],
    pub(super) transport: &'static str,
    pub(super) named: bool,
    /// Within the company.
    local: bool,
}

impl Service {
    /// Address of a server.
    #[must_use]
    pub fn address(&self, server: usize) -> u32 {
        let server = u32::try_from(server).unwrap_or(u32::MAX);
        if self.local {
            0x0ac8_0000 + server % 300
        } else {
            // Spread over the space of an operator, so that neighbours share no prefix.
            0x2d00_0000 + (server.wrapping_mul(2_654_435_761) & 0x00ff_ffff)
        }
    }
}

/// A family of benign pairs.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Share of the pairs.
    pub share: f64,
    /// Where they go.
    pub service: Service,
    /// When.
    pub times: Times,
}

const WEB: Service = Service {
    ports: &[443, 443, 443, 443, 80],
    transport: "tcp",
    named: true,
    local: false,
};
const LOCAL: Service = Service {
    ports: &[445, 389, 5432, 8006, 9092],
    transport: "tcp",
    named: false,
    local: true,
};
const NAMES: Service = Service {
    ports: &[53],
    transport: "udp",
    named: false,
    local: false,
};
const TIME: Service = Service {
    ports: &[123],
    transport: "udp",
    named: false,
    local: false,
};
const MAIL: Service = Service {
    ports: &[993],
    transport: "tcp",
    named: true,
    local: false,
};

const fn family(share: f64, service: Service, times: Times) -> Family {
    Family {
        share,
        service,
        times,
    }
}

/// Families of pairs that do not beat; their shares add up to 1.
pub const IRREGULAR: [Family; 8] = [
    family(0.42, WEB, once),
    family(0.32, WEB, pages),
    family(0.06, WEB, chat),
    family(0.05, WEB, served),
    family(0.05, LOCAL, cascades),
    family(0.03, NAMES, lookups),
    family(0.04, LOCAL, transfers),
    family(0.03, WEB, segments),
];

/// Families of harmless beacons; their shares add up to 1.
pub const BEACONS: [Family; 6] = [
    family(0.25, TIME, |numbers, host| {
        let period_s = numbers.one_of(&[64.0, 128.0, 256.0, 512.0, 1024.0]);
        periodic(period_s, 0.01, false, numbers, host)
    }),
    family(0.2, WEB, |numbers, host| {
        periodic(3_900.0, 0.08, true, numbers, host)
    }),
    family(0.2, WEB, |numbers, host| {
        let period_s = numbers.one_of(&[200.0, 450.0, 1_000.0]);
        periodic(period_s, 0.03, true, numbers, host)
    }),
    family(0.15, LOCAL, |numbers, host| {
        let period_s = numbers.one_of(&[20.0, 75.0, 240.0]);
        periodic(period_s * host.days().sqrt(), 0.002, false, numbers, host)
    }),
    family(0.1, MAIL, |numbers, host| {
        periodic(540.0, 0.05, true, numbers, host)
    }),
    family(0.1, WEB, |numbers, host| {
        periodic(1_640.0, 0.01, true, numbers, host)
    }),
];

fn pace(host: &Host) -> f64 {
    host.days().powf(0.7)
}

fn once(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let count = 1 + numbers.below(4);
    (0..count).map(|_| host.moment(numbers)).collect()
}

fn pages(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mut found = Vec::new();
    for _ in 0..numbers.count(1.3 * pace(host)).min(100) {
        let mut time_s = host.moment(numbers);
        let mean = numbers.log_normal(4.0, 0.9);
        for _ in 0..numbers.count(mean).min(200) {
            let connections = numbers.count(1.8).min(8);
            found.extend((0..connections).map(|_| time_s + numbers.exponential(0.4)));
            time_s += numbers.log_normal(27.0, 1.3);
        }
    }
    found
}

/// A renewal process while the host is on.
fn renewal(
    host: &Host,
    start_s: f64,
    stop_s: f64,
    numbers: &mut Numbers,
    gap: impl Fn(&mut Numbers) -> f64,
) -> Vec<f64> {
    let mut found = Vec::new();
    let mut time_s = start_s + gap(numbers) * numbers.unit();
    while time_s < stop_s && found.len() < MOST {
        if host.is_on(time_s) {
            found.push(time_s);
        }
        time_s += gap(numbers);
    }
    found
}

fn chat(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mean_s = numbers.between_orders(200.0, 7_000.0) * pace(host);
    renewal(host, 0.0, host.end_s(), numbers, |numbers| {
        if numbers.chance(0.4) {
            numbers.exponential(mean_s / 12.0)
        } else {
            numbers.exponential(mean_s * 1.6)
        }
    })
}

fn served(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mean_s = numbers.between_orders(90.0, 20_000.0) * pace(host);
    let (depth, peak_s) = (numbers.between(0.0, 0.95), numbers.between(0.0, 86_400.0));
    let mut found = Vec::new();
    let mut time_s = 0.0;
    loop {
        // Thinning a Poisson process of the largest rate.
        time_s += numbers.exponential(mean_s / (1.0 + depth));
        if time_s >= host.end_s() || found.len() >= MOST {
            return found;
        }
        let rate = 1.0 + depth * (std::f64::consts::TAU * (time_s - peak_s) / 86_400.0).cos();
        if numbers.chance(rate / (1.0 + depth)) {
            found.push(time_s);
        }
    }
}

fn cascades(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mean_s = numbers.between_orders(1_200.0, 20_000.0) * pace(host);
    let (children, delay_s) = (numbers.between(1.0, 5.0), numbers.between_orders(0.5, 60.0));
    let parents = renewal(host, 0.0, host.end_s(), numbers, |numbers| {
        numbers.exponential(mean_s)
    });
    let mut found = Vec::new();
    for mut time_s in parents {
        for _ in 0..numbers.count(children).min(40) {
            found.push(time_s);
            time_s += numbers.log_normal(delay_s, 1.5);
        }
    }
    found
}

fn lookups(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mean_s = numbers.between_orders(60.0, 3_000.0) * pace(host);
    renewal(host, 0.0, host.end_s(), numbers, |numbers| {
        numbers.gamma(0.5) * mean_s / 0.5
    })
}

fn transfers(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mut found = Vec::new();
    for _ in 0..=numbers.below(3) {
        let start_s = host.moment(numbers);
        let length_s = numbers.log_normal(90.0, 1.3);
        let mean = numbers.between_orders(4.0, 80.0);
        let count = numbers.count(mean).min(400);
        found.extend((0..count).map(|_| start_s + length_s * numbers.unit()));
    }
    found
}

fn segments(numbers: &mut Numbers, host: &Host) -> Vec<f64> {
    let mut found = Vec::new();
    for _ in 0..numbers.count(1.2 * pace(host)).min(40) {
        let start_s = host.moment(numbers);
        let stop_s = start_s + numbers.between_orders(600.0, 5_400.0);
        let scale_s = numbers.between_orders(12.0, 240.0);
        found.extend(renewal(host, start_s, stop_s, numbers, |numbers| {
            0.2 + scale_s * numbers.weibull(0.6)
        }));
    }
    found
}

/// A beat of about a period, up to `spread` of it later or, when `drifts`, each a little off the one before.
fn periodic(
    period_s: f64,
    spread: f64,
    drifts: bool,
    numbers: &mut Numbers,
    host: &Host,
) -> Vec<f64> {
    let phase_s = numbers.unit() * period_s;
    if drifts {
        return renewal(host, phase_s, host.end_s(), numbers, |numbers| {
            period_s * (1.0 + spread * numbers.between(-1.0, 1.0)) + numbers.log_normal(0.1, 0.6)
        });
    }
    let mut found = Vec::new();
    let mut grid_s = phase_s;
    while grid_s < host.end_s() && found.len() < MOST {
        if host.is_on(grid_s) {
            found.push(grid_s + numbers.unit() * spread * period_s);
        }
        grid_s += period_s;
    }
    found
}
