//! The database through a pool of connections.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::id::IdGenerator;

use super::any_connection::AnyConnection;
use super::backend::Backend;
use super::catalogue::Catalogue;
use super::connection::{self, ConnectionManager};
use super::error::StoreError;
use super::retry::{Retries, retry};
use super::settings::DatabaseSettings;

/// A connection on loan from the pool.
pub type PooledConnection = r2d2::PooledConnection<ConnectionManager>;

/// The database, through a pool of connections. Cloning it shares the pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: r2d2::Pool<ConnectionManager>,
    backend: Backend,
    clock: Clock,
    ids: Arc<IdGenerator>,
    catalogue: Catalogue,
    manager: ConnectionManager,
    /// How long a caller waits for a connection.
    patience: Duration,
}

/// How the pool is used at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that somebody works with.
    pub in_use: u32,
    /// Connections that are open and wait for work.
    pub idle: u32,
    /// Connections at most.
    pub size: u32,
}

impl Store {
    /// Connects to the database of the settings.
    ///
    /// # Errors
    /// The URL means nothing, this binary lacks the backend, or the driver cannot connect (in its own words).
    pub fn open(settings: &DatabaseSettings, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(settings, clock, false)
    }

    /// Like [`Store::open`], and makes a SQLite file that is missing.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn create(settings: &DatabaseSettings, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(settings, clock, true)
    }

    fn connect(settings: &DatabaseSettings, clock: Clock, create: bool) -> Result<Self, StoreError> {
        let catalogue = Catalogue::default();
        let manager = ConnectionManager::new(&settings.url, create, catalogue.clone())?;
        let backend = manager.backend();
        let pool = connection::pool(manager.clone(), settings.pool_size.get())?;
        let ids = Arc::new(IdGenerator::new(clock.clone()));
        Ok(Self { pool, backend, ids, clock, catalogue, manager, patience: connection::POOL_WAIT })
    }

    /// The same store, for callers that wait another time for a connection than the five seconds of most.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How the pool is used at the moment.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let state = self.pool.state();
        let in_use = state.connections - state.idle_connections;
        PoolUse { in_use, idle: state.idle_connections, size: self.pool.max_size() }
    }

    /// Takes a connection from the pool. This waits: not for an async thread.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when all are in use, [`StoreError::Unreachable`] when none could be made.
    pub fn connection(&self) -> Result<PooledConnection, StoreError> {
        self.pool.get_timeout(self.patience).map_err(|error| {
            let state = self.pool.state();
            if state.connections >= self.pool.max_size() && state.idle_connections == 0 {
                StoreError::Busy { pool_size: self.pool.max_size() }
            } else {
                StoreError::Unreachable(error.to_string())
            }
        })
    }

    /// Runs `work` on a connection; once more, with statements that are prepared anew, where it fails for a reason of unknown
    /// kind. It must change nothing, or nothing that may not be done twice.
    ///
    /// # Errors
    /// As [`Store::connection`], and those of `work`.
    pub fn with_connection<T>(
        &self,
        work: impl FnMut(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retry(self, Duration::ZERO, &mut Retries::default(), work)
    }

    /// From now on statements are prepared anew: for a program that goes on after an error that it does not know.
    pub fn prepare_again(&self) {
        self.manager.prepare_again();
    }

    /// So many connections, as far as they can be had; each goes back into the pool when it is dropped.
    ///
    /// r2d2 opens connections on threads of its own, and whoever waits for one may get another that has come back
    /// meanwhile. A process that ends while libpq still connects in such a thread crashes, because OpenSSL cleans up
    /// beneath it. So whoever works on several connections has them before it begins.
    pub(crate) fn open_connections(&self, connections: usize) -> Vec<PooledConnection> {
        let wanted = connections.min(usize::try_from(self.pool.max_size()).unwrap_or(usize::MAX));
        let mut held = Vec::new();
        while held.len() < wanted {
            match self.connection() {
                Ok(connection) => held.push(connection),
                // Whoever needs it will say so.
                Err(_) => break,
            }
        }
        held
    }

    /// The product behind it.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What is known of the tables.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The clock that everything in the store is stamped by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the ids of campaigns, numbers and runs.
    #[must_use]
    pub fn ids(&self) -> &IdGenerator {
        &self.ids
    }
}
