//! What holds for every command.

use callsweep_testkit::on_each_backend;

use crate::program::{Worker, says};

#[test]
fn help_lists_commands_and_exit_codes() {
    let worker = Worker::without_settings();
    let help = worker.reports(0, "--help");
    for command in ["migrate", "import", "sweep", "runs", "doctor", "demo"] {
        says(&help, &[&format!("\n  {command} ")]);
        says(&worker.reports(0, &format!("{command} --help")), &["Usage: callsweep-worker", command]);
    }
    says(&help, &["Exit codes:\n   0  done", "\n   3  nothing to do", "\n   5  refused by the rules"]);
}

#[test]
fn a_command_line_that_is_not_understood_is_code_2() {
    let worker = Worker::without_settings();
    for (words, parts) in [
        ("", &["Usage"][..]),
        ("sweeep", &["sweeep", "sweep"]),
        ("sweep --vdn 1", &["--campaign"]),
        ("sweep --vdn 10000 --campaign 5 --called 1", &["--vdn", "10000", "9999"]),
        ("sweep --vdn 1 --campaign 0 --called 1", &["--campaign", "0"]),
        ("sweep --vdn 1 --campaign 5 --called 1+2", &["--called", "character"]),
        ("sweep --vdn 1 --campaign 5 --called ''", &["--called", "empty"]),
        ("sweep --vdn 1 --campaign 5 --recycle-type 4 --recycle-time today", &["--recycle-type", "4"]),
        ("sweep --vdn 1 --campaign 5 --recycle-type 1", &["--recycle-time"]),
        ("sweep --vdn 1 --campaign 5 --recycle-time today", &["--recycle-type"]),
        ("sweep --vdn 1 --campaign 5 --called 1 --yes", &["--execute"]),
        ("sweep --vdn 1 --campaign 5 --called 1 --chunk-size 0", &["--chunk-size", "100000"]),
        ("runs --kind other", &["--kind", "must be one of request, policy, manual, restore"]),
        ("runs --limit 0", &["--limit", "1..=10000"]),
        ("import a.csv --vdn 1", &["--campaign", "--create-campaign"]),
        ("migrate --format xml", &["xml", "text, json"]),
    ] {
        says(&worker.refuses(2, words), parts);
    }
}

#[test]
fn a_setting_that_does_not_exist_is_named() {
    let worker = Worker::without_settings();
    worker.write("typo.toml", "[database]\nurl = \"sqlite://x.db\"\npool_sise = 4\n");
    for command in ["migrate", "runs", "sweep --vdn 1 --campaign 5 --called 1"] {
        says(&worker.refuses(2, &format!("{command} --config typo.toml")), &["pool_sise"]);
        says(&worker.refuses(2, &format!("{command} --config none.toml")), &["none.toml", "does not exist"]);
    }
    let output = worker.command("migrate").env("CALLSWEEP_RULES__ONGOING", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    says(&String::from_utf8(output.stderr).unwrap(), &["ongoing"]);
    assert!(!worker.dir().join("callsweep.db").exists());
}

#[test]
fn a_url_that_cannot_be_used_is_explained() {
    let worker = Worker::without_settings();
    for (url, parts) in [
        ("callsweep.db", &["sqlite://", "postgres://", "mysql://"][..]),
        ("oracle://host/name", &["oracle", "postgres://"]),
        ("sqlite://", &["needs a file"]),
        ("sqlite://missing/callsweep.db", &["missing/callsweep.db"]),
    ] {
        worker.write("callsweep.toml", format!("[database]\nurl = \"{url}\"\n"));
        says(&worker.refuses(1, "runs"), parts);
    }
}

on_each_backend! {
    fn a_reader_that_goes_away_is_no_failure(db) {
        let worker = Worker::on(db);
        let mut child = worker.start("runs");
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
