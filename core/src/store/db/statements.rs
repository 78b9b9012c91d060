//! The prepared statements of a connection, and when they are prepared again.
//!
//! If a column of its result changes its type, PostgreSQL refuses a prepared statement as long as the connection lives
//! ("cached plan must not change result type"). Diesel does not classify that error, and its text depends on the server's
//! language. So after every error of unknown kind the statements are prepared again.

use diesel::QueryResult;
use diesel::connection::{
    CacheSize, Connection as _, Instrumentation, InstrumentationEvent, SimpleConnection as _,
    get_default_instrumentation,
};

use super::any_connection::AnyConnection;
use super::backend::Backend;
use super::error::is_unclassified;

/// Watches the statements of a connection.
struct Watch {
    /// What Diesel would have installed: a connection has one instrumentation.
    default: Option<Box<dyn Instrumentation>>,
    /// Whether one has failed for a reason that may be its age.
    is_suspect: bool,
    /// How often the store had asked for new statements when these were prepared.
    generation: u64,
}

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { error: Some(error), .. } = event {
            self.is_suspect |= is_unclassified(error);
        }
        self.default.on_connection_event(event);
    }
}

/// Begins to watch a new connection.
pub(super) fn watch(conn: &mut AnyConnection, generation: u64) {
    conn.set_instrumentation(Watch { default: get_default_instrumentation(), is_suspect: false, generation });
}

/// Prepares again what may be too old, as a connection comes out of the pool.
pub(super) fn renew_if_needed(conn: &mut AnyConnection, generation: u64) -> QueryResult<()> {
    let is_current = conn
        .instrumentation()
        .downcast_ref::<Watch>()
        .is_some_and(|watch| !watch.is_suspect && watch.generation == generation);
    if is_current {
        return Ok(());
    }
    renew(conn)?;
    watch(conn, generation);
    Ok(())
}

/// Forgets every prepared statement. Outside a transaction.
pub(super) fn renew(conn: &mut AnyConnection) -> QueryResult<()> {
    if conn.backend() == Backend::Postgres {
        // Diesel leaves its statements on the server.
        conn.batch_execute("DEALLOCATE ALL")?;
    }
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    conn.set_prepared_statement_cache_size(CacheSize::Unbounded);
    Ok(())
}
