//! What context weighs, and what it never does.

use std::time::Duration;

use beaconwatch_detector::context::{
    BOUND, Catalogue, IntelligenceBuilder, MOST_BENIGN, Prevalence, SubdomainCounts,
};
use beaconwatch_detector::{Network, Profile, Side};
use proptest::prelude::*;

use super::*;

const TIMING: [&str; 4] = ["base_rate", "cadence", "persistence", "steadiness"];

/// Thirty sources in an office: all use `www.example.com`, number 1 alone talks to 198.51.100.7.
fn office() -> Prevalence {
    let mut prevalence = Prevalence::new(10_000, 1);
    for host in 1..=30 {
        let source = format!("10.0.0.{host}");
        let mut seen = Observation::new(
            at(-20.0 * 86_400.0),
            Phase::Whole,
            key(&source, "203.0.113.9", 443, Transport::Tcp),
        );
        seen.server_name = Some(Arc::from("www.example.com"));
        seen.process = Some(process("browser", "/usr/bin/browser"));
        prevalence.observe(&seen);
        // Ten web servers with names, so that the share of named ones is known.
        let other = format!("203.0.113.{}", 100 + host);
        let mut named = Observation::new(
            at(0.0),
            Phase::Whole,
            key(&source, &other, 443, Transport::Tcp),
        );
        named.server_name = Some(Arc::from(format!("site{host}.example.net")));
        prevalence.observe(&named);
    }
    prevalence.observe(&Observation::new(at(0.0), Phase::Whole, web()));
    prevalence
}

fn with_office() -> Context {
    Context::default().with_prevalence(Arc::new(office()))
}

fn is_exact(assessment: &Assessment) {
    let sum: f64 = assessment.signals.iter().map(|it| it.contribution).sum();
    let score = assessment.score;
    let log_odds = (score / (1.0 - score)).ln();
    assert!(
        (1.0 / (1.0 + (-sum).exp()) - score).abs() < 1e-12,
        "{sum} {score}"
    );
    assert!((log_odds - sum).abs() < 1e-9, "{log_odds} {sum}");
    let context: f64 = assessment
        .signals
        .iter()
        .filter(|it| !TIMING.contains(&&*it.name) && &*it.name != "benign")
        .map(|it| it.contribution)
        .sum();
    assert!(context.abs() <= BOUND + 1e-12, "{context}");
    for signal in &assessment.signals {
        assert!((0.0..=1.0).contains(&signal.score), "{signal:?}");
        assert!(
            (signal.score * signal.weight - signal.contribution).abs() < 1e-9,
            "{signal:?}"
        );
        assert!(
            !signal.text.is_empty() && signal.raw_value.is_finite(),
            "{signal:?}"
        );
    }
}

/// A host with a public address that talks to forty servers, under the eyes of a sensor and of sixty scanners.
fn lone_public_host() -> Prevalence {
    let mut prevalence = Prevalence::new(10_000, 1);
    let mut between = |source: &str, destination: &str| {
        let key = key(source, destination, 443, Transport::Tcp);
        let mut seen = Observation::new(at(0.0), Phase::Whole, key);
        seen.side = Side::Between;
        prevalence.observe(&seen);
    };
    for other in 1..=40 {
        between("203.0.113.9", &format!("198.51.100.{other}"));
    }
    for scanner in 1..=60 {
        between(&format!("192.0.2.{scanner}"), "203.0.113.9");
    }
    prevalence
}

#[test]
fn scanners_are_no_sources_and_what_they_call_is_one_s_own() {
    let prevalence = lone_public_host();
    assert!(
        (prevalence.sources() - 1.0).abs() < 0.5,
        "{}",
        prevalence.sources()
    );
    let context = Context::default().with_prevalence(Arc::new(prevalence));
    let inward = key("192.0.2.7", "203.0.113.9", 443, Transport::Tcp);
    let inward = assess(&inward, &context, |it| it.side = Side::Between);
    let outward = key("203.0.113.9", "198.51.100.7", 443, Transport::Tcp);
    let outward = assess(&outward, &context, |it| it.side = Side::Between);
    let weight = |found: &Assessment, name: &str| {
        let mut signals = found.signals.iter();
        signals
            .find(|it| &*it.name == name)
            .map(|it| it.contribution)
    };
    assert_eq!(weight(&inward, "benign"), Some(-0.5), "{inward:?}");
    assert_eq!(weight(&inward, "destination"), None);
    assert_eq!(weight(&outward, "destination"), None);
    let benign = inward.benign.as_ref().map(|it| &*it.id);
    assert_eq!((benign, inward.detected), (Some("inbound.outsider"), false));
    assert!(outward.benign.is_none());
    let mut lists = IntelligenceBuilder::default();
    lists.add_plain("list", 1.0, ["192.0.2.7"]);
    let context = context.with_intelligence(Arc::new(lists.build()));
    let listed = key("192.0.2.7", "203.0.113.9", 443, Transport::Tcp);
    let listed = assess(&listed, &context, |it| it.side = Side::Between);
    assert!(listed.benign.is_none() && weight(&listed, "intelligence") == Some(3.0));
    assert_eq!(
        weight(&outward, "prevalence"),
        None,
        "one source tells nothing"
    );
}

#[test]
fn what_is_not_known_weighs_nothing() {
    let found = assess(&web(), &Context::default(), |_| {});
    let names: Vec<&str> = found.signals.iter().map(|it| &*it.name).collect();
    assert_eq!(names, TIMING);
    assert!(found.detected && !found.explanation.contains("Context"));
    assert!((found.score - found.timing_score()).abs() < 1e-12);
}

#[test]
fn timing_alone_can_be_asked_for() {
    let change = |seen: &mut Observation| seen.process = Some(process("x", "/tmp/x"));
    let context = Context::timing_only();
    let found = assess(&web(), &context, change);
    assert_eq!(found.signals.len(), TIMING.len());
    assert!(assess(&web(), &Context::default(), change).score > found.score);
}

#[test]
fn contributions_add_up_and_stay_within_their_bound_at_both_ends() {
    let mut lists = IntelligenceBuilder::default();
    lists.add_plain("list", 1.0, ["198.51.100.7"]);
    let context = with_office().with_intelligence(Arc::new(lists.build()));
    let worst = assess(&web(), &context, |seen| {
        seen.process = Some(process("x", "/memfd:x (deleted)"));
        seen.established = Some(false);
        seen.duration = Some(Duration::from_hours(20));
    });
    is_exact(&worst);
    assert!(
        contribution(&worst, "context_bound").unwrap() < -1.0,
        "{:#?}",
        worst.signals
    );
    let inbound = key("192.0.2.7", "10.0.0.9", 6379, Transport::Tcp);
    let marked = assess(&inbound, &context, |seen| seen.source_port = 53);
    is_exact(&marked);
    assert!(marked.benign.is_some() && marked.score < marked.timing_score());
    let off = "version = 1\n[[entry]]\nid = \"inbound.outsider\"\ncategory = \"inbound\"\nreason = \"off\"\n\
               inbound = true\ncontribution = 0.0\n";
    let off = Catalogue::built_in().extended_with(&Catalogue::parse(off).unwrap());
    let context = context.with_catalogue(Arc::new(off));
    let best = assess(&inbound, &context, |seen| seen.source_port = 53);
    is_exact(&best);
    assert!(
        contribution(&best, "context_bound").unwrap() > 1.0,
        "{:#?}",
        best.signals
    );
    let found = assess(
        &key("10.0.0.1", "10.0.0.2", 161, Transport::Udp),
        &context,
        |_| {},
    );
    is_exact(&found);
    assert!(found.benign.is_some());
}

#[test]
fn no_context_makes_a_detection_of_a_series_without_cadence() {
    let mut lists = IntelligenceBuilder::default();
    lists.add_plain("list", 1.0, ["198.51.100.7"]);
    let context = with_office().with_intelligence(Arc::new(lists.build()));
    let found = assess_times(&web(), &irregular(), &context, |seen| {
        seen.process = Some(process("x", "/tmp/x"));
    });
    let evidence = found.evidence.unwrap();
    assert!(evidence.p_value > 0.01, "{evidence:?}");
    assert!(found.score > 0.5, "the lists do raise it: {}", found.score);
    assert!(!found.detected, "{:?}", found.signals);
    let timing = assess_times(&web(), &irregular(), &Context::timing_only(), |_| {});
    assert_eq!(
        timing.evidence, found.evidence,
        "context leaves the evidence alone"
    );
}

#[test]
fn a_server_that_few_use_weighs_more_and_one_that_all_use_less() {
    let rare = assess(&web(), &with_office(), |_| {});
    let (prevalence, trust) = (
        contribution(&rare, "prevalence").unwrap(),
        30_f64.log10() / 2.0,
    );
    assert!((prevalence - trust).abs() < 0.02, "{prevalence} {trust}");
    assert!(text(&rare, "prevalence").starts_with("the server is used by 1 of about "));
    assert!((contribution(&rare, "direct_to_address").unwrap() - 0.94).abs() < 0.1);
    let common = assess(
        &key("10.0.0.1", "203.0.113.9", 443, Transport::Tcp),
        &with_office(),
        |seen| {
            seen.server_name = Some(Arc::from("www.example.com"));
        },
    );
    assert!((contribution(&common, "prevalence").unwrap() + 1.5 * trust).abs() < 0.05);
    is_exact(&common);
}

#[test]
fn a_common_name_at_an_address_of_ones_own_is_no_common_server() {
    let pretended = assess(&web(), &with_office(), |seen| {
        seen.server_name = Some(Arc::from("www.example.com"));
    });
    assert_eq!(contribution(&pretended, "prevalence"), None);
}

#[test]
fn in_a_world_of_nine_sources_prevalence_says_nothing() {
    let mut prevalence = Prevalence::new(1000, 1);
    for host in 1..=9 {
        let key = key(
            &format!("10.0.0.{host}"),
            "203.0.113.9",
            443,
            Transport::Tcp,
        );
        prevalence.observe(&Observation::new(at(0.0), Phase::Whole, key));
    }
    prevalence.observe(&Observation::new(at(0.0), Phase::Whole, web()));
    let context = Context::default().with_prevalence(Arc::new(prevalence));
    assert_eq!(
        contribution(&assess(&web(), &context, |_| {}), "prevalence"),
        None
    );
}

#[test]
fn a_new_server_weighs_only_against_a_history_of_a_week() {
    let found = assess(&web(), &with_office(), |_| {});
    assert!((contribution(&found, "first_seen").unwrap() - 0.7).abs() < 1e-9);
    assert!(text(&found, "first_seen").contains("in 480.0 h of history"));
    let mut young = Prevalence::new(1000, 1);
    young.observe(&Observation::new(at(-6.0 * 86_400.0), Phase::Whole, web()));
    young.observe(&Observation::new(at(0.0), Phase::Whole, web()));
    let context = Context::default().with_prevalence(Arc::new(young));
    assert_eq!(
        contribution(&assess(&web(), &context, |_| {}), "first_seen"),
        None
    );
}

#[test]
fn a_program_that_others_do_not_use_for_a_server_is_strange_there() {
    let key = key("10.0.0.1", "203.0.113.9", 443, Transport::Tcp);
    let mut prevalence = office();
    let mut seen = Observation::new(at(0.0), Phase::Whole, key.clone());
    seen.server_name = Some(Arc::from("www.example.com"));
    seen.process = Some(process("updater", "/usr/bin/updater"));
    prevalence.observe(&seen);
    let context = Context::default().with_prevalence(Arc::new(prevalence));
    let change = |name: &'static str| {
        let context = context.clone();
        let key = key.clone();
        move || {
            assess(&key, &context, |seen| {
                seen.server_name = Some(Arc::from("www.example.com"));
                seen.process = Some(process(name, "/usr/bin/browser"));
            })
        }
    };
    let strange = change("updater")();
    assert!(contribution(&strange, "process_at_server").unwrap() > 0.5);
    assert!(contribution(&strange, "process_rarity").unwrap() > 0.3);
    let usual = change("browser")();
    assert_eq!(contribution(&usual, "process_at_server"), None);
    assert_eq!(contribution(&usual, "process_rarity"), None);
}

#[test]
fn a_public_source_that_comes_in_is_a_scanner_and_says_so() {
    let inbound = key("198.51.100.7", "10.0.0.9", 22, Transport::Tcp);
    let found = assess(&inbound, &Context::default(), |_| {});
    assert!((contribution(&found, "destination").unwrap() + 2.5).abs() < 1e-12);
    assert!(text(&found, "destination").contains("scanner"));
    let own: Network = "198.51.100.0/24".parse().unwrap();
    let context = Context::default().with_own_networks(&[own]);
    let inside = assess(&inbound, &context, |_| {});
    assert!((contribution(&inside, "destination").unwrap() + 0.5).abs() < 1e-12);
}

#[test]
fn ports_weigh_only_on_the_way_out() {
    let to = |destination: &str, port: u16, named: bool| {
        let key = key("10.0.0.1", destination, port, Transport::Tcp);
        let found = assess(&key, &Context::default(), |seen| {
            seen.server_name = named.then(|| Arc::from("www.example.org"));
        });
        contribution(&found, "port")
    };
    assert_eq!(to("198.51.100.7", 443, true), None);
    assert_eq!(to("198.51.100.7", 4444, false), Some(0.8));
    assert_eq!(to("198.51.100.7", 49_000, true), Some(0.4));
    assert_eq!(to("198.51.100.7", 49_000, false), Some(0.4));
    assert_eq!(to("10.0.0.2", 4444, false), None);
}

#[test]
fn sizes_lengths_and_failures_weigh_little() {
    let found = assess(&web(), &Context::default(), |seen| {
        seen.bytes_out = Some(700);
        seen.bytes_in = Some(400);
        seen.established = Some(false);
        seen.duration = Some(Duration::from_hours(12));
    });
    for (name, expected) in [
        ("size_regularity", 0.2),
        ("byte_symmetry", 0.2),
        ("failed_connections", 0.5),
        ("long_connection", 0.3),
    ] {
        let weight = contribution(&found, name).unwrap();
        assert!((weight - expected).abs() < 1e-9, "{name} {weight}");
    }
    let content = assess(&web(), &Context::default(), |seen| {
        seen.bytes_out = Some(900);
        seen.bytes_in = Some(50 << 20);
        seen.established = Some(true);
    });
    assert_eq!(contribution(&content, "byte_symmetry"), Some(-0.5));
    assert_eq!(contribution(&content, "failed_connections"), None);
}

#[test]
fn a_tunnel_over_dns_weighs_by_the_number_of_its_names() {
    let mut counts = SubdomainCounts::new(100, 1);
    for query in 0..20_000 {
        counts.observe(&format!("{query:x}.t.example.org"));
    }
    for host in 0..50 {
        counts.observe(&format!("host{host}.example.com"));
    }
    let context = Context::default().with_subdomains(Arc::new(counts));
    let resolver = key("10.0.0.1", "10.0.0.53", 53, Transport::Udp);
    let ask = |name: &'static str| {
        assess(&resolver, &context, move |seen| {
            seen.server_name = Some(Arc::from(name));
        })
    };
    assert_eq!(
        contribution(&ask("1.t.example.org"), "subdomains"),
        Some(2.0)
    );
    assert_eq!(contribution(&ask("host1.example.com"), "subdomains"), None);
}

#[test]
fn a_benign_series_is_listed_with_its_reason_and_is_no_detection() {
    let ntp = key("10.0.0.1", "203.0.113.123", 123, Transport::Udp);
    let change = |seen: &mut Observation| {
        seen.bytes_out = Some(76);
        seen.bytes_in = Some(76);
    };
    let found = assess(&ntp, &Context::default(), change);
    let benign = found.benign.as_ref().unwrap();
    assert_eq!(
        (&*benign.id, benign.category.name()),
        ("time.ntp-behaviour", "time_sync".into())
    );
    assert!(!found.detected && found.score < 0.5, "{}", found.score);
    assert!(found.timing_score() > 0.9, "its cadence stays in sight");
    assert!(
        found.explanation.contains("time_sync: NTP as RFC 5905"),
        "{}",
        found.explanation
    );
    assert!((-MOST_BENIGN..0.0).contains(&contribution(&found, "benign").unwrap()));
    is_exact(&found);
    let timing = assess(&ntp, &Context::timing_only(), change);
    assert!(timing.detected && timing.benign.is_none());
}

#[test]
fn too_few_beats_are_listed_as_benign_as_well() {
    let mdns = key("10.0.0.1", "224.0.0.251", 5353, Transport::Udp);
    let found = assess_times(&mdns, &[0.0, 60.0], &Context::default(), |_| {});
    assert_eq!(found.benign.as_ref().map(|it| &*it.id), Some("names.mdns"));
    assert!(found.gate.is_some() && found.signals.is_empty());
}

#[test]
fn a_list_a_bad_path_and_a_pretended_name_speak_against_a_mark() {
    let ntp = key("10.0.0.1", "203.0.113.123", 123, Transport::Udp);
    let small = |seen: &mut Observation| {
        seen.bytes_out = Some(76);
        seen.bytes_in = Some(76);
    };
    let mut lists = IntelligenceBuilder::default();
    lists.add_plain("list", 0.3, ["203.0.113.0/24"]);
    let listed = Context::default().with_intelligence(Arc::new(lists.build()));
    assert_eq!(assess(&ntp, &listed, small).benign, None);
    let hidden = assess(&ntp, &Context::default(), |seen| {
        small(seen);
        seen.process = Some(process("chronyd", "/dev/shm/chronyd"));
    });
    assert!(hidden.benign.is_none() && hidden.detected);
    let mut prevalence = office();
    for host in 1..=30 {
        let key = key(
            &format!("10.0.0.{host}"),
            "203.0.113.9",
            443,
            Transport::Tcp,
        );
        let mut seen = Observation::new(at(0.0), Phase::Whole, key);
        seen.server_name = Some(Arc::from("detectportal.firefox.com"));
        prevalence.observe(&seen);
    }
    let context = Context::default().with_prevalence(Arc::new(prevalence));
    let portal = |seen: &mut Observation| {
        small(seen);
        seen.server_name = Some(Arc::from("detectportal.firefox.com"));
    };
    assert_eq!(
        assess(&web(), &context, portal).benign,
        None,
        "nobody else knows the address"
    );
    let real = key("10.0.0.1", "203.0.113.9", 443, Transport::Tcp);
    assert!(assess(&real, &context, portal).benign.is_some());
}

#[test]
fn the_name_that_is_asked_for_is_not_that_of_the_server() {
    let resolver = key("10.0.0.1", "203.0.113.53", 53, Transport::Udp);
    let change = |seen: &mut Observation| seen.server_name = Some(Arc::from("deb.debian.org"));
    let hourly: Vec<f64> = (0..60).map(|beat| 3600.0 * f64::from(beat)).collect();
    let asked = assess_times(&resolver, &hourly, &with_office(), change);
    assert_eq!(asked.benign, None);
    let fetched = assess_times(&web(), &hourly, &Context::default(), change);
    assert_eq!(
        fetched.benign.map(|it| it.id.to_string()).as_deref(),
        Some("update.debian")
    );
}

#[test]
fn a_catalogue_of_ones_own_replaces_entries() {
    let own = Catalogue::parse(
        "version = 1\n[[entry]]\nid = \"time.ntp-behaviour\"\ncategory = \"time_sync\"\n\
         reason = \"switched off\"\nports = [123]\ncontribution = 0.0\n",
    )
    .unwrap();
    let ntp = key("10.0.0.1", "203.0.113.123", 123, Transport::Udp);
    let context =
        Context::default().with_catalogue(Arc::new(Catalogue::built_in().extended_with(&own)));
    let found = assess(&ntp, &context, |seen| {
        seen.bytes_out = Some(76);
        seen.bytes_in = Some(76);
    });
    assert_eq!(found.benign, None);
    assert!(
        contribution(&found, "catalogue").unwrap() < 0.0,
        "the hint is left"
    );
}

#[test]
fn the_server_side_and_own_traffic_count_for_nothing() {
    let mut prevalence = Prevalence::new(100, 1);
    let mut seen = Observation::new(at(0.0), Phase::Opened, web());
    seen.side = Side::Server;
    prevalence.observe(&seen);
    seen.side = Side::Client;
    seen.own = true;
    prevalence.observe(&seen);
    assert!(prevalence.sources() < 0.5 && prevalence.keys() == 0);
}

#[test]
fn with_the_seed_method_context_says_nothing() {
    let mut detector = Detector::new(Settings {
        profile: Profile::Seed,
        max_lateness_s: 1e9,
        max_clock_skew_s: 1e9,
        ..Settings::default()
    })
    .unwrap();
    let ntp = key("10.0.0.1", "203.0.113.123", 123, Transport::Udp);
    for beat in 0..60 {
        let time = at(60.0 * f64::from(beat));
        let mut seen = Observation::new(time, Phase::Whole, ntp.clone());
        seen.bytes_out = Some(76);
        seen.bytes_in = Some(76);
        detector.observe(time, &seen);
    }
    let now = at(3600.0);
    let with = detector.assess(&ntp, now, &Context::default()).unwrap();
    assert_eq!(
        with,
        detector.assess(&ntp, now, &Context::timing_only()).unwrap()
    );
    assert!(with.benign.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_are_exact_and_bounded_whatever_the_series(
        source in any::<[u8; 4]>(),
        destination in any::<[u8; 4]>(),
        port in prop::sample::select(vec![22_u16, 53, 80, 123, 161, 443, 1900, 4444, 5353, 49_000]),
        udp in any::<bool>(),
        name in prop::option::of("[a-z]{1,8}\\.(org|com|windowsupdate\\.com)"),
        path in prop::option::of("(/usr/bin/|/tmp/|/home/a/|/memfd:|C:\\\\)[a-z.]{1,8}( \\(deleted\\))?"),
        out in any::<Option<u64>>(),
        back in any::<Option<u64>>(),
        established in any::<Option<bool>>(),
        jitter in 0.0..40.0_f64,
    ) {
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        let key = SeriesKey {
            source: source.into(),
            destination: destination.into(),
            ..key("10.0.0.1", "10.0.0.2", port, transport)
        };
        let times: Vec<f64> = (0..30).map(|beat| {
            let beat = f64::from(beat);
            60.0 * beat + jitter * (beat * 0.618_033_988_749_894_9).fract()
        }).collect();
        let context = with_office();
        let found = assess_times(&key, &times, &context, |seen| {
            seen.server_name = name.as_deref().map(Arc::from);
            seen.process = path.as_deref().map(|path| process("", path));
            seen.bytes_out = out;
            seen.bytes_in = back;
            seen.established = established;
        });
        is_exact(&found);
        prop_assert!(!(found.detected && found.benign.is_some()));
    }

    #[test]
    fn for_the_same_context_less_p_never_lowers_the_score(
        jitters in prop::collection::vec(0.0..30.0_f64, 2..6),
        path in "(/usr/bin/|/tmp/)[a-z]{1,8}",
    ) {
        let context = with_office();
        let mut found: Vec<(f64, f64, f64)> = jitters.iter().map(|jitter| {
            let times: Vec<f64> = (0..30).map(|beat| {
                let beat = f64::from(beat);
                60.0 * beat + jitter * (beat * 0.618_033_988_749_894_9).fract()
            }).collect();
            let found = assess_times(&web(), &times, &context, |seen| {
                seen.process = Some(process("", &path));
            });
            let evidence = found.evidence.unwrap();
            (evidence.log_odds(), found.score, found.timing_score())
        }).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        prop_assert!(found.is_sorted_by(|a, b| a.1 <= b.1 && a.2 <= b.2), "{found:?}");
    }
}
