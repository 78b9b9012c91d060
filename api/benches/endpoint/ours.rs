//! `callsweep-api` itself, as an operator starts it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Size;
use crate::data::Data;
use crate::process::{Failure, Running, wait_for};
use crate::requests::{ACCESS_KEY, SECRET_KEY};
use crate::turns::{Contender, drive};

/// A server on a database.
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it with the defaults except the rate limits, which would refuse this load. Its access log
    /// goes to a file in `dir`.
    pub(crate) fn start(database_url: &str, dir: &Path) -> Result<Self, Failure> {
        let settings = dir.join("callsweep.toml");
        fs::write(
            &settings,
            format!(
                "[database]\nurl = \"{database_url}\"\n\
                 [api]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n\
                 [api.limits]\nkey_per_second = 0\naddress_per_second = 0\n\
                 [[api.keys]]\naccess_key = \"{ACCESS_KEY}\"\nsecret_key = \"{SECRET_KEY}\"\nvdns = \"all\"\n"
            ),
        )?;
        let log = dir.join("access.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsweep-api"));
        command.current_dir(dir).arg("serve").arg("--config").arg(&settings).env_remove("RUST_LOG");
        let mut running = Running::start(&mut command, &log)?;
        let address = wait_for("callsweep-api listens", || {
            let said = fs::read_to_string(&log)?;
            if !running.runs()? {
                return Err(format!("callsweep-api ended: {said}").into());
            }
            Ok(said.lines().find_map(listening))
        })?;
        Ok(Self { running, address })
    }

    /// Shuts it down gracefully.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.running.stop()
    }
}

/// Callsweep on any database.
pub(crate) fn contender<'a>(name: &'static str, size: Size, data: Data, dir: &'a Path) -> Contender<'a> {
    Contender::new(name, move |database| {
        let server = Server::start(database.url(), dir)?;
        let run = drive(size, data, server.address, dir);
        server.stop()?;
        run
    })
}

fn listening(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line["message"] == "listening" { line["address"].as_str()?.parse().ok() } else { None }
}
