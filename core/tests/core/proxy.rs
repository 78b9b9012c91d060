//! A proxy before a database server that loses a COMMIT, or the answer to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callsweep_core::testkit::TestDatabase;
use url::Url;

/// What is lost, and the connection with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loses {
    /// The server never sees it.
    Commit,
    /// The server has committed.
    ItsAnswer,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    /// Of the same database, through the proxy.
    pub(crate) url: String,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    /// Loses the next COMMIT.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }
}

/// Passes connections on for as long as the process lives.
pub(crate) fn before(db: &TestDatabase, loses: Loses) -> Proxy {
    let mut url = Url::parse(db.url()).unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let by_threads = armed.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let armed = by_threads.clone();
            std::thread::spawn(move || pass_on(client, server, loses, &armed));
        }
    });
    Proxy { url: url.into(), armed }
}

/// Not the `READ COMMITTED` of a new connection.
fn is_commit(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    text.contains("COMMIT") && !text.contains("COMMITTED")
}

/// Drivers send a statement and wait for its answer: what is read at once is one of them.
fn pass_on(mut client: TcpStream, mut server: TcpStream, loses: Loses, armed: &Arc<AtomicBool>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let lost = Arc::new(AtomicBool::new(false));
    let answer_is_lost = lost.clone();
    let answers = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            if answer_is_lost.load(Ordering::Relaxed) || to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let sent = &buffer[..read];
        if is_commit(sent) && armed.swap(false, Ordering::Relaxed) {
            lost.store(true, Ordering::Relaxed);
            if matches!(loses, Loses::Commit) {
                break;
            }
        }
        if server.write_all(sent).is_err() {
            break;
        }
    }
    // The client learns of it when the server has ended, or answered what is lost.
    let _ = server.shutdown(Shutdown::Both);
    answers.join().unwrap();
    let _ = client.shutdown(Shutdown::Both);
}
