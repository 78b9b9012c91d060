//! Stops a private server when the test process ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A shell script that starts a server and waits for the test process to end. Its standard input is a pipe that only the test
/// process holds open, so it reads the end of file when that process ends, even if it is killed. Then it stops the server
/// and removes the directory. Destructors cannot do this: libtest leaves by `exit`.
///
/// Arguments: signal, directory, server command.
const SCRIPT: &str = r#"
signal=$1; dir=$2; shift 2
exec 3<&0
"$@" 3<&- </dev/null >>"$dir/log" 2>&1 &
server=$!
echo "$server" >"$dir/server.$$"
(
    cat <&3 >/dev/null
    # The id of a server that has ended may be another process's by now.
    if [ ! -e "$dir/ended.$$" ]; then
        kill -s "$signal" "$server"
        kill -s CONT "$server"
        while kill -0 "$server" 2>/dev/null; do sleep 0.1; done
    fi
    rm -rf "$dir"
) &
exec 3<&-
wait "$server"
status=$?
: >"$dir/ended.$$"
exit "$status"
"#;

/// A server process with its watchdog.
#[derive(Debug)]
pub(super) struct Watched {
    /// The shell that runs the script. Dropping its input stops the server.
    shell: Child,
    dir: PathBuf,
}

impl Watched {
    /// Starts `command`. When this process ends, the server receives `signal` and `dir` is removed.
    pub(super) fn start(command: &[String], signal: &str, dir: &Path) -> Result<Self, String> {
        use std::os::unix::process::CommandExt as _;
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog", signal])
            .arg(dir)
            .args(command)
            .stdin(Stdio::piped())
            // Not inherited: a program that reads the tests' output would wait until the server ends.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own process group: a Ctrl-C at the terminal ends only the tests, and then the watchdog stops the server.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start sh: {error}"))?;
        Ok(Self { shell, dir: dir.to_owned() })
    }

    /// The process id of the server.
    pub(super) fn server(&self) -> u32 {
        let id = std::fs::read_to_string(self.dir.join(format!("server.{}", self.shell.id())));
        id.expect("the watchdog says which it is").trim().parse().expect("a process id")
    }

    /// The end of the server's log, if the server has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.shell.try_wait().ok().flatten()?;
        Some(format!("it ended with {status}: {}", self.log()))
    }

    /// The end of the server's log.
    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Dropping the watchdog closes the pipe, just as the end of this process does.
    #[test]
    fn ends_the_server_and_removes_its_directory() {
        let dir = tempfile::tempdir().unwrap().keep();
        let command = ["sh".to_owned(), "-c".to_owned(), "echo ready; exec sleep 1000".to_owned()];
        let mut watched = Watched::start(&command, "KILL", &dir).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while watched.log() != "ready\n" {
            assert!(Instant::now() < deadline && watched.ended().is_none(), "{}", watched.log());
            std::thread::yield_now();
        }
        drop(watched);
        while dir.exists() {
            assert!(Instant::now() < deadline, "the directory is still there");
            std::thread::yield_now();
        }
    }
}
