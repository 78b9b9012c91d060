//! The program itself, as an operator starts it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A process that has not done it by then will not.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callsweep-api"));
    command.current_dir(directory).args(arguments);
    // Settings of whoever runs the tests are none of theirs.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CALLSWEEP_") || name == "RUST_LOG" || name == "SIGN_SECRET_KEY" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub(crate) fn output(directory: &Path, arguments: &[&str]) -> Output {
    program(directory, arguments).stdin(Stdio::null()).output().expect("starts the program")
}

/// A server that serves. It is killed when this goes.
pub(crate) struct Running {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
    /// What it has logged so far.
    pub(crate) log: String,
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
}

impl Running {
    /// Starts a server and waits for it to say where it listens.
    #[allow(clippy::zombie_processes, reason = "a server that ends at once is a failed test")]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("starts the program");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        loop {
            let begin = log.len();
            assert!(stderr.read_line(&mut log).unwrap() > 0, "the server ended: {log}");
            let line: serde_json::Value = serde_json::from_str(&log[begin..]).unwrap_or_default();
            if line["message"] == "listening" {
                let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
                let (address, ops_address) = (address("address"), address("ops_address"));
                return Self { child, stderr: Some(stderr), log, address, ops_address };
            }
        }
    }

    #[allow(dead_code, reason = "the attacks use it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it log without end, and gives what it logs from now on, once it has ended. Nobody need wait for that.
    #[allow(dead_code, reason = "the attacks use it")]
    pub(crate) fn let_it_talk(&mut self) -> JoinHandle<String> {
        let mut stderr = self.stderr.take().expect("it is listened to");
        std::thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            log
        })
    }

    pub(crate) fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("stdout is piped")
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and for the last of its log.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        if let Some(stderr) = &mut self.stderr {
            stderr.read_to_string(&mut self.log).unwrap();
        }
        assert!(begun.elapsed() < WITHIN);
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A settings file with one key for all VDNs and free ports.
pub(crate) fn write_settings(directory: &Path, database_url: &str, keys: &str) -> String {
    let file = directory.join("callsweep.toml");
    let text = format!(
        "[database]\nurl = \"{database_url}\"\n[api]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n{keys}"
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// [`crate::server::KEY`] as a settings file has it.
pub(crate) fn key() -> String {
    let (access_key, secret_key) = crate::server::KEY;
    format!("[[api.keys]]\naccess_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\nvdns = \"all\"\n")
}
