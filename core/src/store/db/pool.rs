//! The store: the database, accessed through a connection pool.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::id::IdGenerator;

use super::any_connection::AnyConnection;
use super::backend::Backend;
use super::catalogue::Catalogue;
use super::connection::{self, ConnectionManager};
use super::error::StoreError;
use super::retry::{Retries, UNCLASSIFIED_PATIENCE, retry};
use super::settings::DatabaseSettings;

/// A connection of the pool. Dropping it returns it.
pub type PooledConnection = r2d2::PooledConnection<ConnectionManager>;

/// The database, accessed through a connection pool. Clones share the pool.
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

/// The current use of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections in use.
    pub in_use: u32,
    /// Idle connections.
    pub idle: u32,
    /// The most connections.
    pub size: u32,
}

impl Store {
    /// Connects to the database from the settings.
    ///
    /// # Errors
    /// The URL is invalid, this binary lacks the backend, or the driver cannot connect (with the driver's message).
    pub fn open(settings: &DatabaseSettings, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(settings, clock, false)
    }

    /// As [`Store::open`], and creates a missing SQLite file.
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

    /// The same store with another timeout for getting a connection. The default is five seconds.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The current use of the pool.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let state = self.pool.state();
        let in_use = state.connections - state.idle_connections;
        PoolUse { in_use, idle: state.idle_connections, size: self.pool.max_size() }
    }

    /// Takes a connection from the pool. This blocks: do not call it on an async thread.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if all connections are in use, [`StoreError::Unreachable`] if none could be opened.
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

    /// Runs `work` on a connection. After a transient error it runs `work` again for up to 2 s; after one of unknown kind with
    /// newly prepared statements. So `work` must only read or be idempotent.
    ///
    /// # Errors
    /// As [`Store::connection`], and those of `work`.
    pub fn with_connection<T>(
        &self,
        work: impl FnMut(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retry(self, UNCLASSIFIED_PATIENCE, &mut Retries::default(), work)
    }

    /// From now on all statements are prepared again. For a program that continues after an error of unknown kind.
    pub fn prepare_again(&self) {
        self.manager.prepare_again();
    }

    /// Takes up to this many connections from the pool. There may be fewer if the pool cannot provide them.
    ///
    /// r2d2 opens connections in background threads, and a caller may get a returned connection before its new one is open.
    /// If the process exits while libpq is still connecting in such a thread, it crashes, because OpenSSL's exit handler has
    /// freed the memory. So a caller that needs several connections takes them before it begins to work.
    pub(crate) fn open_connections(&self, connections: usize) -> Vec<PooledConnection> {
        let wanted = connections.min(usize::try_from(self.pool.max_size()).unwrap_or(usize::MAX));
        let mut held = Vec::new();
        while held.len() < wanted {
            match self.connection() {
                Ok(connection) => held.push(connection),
                // Not an error here: the caller can work with fewer connections.
                Err(_) => break,
            }
        }
        held
    }

    /// The database product.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The cached catalogue of the tables.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The clock for all timestamps in the store.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The generator for the ids of campaigns, numbers and runs.
    #[must_use]
    pub fn ids(&self) -> &IdGenerator {
        &self.ids
    }
}
