//! Starts the program, and says what it answered.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use callsweep_testkit::TestDatabase;
use serde_json::Value;
use tempfile::TempDir;

/// The program in a directory of its own, with the settings of one test.
pub(crate) struct Worker {
    dir: TempDir,
    database_url: Option<String>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Worker {
    /// With this database.
    pub(crate) fn on(db: &TestDatabase) -> Self {
        Self { database_url: Some(db.url().to_owned()), ..Self::without_settings() }
    }

    /// With nothing but its own defaults.
    pub(crate) fn without_settings() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), database_url: None }
    }

    /// The working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file into the working directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The command, not yet started. `words` are read as a shell reads them.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsweep-worker"));
        command.args(shlex::split(words).expect("words that a shell can read")).current_dir(self.dir());
        // Settings of whoever runs the tests are none of theirs.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CALLSWEEP_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        if let Some(url) = &self.database_url {
            command.env("CALLSWEEP_DATABASE__URL", url);
        }
        command.env_remove("SUDO_USER").env("USER", "dba").stdin(Stdio::null());
        command
    }

    /// Starts a command and goes on beside it.
    pub(crate) fn start(&self, words: &str) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts the program")
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &str) -> Ran {
        Ran::read(self.start(words))
    }

    /// A command that must end with this code and have a result: on stdout, with nothing on stderr.
    pub(crate) fn reports(&self, code: i32, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{words}: {ran:?}");
        assert!(!ran.stdout.is_empty(), "{words}");
        ran.stdout
    }

    /// The same with `--format json`: one document.
    pub(crate) fn reports_json(&self, code: i32, words: &str) -> Value {
        let stdout = self.reports(code, &format!("{words} --format json"));
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{words}: {error}: {stdout}"))
    }

    /// A command that must end with this code and without a result: a reason on stderr, nothing on stdout.
    pub(crate) fn refuses(&self, code: i32, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{words}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{words}: {ran:?}");
        ran.stderr
    }
}

impl Ran {
    /// Waits for the end.
    pub(crate) fn read(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Fails with the whole text, where one of `parts` is not in it.
#[track_caller]
pub(crate) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
