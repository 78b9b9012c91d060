//! A trial: one number is archived and restored in a transaction that is rolled back. It finds what no catalogue tells:
//! triggers, constraints and row security that keep rows from history.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use crate::clock::Clock;
use crate::store::db::columns::Columns;
use crate::store::db::statement::Statement;
use crate::store::db::transaction::rolled_back;
use crate::store::db::{AnyConnection, Backend, StoreError, Transient, storage};
use crate::store::tables::moving::{Direction, Move, Under};

/// How it went.
#[derive(Debug)]
pub(super) enum Trial {
    Works,
    /// It was not tried, and why.
    Skipped(String),
    /// What failed, and why.
    Fails(&'static str, StoreError),
}

/// Tries it, where the role may and nothing could stay behind.
pub(super) fn run(conn: &mut AnyConnection) -> Result<Trial, StoreError> {
    if let Some(reason) = forbidden(conn)? {
        return Ok(Trial::Skipped(reason.to_owned()));
    }
    let columns = Columns::read(conn)?;
    let (Ok(archived), Ok(restored)) = (columns.archived(), columns.restored()) else {
        return Ok(Trial::Skipped("the columns of the tables differ".to_owned()));
    };
    let Some(number) = any_number(conn)? else { return Ok(Trial::Skipped("call_data has no numbers".to_owned())) };
    let mut begun = "the transaction";
    let tried = rolled_back(conn, |conn| {
        let which = || {
            let campaign = Statement::default().sql("campaign_id = ").big_int(number.campaign_id);
            campaign.sql(" AND id = ").big_int(number.id)
        };
        begun = "archiving a number";
        let direction = Direction::Archive { run: Under::Run(number.run_id), now: Clock::system().timestamp() };
        Move { direction, columns: archived, which: which() }.run(conn)?;
        settle_constraints(conn)?;
        begun = "restoring it";
        let which = which().sql(" AND run_id = ").big_int(number.run_id);
        Move { direction: Direction::Restore, columns: restored, which }.run(conn)?;
        settle_constraints(conn)
    });
    Ok(match tried {
        Ok(()) => Trial::Works,
        // Another program has the number, or writes to the file.
        Err(error) if error.is_transient().is_some_and(|reason| reason != Transient::Changed) => {
            Trial::Skipped(error.to_string())
        }
        Err(error) => Trial::Fails(begun, error),
    })
}

/// Why it must not or cannot be tried.
fn forbidden(conn: &mut AnyConnection) -> Result<Option<&'static str>, StoreError> {
    #[derive(QueryableByName)]
    struct Rights {
        #[diesel(sql_type = Bool)]
        read_only: bool,
        #[diesel(sql_type = Bool)]
        may_insert: bool,
    }
    if !storage::find_unsafe(conn)?.is_empty() {
        return Ok(Some("a table cannot roll back"));
    }
    let query = match conn.backend() {
        // Whether the file may be written is found when the transaction begins.
        Backend::Sqlite => "SELECT query_only AS read_only, 1 AS may_insert FROM pragma_query_only",
        Backend::Postgres => {
            "SELECT current_setting('transaction_read_only') = 'on' AS read_only, \
             has_any_column_privilege('call_data_history', 'INSERT') AS may_insert"
        }
        Backend::Mysql => {
            "SELECT @@global.read_only <> 0 AS read_only, EXISTS (SELECT 1 FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = 'call_data_history' AND privileges LIKE '%insert%') \
             AS may_insert"
        }
    };
    let rights: Rights = diesel::sql_query(format!("/* trial::rights */ {query}")).get_result(conn)?;
    Ok(match rights {
        Rights { read_only: true, .. } => Some("the server is read-only"),
        Rights { may_insert: false, .. } => Some("no INSERT right on call_data_history"),
        Rights { .. } => None,
    })
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    campaign_id: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    /// The newest run, for users may have made history's run_id refer to the ledger; 0 where there is none.
    #[diesel(sql_type = BigInt)]
    run_id: i64,
}

fn any_number(conn: &mut AnyConnection) -> Result<Option<Number>, StoreError> {
    let query = "/* trial::number */ SELECT campaign_id, id, COALESCE((SELECT max(id) FROM purge_run), 0) AS run_id \
                 FROM call_data ORDER BY campaign_id, id LIMIT 1";
    let found: Vec<Number> = Statement::new(query).load(conn)?;
    Ok(found.into_iter().next())
}

/// Checks what would be checked at COMMIT.
fn settle_constraints(conn: &mut AnyConnection) -> Result<(), StoreError> {
    if conn.backend() == Backend::Postgres {
        conn.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
    }
    Ok(())
}
