//! Whether a connection pooler gives each transaction another connection of the server.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::store::db::{AnyConnection, StoreError};

/// What the probe keeps in the session: a setting of our own that no pooler knows.
const MARK: &str = "callsweep.pooler_probe";

#[derive(QueryableByName)]
struct Mark {
    #[diesel(sql_type = Nullable<Text>)]
    mark: Option<String>,
}

/// Refuses PgBouncer's transaction mode, and what works like it. Lock timeouts, isolation and prepared statements are kept by
/// the server's session: there they are lost, or meet another client's.
///
/// A setting that is made on one connection must be there afterwards, and not be seen on another.
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

/// Sent as text: a prepared statement would fail in that mode before it could be told apart.
fn read(conn: &mut AnyConnection) -> Result<Option<String>, StoreError> {
    let query = diesel::sql_query(format!("SELECT current_setting('{MARK}', true) AS mark"));
    Ok(query.get_result::<Mark>(conn)?.mark)
}
