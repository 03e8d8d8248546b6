//! What is known beside the flows of files: lists and a catalogue from the configuration and the command line, and
//! who talks to whom in the files themselves.

use std::io::{self, Write as _};
use std::sync::Arc;

use beaconwatch_detector::context::Prevalence;
use beaconwatch_detector::{Context, Observation, Timestamp};
use beaconwatch_sidecar::{ContextConfig, ListConfig, OpenedContext};

use crate::arguments::ContextArguments;
use crate::error::Error;
use crate::output::text;

/// Files are counted alone and once: no outsider can learn the seed in time.
const SEED: u64 = 0;

/// What is known before the files are read.
pub(crate) struct Known {
    context: Context,
    /// 0 when nobody counts.
    prevalence_keys: usize,
}

impl Known {
    /// Reads what configuration and command line name; says on standard error which lines do not count.
    pub(crate) fn open(
        config: &ContextConfig,
        arguments: &ContextArguments,
    ) -> Result<Self, Error> {
        if arguments.timing_only {
            return Ok(Self {
                context: Context::timing_only(),
                prevalence_keys: 0,
            });
        }
        let mut config = config.clone();
        if arguments.catalogue.is_some() {
            config.catalogue.clone_from(&arguments.catalogue);
        }
        for path in &arguments.intelligence {
            let name = path.file_name().unwrap_or(path.as_os_str());
            let name = name.to_string_lossy().into_owned();
            config
                .intelligence
                .insert(name, ListConfig::of(path.clone()));
        }
        let opened = config.open(now())?;
        report(&opened)?;
        Ok(Self {
            context: opened.context,
            prevalence_keys: config.max_prevalence_keys,
        })
    }

    /// With who talks to whom in these observations.
    pub(super) fn with(&self, observations: &[Observation]) -> Context {
        if self.prevalence_keys == 0 {
            return self.context.clone();
        }
        let mut prevalence = Prevalence::new(self.prevalence_keys, SEED);
        for observation in observations {
            prevalence.observe(observation);
        }
        self.context.clone().with_prevalence(Arc::new(prevalence))
    }
}

/// The time of this machine.
pub(super) fn now() -> Timestamp {
    let now = jiff::Timestamp::now().as_nanosecond();
    Timestamp::from_unix_nanos(i64::try_from(now).unwrap_or(i64::MAX))
}

fn report(opened: &OpenedContext) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for (list, report) in &opened.reports {
        for error in &report.errors {
            writeln!(
                out,
                "{}: {}",
                text::harmless(list),
                text::harmless(&error.to_string())
            )?;
        }
        let skipped: u64 = report.skipped.values().sum();
        if skipped > 0 {
            writeln!(
                out,
                "{}: {} of {} do not count",
                text::harmless(list),
                text::thousands(skipped),
                text::counted(skipped + report.accepted, "indicator", "indicators"),
            )?;
        }
    }
    Ok(())
}
