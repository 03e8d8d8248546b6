//! `beaconwatch watch`: a live view of findings and scored series in the terminal.
//!
//! | module | what |
//! |---|---|
//! | [`view`] | the state: messages in, requests out; no input or output of its own |
//! | [`row`] | what a line of the table needs of a finding or a series |
//! | [`draw`], [`detail`], [`plot`] | the state as a frame |
//! | [`feed`] | asks the instance, and hears its events |
//! | [`screen`] | the terminal, given back as it was whatever happens |

mod detail;
mod draw;
mod feed;
mod plot;
mod row;
mod screen;
mod sort;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::WatchArguments;
use crate::client::{Client, Query, state_folder};
use crate::error::Error;
use crate::output::answer::{items, real};
use crate::output::{json, to_stdout};
use feed::Feed;
use screen::Screen;
use view::{Message, Request, View};

/// Ages are written anew so often.
const TICK: Duration = Duration::from_secs(1);
/// Messages that wait to be shown.
const WAITING_MAX: usize = 1024;

/// Shows what an instance finds until it is told to stop.
pub(crate) fn run(arguments: &WatchArguments, config: Option<&Path>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(&arguments.instance, &state_folder(config))?;
    if arguments.json {
        return runtime.block_on(print_changes(arguments, client));
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Error::NoTerminal);
    }
    // Nobody should have to leave an empty screen to learn that there is no instance.
    runtime.block_on(client.get("/api/v1/status", &Query::new()))?;
    runtime.block_on(show(arguments, client))
}

async fn show(arguments: &WatchArguments, client: Client) -> Result<(), Error> {
    let (sender, mut messages) = mpsc::channel(WAITING_MAX);
    let mut view = View::new(client.base(), draw::Palette::of_environment());
    let (mut interrupt, mut terminate, mut hang_up) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    let mut screen = Screen::enter(sender.clone())?;
    let feed = Feed::start(client, arguments, sender);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.draw(|frame| draw::draw(&view, frame))?;
        let message = tokio::select! {
            message = messages.recv() => message,
            _ = ticks.tick() => Some(Message::Tick(Timestamp::now())),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            _ = hang_up.recv() => None,
        };
        let Some(message) = message else {
            return Ok(());
        };
        let mut requests = view.take(message);
        // What came together is drawn once.
        while let Ok(message) = messages.try_recv() {
            requests.extend(view.take(message));
        }
        for request in requests {
            match request {
                Request::Quit => return Ok(()),
                other => feed.ask(other),
            }
        }
    }
}

/// Prints the findings that there are, then each change of one as it comes: a line of JSON each, for ever.
async fn print_changes(arguments: &WatchArguments, client: Client) -> Result<(), Error> {
    // Heard before they are listed: what changes meanwhile comes twice rather than never.
    let mut events = client.events(feed::EVENTS).await?;
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let limit = Some(arguments.limit);
    let known = client
        .list("/api/v1/alerts", &Query::new(), "alerts", limit)
        .await?;
    for alert in items(&known, "/alerts") {
        print_change(arguments, alert)?;
    }
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        if event.name == "alert" {
            print_change(
                arguments,
                &serde_json::from_str(&event.data).unwrap_or_default(),
            )?;
        }
    }
}

fn print_change(arguments: &WatchArguments, alert: &Value) -> Result<(), Error> {
    let score = real(alert, "/details/score");
    if score.unwrap_or_default() >= arguments.min_score.unwrap_or_default() {
        to_stdout(|out| json::line(out, alert))?;
    }
    Ok(())
}
