//! How a private MariaDB is installed.

use std::fs;

use super::home::{Home, find, free_port, run};
use super::{PASSWORD, Purpose, Server, USER};
use crate::store::Backend;

const QUICK: &[&str] = &["--innodb-flush-log-at-trx-commit=0"];
/// Reaching the kernel is enough: it outlives the server.
const KILLED: &[&str] = &["--innodb-flush-log-at-trx-commit=2"];
const MEASURED: &[&str] =
    &["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=2G"];

pub(super) fn install(purpose: Purpose, options: &[&str]) -> Result<Server, String> {
    let install = find("mariadb-install-db", "mariadb-server")?;
    let home = Home::new("mysql")?;
    let grants = format!(
        "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
    );
    fs::write(home.path("init.sql"), grants).map_err(|error| error.to_string())?;
    home.give_away()?;
    run(&home.as_owner(&[
        &install,
        "--no-defaults",
        &format!("--datadir={}", home.text("data")),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]))?;
    start(home, purpose, options)
}

/// Starts what is in the home's `data`.
fn start(home: Home, purpose: Purpose, more: &[&str]) -> Result<Server, String> {
    let mariadbd = find("mariadbd", "mariadb-server")?;
    let port = free_port()?;
    let mut command = home.as_owner(&[
        &mariadbd,
        "--no-defaults",
        &format!("--datadir={}", home.text("data")),
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        &format!("--socket={}", home.text("socket")),
        &format!("--pid-file={}", home.text("pid")),
        &format!("--init-file={}", home.text("init.sql")),
        "--skip-name-resolve",
        "--max-connections=300",
    ]);
    let kind = match purpose {
        Purpose::Quick => QUICK,
        Purpose::Killed => KILLED,
        Purpose::Measured => MEASURED,
    };
    command.extend(kind.iter().chain(more).map(|&option| option.to_owned()));
    let url = format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/mysql");
    Server::start(Backend::Mysql, home, command, &url)
}
