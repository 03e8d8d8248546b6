//! Benign series that beat: what everybody's machines do.

use beaconwatch_detector::Transport;

use super::dice::Dice;
use super::{DAY_S, LONGEST_LIFE_S, Place, at_work, irregular_place, missed_share, whole_port};

/// A benign series that beats.
struct Routine {
    periods_s: &'static [f64],
    /// Largest half-width of the jitter.
    jitter: f64,
    ports: &'static [f64],
    udp: bool,
    inside: bool,
    out: (f64, f64),
    back: (f64, f64),
}

/// Time, updates, telemetry, monitoring, mail, push, discovery.
const ROUTINES: &[Routine] = &[
    Routine {
        periods_s: &[64.0, 128.0, 256.0, 512.0, 1024.0],
        jitter: 0.03,
        ports: &[123.0],
        udp: true,
        inside: false,
        out: (48.0, 76.0),
        back: (48.0, 76.0),
    },
    Routine {
        periods_s: &[3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0],
        jitter: 0.15,
        ports: &[443.0, 443.0, 80.0],
        udp: false,
        inside: false,
        out: (500.0, 3000.0),
        back: (800.0, 50_000.0),
    },
    Routine {
        periods_s: &[60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0],
        jitter: 0.08,
        ports: &[443.0],
        udp: false,
        inside: false,
        out: (1500.0, 40_000.0),
        back: (200.0, 2000.0),
    },
    Routine {
        periods_s: &[10.0, 15.0, 30.0, 60.0, 300.0],
        jitter: 0.01,
        ports: &[9100.0, 161.0, 443.0, 8080.0, 22.0],
        udp: false,
        inside: true,
        out: (80.0, 800.0),
        back: (200.0, 60_000.0),
    },
    Routine {
        periods_s: &[60.0, 300.0, 600.0, 900.0],
        jitter: 0.04,
        ports: &[993.0, 995.0, 443.0],
        udp: false,
        inside: false,
        out: (300.0, 2000.0),
        back: (1000.0, 9000.0),
    },
    Routine {
        periods_s: &[240.0, 840.0, 900.0, 1740.0],
        jitter: 0.06,
        ports: &[5228.0, 443.0],
        udp: false,
        inside: false,
        out: (60.0, 400.0),
        back: (60.0, 400.0),
    },
    Routine {
        periods_s: &[30.0, 60.0, 120.0, 300.0, 600.0],
        jitter: 0.1,
        ports: &[137.0, 1900.0, 5353.0, 5355.0],
        udp: true,
        inside: true,
        out: (40.0, 600.0),
        // Nobody answers to the sender.
        back: (0.1, 0.5),
    },
];

/// Times and place of one of them.
pub(super) fn benign_beats(dice: &mut Dice) -> (Vec<f64>, Place) {
    let choices: Vec<(f64, &Routine)> = ROUTINES.iter().map(|it| (1.0, it)).collect();
    let Some(routine) = dice.weighted(&choices) else {
        return (Vec::new(), irregular_place(dice));
    };
    let place = Place {
        port: whole_port(dice.one_of(routine.ports)),
        transport: if routine.udp {
            Transport::Udp
        } else {
            Transport::Tcp
        },
        inside: routine.inside,
        bytes: (
            dice.scale(routine.out.0, routine.out.1),
            dice.scale(routine.back.0, routine.back.1),
        ),
        spread: dice.scale(0.02, 0.6),
        unanswered: false,
    };
    (routine_times(dice, routine), place)
}

fn routine_times(dice: &mut Dice, routine: &Routine) -> Vec<f64> {
    let period_s = dice.one_of(routine.periods_s);
    // Software of others spreads its calls as implants do, and its machines miss them as often: the shape of a cadence
    // does not tell one from the other.
    let widest = if dice.chance(0.5) {
        0.8
    } else {
        routine.jitter
    };
    let jitter = dice.between(0.0, widest);
    let missed = missed_share(dice);
    let wanted = dice.scale(6.0, 400.0);
    let working_hours = dice.chance(0.3);
    let mut at_s = dice.between(0.0, DAY_S);
    let (mut times, mut beats) = (Vec::new(), 0.0);
    while beats < wanted && at_s < LONGEST_LIFE_S {
        if !dice.chance(missed) && (!working_hours || at_work(at_s)) {
            times.push(at_s);
            beats += 1.0;
        }
        at_s += period_s * (1.0 + jitter * dice.between(-1.0, 1.0));
    }
    times
}
