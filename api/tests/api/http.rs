//! A client that sends exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::Call;

/// A server that has not answered by then will not: longer than it waits for a database connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("the answer is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head in {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The five members, checked to be those of the page in its order, and to repeat each other.
    pub(crate) fn members(&self) -> Members {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{self:?}: {e}"));
        let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned();
        let quoted = |name: &str| serde_json::to_string(&value[name]).unwrap();
        let expected = format!(
            r#"{{"resultCode":{},"resultDesc":{},"returnCode":{0},"returnDesc":{1},"successCount":{}}}"#,
            quoted("resultCode"),
            quoted("resultDesc"),
            quoted("successCount"),
        );
        assert_eq!(self.body, expected);
        assert_eq!(self.header("content-type"), Some("application/json; charset=UTF-8"));
        Members {
            code: text("resultCode"),
            desc: text("resultDesc"),
            count: value["successCount"].as_i64().expect("successCount is an integer"),
        }
    }
}

/// The members of an answer that are not repetitions.
#[derive(Debug, PartialEq)]
pub(crate) struct Members {
    pub(crate) code: String,
    pub(crate) desc: String,
    pub(crate) count: i64,
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects to the server");
    stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
    stream
}

/// Sends a whole request and reads until the server closes the connection.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(address);
    // A server that has refused a request early may not take its rest.
    let _ = stream.write_all(request);
    Response::parse(&read_to_end(&mut stream))
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            // The rest of a refused request, not taken, resets the connection behind the answer.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && !bytes.is_empty() => return bytes,
            Err(error) => panic!("no answer: {error}; so far {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// `GET path`, without a signature: health checks.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes())
}

/// Sends a call on a connection that stays open, and reads its answer.
pub(crate) fn exchange_kept_alive(stream: &mut (impl Read + Write), call: &Call) -> Response {
    let request = String::from_utf8(call.to_bytes()).unwrap().replace("Connection: close\r\n", "");
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    let length = Response::parse(&bytes).header("content-length").expect("the answer has a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    bytes.extend(body);
    Response::parse(&bytes)
}

/// A counter or gauge of `/metrics`, by its name with labels; 0 where it has not begun.
pub(crate) fn metric(ops_address: SocketAddr, name: &str) -> u64 {
    let told = get(ops_address, "/metrics").body;
    let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// The status of `GET path`, whatever its body is made of.
pub(crate) fn status_of(address: SocketAddr, path: &str) -> u16 {
    let mut stream = connect(address);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_to_end(&mut stream);
    String::from_utf8_lossy(&answer[..12]).rsplit(' ').next().unwrap().parse().unwrap()
}
