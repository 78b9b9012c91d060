//! Installs and starts private PostgreSQL servers.

use std::fs;

use super::home::{Home, find, free_port, run};
use super::{PASSWORD, Purpose, Server, USER};
use callsweep_core::store::Backend;

const QUICK: &[&str] = &[
    "fsync=off",
    // Short, because tests check how a deadlock is handled, not how soon it is detected.
    "deadlock_timeout=100ms",
];
/// Commits are written to the operating system but not synced: these tests kill the server, not the machine.
const KILLED: &[&str] = &["fsync=off", "synchronous_commit=on", "deadlock_timeout=100ms"];
const MEASURED: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "effective_cache_size=2GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
];

pub(super) fn install(purpose: Purpose, options: &[&str]) -> Result<Server, String> {
    let initdb = find("initdb", "postgresql")?;
    let home = Home::new("postgres")?;
    fs::write(home.path("password"), PASSWORD).map_err(|error| error.to_string())?;
    home.give_away()?;
    run(&home.as_owner(&[
        &initdb,
        "--no-sync",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        &format!("--username={USER}"),
        &format!("--pwfile={}", home.text("password")),
        "--pgdata",
        &home.text("data"),
    ]))?;
    start(home, purpose, options)
}

/// A standby of this server.
pub(super) fn standby(primary: &Server) -> Result<Server, String> {
    let copy = find("pg_basebackup", "postgresql")?;
    let home = Home::new("postgres")?;
    home.give_away()?;
    run(&home.as_owner(&[
        &copy,
        "--no-sync",
        "--checkpoint=fast",
        "--write-recovery-conf",
        &format!("--dbname={}", primary.url),
        &format!("--pgdata={}", home.text("data")),
    ]))?;
    start(home, Purpose::Killed, &[])
}

/// Starts the server installed in `home`.
fn start(home: Home, purpose: Purpose, more: &[&str]) -> Result<Server, String> {
    let postgres = find("postgres", "postgresql")?;
    let port = free_port()?;
    let options = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", home.text("")),
        "max_connections=300".to_owned(),
    ];
    let kind = match purpose {
        Purpose::Quick => QUICK,
        Purpose::Killed => KILLED,
        Purpose::Measured => MEASURED,
    };
    let options = options.into_iter().chain(kind.iter().chain(more).map(|&option| option.to_owned()));
    let mut command = home.as_owner(&[&postgres, "-D", &home.text("data")]);
    command.extend(options.flat_map(|option| ["-c".to_owned(), option]));
    let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres");
    Server::start(Backend::Postgres, home, command, &url)
}
