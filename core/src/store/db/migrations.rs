//! The schema's migrations, built into the binary.

use diesel::connection::SimpleConnection as _;
use diesel::migration::{Migration, MigrationSource};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::store::db::{AnyConnection, Backend, StoreError};

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/postgres");
#[cfg(feature = "mysql")]
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/mysql");

/// Runs an expression with the concrete connection and the migrations of its backend.
macro_rules! on_backend {
    ($conn:expr, |$inner:ident, $migrations:ident| $call:expr) => {
        match $conn {
            AnyConnection::Sqlite($inner) => {
                let $migrations = SQLITE;
                $call
            }
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres($inner) => {
                let $migrations = POSTGRES;
                $call
            }
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql($inner) => {
                let $migrations = MYSQL;
                $call
            }
        }
    };
}

/// The names of the migrations in this binary that have not been run.
///
/// # Errors
/// [`StoreError::SchemaNewer`] if the database has migrations that this binary does not know.
pub fn pending(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let applied = applied(conn)?;
    on_backend!(conn, |conn, migrations| {
        let known = names(&migrations, conn)?;
        let versions: Vec<String> = known.iter().map(|(version, _)| version.clone()).collect();
        if let Some(has) = applied.iter().find(|version| !versions.contains(version)) {
            let has = has.clone();
            return Err(StoreError::SchemaNewer { has, knows: versions.last().cloned().unwrap_or_default() });
        }
        Ok(known.into_iter().filter(|(version, _)| !applied.contains(version)).map(|(_, name)| name).collect())
    })
}

/// The versions that have been run, read with a SELECT only. Diesel's own function creates its table if it is missing, which
/// needs a writable database and a privilege that only `migrate` should have.
fn applied(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let table = match conn.backend() {
        Backend::Sqlite => "SELECT name AS version FROM sqlite_master WHERE name = '__diesel_schema_migrations'",
        Backend::Postgres => "SELECT 'there' AS version WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL",
        Backend::Mysql => {
            "SELECT 'there' AS version FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = '__diesel_schema_migrations'"
        }
    };
    if diesel::sql_query(format!("/* migrations::table */ {table}")).load::<Row>(conn)?.is_empty() {
        return Ok(Vec::new());
    }
    let versions = "/* migrations::versions */ SELECT version FROM __diesel_schema_migrations ORDER BY version";
    Ok(diesel::sql_query(versions).load::<Row>(conn)?.into_iter().map(|row| row.version).collect())
}

fn names<C: diesel::Connection>(migrations: &EmbeddedMigrations, _of: &C) -> Result<Vec<(String, String)>, StoreError> {
    let mut migrations: Vec<Box<dyn Migration<C::Backend>>> = migrations.migrations().map_err(failed)?;
    migrations.sort_by_key(|migration| migration.name().version().to_string());
    Ok(migrations.iter().map(|m| (m.name().version().to_string(), m.name().to_string())).collect())
}

/// Refuses a schema that does not match this binary.
///
/// # Errors
/// [`StoreError::SchemaBehind`], which names the command to run, or [`StoreError::SchemaNewer`].
pub fn check_current(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match pending(conn)?.len() {
        0 => Ok(()),
        behind => Err(StoreError::SchemaBehind(behind)),
    }
}

/// Runs the pending migrations and returns their names. Each migration is one transaction, except on MariaDB and MySQL,
/// which have no transactional DDL.
///
/// # Errors
/// As [`pending`], or the migration's own error.
pub fn run(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let names = pending(conn)?;
    if conn.backend() == Backend::Mysql {
        // No lock timeout: a statement that fails would leave its migration half applied.
        conn.batch_execute("SET SESSION lock_wait_timeout = DEFAULT")?;
    }
    on_backend!(conn, |conn, migrations| conn.run_pending_migrations(migrations).map_err(failed)?);
    Ok(names)
}

/// Reverts all migrations. For tests.
///
/// # Errors
/// The migration's own error.
#[cfg(feature = "testkit")]
pub fn revert_all(conn: &mut AnyConnection) -> Result<(), StoreError> {
    on_backend!(conn, |conn, migrations| conn.revert_all_migrations(migrations).map_err(failed)?);
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Migration(error.to_string())
}
