//! Traces, to a collector that is none.

use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;

use crate::process::{key, write_settings};

fn settings(directory: &std::path::Path, db: &TestDatabase, endpoint: &str) {
    // The last table of the file is [api] until the keys begin.
    write_settings(directory, db.url(), &format!("otlp_endpoint = \"{endpoint}\"\n{}", key()));
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_binary_without_traces_says_so() {
    let dir = tempfile::tempdir().unwrap();
    settings(dir.path(), &TestDatabase::new(Backend::Sqlite), "http://127.0.0.1:4318/v1/traces");
    let output = crate::process::output(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--features otlp"));
}

#[cfg(feature = "otlp")]
#[test]
fn spans_reach_the_collector_below_the_client_s() {
    use std::io::{Read, Write};

    use callsweep_core::clock::Clock;

    use crate::http;
    use crate::process::{Running, program};
    use crate::server::Call;

    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", collector.local_addr().unwrap());
    let (dir, db) = (tempfile::tempdir().unwrap(), TestDatabase::new(Backend::Sqlite));
    settings(dir.path(), &db, &endpoint);
    let mut server = Running::start(program(dir.path(), &[]));
    let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let call = Call::new(r#"{"sessionId":"nobody"}"#).sign_with(|signer| signer.timestamp = now);
    let call = call.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(http::exchange(server.address, &call.to_bytes()).status, 200);
    server.terminate();

    let (mut stream, _) = collector.accept().unwrap();
    let trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    let span_id = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    let (mut sent, mut buffer) = (Vec::new(), [0; 4096]);
    let has = |sent: &[u8], wanted: &[u8]| sent.windows(wanted.len()).any(|part| part == wanted);
    while !(has(&sent, &trace_id) && has(&sent, &span_id)) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the spans ended without the trace");
        sent.extend_from_slice(&buffer[..read]);
    }
    assert!(sent.starts_with(b"POST /v1/traces "));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    assert_eq!(server.wait().code(), Some(0));
}
