//! Starting, waiting for, and stopping other programs.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An error that aborts the benchmark, with its reason.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Timeout for the start and the end of a program.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until there is a result, at most [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("timeout after {PATIENCE:?}: {what}").into());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// A running server; killed on drop.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, with its output in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let log = File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self(started))
    }

    /// Whether it is still running.
    pub(crate) fn runs(&mut self) -> Result<bool, Failure> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Stops it gracefully with SIGTERM.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        output(Command::new("kill").args(["-TERM", &self.0.id().to_string()]))?;
        wait_for("a server ends", || Ok(self.0.try_wait()?))?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end and returns its stdout and stderr.
pub(crate) fn output(command: &mut Command) -> Result<(String, String), Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() {
        Ok((out, err))
    } else {
        Err(format!("{command:?}: {}: {err}{out}", output.status).into())
    }
}

/// The first line of the program's output for `argument`. `None` if it is not installed.
pub(crate) fn version(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

/// A port that is currently free.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
