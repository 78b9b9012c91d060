//! Whatever is wrong with settings and URLs: nothing that the program says has a part of a secret.

use proptest::prelude::*;

use crate::program::Worker;

/// Unlike anything that the program says by itself.
const SECRET: &str = "Zq7Xk9Wv3Pj2";

fn said_by(worker: &Worker, words: &str, variable: Option<(&str, String)>) -> String {
    let mut command = worker.command(words);
    command.envs(variable);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{words}: it is content");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!said.contains("panicked") && !said.is_empty(), "{said}");
    said
}

fn files() -> Vec<String> {
    [
        format!("[database]\nurl = \"postgres://u:{SECRET}@h/db\n"),
        format!("[database]\nurl = postgres://u:{SECRET}@h/db\n"),
        format!("database = \"postgres://u:{SECRET}@h/db\"\n"),
        format!("[database]\nurl = [\"{SECRET}\"]\n"),
        format!("[database]\npassword = \"{SECRET}\"\n"),
        format!("[worker.throttle]\nreplicas = \"mysql://u:{SECRET}@h/db\"\n"),
        format!("[worker.throttle]\nreplicas = [\"mysql://u:{SECRET}@h/db]\n"),
        format!("[api]\nkeys = \"{SECRET}\"\n"),
        format!("[[api.keys]]\nsecret_key = \"{SECRET}\"\n"),
    ]
    .into()
}

fn urls() -> Vec<String> {
    let passwords = ["@", "/", "?", "#", "%zz", ":", "\"", " ", "%00", "["];
    let broken = passwords.iter().flat_map(|between| {
        ["postgres", "mysql", "mariadb", "pg"].map(|scheme| format!("{scheme}://u:x{between}{SECRET}@127.0.0.1:1/db"))
    });
    broken.chain([format!("u:{SECRET}@h/db"), format!("postgres://u:{SECRET}@127.0.0.1:1/db")]).collect()
}

proptest! {
    // Each case starts the program.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_settings_show_no_secret(
        file in prop::sample::select(files()),
        url in prop::option::of(prop::sample::select(urls())),
        words in prop::sample::select(vec!["doctor", "runs", "run", "migrate"]),
    ) {
        let worker = Worker::without_settings();
        let said = match url {
            None => {
                worker.write("callsweep.toml", &file);
                said_by(&worker, words, None)
            }
            Some(url) => said_by(&worker, words, Some(("CALLSWEEP_DATABASE__URL", url))),
        };
        let shown = (0..=SECRET.len() - 4).find(|at| said.contains(&SECRET[*at..at + 4]));
        prop_assert!(shown.is_none(), "{said}");
    }
}
