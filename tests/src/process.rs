//! Programs that a test runs, none of which outlives it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{tools, wait};

/// A running program, killed when this value goes, and by the kernel when the test itself is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, in the network namespace `namespace` when there is one; its output goes to
    /// `log`, after what is there already.
    ///
    /// The network namespace is entered by `nsenter --net`, because `ip netns exec` would also hide the
    /// cgroup file systems.
    pub fn start(
        name: &str,
        command: &Command,
        namespace: Option<&str>,
        log: &Path,
    ) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]);
        if let Some(namespace) = namespace {
            wrapped.args(["nsenter", &format!("--net=/run/netns/{namespace}")]);
        }
        wrapped.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        let child = wrapped
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the log file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Process id, the same through every wrapper.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the program wrote.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log)
            .with_context(|| format!("reading the log of {}", self.name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// An error with the end of the log when the program is not running any more.
    pub fn expect_running(&mut self) -> Result<()> {
        match self
            .child
            .try_wait()
            .context("asking for the exit status")?
        {
            None => Ok(()),
            Some(status) => bail!(self.ended_with(status)),
        }
    }

    /// Waits until the program ends by itself; anything but success is an error.
    pub fn wait_success(&mut self, deadline: Duration) -> Result<()> {
        let status = self.wait(deadline)?;
        if !status.success() {
            bail!(self.ended_with(status));
        }
        Ok(())
    }

    /// Waits until the program ends.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait::wait_for(&format!("the end of {name}"), deadline, || {
            self.child.try_wait().context("asking for the exit status")
        })
        .with_context(|| format!("log of {name}:\n{}", tools::last_lines(&self.log, 15)))
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait(deadline)
    }

    /// Kills the program (SIGKILL), which it cannot notice.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .with_context(|| format!("killing {}", self.name))?;
        self.child
            .wait()
            .map(drop)
            .with_context(|| format!("waiting for {}", self.name))
    }

    /// Holds the program up (SIGSTOP), wherever it is.
    pub fn suspend(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let script = format!("kill -{signal} {}", self.pid());
        tools::output_of(Command::new("sh").args(["-c", &script])).map(drop)
    }

    fn ended_with(&self, status: ExitStatus) -> String {
        format!(
            "{} ended with {status}; its log:\n{}",
            self.name,
            tools::last_lines(&self.log, 30)
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine, and there is nobody to tell of anything else.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) && self.kill().is_err() {
            drop(self.signal("KILL"));
        }
    }
}
