//! `/metrics` and `/healthz`, on an address of their own (`worker.ops_listen`).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::life::Life;
use crate::exit::Failure;
use crate::metrics::{self, Metrics};

/// A request line and its headers; a scraper sends some hundred bytes.
const MAX_HEAD: usize = 8 * 1024;
/// How long one client may take: they are served one after the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers from now on, beside the daemon.
///
/// # Errors
/// The address cannot be listened on.
pub(super) fn serve(address: SocketAddr, metrics: Arc<Metrics>, life: Life) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (bound, listener) = listener.map_err(|error| {
        Failure::failed(format_args!("worker.ops_listen = {address}: {error}. Give an address that is free"))
    })?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| answer(stream, &metrics, &life)) {
                debug!(%error, "a scraper was not answered");
            }
        }
    });
    Ok(bound)
}

fn answer(mut stream: TcpStream, metrics: &Metrics, life: &Life) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let target = read_target(&mut stream)?;
    let path = target.as_deref().map(|target| target.split('?').next().unwrap_or_default());
    let (status, content_type, body) = match path {
        Some("/metrics") => ("200 OK", metrics::CONTENT_TYPE, metrics.text()),
        Some("/healthz") if life.is_alive() => ("200 OK", PLAIN, "ok\n".to_owned()),
        Some("/healthz") => ("503 Service Unavailable", PLAIN, "the daemon hangs\n".to_owned()),
        Some(_) => ("404 Not Found", PLAIN, "there are /metrics and /healthz\n".to_owned()),
        None => ("400 Bad Request", PLAIN, "GET /metrics or GET /healthz\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// What a GET asks for. `None`: it is no such request, or it is too long or too slow.
fn read_target(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let begun = Instant::now();
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        if left.is_zero() || head.len() > MAX_HEAD {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(read) => head.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    Ok(match (words.next(), words.next(), words.next()) {
        (Some("GET"), Some(target), Some(version)) if version.starts_with("HTTP/1.") => Some(target.to_owned()),
        _ => None,
    })
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

    #[test]
    fn it_answers_what_it_has() {
        let life = Life::new();
        let address = serve(([127, 0, 0, 1], 0).into(), Arc::new(Metrics::new()), life).unwrap();
        let metrics = ask(address, b"GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("callsweep_chunk_seconds_count 0"),
            "{metrics}"
        );
        assert!(ask(address, b"GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
        assert!(ask(address, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(address, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(ask(address, b"\xff\r\n\r\n").starts_with("HTTP/1.1 400"));
        ask(address, &vec![b'a'; 4 * MAX_HEAD]);
        assert!(ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").contains("200 OK"), "it goes on");
        assert!(serve(address, Arc::new(Metrics::new()), Life::new()).unwrap_err().to_string().contains("ops_listen"));
    }
}
