//! [`Screen`]: the terminal while the interface has it.
//!
//! It is given back as it was when the value is dropped and when the program panics, before the panic is
//! told of. Keys are read by a thread of their own, which ends with the value; when the terminal is gone, reading
//! may never return, and the thread ends with the process.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc::Sender;

use super::view::Message;

/// The thread that reads keys looks so often whether it should end.
const KEY_PATIENCE: Duration = Duration::from_millis(100);
/// So many times that patience the thread gets to end.
const LOOKS: u32 = 10;

/// The terminal.
pub(super) struct Screen {
    /// Never dropped: it would tell standard error that it cannot show the cursor of a terminal that is gone, and
    /// panic because that is gone, too. [`give_back`] shows the cursor.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    stop: Arc<AtomicBool>,
    keys: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal; keys go to `sender`.
    pub(super) fn enter(sender: Sender<Message>) -> io::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            previous(panic);
        }));
        enable_raw_mode()?;
        let stop = Arc::new(AtomicBool::new(false));
        let begun = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = match begun {
            Ok(terminal) => terminal,
            Err(error) => {
                give_back();
                return Err(error);
            }
        };
        let stopped = Arc::clone(&stop);
        let keys = std::thread::spawn(move || read_keys(&sender, &stopped));
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
            stop,
            keys: Some(keys),
        })
    }

    /// Shows a frame.
    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(frame).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(keys) = self.keys.take() {
            // Of a terminal that is gone crossterm reads nothing for ever, without a look at its patience.
            let mut looks = 0..LOOKS;
            while !keys.is_finished() && looks.next().is_some() {
                std::thread::park_timeout(KEY_PATIENCE);
            }
        }
        give_back();
    }
}

/// The terminal as it was. What cannot be written any more is nobody's terminal any more.
fn give_back() {
    drop(disable_raw_mode());
    drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
}

fn read_keys(sender: &Sender<Message>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let message = match event::poll(KEY_PATIENCE) {
            Ok(false) => continue,
            Ok(true) => match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
                Ok(Event::Resize(..)) => Message::Resized,
                Ok(_) => continue,
                Err(error) => Message::NoKeys(error.to_string()),
            },
            Err(error) => Message::NoKeys(error.to_string()),
        };
        let last = matches!(message, Message::NoKeys(_));
        // When nobody waits for keys any more, or none can be read, there is no more to do.
        if !offer(sender, message, stop) || last {
            return;
        }
    }
}

/// Waits for room as long as the interface lives. False when nobody takes messages any more.
fn offer(sender: &Sender<Message>, message: Message, stop: &AtomicBool) -> bool {
    use tokio::sync::mpsc::error::TrySendError;
    let mut message = message;
    loop {
        message = match sender.try_send(message) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(message)) => message,
        };
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::park_timeout(KEY_PATIENCE);
    }
}
