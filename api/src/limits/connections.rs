//! Open connections, and a timeout for those that do not send a whole request.
//!
//! actix-web limits the time for the head of a connection's first request and the time between requests. It does not
//! limit the head of a later request: a client could begin one and keep its connection for ever. This does.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net;
use sha2::{Digest as _, Sha256};

use crate::auth::Fingerprint;

/// The connections of a server.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Vec<Weak<Connection>>>,
    /// Times are counted from here.
    epoch: Instant,
    /// How long a connection may be without a request that is being answered.
    patience: Duration,
}

#[derive(Debug)]
struct Connection {
    /// A second handle of the socket; actix-web has the first. It is dropped with the connection's data.
    socket: TcpStream,
    epoch: Instant,
    /// Milliseconds since the epoch when the last request was answered, or [`BUSY`].
    idle_since: AtomicU64,
}

/// A request is being answered: its own timeouts apply.
const BUSY: u64 = u64::MAX;

impl Connections {
    /// `patience`: how long a connection may be without a request that is being answered.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { open: Mutex::default(), epoch: Instant::now(), patience }
    }

    /// Adds a new connection, and to its own data.
    pub(crate) fn add(&self, io: &dyn Any, data: &mut Extensions) {
        let plain = || io.downcast_ref::<net::TcpStream>();
        let tls = || io.downcast_ref::<TlsStream<net::TcpStream>>().map(|stream| stream.get_ref().0);
        let certificate = io.downcast_ref::<TlsStream<net::TcpStream>>().and_then(|stream| {
            let shown = stream.get_ref().1.peer_certificates()?.first()?;
            Some(Fingerprint(Sha256::digest(shown).into()))
        });
        if let Some(certificate) = certificate {
            data.insert(certificate);
        }
        // Without a second handle, as at the limit of open files, it is not watched.
        let Some(Ok(socket)) = plain().or_else(tls).map(|stream| stream.as_fd().try_clone_to_owned()) else { return };
        let idle_since = AtomicU64::new(millis(self.epoch.elapsed()));
        let connection = Arc::new(Connection { socket: socket.into(), epoch: self.epoch, idle_since });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Closes those that have not sent a whole request for too long, and drops those that are closed.
    pub fn cut_slow(&self) {
        let now = millis(self.epoch.elapsed());
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let idle_since = connection.idle_since.load(Ordering::Relaxed);
            let is_slow = idle_since != BUSY && now.saturating_sub(idle_since) > millis(self.patience);
            if is_slow {
                // It fails where the client has closed it.
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
            !is_slow
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(BUSY - 1)
}

/// A request of a connection that is being answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct ActiveRequest(Option<Arc<Connection>>);

impl ActiveRequest {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let connection = request.conn_data::<Arc<Connection>>().cloned();
        if let Some(connection) = &connection {
            connection.idle_since.store(BUSY, Ordering::Relaxed);
        }
        Self(connection)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.idle_since.store(millis(connection.epoch.elapsed()), Ordering::Relaxed);
        }
    }
}
