//! Comparison with pt-archiver of the Percona Toolkit, on MariaDB.

use std::process::Command;
use std::time::Instant;

use callsweep_testkit::big::{self, UP_TO_A_QUARTER};
use callsweep_testkit::{TestDatabase, sample};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection as _;
use url::Url;

use crate::compare::{Way, table, take_turns};
use crate::data::Data;
use crate::options::Options;

/// Modes of pt-archiver: its defaults, batches with one commit each, and its fastest. Only the last (`true`) runs to
/// its end; the others are too slow for that and are stopped after a fixed time.
const MODES: [(&str, bool); 3] = [
    ("pt-archiver", false),
    ("pt-archiver --limit 1000 --commit-each", false),
    ("pt-archiver --limit 5000 --bulk-insert --bulk-delete", true),
];

pub(crate) fn measure(options: &Options, data: &Data) {
    let installed = Command::new("pt-archiver").arg("--version").output();
    let Some(version) = installed.ok().filter(|output| output.status.success()) else {
        assert!(!options.require_peers, "pt-archiver is not installed: apt-get install percona-toolkit");
        println!("pt-archiver is not installed (apt-get install percona-toolkit): not measured.\n");
        return;
    };
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    println!("### MariaDB: {version}\n");
    let peers = MODES.map(|(mode, to_the_end)| {
        let seconds = (!to_the_end).then(|| options.open_end_duration().as_secs());
        Way::Peer(mode, Box::new(move |db| run(db, mode, seconds)))
    });
    let ways: Vec<Way<'_>> = peers.into_iter().chain([Way::Sweep(""), Way::Sweep("--lanes 2")]).collect();
    let seen = take_turns(data, UP_TO_A_QUARTER, &ways, options.runs());
    for peer in 0..MODES.len() {
        let rows = [peer, MODES.len(), MODES.len() + 1].map(|way| (&ways[way], seen[way].as_slice()));
        println!("{}", table(&rows));
    }
}

/// Returns how many numbers it archived, and in how many seconds from the start to the end of the process.
fn run(db: &TestDatabase, mode: &str, at_most: Option<u64>) -> (i64, f64) {
    // It fills only columns that both tables have: archived_at and run_id need a default.
    let others = "ALTER TABLE call_data_history ALTER COLUMN run_id SET DEFAULT 0,
                  MODIFY COLUMN archived_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)";
    db.connect().batch_execute(others).expect("sets defaults for the columns that only history has");
    let url: Url = db.url().parse().expect("a URL");
    let source = format!(
        "h={},P={},u={},p={},D={},t=call_data,L=1",
        url.host_str().unwrap_or_default(),
        url.port().unwrap_or(3306),
        url.username(),
        url.password().unwrap_or_default(),
        url.path().trim_start_matches('/'),
    );
    let before = sample::time(UP_TO_A_QUARTER) + TimeDelta::days(1);
    let mut words = mode.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(["--source", &source, "--dest", "t=call_data_history"]);
    command.args(["--where", &format!("status = 0 AND recycle_time < '{}'", before.format("%F %T"))]);
    command.args(["--no-check-charset", "--no-check-columns", "--no-version-check"]);
    if let Some(seconds) = at_most {
        command.args(["--run-time", &format!("{seconds}s")]);
    }
    let begun = Instant::now();
    let output = command.output().expect("starts pt-archiver");
    let seconds = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
    let (_, archived) = big::counts(&mut db.connect());
    assert!(archived > 0, "{mode} archived nothing: {}", String::from_utf8_lossy(&output.stderr));
    (archived, seconds)
}
