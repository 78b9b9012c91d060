//! `demo`: its database is made once, and the commands that it prints work.

use serde_json::Value;

use crate::program::{Worker, says};

/// What `demo` printed, and whether the sweep that it names can be previewed.
#[test]
fn the_demo_is_made_once_and_its_commands_work() {
    let worker = Worker::without_settings();
    let demo = worker.reports_json(0, "demo");
    assert_eq!(demo["database"], "callsweep-demo.db");
    let numbers = |demo: &Value| -> i64 {
        demo["campaigns"].as_array().unwrap().iter().map(|campaign| campaign["numbers"].as_i64().unwrap()).sum()
    };
    assert_eq!(numbers(&demo), 200_000);

    let commands: Vec<&str> = demo["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    let (variable, url) = commands[0].strip_prefix("export ").unwrap().split_once('=').unwrap();
    let url = &shlex::split(url).unwrap()[0];
    for command in &commands[1..] {
        let arguments = command.strip_prefix(env!("CARGO_BIN_EXE_callsweep-worker")).unwrap();
        let output = worker.command(arguments).env(variable, url).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
    }
    says(commands[1], &["sweep --vdn 1 --campaign 1 "]);
    let output =
        worker.command(&format!("{} --execute", commands[1].split_once(' ').unwrap().1)).env(variable, url).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // Again: what is gone stays gone, what is there stays.
    let again = worker.reports_json(0, "demo");
    assert!((1..200_000).contains(&numbers(&again)), "{again}");
    says(&worker.reports(0, "demo"), &["callsweep-demo.db is ready", "Spring renewals", "Try next:"]);
}
