//! Observations in, assessments out.

use std::time::Duration;

use crate::method::{Look, Method, Workspace};
use crate::owners::Owners;
use crate::series::{Keep, MAX_NAME_BYTES};
use crate::settings::{Profile, Settings, SettingsError};
use crate::state::{RestoreError, SeriesChange, SeriesState};
use crate::table::SeriesTable;
use crate::views::Round;
use crate::{AllowFacts, Assessment, Context, Observation, SeriesKey, Side, Timestamp};

/// What became of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of its series now.
    Counted,
    /// It changed nothing but a counter.
    Ignored(Ignored),
}

/// Why an observation was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ignored {
    /// Traffic of Beaconwatch itself.
    Own,
    /// Seen at the end that answered: the client's end tells of the same connection.
    ServerSide,
    /// Further in the future than the setting `max_clock_skew_s`.
    Future,
    /// Older than the setting `max_lateness_s`.
    Late,
    /// The name of the host or of the network namespace is longer than 4096 bytes.
    KeyTooLong,
}

/// What a detector has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Series kept now.
    pub series: u64,
    /// Observations that became part of a series.
    pub observations: u64,
    /// Of these, connection starts that were older than the newest of their series.
    pub out_of_order: u64,
    /// Ignored: traffic of Beaconwatch itself.
    pub ignored_own: u64,
    /// Ignored: seen at the end that answered.
    pub ignored_server_side: u64,
    /// Ignored: too far in the future.
    pub ignored_future: u64,
    /// Ignored: too old.
    pub ignored_late: u64,
    /// Ignored: names in the key that are too long.
    pub ignored_key_too_long: u64,
    /// Series that went because there was no room.
    pub evicted: u64,
}

/// Keeps the series and scores them.
///
/// # Times
/// Each method that needs the time takes it as `now`. For live data it is the time of the call. For data
/// from files it is the end of the data (or any time after it that is not further than `max_lateness_s`
/// from the oldest record): then nothing is too late, and the order of the records does not matter.
///
/// # Order
/// Observations may come in any order; the assessment of a series depends on which observations came, as
/// long as none was ignored as late or future and none of its series' state was evicted.
///
/// # Memory
/// At most `max_series` series, each of at most `max_starts_per_series` starts. When there is no room,
/// the series goes that is least suspicious and silent for longest (each doubling of silence costs what a
/// doubling of connections earns); [`Self::counters`] counts it and [`Self::take_changes`] tells of it.
#[derive(Debug)]
pub struct Detector {
    settings: Settings,
    max_lateness_ns: i128,
    max_clock_skew_ns: i128,
    table: SeriesTable,
    owners: Owners,
    method: Method,
    workspace: Workspace,
    counters: Counters,
    showing: bool,
}

/// One series without its score: what a list of connections shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesSummary {
    /// The series.
    pub key: SeriesKey,
    /// Connections started.
    pub count: u64,
    /// First connection start.
    pub first_seen: Timestamp,
    /// Last connection start.
    pub last_seen: Timestamp,
    /// Longest connection that has ended.
    pub longest: Duration,
}

impl Detector {
    /// A detector without any series.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            max_lateness_ns: nanos(settings.max_lateness_s),
            max_clock_skew_ns: nanos(settings.max_clock_skew_s),
            table: SeriesTable::new(settings.max_series),
            owners: Owners::default(),
            method: Method::new(&settings),
            workspace: Workspace::default(),
            counters: Counters::default(),
            showing: false,
            settings,
        })
    }

    /// The settings it works with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes other settings: every series waits to be analysed again. The bounds of its memory stay those
    /// that it was made with (`max_series`, `max_starts_per_series`), whatever is given. After an error
    /// nothing has changed.
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), SettingsError> {
        let settings = Settings {
            max_series: self.settings.max_series,
            max_starts_per_series: self.settings.max_starts_per_series,
            ..settings
        };
        settings.validate()?;
        if settings == self.settings {
            return Ok(());
        }
        self.max_lateness_ns = nanos(settings.max_lateness_s);
        self.max_clock_skew_ns = nanos(settings.max_clock_skew_s);
        self.method = Method::new(&settings);
        self.settings = settings;
        self.table.mark_all_to_analyse();
        Ok(())
    }

    /// Every series waits to be analysed again: what is known beside their times has changed.
    pub fn look_at_all_again(&mut self) {
        self.table.mark_all_to_analyse();
    }

    /// Takes one observation. Costs constant time on average; allocates when state grows.
    pub fn observe(&mut self, now: Timestamp, observation: &Observation) -> Outcome {
        if let Some(reason) = self.reason_to_ignore(now, observation) {
            *self.ignored_counter(reason) += 1;
            return Outcome::Ignored(reason);
        }
        let slot = self.table.find_or_insert(&observation.key);
        if let Some(series) = self.table.get_mut(slot) {
            let testable = series.is_testable();
            let keep = Keep {
                most: self.settings.max_starts_per_series,
                // The seed's score looks at every interval, within bursts as well.
                beats: self.settings.profile == Profile::Evidence,
            };
            let effect = series.observe(observation, keep);
            if effect.new_actor {
                series.share_owner(&mut self.owners);
            }
            if !testable && series.is_testable() {
                self.table.note_testable();
            }
            self.counters.out_of_order += u64::from(effect.out_of_order);
            self.table.note_latest(observation.time);
            if self.showing && effect.changed {
                self.table.mark_to_show(slot);
            }
            // Activity alone is kept in mind for eviction, but is nothing to analyse or store.
            if effect.changed {
                self.table.mark_to_analyse(slot);
                self.table.mark_to_store(slot);
            }
        }
        self.counters.observations += 1;
        Outcome::Counted
    }

    /// Assesses the series that changed since the last call, in the order in which they changed; then those of
    /// which a view changed because of them.
    pub fn analyse(&mut self, now: Timestamp, context: &Context) -> Vec<Assessment> {
        let slots = self.table.take_to_analyse();
        let look = self.look(now, context);
        let mut round = Round {
            table: &self.table,
            method: &self.method,
            look,
            workspace: &mut self.workspace,
        };
        let found = round.of_changed(&slots);
        let mut assessments = Vec::with_capacity(found.len());
        for told in found {
            self.table.set_in_view(told.slot, told.in_view);
            if self.table.set_score(told.slot, told.assessment.score) {
                self.table.mark_to_store(told.slot);
            }
            if let Some(series) = self.table.get_mut(told.slot) {
                series.weight = Some(told.weight);
            }
            assessments.push(told.assessment);
        }
        assessments
    }

    /// Assesses one series; `None` when it is not known or no connection start of it is.
    #[must_use]
    pub fn assess(&self, key: &SeriesKey, now: Timestamp, context: &Context) -> Option<Assessment> {
        let slot = self.table.find(key)?;
        self.round(now, context, &mut Workspace::default())
            .in_its_view(slot)
    }

    /// Assesses every series with a connection start, also those that a gate stops (their score is 0).
    pub fn assess_all(
        &self,
        now: Timestamp,
        context: &Context,
    ) -> impl Iterator<Item = Assessment> {
        let mut workspace = Workspace::default();
        let sources = self.table.all_sources().into_iter();
        sources.flat_map(move |head| self.round(now, context, &mut workspace).of_source(head))
    }

    /// What changed since the last call: states to store, and keys to forget.
    ///
    /// A detector whose changes nobody takes remembers no evicted keys.
    pub fn take_changes(&mut self) -> Vec<SeriesChange> {
        let removed = self.table.take_removed().into_iter();
        let mut changes: Vec<_> = removed
            .map(|key| SeriesChange { key, state: None })
            .collect();
        for slot in self.table.take_to_store() {
            if let Some(series) = self.table.get(slot) {
                let state = SeriesState::of(series, self.table.is_to_analyse(slot));
                changes.push(SeriesChange {
                    key: series.key.clone(),
                    state: Some(state),
                });
            }
        }
        changes
    }

    /// Shows every series as an allow-list sees it, without assessing it.
    pub fn for_each_series(&self, mut look: impl FnMut(AllowFacts<'_>)) {
        for series in self.table.iter() {
            look(AllowFacts {
                key: &series.key,
                server_name: series.server_name.value.as_deref(),
                process: series.process().map(|it| &**it),
                client_fingerprint: series.last_fingerprint().map(|it| &**it),
            });
        }
    }

    /// Remembers from now on which series changed, for [`Self::take_summaries`].
    pub fn keep_summaries(&mut self) {
        self.showing = true;
    }

    /// Series with a connection start that changed since the last call, and keys of those that are gone.
    /// Nothing unless [`Self::keep_summaries`] was called before.
    pub fn take_summaries(&mut self) -> (Vec<SeriesSummary>, Vec<SeriesKey>) {
        let hidden = self.table.take_hidden();
        let slots = self.table.take_to_show();
        let shown = slots.into_iter().filter_map(|slot| {
            let series = self.table.get(slot)?;
            Some(SeriesSummary {
                key: series.key.clone(),
                count: series.count,
                first_seen: series.first_seen,
                last_seen: series.last_seen()?,
                longest: Duration::from_nanos(series.longest_ns),
            })
        });
        (shown.collect(), hidden)
    }

    /// Makes room for so many series, as far as the settings allow them: before many are restored.
    pub fn reserve(&mut self, series: usize) {
        self.table.reserve(series);
    }

    /// Takes a series back as [`Self::take_changes`] gave it. A series that waited to be analysed waits
    /// again. When there is no room, the series goes that matters least, as in [`Self::observe`].
    pub fn restore(&mut self, key: SeriesKey, state: SeriesState) -> Result<(), RestoreError> {
        if self.table.find(&key).is_some() {
            return Err(RestoreError::Exists(Box::new(key)));
        }
        let (series, to_analyse) = state.into_series(key, self.settings.max_starts_per_series)?;
        self.table.note_latest(series.last_activity);
        let slot = self.table.insert(series);
        if self.showing {
            self.table.mark_to_show(slot);
        }
        if to_analyse {
            self.table.mark_to_analyse(slot);
        }
        Ok(())
    }

    /// What this detector has seen.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            series: u64::try_from(self.table.len()).unwrap_or(u64::MAX),
            evicted: self.table.evicted(),
            ..self.counters
        }
    }

    /// Series that can be tested, and sources, whose views can be: so many tests share the permitted false alerts.
    #[must_use]
    pub fn tests(&self) -> u64 {
        self.table.testable() + self.table.sources()
    }

    /// Kept connection starts of one series, ascending; `None` when it is not known.
    #[must_use]
    pub fn times(&self, key: &SeriesKey) -> Option<Vec<Timestamp>> {
        let series = self.table.get(self.table.find(key)?)?;
        Some(series.starts.iter().copied().collect())
    }

    fn look<'a>(&self, now: Timestamp, context: &'a Context) -> Look<'a> {
        Look {
            now,
            context,
            testable: self.tests(),
        }
    }

    fn round<'a>(
        &'a self,
        now: Timestamp,
        context: &'a Context,
        workspace: &'a mut Workspace,
    ) -> Round<'a> {
        Round {
            table: &self.table,
            method: &self.method,
            look: self.look(now, context),
            workspace,
        }
    }

    fn reason_to_ignore(&self, now: Timestamp, observation: &Observation) -> Option<Ignored> {
        let ahead = i128::from(observation.time.unix_nanos()) - i128::from(now.unix_nanos());
        if observation.own {
            Some(Ignored::Own)
        } else if observation.side == Side::Server {
            Some(Ignored::ServerSide)
        } else if ahead > self.max_clock_skew_ns {
            Some(Ignored::Future)
        } else if ahead < -self.max_lateness_ns {
            Some(Ignored::Late)
        } else {
            let key = &observation.key;
            let too_long = key.host.len().max(key.namespace.len()) > MAX_NAME_BYTES;
            too_long.then_some(Ignored::KeyTooLong)
        }
    }

    fn ignored_counter(&mut self, reason: Ignored) -> &mut u64 {
        let counters = &mut self.counters;
        match reason {
            Ignored::Own => &mut counters.ignored_own,
            Ignored::ServerSide => &mut counters.ignored_server_side,
            Ignored::Future => &mut counters.ignored_future,
            Ignored::Late => &mut counters.ignored_late,
            Ignored::KeyTooLong => &mut counters.ignored_key_too_long,
        }
    }
}

/// Seconds of a setting, checked to be at most 2e10, as nanoseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "2e19 is far within the range of i128"
)]
fn nanos(seconds: f64) -> i128 {
    (seconds * 1e9) as i128
}

#[cfg(test)]
mod tests;
