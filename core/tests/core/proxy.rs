//! A TCP proxy in front of a database server that cuts a connection at a chosen statement.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use callsweep_testkit::TestDatabase;
use url::Url;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// At the next COMMIT; if false, at the next message of any kind.
    pub(crate) commit: bool,
    pub(crate) when: When,
}

/// When the connection is cut, relative to the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// The server never receives the statement.
    Before,
    /// While the server executes the statement.
    Meanwhile,
    /// The server has executed the statement, and its answer is lost.
    After,
    /// The server receives the statement only when the client searches for its next window.
    Late,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    /// URL of the same database, through the proxy.
    pub(crate) url: String,
    armed: Arc<Mutex<Option<Cut>>>,
    /// Forwards a delayed statement. The sender received here is dropped when the server has executed it.
    late: Arc<Mutex<Option<Sender<Sender<()>>>>>,
}

impl Proxy {
    /// Arms the proxy: it cuts one connection, once.
    pub(crate) fn arm(&self, cut: Cut) {
        *self.armed.lock().unwrap() = Some(cut);
    }

    /// Whether no connection has been cut yet.
    #[allow(dead_code, reason = "one of the two test programs asks")]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.lock().unwrap().is_some()
    }

    fn let_through_what_is_late(&self) {
        let Some(late) = self.late.lock().unwrap().take() else { return };
        let (done, until_done) = mpsc::channel();
        late.send(done).unwrap();
        let _ = until_done.recv();
    }

    fn cut_at(&self, sent: &[u8]) -> Option<When> {
        let mut armed = self.armed.lock().unwrap();
        armed.take_if(|cut| !cut.commit || is_commit(sent)).map(|cut| cut.when)
    }
}

/// Starts a proxy that forwards connections until the process ends.
pub(crate) fn before(db: &TestDatabase) -> Proxy {
    let mut url = Url::parse(db.url()).unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let proxy = Proxy { url: url.into(), armed: Arc::default(), late: Arc::default() };
    let passing = proxy.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let proxy = passing.clone();
            std::thread::spawn(move || pass_on(client, server, &proxy));
        }
    });
    proxy
}

/// COMMIT, but not the `READ COMMITTED` of a new connection.
fn is_commit(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    text.contains("COMMIT") && !text.contains("COMMITTED")
}

/// Drivers send a statement and wait for its answer, so one read returns one statement.
fn pass_on(mut client: TcpStream, mut server: TcpStream, proxy: &Proxy) {
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
        // Shut down both directions: the other thread holds clones, so dropping would leave the client waiting.
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let sent = &buffer[..read];
        if String::from_utf8_lossy(sent).contains("window::scan") {
            proxy.let_through_what_is_late();
        }
        let cut = proxy.cut_at(sent);
        lost.store(cut.is_some(), Ordering::Relaxed);
        if cut == Some(When::Late) {
            let (late, signal) = mpsc::channel();
            *proxy.late.lock().unwrap() = Some(late);
            let _ = client.shutdown(Shutdown::Both);
            let _done = signal.recv();
            server.write_all(sent).unwrap();
            let _ = server.shutdown(Shutdown::Write);
            return answers.join().unwrap();
        }
        if cut == Some(When::Before) || server.write_all(sent).is_err() {
            break;
        }
        if cut == Some(When::Meanwhile) {
            let _ = client.shutdown(Shutdown::Both);
            break;
        }
    }
    // In the other cases the client notices when the server closes, or has sent the answer that is lost.
    let _ = server.shutdown(Shutdown::Both);
    answers.join().unwrap();
    let _ = client.shutdown(Shutdown::Both);
}
