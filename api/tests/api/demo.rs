//! `callsweep-api demo`, followed to the letter.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::http::{self, Response};
use crate::process::{Running, program};

/// Starts the demo, sends the call that it prints, stops it, and tells its answer and what was printed.
fn try_the_demo(directory: &std::path::Path) -> (Response, String) {
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let mut command = program(directory, &arguments);
    command.stdout(Stdio::piped());
    let mut demo = Running::start(command);
    let mut printed = String::new();
    let mut stdout = BufReader::new(demo.stdout());
    while !printed.contains("Stop with Ctrl-C") {
        assert!(stdout.read_line(&mut printed).unwrap() > 0, "no guide: {printed}");
    }
    let curl = printed.lines().find(|line| line.trim().starts_with("curl ")).expect("a curl line");
    let response = send_as_curl_does(&shlex::split(curl).unwrap());
    demo.terminate();
    assert_eq!(demo.wait().code(), Some(0));
    (response, printed)
}

fn send_as_curl_does(words: &[String]) -> Response {
    let after =
        |flag: &'static str| words.iter().zip(&words[1..]).filter(move |(word, _)| *word == flag).map(|(_, next)| next);
    let url = words.iter().find_map(|word| word.strip_prefix("http://")).expect("a URL");
    let (host, path) = url.split_once('/').unwrap();
    let body = after("--data-raw").next().unwrap();
    let mut request = format!("{} /{path} HTTP/1.1\r\nHost: {host}\r\n", after("-X").next().unwrap());
    for header in after("-H") {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    http::exchange(host.parse().unwrap(), request.as_bytes())
}

#[test]
fn the_printed_call_deletes_one_number_however_often_the_demo_is_run() {
    let dir = tempfile::tempdir().unwrap();
    for total in [200_000, 199_999] {
        let (response, printed) = try_the_demo(dir.path());
        assert_eq!((response.status, response.members().count), (200, 1), "{printed}");
        let numbers: i64 = printed
            .lines()
            .filter_map(|line| line.strip_suffix(" numbers")?.rsplit(' ').next()?.parse::<i64>().ok())
            .sum();
        assert_eq!(numbers, total, "{printed}");
        assert!(printed.contains("export CALLSWEEP_DATABASE__URL=sqlite://callsweep-demo.db\n"), "{printed}");
    }
}
