//! A pseudo-terminal with a program in it: what it shows, what is typed (`tests/programs/terminal.py`).

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::wait::wait_for;
use crate::{cache, python, tools};

/// Python packages that work out what a terminal shows.
const PACKAGES: [&str; 2] = ["pyte==0.8.2", "wcwidth==0.2.13"];

/// A program in a terminal; it is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    driver: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a terminal shows.
#[derive(Clone, Debug, Deserialize)]
pub struct Shown {
    /// Its lines.
    pub screen: Vec<String>,
    /// Exit code of the program, negative for a signal, when it has ended.
    pub status: Option<i32>,
    /// Whether the alternate screen is shown.
    pub alternate: bool,
    /// Whether the cursor is shown.
    pub cursor: bool,
    /// Whether the terminal's settings are those from before the program.
    pub as_before: bool,
}

impl Shown {
    /// All lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.screen.join("\n")
    }
}

impl Terminal {
    /// Starts `command` (its program, arguments and changes of the environment) in a terminal.
    pub fn start(columns: u16, lines: u16, command: &Command) -> Result<Self> {
        let mut python = python::command("terminal.py")?;
        python.args([columns.to_string(), lines.to_string()]);
        python.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => python.env(name, value),
                None => python.env_remove(name),
            };
        }
        python.env("PYTHONPATH", packages()?);
        let mut driver = python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the terminal")?;
        let commands = driver.stdin.take().context("the terminal takes nothing")?;
        let answers = driver.stdout.take().context("the terminal says nothing")?;
        Ok(Self {
            driver,
            commands,
            answers: BufReader::new(answers),
        })
    }

    /// Types `text`, as keys send it.
    pub fn send(&mut self, text: &str) -> Result<Shown> {
        self.ask(&json!({ "type": text }))
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, lines: u16) -> Result<Shown> {
        self.ask(&json!({"resize": [columns, lines]}))
    }

    /// Sends a signal to the program.
    pub fn signal(&mut self, number: i32) -> Result<Shown> {
        self.ask(&json!({ "signal": number }))
    }

    /// Takes the terminal away, as a lost connection does. Nothing is shown from then on.
    pub fn hang_up(&mut self) -> Result<Shown> {
        self.ask(&json!({"hang_up": true}))
    }

    /// What is shown now.
    pub fn look(&mut self) -> Result<Shown> {
        self.ask(&json!({}))
    }

    /// Waits until all of `words` are shown.
    pub fn wait_for(&mut self, words: &[&str], deadline: Duration) -> Result<Shown> {
        self.wait_until(&format!("{words:?} on the screen"), deadline, |shown| {
            let text = shown.text();
            words.iter().all(|word| text.contains(word))
        })
    }

    /// Waits until the program has ended.
    pub fn wait_for_end(&mut self, deadline: Duration) -> Result<Shown> {
        self.wait_until("the program's end", deadline, |shown| {
            shown.status.is_some()
        })
    }

    /// Waits until `fits` holds for what is shown.
    pub fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        fits: impl Fn(&Shown) -> bool,
    ) -> Result<Shown> {
        let waited = wait_for(what, deadline, || {
            let shown = self.look()?;
            Ok(fits(&shown).then_some(shown))
        });
        waited.with_context(|| match self.look() {
            Ok(shown) => format!("the terminal shows\n{}", shown.text()),
            Err(error) => format!("the terminal is gone: {error}"),
        })
    }

    fn ask(&mut self, command: &Value) -> Result<Shown> {
        writeln!(self.commands, "{command}").context("telling the terminal")?;
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        if read.context("hearing the terminal")? == 0 {
            bail!("the terminal ended");
        }
        serde_json::from_str(&answer).with_context(|| format!("reading {answer}"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The driver kills the program when it hears no more; already ended is fine.
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// The folder with the Python packages.
fn packages() -> Result<PathBuf> {
    cache::entry("pyte", &PACKAGES.join(" "), |folder| {
        let log = folder.join("install.log");
        let python = tools::python()?;
        let has_pip = Command::new(&python)
            .args(["-m", "pip", "--version"])
            .output();
        if !has_pip.is_ok_and(|it| it.status.success()) {
            tools::apt_install(&["python3-pip"])?;
        }
        let mut install = Command::new(&python);
        install
            .args(["-m", "pip", "install", "--no-deps", "--target"])
            .arg(folder);
        tools::run(install.args(PACKAGES), &log)
    })
}
