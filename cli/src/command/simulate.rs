//! `beaconwatch simulate`: a harmless beacon, to prove the whole chain from the connection to the document
//! at every destination.
//!
//! The program connects to a listener of its own and sends a few bytes to it. The instance is told before,
//! so that it scores these connections although they are Beaconwatch's own, and marks what it finds as
//! simulated. Then each step of the chain is looked for and shown, with what is missing and why.

mod chain;
mod plan;
mod traffic;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::SimulateArguments;
use crate::client::{Client, Query, state_folder};
use crate::error::Error;
use crate::output::text;
use crate::output::{self, json as json_text};
use chain::{Chain, Place};
use plan::{Plan, Scoring};
use traffic::Traffic;

/// Pause between two looks at what the instance knows.
const LOOK: Duration = Duration::from_secs(1);
/// Without a terminal a line of progress is printed so often.
const PLAIN_PROGRESS: Duration = Duration::from_secs(30);

/// Makes the beacon, waits, and shows the chain.
pub(crate) fn run(arguments: &SimulateArguments, config: Option<&Path>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(&arguments.instance, &state_folder(config))?;
    let chain = runtime.block_on(simulate(arguments, &client))?;
    let file = arguments.print.file();
    output::to(file, |out, _style| {
        if arguments.print.json {
            json_text::pretty(out, &chain.as_json())
        } else {
            chain.print(out)
        }
    })?;
    if chain.is_whole() {
        return Ok(());
    }
    Err(Error::Chain)
}

async fn simulate(arguments: &SimulateArguments, client: &Client) -> Result<Chain, Error> {
    let scoring = scoring(client).await?;
    let plan = Plan::of(arguments, &scoring).map_err(Error::Plan)?;
    let traffic = Traffic::listen(arguments.address).await?;
    let place = Place(traffic.address());
    let for_s =
        plan.duration_s().ceil() + f64::from(u32::try_from(arguments.wait).unwrap_or(u32::MAX));
    let body = json!({
        "destination": place.0.ip(),
        "port": place.0.port(),
        "for_s": plan::whole_seconds(for_s),
    });
    client.post("/api/v1/simulation", &body).await?;
    let mut progress = Progress::new(arguments.print.json);
    progress.say(&plan.sentence(place.0))?;

    let mut chain = Chain::new(place, plan.count, scoring.alert_threshold());
    let beacon = traffic.beacon(&plan, chain.made_counter());
    tokio::pin!(beacon);
    let begun = Instant::now();
    // While the beacon goes on, the instance may have found it already: then there is no need for more.
    loop {
        tokio::select! {
            made = &mut beacon => {
                made?;
                break;
            }
            () = tokio::time::sleep(LOOK) => {
                chain.look(client).await?;
                progress.show(&chain, plan.duration_s() - begun.elapsed().as_secs_f64())?;
            }
        }
        if chain.is_settled() {
            break;
        }
    }
    let patience = Duration::from_secs(arguments.wait);
    wait(&mut chain, client, &mut progress, patience).await?;
    progress.end()?;
    Ok(chain)
}

async fn scoring(client: &Client) -> Result<Scoring, Error> {
    let nothing = Query::new();
    match client.get("/api/v1/config", &nothing).await {
        Ok(config) => {
            let status = client.get("/api/v1/status", &nothing).await?;
            Ok(Scoring::of(&config, &status))
        }
        // An older instance has the defaults, as far as anybody knows.
        Err(error) if error.status() == Some(404) => Ok(Scoring::default()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until nothing is missing any more, at most so long.
async fn wait(
    chain: &mut Chain,
    client: &Client,
    progress: &mut Progress,
    patience: Duration,
) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        chain.look(client).await?;
        let left = patience.saturating_sub(begun.elapsed());
        if chain.is_settled() || left.is_zero() {
            return chain.explain(client).await;
        }
        chain.ask_for_analysis(client).await;
        progress.show(chain, left.as_secs_f64())?;
        tokio::time::sleep(LOOK.min(left)).await;
    }
}

/// Where the simulation stands, on standard error: standard output has the result alone.
struct Progress {
    terminal: bool,
    silent: bool,
    open_line: bool,
    last: Option<Instant>,
}

impl Progress {
    fn new(silent: bool) -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            silent,
            open_line: false,
            last: None,
        }
    }

    fn say(&mut self, sentence: &str) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        self.last = Some(Instant::now());
        writeln!(io::stderr(), "{sentence}")
    }

    fn show(&mut self, chain: &Chain, left_s: f64) -> io::Result<()> {
        let line = format!(
            "{}; {} left",
            chain.sentence(),
            text::duration(left_s.max(0.0).ceil())
        );
        if self.silent {
            return Ok(());
        }
        if self.terminal {
            self.open_line = true;
            let line: String = line.chars().take(79).collect();
            return write!(io::stderr(), "\r\x1b[K{line}");
        }
        match self.last {
            Some(last) if last.elapsed() < PLAIN_PROGRESS => Ok(()),
            _ => self.say(&line),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open_line) {
            write!(io::stderr(), "\r\x1b[K")?;
        }
        Ok(())
    }
}
