//! Caches the columns of the tables until the database's catalogue changes.
//!
//! Adding a column while the process runs makes no statement fail, but the column would not be copied. So each transaction
//! that removes or restores numbers reads a fingerprint of the catalogue, in the statement that locks the campaign. That
//! statement also reads `call_data` and `call_data_history`, so that an ALTER TABLE on either waits for the transaction.

use std::sync::{Arc, Mutex, PoisonError};

use super::any_connection::AnyConnection;
use super::backend::Backend;
use super::columns::Columns;
use super::error::StoreError;
use super::statement::Statement;
use super::storage;

/// The columns as this process last read them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue(Arc<Mutex<Option<Known>>>);

#[derive(Debug, Clone)]
struct Known {
    fingerprint: String,
    columns: Arc<Columns>,
}

impl Catalogue {
    /// The columns to copy, for a transaction that has read this fingerprint. They are read again if it differs from the last
    /// one.
    ///
    /// # Errors
    /// [`StoreError::UnsafeTable`]: numbers could be lost in a table. Or the database's.
    pub(crate) fn columns(&self, conn: &mut AnyConnection, fingerprint: &str) -> Result<Arc<Columns>, StoreError> {
        let known = self.lock().clone().filter(|known| known.fingerprint == fingerprint);
        if let Some(known) = known {
            return Ok(known.columns);
        }
        storage::check(conn)?;
        let columns = Arc::new(Columns::read(conn)?);
        *self.lock() = Some(Known { fingerprint: fingerprint.to_owned(), columns: Arc::clone(&columns) });
        Ok(columns)
    }

    /// The tables may be others: a new connection may lead to another server.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `, … AS fingerprint`: another text whenever a column or the storage of a table has changed. In a transaction both tables
/// stay from then on as they are.
pub(crate) fn fingerprint(statement: Statement, backend: Backend) -> Statement {
    match backend {
        // The transaction has the only write lock. The file counts its changes.
        Backend::Sqlite => {
            statement.sql(", (SELECT CAST(schema_version AS TEXT) FROM pragma_schema_version) AS fingerprint")
        }
        // The snapshot of the statement is taken after its locks on the tables.
        Backend::Postgres => statement.sql(
            ", concat((SELECT sum(hashtextextended(concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod, \
             attnotnull, atthasdef, attidentity, attgenerated, attisdropped), 0)) FROM pg_attribute WHERE attnum > 0 \
             AND attrelid IN (to_regclass('call_data'), to_regclass('call_data_history'))), ' ', \
             (SELECT string_agg(concat_ws(' ', oid, relkind, relpersistence), ',' ORDER BY oid) FROM pg_class \
             WHERE oid IN (to_regclass('call_data'), to_regclass('call_data_history'), to_regclass('campaign'), \
             to_regclass('campaign_lease'), to_regclass('purge_run'), to_regclass('purge_run_campaign'), \
             to_regclass('purge_run_control')))) AS fingerprint, \
             (SELECT count(*) FROM call_data c, call_data_history h WHERE 1 = 0) AS held",
        ),
        // SHA1 for its bits: 32 of a CRC are few where a collision loses a column. information_schema is read after the
        // statement has its metadata locks.
        Backend::Mysql => statement.sql(
            ", CONCAT((SELECT CAST(BIT_XOR(CAST(CONV(LEFT(SHA1(CONCAT_WS(CHAR(1), table_name, ordinal_position, column_name, \
             column_type, is_nullable, COALESCE(column_default, CHAR(2)), COALESCE(character_set_name, ''), extra)), 16), \
             16, 10) AS UNSIGNED)) AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() \
             AND table_name IN ('call_data', 'call_data_history')), ' ', \
             (SELECT GROUP_CONCAT(table_name, ' ', COALESCE(engine, '') ORDER BY table_name) FROM \
             information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('call_data', \
             'call_data_history', 'campaign', 'campaign_lease', 'purge_run', 'purge_run_campaign', 'purge_run_control')) \
             ) AS fingerprint, (SELECT COUNT(*) FROM call_data c, call_data_history h WHERE 1 = 0) AS held",
        ),
    }
}
