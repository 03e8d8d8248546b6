//! `beaconwatch setup`: Beaconwatch's objects in a store, and whether Splunk takes events.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use beaconwatch_integrations::store::Product;
use beaconwatch_setup::{
    Action, Authentication, Part, Report, SecretSource, Server, Settings, TlsConfig, hec,
    privileges,
};

use crate::arguments::{
    ElasticArguments, OpensearchArguments, SetupArguments, SetupCommand, SetupPart,
    SplunkArguments, StoreSetupArguments,
};
use crate::error::Error;
use crate::output::{json, text, to_stdout};
use crate::process;

/// Sets up a product.
pub(crate) fn run(arguments: &SetupArguments) -> Result<(), Error> {
    match &arguments.command {
        SetupCommand::Elastic(elastic) => run_elastic(elastic),
        SetupCommand::Opensearch(opensearch) => run_opensearch(opensearch),
        SetupCommand::Splunk(splunk) => run_splunk(splunk),
    }
}

fn run_elastic(arguments: &ElasticArguments) -> Result<(), Error> {
    let store = &arguments.store;
    if arguments.print_privileges {
        let all = privileges::all(store.namespace.as_deref());
        return Ok(to_stdout(|out| json::pretty(out, &all))?);
    }
    let key = arguments.api_key_file.clone();
    let authentication = key.map(|file| Authentication::ApiKey(SecretSource::File(file)));
    let authentication = authentication.or_else(|| password(store));
    let kibana = arguments.kibana_url.as_deref();
    let url = arguments.url.as_deref().unwrap_or_default();
    set_up(
        store,
        Product::Elasticsearch,
        [Some(url), kibana],
        authentication.as_ref(),
    )
}

fn run_opensearch(arguments: &OpensearchArguments) -> Result<(), Error> {
    let store = &arguments.store;
    let urls = [
        Some(arguments.url.as_str()),
        arguments.dashboards_url.as_deref(),
    ];
    let authentication = password(store);
    set_up(store, Product::OpenSearch, urls, authentication.as_ref())
}

fn password(arguments: &StoreSetupArguments) -> Option<Authentication> {
    Some(Authentication::Basic {
        user: arguments.user.clone()?,
        password: SecretSource::File(arguments.password_file.clone()?),
    })
}

fn tls(ca_file: Option<&PathBuf>) -> TlsConfig {
    TlsConfig {
        ca_file: ca_file.cloned(),
        ..TlsConfig::default()
    }
}

fn set_up(
    arguments: &StoreSetupArguments,
    product: Product,
    [store, dashboards]: [Option<&str>; 2],
    authentication: Option<&Authentication>,
) -> Result<(), Error> {
    let server = |url: &str| Server {
        url: url.to_owned(),
        authentication: authentication.cloned(),
        tls: tls(arguments.ca_file.as_ref()),
    };
    let settings = Settings {
        product,
        store: server(store.unwrap_or_default()),
        dashboards: dashboards.map(server),
        namespace: arguments.namespace.clone(),
        without: arguments.without.iter().copied().map(part).collect(),
        journal: journal(arguments.journal.as_deref(), product),
        force: arguments.force,
    };
    let runtime = process::multi_threaded()?;
    let dry_run = arguments.dry_run;
    let report = if arguments.remove {
        runtime.block_on(beaconwatch_setup::remove(&settings, dry_run))?
    } else {
        runtime.block_on(beaconwatch_setup::install(&settings, dry_run))?
    };
    told(arguments, &report, &settings.journal)
}

/// Prints the report; an error when something was refused, or would be changed and that was asked.
fn told(arguments: &StoreSetupArguments, report: &Report, journal: &Path) -> Result<(), Error> {
    to_stdout(|out| {
        if arguments.json {
            return json::pretty(out, report);
        }
        print(out, report, journal)
    })?;
    let failed = report.failed().count();
    if failed > 0 {
        return Err(Error::SetupPartly(failed));
    }
    if arguments.exit_code && report.has_changes() {
        return Err(Error::WouldChange);
    }
    Ok(())
}

const fn part(part: SetupPart) -> Part {
    match part {
        SetupPart::Pipelines => Part::Pipelines,
        SetupPart::Lifecycle => Part::Lifecycle,
        SetupPart::Transforms => Part::Transforms,
        SetupPart::Dashboards => Part::Dashboards,
        SetupPart::Rules => Part::Rules,
    }
}

fn journal(given: Option<&Path>, product: Product) -> PathBuf {
    let default = match product {
        Product::Elasticsearch => "beaconwatch-setup-elastic.json",
        Product::OpenSearch => "beaconwatch-setup-opensearch.json",
    };
    given.map_or_else(|| PathBuf::from(default), Path::to_owned)
}

fn print(out: &mut dyn Write, report: &Report, journal: &Path) -> io::Result<()> {
    for server in &report.servers {
        writeln!(out, "{}", text::harmless(server))?;
    }
    for step in &report.steps {
        if matches!(step.action, Action::LeftOut(_)) {
            continue;
        }
        let (done, why) = action(&step.action, report.dry_run);
        let name = text::harmless(&step.name);
        write!(out, "{done:<16} {:<18} {name}", step.kind.name())?;
        match why {
            Some(why) => writeln!(out, ": {}", text::harmless(why))?,
            None => writeln!(out)?,
        }
    }
    print_left_out(out, report)?;
    for note in &report.notes {
        writeln!(out, "{}", text::harmless(note))?;
    }
    let changed = report.steps.iter().filter(|it| it.action.is_change());
    let changed = text::counted(changed.count() as u64, "object", "objects");
    if report.dry_run {
        writeln!(out, "{changed} would be changed; nothing was.")
    } else if report.has_changes() {
        writeln!(
            out,
            "{changed} changed; the journal is {}.",
            journal.display()
        )
    } else {
        writeln!(out, "Nothing was changed.")
    }
}

/// What was left out, in one line for each kind: there are many of a kind, and the reason is the same.
fn print_left_out(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut kinds: Vec<(&str, &str, u64)> = Vec::new();
    for step in &report.steps {
        let Action::LeftOut(why) = &step.action else {
            continue;
        };
        let kind = step.kind.name();
        match kinds.iter_mut().find(|it| it.0 == kind && it.1 == why) {
            Some(known) => known.2 += 1,
            None => kinds.push((kind, why, 1)),
        }
    }
    for (kind, why, count) in kinds {
        let why = text::harmless(why);
        writeln!(out, "{:<16} {kind:<18} {count} of them: {why}", "left out")?;
    }
    Ok(())
}

fn action(action: &Action, dry_run: bool) -> (&'static str, Option<&str>) {
    match (action, dry_run) {
        (Action::Created, false) => ("created", None),
        (Action::Created, true) => ("would create", None),
        (Action::Updated, false) => ("updated", None),
        (Action::Updated, true) => ("would update", None),
        (Action::Unchanged, _) => ("unchanged", None),
        (Action::Removed, false) => ("removed", None),
        (Action::Removed, true) => ("would remove", None),
        (Action::Restored, false) => ("restored", None),
        (Action::Restored, true) => ("would restore", None),
        (Action::LeftOut(why), _) => ("left out", Some(why)),
        (Action::Kept(why), _) => ("kept", Some(why)),
        (Action::Failed(why), _) => ("REFUSED", Some(why)),
    }
}

fn run_splunk(arguments: &SplunkArguments) -> Result<(), Error> {
    let collector = hec::Collector {
        server: Server {
            url: arguments.url.clone(),
            authentication: None,
            tls: tls(arguments.ca_file.as_ref()),
        },
        token: SecretSource::File(arguments.token_file.clone()),
        index: arguments.index.clone(),
    };
    let runtime = process::multi_threaded()?;
    let checks = runtime.block_on(hec::check(&collector))?;
    let is_good = checks.iter().all(|check| check.is_good);
    to_stdout(|out| {
        if arguments.json {
            return json::pretty(out, &checks);
        }
        print_checks(out, &checks)
    })?;
    if is_good {
        Ok(())
    } else {
        Err(Error::Collector)
    }
}

fn print_checks(out: &mut dyn Write, checks: &[hec::Check]) -> io::Result<()> {
    for check in checks {
        let result = if check.is_good { "good" } else { "BAD" };
        writeln!(
            out,
            "{result:<5} {:<16} {}",
            check.name,
            text::harmless(&check.said)
        )?;
        if let Some(advice) = check.advice {
            writeln!(out, "      {advice}")?;
        }
    }
    if checks.iter().all(|check| check.is_good) {
        writeln!(
            out,
            "Splunk takes events. The event has source type beaconwatch:test. What is left to do by hand: install the app \
             (integrations/splunk) on the search heads, and add a destination of type splunk_hec with this address, token and \
             index to the sidecar."
        )?;
    }
    Ok(())
}
