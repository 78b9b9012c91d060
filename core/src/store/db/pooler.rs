//! Detects a connection pooler in transaction mode, which may use another server connection for each transaction.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::store::db::{AnyConnection, StoreError};

/// The session setting that the probe uses. It is our own, so no pooler tracks it.
const MARK: &str = "callsweep.pooler_probe";

#[derive(QueryableByName)]
struct Mark {
    #[diesel(sql_type = Nullable<Text>)]
    mark: Option<String>,
}

/// Refuses PgBouncer's transaction mode and similar poolers. Lock timeouts, isolation level and prepared statements belong to
/// the server's session. With such a pooler they are lost, or apply to another client.
///
/// The probe sets a setting on one connection. It must still be set there afterwards, and not be visible on another one.
///
/// # Errors
/// [`StoreError::TransactionPooler`], or the database's.
pub(super) fn refuse_transaction_mode(first: &mut AnyConnection, second: &mut AnyConnection) -> Result<(), StoreError> {
    let mark = format!("{:032x}", rand::random::<u128>());
    first.batch_execute(&format!("SET {MARK} = '{mark}'"))?;
    let (seen, kept) = (read(second)?, read(first)?);
    if seen.as_deref() == Some(&mark) || kept.as_deref() != Some(&mark) {
        return Err(StoreError::TransactionPooler);
    }
    first.batch_execute(&format!("RESET {MARK}"))?;
    Ok(())
}

/// Sent without preparing it: a prepared statement could fail in that mode with another error.
fn read(conn: &mut AnyConnection) -> Result<Option<String>, StoreError> {
    let query = diesel::sql_query(format!("/* pooler::read */ SELECT current_setting('{MARK}', true) AS mark"));
    Ok(query.get_result::<Mark>(conn)?.mark)
}
