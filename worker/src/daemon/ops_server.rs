//! `/metrics` and `/healthz` over HTTP, on an address of their own (`worker.ops_listen`).
//!
//! httparse reads the requests. The small synchronous servers that exist bound no connection as a whole
//! (docs/decisions/0011), so the sockets are served here: each within a deadline, and so many at once.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::liveness::Liveness;
use crate::cli::exit::Failure;
use crate::metrics::{self, Metrics};

/// Bytes of a request line with its headers, at most; a scraper sends some hundred.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// Headers of one request, at most.
const HEADERS_MAX: usize = 64;
/// How long one connection may take in all, from its first byte to the last of the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Connections that are served at once, each on a thread. Further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 16;

/// Serves from now on, on threads of its own. Returns the address that it listens on.
///
/// # Errors
/// The address cannot be listened on.
pub(super) fn serve(address: SocketAddr, metrics: &Arc<Metrics>, liveness: &Liveness) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (bound, listener) = listener.map_err(|error| {
        Failure::failed(format_args!("worker.ops_listen = {address}: {error}. Give an address that is free"))
    })?;
    let listener = Arc::new(listener);
    for _ in 0..CONNECTIONS_MAX {
        let (listener, metrics, liveness) = (Arc::clone(&listener), Arc::clone(metrics), liveness.clone());
        thread::spawn(move || {
            loop {
                if let Err(error) = listener.accept().and_then(|(stream, _)| answer(stream, &metrics, &liveness)) {
                    debug!(%error, "a request to ops_listen was not answered");
                    // Where no descriptor is left, accept fails at once, and again.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
    }
    Ok(bound)
}

fn answer(stream: TcpStream, metrics: &Metrics, liveness: &Liveness) -> io::Result<()> {
    let mut connection = Connection { stream, deadline: Instant::now() + DEADLINE };
    let (status, content_type, body) = match read_path(&mut connection)?.as_deref() {
        Some("/metrics") => ("200 OK", metrics::CONTENT_TYPE, metrics.text()),
        Some("/healthz") if liveness.is_alive() => ("200 OK", PLAIN, "ok\n".to_owned()),
        Some("/healthz") => ("503 Service Unavailable", PLAIN, "the daemon hangs\n".to_owned()),
        Some(_) => ("404 Not Found", PLAIN, "there are /metrics and /healthz\n".to_owned()),
        None => ("400 Bad Request", PLAIN, "GET /metrics or GET /healthz\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// The path of a GET. `None`: it is no such request, or it is too long.
///
/// # Errors
/// The client is gone, or slower than the deadline.
fn read_path(connection: &mut impl Read) -> io::Result<Option<String>> {
    let (mut head, mut read) = (vec![0; HEAD_MAX_BYTES], 0);
    loop {
        let more = connection.read(&mut head[read..])?;
        read += more;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head[..read]) {
            Ok(httparse::Status::Complete(_)) => {
                let target = request.path.filter(|_| request.method == Some("GET"));
                return Ok(target.map(|target| target.split('?').next().unwrap_or_default().to_owned()));
            }
            Ok(httparse::Status::Partial) if more > 0 => {}
            _ => return Ok(None),
        }
    }
}

/// A connection that ends at its deadline, however slowly its client reads and writes.
struct Connection {
    stream: TcpStream,
    deadline: Instant,
}

impl Connection {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        // What is too long is not read to its end: the rest of the write may fail.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn server() -> SocketAddr {
        serve(([127, 0, 0, 1], 0).into(), &Arc::new(Metrics::new()), &Liveness::new()).unwrap()
    }

    #[test]
    fn each_request_gets_its_answer() {
        let address = server();
        let metrics = ask(address, b"GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("callsweep_chunk_seconds_count 0"),
            "{metrics}"
        );
        assert!(ask(address, b"GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
        assert!(ask(address, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        for request in [
            &b"POST /metrics HTTP/1.1\r\n\r\n"[..],
            b"GET /metrics\r\n\r\n",
            b"\xff\r\n\r\n",
            &[b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(HEADERS_MAX + 1), b"\r\n".to_vec()].concat(),
        ] {
            assert!(ask(address, request).starts_with("HTTP/1.1 400"), "{request:?}");
        }
        ask(address, &vec![b'a'; 4 * HEAD_MAX_BYTES]);
        assert!(ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK"), "it goes on");
        let taken = serve(address, &Arc::new(Metrics::new()), &Liveness::new()).unwrap_err();
        assert!(taken.to_string().contains("ops_listen"), "{taken}");
    }

    #[test]
    fn slow_clients_do_not_keep_others_waiting() {
        let address = server();
        let slow = |_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HT").unwrap();
            stream
        };
        // All but one of the threads wait for the rest of a request.
        let mut held: Vec<TcpStream> = (1..CONNECTIONS_MAX).map(slow).collect();
        let begun = Instant::now();
        assert!(ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK"));
        assert!(begun.elapsed() < DEADLINE / 2, "{:?}", begun.elapsed());
        held.extend((0..CONNECTIONS_MAX).map(slow));
        let begun = Instant::now();
        assert!(ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK"));
        assert!(begun.elapsed() < DEADLINE * 4, "the first are cut off at their deadline: {:?}", begun.elapsed());
    }

    #[test]
    fn a_client_that_sends_byte_by_byte_ends_at_the_deadline() {
        let address = server();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let begun = Instant::now();
        loop {
            let sent = stream.write_all(b"a");
            match stream.read(&mut [0; 16]) {
                Err(error) if sent.is_ok() && error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            }
            assert!(begun.elapsed() < DEADLINE * 3, "it is still served");
        }
        assert!(begun.elapsed() >= DEADLINE / 2, "{:?}", begun.elapsed());
    }
}
