//! The scoring thread as those see it who act on alerts: with a store, a clock and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use beaconwatch_detector::{Context, Observation, Owner, Phase, Process, Transport};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::*;
use crate::alert::{Alert, AlertQuery, Sort, StateFilter, history};
use crate::clock::Clock;
use crate::config::{Config, Role};
use crate::deliver::Router;
use crate::receive::{Batch, Record};
use crate::store::{Store, StoreSettings};

const SECOND: i64 = 1_000_000_000;
const BEGIN: i64 = 1_763_798_400 * SECOND;

/// A store, a scoring thread on it, and a clock that stands.
struct Scene {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
    config: Config,
    runtime: tokio::runtime::Runtime,
    store: Store,
    observer: Observer,
    thread: Option<JoinHandle<()>>,
    sent: u64,
}

fn begin(
    folder: &std::path::Path,
    now: &Arc<AtomicI64>,
    config: &Config,
) -> (Store, Observer, Option<JoinHandle<()>>) {
    let board: SharedBoard = Arc::new(RwLock::new(Board::new(10)));
    let books = Books::default();
    let hands = Arc::clone(now);
    let mut engine = Engine::new(EngineSettings {
        context: Context::default(),
        sigma: config.rules.open().unwrap(),
        prevalence_keys: 1000,
        scoring: config.scoring(),
        books: books.clone(),
        finding_limit: 100,
        exporter_limit: 10,
        clock: Clock::new(move || Timestamp::from_unix_nanos(hands.load(Ordering::Relaxed))),
        board,
        labels: config.labels(),
        router: Arc::new(Router::new(&BTreeMap::new()).unwrap()),
    })
    .unwrap();
    let (observer, messages) = Observer::channel(books);
    let journal = observer.clone();
    let settings = StoreSettings {
        path: folder.join("store.redb"),
        cache_bytes: 1 << 20,
    };
    let store = Store::open(
        settings,
        &mut |restored| engine.restore(&restored),
        Arc::new(move |journaled| journal.apply(journaled)),
    )
    .unwrap();
    let serving = store.clone();
    let thread = std::thread::spawn(move || engine.serve(&serving, messages));
    (store, observer, Some(thread))
}

fn actor() -> Actor {
    Actor {
        name: "night-shift".to_owned(),
        role: Role::Operate,
        remote: "127.0.0.1:50000".to_owned(),
    }
}

impl Scene {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(BEGIN));
        let (store, observer, thread) = begin(folder.path(), &now, &config);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            folder,
            now,
            config,
            runtime,
            store,
            observer,
            thread,
            sent: 0,
        }
    }

    fn forward(&self, seconds: i64) {
        self.now.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.now.load(Ordering::Relaxed))
    }

    fn run<T>(&self, ask: impl Future<Output = T>) -> T {
        self.runtime.block_on(ask)
    }

    /// Beats that have come up to now, a minute apart.
    fn beats(&mut self, place: u8, count: u32, change: impl Fn(&mut Observation)) {
        let key = SeriesKey {
            host: Arc::from("host"),
            namespace: Arc::from(""),
            source: [192, 0, 2, 1].into(),
            destination: [198, 51, 100, place].into(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        let mut records = Vec::new();
        for beat in 0..count {
            self.forward(60);
            let mut observation = Observation::new(self.now(), Phase::Whole, key.clone());
            observation.server_name = Some(Arc::from("updates.example.org"));
            observation.source_port = u16::try_from(40_000 + beat).unwrap();
            change(&mut observation);
            records.push(Record {
                exporter: 0,
                sequence: self.sent,
                observation: Some(observation),
            });
            self.sent += 1;
        }
        let batch = Batch {
            received: self.now(),
            exporters: vec![Arc::from("exporter-1")],
            records,
            ..Batch::default()
        };
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        self.run(self.store.append(batch, permit)).unwrap();
    }

    fn analyse(&self) -> AnalysisReport {
        self.run(self.observer.analyse()).unwrap()
    }

    fn found(&self, query: &AlertQuery) -> Vec<Arc<Finding>> {
        let query = AlertQuery {
            limit: 100,
            ..query.clone()
        };
        self.observer.alerts().page(&query, self.now()).alerts
    }

    /// The only finding.
    fn finding(&self) -> Arc<Finding> {
        let mut found = self.found(&AlertQuery::default());
        assert_eq!(found.len(), 1);
        found.pop().unwrap()
    }

    fn act(&self, action: Action) -> Result<Arc<Finding>, AlertError> {
        let id = self.finding().id;
        self.run(self.observer.act(id, action, actor()))
    }

    fn states(&self, state: StateFilter) -> usize {
        let query = AlertQuery {
            states: vec![state],
            ..AlertQuery::default()
        };
        self.found(&query).len()
    }

    /// What the history of the only finding says.
    fn history(&self) -> Vec<&'static str> {
        let history = history(&self.finding());
        history.into_iter().map(|entry| entry.event).collect()
    }

    /// Ends the thread as a crash would, and begins again.
    fn crash(&mut self) {
        self.observer.abandon();
        drop(self.thread.take().map(JoinHandle::join));
        self.run(self.store.stop());
        let begun = begin(self.folder.path(), &self.now, &self.config);
        (self.store, self.observer, self.thread) = begun;
        self.run(self.observer.status()).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.observer.abandon();
        drop(self.thread.take().map(JoinHandle::join));
        self.store.abandon();
    }
}

fn allow(change: impl Fn(&mut AllowConfig)) -> AllowConfig {
    let mut config = AllowConfig {
        reason: "update server".to_owned(),
        ..AllowConfig::default()
    };
    change(&mut config);
    config
}

#[test]
fn what_people_do_with_an_alert_is_kept_over_a_crash_with_its_history_and_audit() {
    let mut scene = Scene::new();
    scene.beats(1, 40, |_| {});
    assert_eq!(scene.analyse().documents, 1);
    let comment = Some("looking into it".to_owned());
    scene.act(Action::Acknowledge { comment }).unwrap();
    let text = "is it the updater?".to_owned();
    scene.act(Action::Comment { text }).unwrap();
    scene.act(Action::Suppress { for_s: 600 }).unwrap();
    scene.crash();
    let alert = Alert::of(&scene.finding());
    assert_eq!(
        alert.acknowledged.map(|it| it.by),
        Some("night-shift".to_owned())
    );
    assert_eq!(alert.comments[0].text, "is it the updater?");
    assert!(alert.suppressed_until.is_some());
    assert_eq!((alert.state, alert.revision), ("open", 1));
    let events = [
        "beacon-detected",
        "beacon-acknowledged",
        "commented",
        "suppressed",
    ];
    assert_eq!(scene.history(), events);
    let page = scene.run(scene.store.audit(None, 2)).unwrap();
    let actions = page.entries.iter().map(|(_, entry)| entry.action.as_str());
    assert_eq!(
        actions.collect::<Vec<_>>(),
        ["alert.suppress", "alert.comment"]
    );
    let rest = scene.run(scene.store.audit(page.next, 2)).unwrap();
    assert_eq!(rest.entries[0].1.actor, actor());
    assert_eq!((rest.entries.len(), rest.next), (1, None));
}

#[test]
fn closing_and_opening_make_documents_and_cannot_be_done_twice() {
    let mut scene = Scene::new();
    scene.beats(1, 40, |_| {});
    scene.analyse();
    assert_eq!(
        scene.act(Action::Close { reason: None }).unwrap().revision,
        2
    );
    let again = scene.act(Action::Close { reason: None });
    assert!(matches!(again, Err(AlertError::Conflict(_))));
    assert_eq!(scene.states(StateFilter::Closed), 1);
    assert_eq!(scene.act(Action::Reopen).unwrap().revision, 3);
    assert!(matches!(
        scene.act(Action::Reopen),
        Err(AlertError::Conflict(_))
    ));
    let unknown = FindingId::from_bytes([7; 16]);
    let unknown = scene.run(scene.observer.act(unknown, Action::Reopen, actor()));
    assert!(matches!(unknown, Err(AlertError::Unknown { .. })));
    for text in [String::new(), "x".repeat(4001)] {
        let refused = scene.act(Action::Comment { text });
        assert!(matches!(
            refused,
            Err(AlertError::Invalid { field: "text", .. })
        ));
    }
}

#[test]
fn an_entry_of_the_allow_list_closes_what_it_allows_and_taking_it_back_opens_it_again() {
    let mut scene = Scene::new();
    scene.beats(1, 40, |_| {});
    scene.analyse();
    let entry = allow(|it| it.domain = Some("*.example.org".to_owned()));
    let (_, effect) = scene
        .run(scene.observer.allow_preview(entry.clone()))
        .unwrap();
    assert_eq!(
        (effect.series, effect.findings, effect.alerts.len()),
        (1, 1, 1)
    );
    assert_eq!(
        scene.states(StateFilter::Allowed),
        0,
        "a dry run changes nothing"
    );
    let (entry, effect) = scene.run(scene.observer.allow_add(entry, actor())).unwrap();
    assert_eq!(
        effect.alerts[0].allowed.as_ref().map(|it| &it.id),
        Some(&entry.id)
    );
    assert_eq!(
        (scene.finding().revision, scene.states(StateFilter::Closed)),
        (2, 1)
    );
    assert!(matches!(
        scene.act(Action::Reopen),
        Err(AlertError::Conflict(_))
    ));
    scene.crash();
    scene.beats(1, 40, |_| {});
    assert_eq!(scene.analyse().documents, 0);
    let views = scene.observer.allow_list().views(scene.now());
    assert_eq!(views.len(), 1);
    assert!(views[0].matched > 0);
    let removed = scene.run(scene.observer.allow_remove(entry.id.clone(), actor()));
    assert_eq!(removed.unwrap(), entry);
    assert_eq!(
        (
            scene.states(StateFilter::Open),
            scene.states(StateFilter::Allowed)
        ),
        (1, 0)
    );
    let again = scene.run(scene.observer.allow_remove(entry.id, actor()));
    assert!(matches!(again, Err(AlertError::Unknown { .. })));
    assert_eq!(
        scene.history(),
        ["beacon-detected", "beacon-allowed", "beacon-reopened"]
    );
}

#[test]
fn an_entry_for_a_clients_fingerprint_allows_what_was_found_of_that_client_and_of_no_other() {
    const JA4: &str = "t13d1516h2_8daaf6152771_b186095e22b6";
    let mut scene = Scene::new();
    scene.beats(1, 40, |it| it.client_fingerprint = Some(Arc::from(JA4)));
    scene.analyse();
    let preview = |change: &dyn Fn(&mut AllowConfig)| {
        let preview = scene.observer.allow_preview(allow(change));
        let (_, effect) = scene.run(preview).unwrap();
        (effect.series, effect.findings, effect.alerts.len())
    };
    let client = |text: &'static str| {
        move |it: &mut AllowConfig| it.client_fingerprint = Some(text.to_owned())
    };
    assert_eq!(preview(&client(JA4)), (1, 1, 1));
    assert_eq!(preview(&client("t13d1516h2_8daaf6152771_*")), (1, 1, 1));
    assert_eq!(preview(&client("t13d1516h1_*")), (0, 0, 0));
    let elsewhere = |it: &mut AllowConfig| {
        it.client_fingerprint = Some(JA4.to_owned());
        it.destination = Some("203.0.113.0/24".to_owned());
    };
    assert_eq!(preview(&elsewhere), (0, 0, 0));
    assert_eq!(
        scene.states(StateFilter::Open),
        1,
        "a dry run changes nothing"
    );
    let entry = allow(client(JA4));
    let (entry, effect) = scene.run(scene.observer.allow_add(entry, actor())).unwrap();
    assert_eq!((effect.findings, scene.states(StateFilter::Closed)), (1, 1));
    let allowed = scene.finding().allowed.clone();
    assert_eq!(allowed.map(|it| it.id), Some(entry.id.clone()));
    scene.crash();
    let views = scene.observer.allow_list().views(scene.now());
    assert_eq!(views[0].client_fingerprint.as_deref(), Some(JA4));
    scene.beats(1, 40, |it| it.client_fingerprint = Some(Arc::from(JA4)));
    assert_eq!(scene.analyse().documents, 0);
    scene
        .run(scene.observer.allow_remove(entry.id, actor()))
        .unwrap();
    assert_eq!(scene.states(StateFilter::Open), 1);
}

#[test]
fn a_finding_of_a_container_is_found_by_it_and_keeps_it_over_a_crash() {
    let of_container = |it: &mut Observation| {
        it.process = Some(Arc::new(Process {
            pid: 4711,
            ..Process::default()
        }));
        it.owner = Some(Arc::new(Owner {
            container_id: Some(Arc::from("3f4a5b6c7d8e")),
            pod_name: Some(Arc::from("web-x2x7k")),
            ..Owner::default()
        }));
    };
    let mut scene = Scene::new();
    scene.beats(1, 40, of_container);
    scene.analyse();
    let container = |finding: &Finding| {
        let details = serde_json::to_value(Alert::of(finding).details).unwrap();
        details["owner"]["container_id"].clone()
    };
    for text in ["3f4a5b6c7d8e", "web-x2"] {
        let query = AlertQuery {
            text: Some(text.to_owned()),
            ..AlertQuery::default()
        };
        assert_eq!(scene.found(&query).len(), 1, "{text}");
    }
    scene.crash();
    scene.analyse();
    assert_eq!(container(&scene.finding()), "3f4a5b6c7d8e");
    scene.beats(1, 40, of_container);
    scene.analyse();
    assert_eq!(container(&scene.finding()), "3f4a5b6c7d8e");
}

#[test]
fn an_entry_with_a_fingerprint_that_cannot_be_is_refused_by_name() {
    let scene = Scene::new();
    let entry = allow(|it| it.client_fingerprint = Some("t13*".to_owned()));
    let refused = scene.run(scene.observer.allow_preview(entry));
    let field = "client_fingerprint";
    assert!(matches!(refused, Err(AlertError::Invalid { field: found, .. }) if found == field));
}

#[test]
fn an_entry_that_expires_allows_no_longer_and_one_of_the_configuration_stays() {
    let mut config = Config::default();
    config.allow.push(allow(|it| it.port = Some(123)));
    let mut scene = Scene::with(config);
    scene.beats(1, 40, |_| {});
    scene.analyse();
    let end = crate::time_text::rfc3339(Timestamp::from_unix_nanos(
        scene.now().unix_nanos() + 600 * SECOND,
    ));
    let entry = allow(|it| {
        it.destination = Some("198.51.100.0/24".to_owned());
        it.expires = Some(end.clone());
    });
    scene
        .run(scene.observer.allow_add(entry.clone(), actor()))
        .unwrap();
    assert_eq!(scene.states(StateFilter::Open), 0);
    scene.forward(601);
    scene.analyse();
    assert_eq!(scene.states(StateFilter::Open), 1);
    let past = scene.run(scene.observer.allow_add(entry, actor()));
    assert!(matches!(
        past,
        Err(AlertError::Invalid {
            field: "expires",
            ..
        })
    ));
    let configured = scene.observer.allow_list().views(scene.now());
    let configured = configured.iter().find(|it| it.port == Some(123));
    let id = configured.unwrap().id.clone();
    let kept = scene.run(scene.observer.allow_remove(id, actor()));
    assert!(matches!(kept, Err(AlertError::Conflict(_))));
}

#[test]
fn own_traffic_is_scored_for_a_simulation_alone_and_its_finding_says_so() {
    let mut scene = Scene::new();
    let own = |it: &mut Observation| it.own = true;
    scene.beats(1, 40, own);
    assert_eq!(scene.analyse().detected, 0);
    let place = "198.51.100.2:443".parse().unwrap();
    scene
        .run(scene.observer.simulation_begin(place, 3600, actor()))
        .unwrap();
    scene.crash();
    scene.beats(2, 40, own);
    scene.beats(1, 40, own);
    assert_eq!(scene.analyse().detected, 1);
    let finding = scene.finding();
    assert!(finding.simulated);
    let alert = serde_json::to_value(Alert::of(&finding)).unwrap();
    assert_eq!(alert["tags"], serde_json::json!(["beaconing", "simulated"]));
    assert_eq!(alert["details"]["dst_ip"], "198.51.100.2");
    let endless = scene.run(scene.observer.simulation_begin(place, u64::MAX, actor()));
    assert!(matches!(
        endless,
        Err(AlertError::Invalid {
            field: "seconds",
            ..
        })
    ));
}

#[test]
fn filters_orders_and_pages_find_each_alert_once() {
    let mut scene = Scene::new();
    for place in 1..=7 {
        // Of one source they would be one beacon that rotates.
        scene.beats(place, 12, |it| it.key.source = [192, 0, 2, place].into());
    }
    scene.analyse();
    for sort in [Sort::Updated, Sort::Opened, Sort::Score, Sort::Severity] {
        for text in [None, Some("198.51.100".to_owned())] {
            let mut query = AlertQuery {
                sort,
                text,
                limit: 3,
                ..AlertQuery::default()
            };
            let mut seen = Vec::new();
            loop {
                let page = scene.observer.alerts().page(&query, scene.now());
                assert_eq!(page.total, 7);
                seen.extend(page.alerts.iter().map(|it| it.id));
                let Some(next) = page.next else { break };
                query.after = Some(next.to_string().parse().unwrap());
            }
            assert_eq!(seen.len(), 7);
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 7, "{sort:?}");
        }
    }
    let query = |change: fn(&mut AlertQuery)| {
        let mut query = AlertQuery::default();
        change(&mut query);
        scene.found(&query).len()
    };
    assert_eq!(query(|it| it.destination = "198.51.100.4".parse().ok()), 1);
    assert_eq!(
        query(|it| it.destination = "198.51.100.0/30".parse().ok()),
        3
    );
    assert_eq!(query(|it| it.source = "10.0.0.0/8".parse().ok()), 0);
    assert_eq!(query(|it| it.server_name = Some("UPDATES".to_owned())), 7);
    assert_eq!(query(|it| it.process = Some("updates".to_owned())), 0);
    assert_eq!(query(|it| it.simulated = Some(true)), 0);
    assert_eq!(query(|it| it.states = vec![StateFilter::Closed]), 0);
}

#[test]
fn a_series_is_shown_in_full_and_listed_without_the_scoring_thread() {
    let mut scene = Scene::new();
    scene.beats(1, 40, |it| {
        it.duration = Some(std::time::Duration::from_secs(7));
    });
    scene.beats(2, 3, |_| {});
    scene.run(scene.observer.status()).unwrap();
    let query = ConnectionQuery {
        limit: 1,
        ..ConnectionQuery::default()
    };
    let page = scene.observer.connections().page(&query);
    assert_eq!((page.total, page.series[0].1.count), (2, 40));
    assert_eq!(page.series[0].1.longest.as_secs(), 7);
    let query = ConnectionQuery {
        after: page.next,
        ..query
    };
    let rest = scene.observer.connections().page(&query);
    assert_eq!((rest.series[0].1.count, rest.next), (3, None));
    let id = page.series[0].0;
    let detail = scene.run(scene.observer.series(id)).unwrap().unwrap();
    assert_eq!((detail.times.len(), detail.assessment.count), (40, 40));
    let spectrum = beaconwatch_detector::seed::power_spectrum(&detail.times, 50);
    let pairs = spectrum.period_s.iter().zip(&spectrum.power);
    let strongest = pairs.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    assert!((55.0..65.0).contains(strongest.0), "{strongest:?}");
}

#[test]
fn news_of_alerts_comes_when_something_happens_and_not_with_every_beat() {
    let mut scene = Scene::new();
    let mut news = scene.observer.alerts().events();
    scene.beats(1, 40, |_| {});
    scene.analyse();
    assert_eq!(news.try_recv().unwrap().revision, 1);
    scene.beats(1, 1, |_| {});
    scene.analyse();
    assert!(news.try_recv().is_err());
    scene.act(Action::Unsuppress).unwrap();
    let value: Value = serde_json::to_value(Alert::of(&news.try_recv().unwrap())).unwrap();
    assert_eq!(value["suppressed_count"], 1);
}
