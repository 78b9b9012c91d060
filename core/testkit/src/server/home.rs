//! The directory of a private server, and the programs to install and start it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of a server, and the system user that it runs as.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    /// Both servers refuse to run as root, and their packages create a system user. `None` if this process is not root.
    user: Option<&'static str>,
}

impl Home {
    pub(super) fn new(user: &'static str) -> Result<Self, String> {
        let made = tempfile::Builder::new().prefix(&format!("callsweep-{user}-")).tempdir();
        // The watchdog removes the directory after the server has ended.
        let dir = made.map_err(|error| format!("cannot make a temporary directory: {error}"))?.keep();
        let root = fs::metadata(&dir).is_ok_and(|directory| directory.uid() == 0);
        Ok(Self { dir, user: root.then_some(user) })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes the server's user the owner of the directory and its contents.
    pub(super) fn give_away(&self) -> Result<(), String> {
        let Some(user) = self.user else { return Ok(()) };
        run(&["chown".into(), "-R".into(), format!("{user}:{user}"), self.text("")])
    }

    /// Wraps a command so that it runs as the server's user, with its own directory for temporary files: when MariaDB
    /// starts, it deletes temporary tables in that directory, even those of another running server.
    pub(super) fn as_owner(&self, command: &[&str]) -> Vec<String> {
        let owner = self.user.map(|user| {
            let ids = [format!("--reuid={user}"), format!("--regid={user}")];
            ["setpriv".to_owned()].into_iter().chain(ids).chain(["--clear-groups".to_owned()])
        });
        let place = ["env".to_owned(), format!("TMPDIR={}", self.text(""))];
        let command = command.iter().map(|&word| word.to_owned());
        place.into_iter().chain(owner.into_iter().flatten()).chain(command).collect()
    }
}

/// Directories in which distributions install programs for administrators.
const BESIDE_PATH: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/bin"];

/// Finds a program in PATH or where its package installs it. Of several PostgreSQL versions, the newest.
pub(super) fn find(program: &str, package: &str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut postgres: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    postgres.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    std::env::split_paths(&path)
        .chain(BESIDE_PATH.iter().map(PathBuf::from))
        .chain(postgres)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
        .ok_or_else(|| format!("{program} is not installed: apt-get install {package}"))
}

pub(super) fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

/// Runs a command and waits for its end.
pub(super) fn run(command: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    // Both installers print warnings if their user has no access to the working directory.
    let output = Command::new(program).args(arguments).current_dir("/").output();
    let failed = |why: String| format!("{} failed: {why}", command.join(" "));
    let output = output.map_err(|error: io::Error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&words))))
}
