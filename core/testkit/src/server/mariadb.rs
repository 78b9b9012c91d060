//! Installs and starts private MariaDB servers.

use std::fs;
use std::path::Path;

use super::home::{Home, find, free_port, run};
use super::{PASSWORD, Purpose, Server, USER};
use callsweep_core::store::Backend;

const QUICK: &[&str] = &["--innodb-flush-log-at-trx-commit=0"];
/// Commits are written to the operating system but not synced: these tests kill the server, not the machine.
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

/// Where distributions install the Galera library.
const PROVIDERS: [&str; 3] =
    ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so"];

/// The nodes of a Galera cluster.
pub(super) fn cluster(nodes: usize) -> Result<Vec<Server>, String> {
    let provider = PROVIDERS.iter().find(|file| Path::new(file).is_file());
    let provider = provider.ok_or("Galera is not installed: apt-get install galera-4")?;
    find("rsync", "rsync")?;
    let ports = (0..nodes).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
    let members: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let members = format!("--wsrep-cluster-address=gcomm://{}", members.join(","));
    // The first node creates the cluster. When it is restarted, it joins the others.
    let founder = "--wsrep-cluster-address=gcomm://";
    let mut cluster = Vec::new();
    for port in ports {
        let options = [
            "--wsrep-on=ON",
            &format!("--wsrep-provider={provider}"),
            if cluster.is_empty() { founder } else { &members },
            "--wsrep-node-address=127.0.0.1",
            "--wsrep-sst-method=rsync",
            &format!("--wsrep-sst-receive-address=127.0.0.1:{}", free_port()?),
            &format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{port};ist.recv_addr=127.0.0.1:{};\
                 gcache.size=32M",
                free_port()?
            ),
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        ];
        let mut node = install(Purpose::Killed, &options)?;
        for option in node.command.iter_mut().filter(|option| *option == founder) {
            option.clone_from(&members);
        }
        cluster.push(node);
    }
    Ok(cluster)
}

/// Starts the server installed in `home`.
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
