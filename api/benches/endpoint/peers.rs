//! The endpoint as one would usually write it in other frameworks. Their packages are installed once, under `target/`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, Running, free_port, output, version, wait_for};

/// A peer with an HTTP endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Goal for the throughput ratio of Callsweep to this peer, if there is one.
    pub(crate) goal: Option<f64>,
    /// Number of worker processes.
    workers: usize,
    runtime: Runtime,
    /// Its file in `peers/`, without the extension.
    module: &'static str,
}

/// The runtime of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Python,
    Node,
}

/// All peers, the slowest first. The default of uvicorn is one worker; the reference machine has two cores.
pub(crate) const PEERS: [Peer; 4] = [
    Peer {
        name: "FastAPI, SQLAlchemy, two workers",
        goal: Some(16.0),
        workers: 2,
        runtime: Runtime::Python,
        module: "fastapi_sqlalchemy",
    },
    Peer {
        name: "FastAPI, asyncpg, one statement",
        goal: Some(7.0),
        workers: 1,
        runtime: Runtime::Python,
        module: "fastapi_cte",
    },
    Peer {
        name: "FastAPI, asyncpg, one statement, two workers",
        goal: None,
        workers: 2,
        runtime: Runtime::Python,
        module: "fastapi_cte",
    },
    Peer {
        name: "Express, pg, one statement",
        goal: Some(3.3),
        workers: 1,
        runtime: Runtime::Node,
        module: "express_cte",
    },
];

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/endpoint/peers")
}

fn packages() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("endpoint-peers")
}

impl Peer {
    /// Installs its packages if they are missing. The error says what to do.
    pub(crate) fn install(self) -> Result<(), String> {
        let failed = |failure: Failure| format!("{} is not installed: {failure}", self.name);
        match self.runtime {
            Runtime::Python => {
                if version("python3", "--version").is_none() {
                    return Err(format!("{} is not installed: apt-get install python3-venv", self.name));
                }
                once("requirements.txt", install_python).map_err(failed)
            }
            Runtime::Node => {
                if version("npm", "--version").is_none() {
                    return Err(format!("{} is not installed: apt-get install nodejs npm", self.name));
                }
                once("package.json", install_node).map_err(failed)
            }
        }
    }

    /// Starts it on a database, with its log in a file in `dir`.
    pub(crate) fn start(self, database_url: &str, dir: &Path) -> Result<(Running, SocketAddr), Failure> {
        let port = free_port()?;
        let mut command = match self.runtime {
            Runtime::Python => self.uvicorn(port),
            Runtime::Node => self.node(port),
        };
        let log = dir.join("peer.log");
        let mut running = Running::start(command.env("DATABASE_URL", database_url), &log)?;
        wait_for(self.name, || {
            let said = fs::read_to_string(&log)?;
            if !running.runs()? {
                return Err(format!("it ended: {said}").into());
            }
            Ok((said.matches("startup complete").count() == self.workers).then_some(()))
        })?;
        Ok((running, SocketAddr::from(([127, 0, 0, 1], port))))
    }

    fn uvicorn(self, port: u16) -> Command {
        let mut command = Command::new(packages().join("venv/bin/uvicorn"));
        // uvicorn uses uvloop and httptools because they are installed.
        command.args([
            &format!("--port={port}"),
            &format!("--workers={}", self.workers),
            "--no-access-log",
            "--app-dir",
        ]);
        command.arg(sources()).arg(format!("{}:app", self.module)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn node(self, port: u16) -> Command {
        let mut command = Command::new("node");
        command.arg(sources().join(self.module).with_extension("js"));
        let environment = [("NODE_ENV", "production".into()), ("NODE_PATH", packages().join("node_modules"))];
        command.envs(environment).env("PORT", port.to_string());
        command
    }
}

/// Runs `install` unless the packages of `list` are installed already.
fn once(list: &str, install: fn() -> Result<(), Failure>) -> Result<(), Failure> {
    let (wanted, have) = (sources().join(list), packages().join(list).with_extension("installed"));
    let wanted = fs::read(wanted)?;
    if fs::read(&have).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    fs::create_dir_all(packages())?;
    install()?;
    Ok(fs::write(have, wanted)?)
}

fn install_python() -> Result<(), Failure> {
    let venv = packages().join("venv");
    output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let list = sources().join("requirements.txt");
    output(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(list))?;
    Ok(())
}

fn install_node() -> Result<(), Failure> {
    fs::copy(sources().join("package.json"), packages().join("package.json"))?;
    output(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(packages()))?;
    Ok(())
}
