//! Completions and man pages.

use crate::program::{Worker, says};

#[test]
fn completions_and_man_pages_know_the_commands() {
    let worker = Worker::without_settings();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        says(&worker.reports(0, &format!("completions {shell}")), &["callsweep-worker", "sweep", "policy"]);
    }
    let ran = worker.run("man .");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let page = std::fs::read_to_string(worker.dir().join("callsweep-worker-sweep.1")).unwrap();
    says(&page, &["callsweep\\-worker\\-sweep", "metrics\\-file"]);
    says(&worker.refuses(1, "man nowhere"), &["nowhere", "Name a directory"]);
}
