use super::{rights::judge, *};
use crate::capture::capabilities::{Capabilities, Capability, CapabilitySet};

const ALL: [Capability; 6] = [
    Capability::Bpf,
    Capability::Perfmon,
    Capability::NetAdmin,
    Capability::SysPtrace,
    Capability::SysAdmin,
    Capability::DacReadSearch,
];

fn judged(effective: &[Capability]) -> Report {
    let set = CapabilitySet::of(effective);
    let mut report = Report::default();
    let held = Capabilities {
        effective: set,
        permitted: set,
    };
    judge(&mut report, held, true);
    report
}

#[test]
fn with_every_capability_the_verdict_is_full_and_nothing_costs() {
    let report = judged(&ALL);
    assert_eq!(report.checks.len(), ALL.len() + 1);
    assert_eq!(report.verdict(), Verdict::Full);
    assert!(report.checks.iter().all(|check| check.cost.is_none()));
}

#[test]
fn each_missing_capability_is_named_with_its_cost_and_remedy() {
    for missing in ALL {
        let held: Vec<Capability> = ALL.into_iter().filter(|it| *it != missing).collect();
        // CAP_SYS_ADMIN stands for two of them.
        let without_admin: Vec<Capability> = held
            .iter()
            .copied()
            .filter(|it| *it != Capability::SysAdmin)
            .collect();
        let report = judged(&without_admin);
        let check = report.find(missing.name()).unwrap();
        assert_ne!(check.state, State::Ok, "{missing}");
        assert!(
            check.cost.as_ref().is_some_and(|cost| cost.len() > 20),
            "{missing}"
        );
        assert!(
            check.remedy.as_ref().unwrap().contains(missing.name()),
            "{missing}"
        );
        let needed = [Capability::Bpf, Capability::Perfmon, Capability::NetAdmin];
        let expected = if needed.contains(&missing) {
            Verdict::Unable
        } else {
            Verdict::Degraded
        };
        assert_eq!(report.verdict(), expected, "{missing}");
    }
}

#[test]
fn a_capability_that_is_permitted_but_not_effective_is_told_apart() {
    let mut report = Report::default();
    let held = Capabilities {
        effective: CapabilitySet::default(),
        permitted: CapabilitySet::of(&ALL),
    };
    judge(&mut report, held, false);
    let check = report.find("CAP_BPF").unwrap();
    assert_eq!(check.state, State::Missing);
    assert_eq!(check.finding, "permitted, not effective");
    assert!(
        report.find("CAP_DAC_READ_SEARCH").is_none(),
        "nothing is hashed"
    );
}

#[test]
fn types_that_tell_nothing_degrade_and_do_not_panic() {
    for types in [&b""[..], b"\x9f\xeb", b"\0tcx_link\0"] {
        let mut report = Report::default();
        kernel::examine_types(&mut report, types);
        for name in [
            "process offsets",
            "socket offsets",
            "close of older connections",
        ] {
            assert_eq!(report.find(name).unwrap().state, State::Degraded, "{name}");
        }
        let present = report.find("TCX").unwrap().finding.starts_with("present");
        assert_eq!(present, types.len() > 2);
    }
}

#[test]
fn long_messages_of_the_verifier_are_cut_in_the_middle() {
    let error = std::io::Error::other(format!("start{}\n\nend of it", " line\n".repeat(500)));
    let text = chain(&error);
    assert!(
        text.starts_with("start line") && text.ends_with("end of it"),
        "{text}"
    );
    assert!(text.chars().count() < 260 && !text.contains('\n'));
}

#[test]
fn the_text_shows_costs_below_what_is_missing_and_json_says_the_same() {
    let report = judged(&[Capability::Bpf, Capability::Perfmon]);
    let text = report.to_string();
    let at = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("no {part} in {text}"))
    };
    assert!(at("missing   CAP_NET_ADMIN") < at("costs: nothing is captured: programs for packets"));
    assert!(text.ends_with(Verdict::Unable.sentence()));
    let json = report.to_json();
    assert_eq!(json["verdict"], "unable");
    assert_eq!(json["checks"][2]["name"], "CAP_NET_ADMIN");
    assert_eq!(json["checks"][2]["state"], "missing");
    assert!(json["checks"][0].get("cost").is_none());
}
