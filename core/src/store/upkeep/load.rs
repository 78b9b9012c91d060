//! The load of the database server: the measurements for throttles.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::store::db::{AnyConnection, Backend, StoreError};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// The number of queries that the server is running, without that of this connection. Always 0 on SQLite.
///
/// # Errors
/// The database's.
pub fn running_queries(conn: &mut AnyConnection) -> Result<i64, StoreError> {
    let query = match conn.backend() {
        Backend::Sqlite => return Ok(0),
        Backend::Postgres => {
            "/* load::running_queries */ SELECT count(*) AS value FROM pg_stat_activity \
             WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        }
        Backend::Mysql => {
            "/* load::running_queries */ SELECT CAST(count(*) AS SIGNED) AS value FROM information_schema.processlist \
             WHERE command IN ('Query', 'Execute') AND id <> connection_id()"
        }
    };
    Ok(diesel::sql_query(query).get_result::<Count>(conn)?.value)
}

/// WAL positions of the primary and its slowest replica, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaPosition {
    /// How far the primary has written.
    pub written: i64,
    /// How far the slowest replica has replayed. `None`: the database user has no privilege to read it.
    pub replayed: Option<i64>,
}

/// The WAL positions of PostgreSQL's replicas. `None`: there is no replica. The column `replay_lag` is not used, because it
/// does not grow while a replica is stopped.
///
/// # Errors
/// The database's.
pub fn replica_position(conn: &mut AnyConnection) -> Result<Option<ReplicaPosition>, StoreError> {
    #[derive(QueryableByName)]
    struct ReplicaCounts {
        #[diesel(sql_type = BigInt)]
        replicas: i64,
        #[diesel(sql_type = BigInt)]
        written: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        replayed: Option<i64>,
    }
    let query = "/* load::replica_position */ SELECT count(*) AS replicas, \
                 CAST(pg_current_wal_lsn() - '0/0' AS bigint) AS written, \
                 CAST(min(replay_lsn) - '0/0' AS bigint) AS replayed FROM pg_stat_replication";
    let ReplicaCounts { replicas, written, replayed } = diesel::sql_query(query).get_result(conn)?;
    Ok((replicas > 0).then_some(ReplicaPosition { written, replayed }))
}

/// The replication lag of this MariaDB server. `None`: it is not a replica, or replication is stopped.
///
/// # Errors
/// The database's.
pub fn own_lag(conn: &mut AnyConnection) -> Result<Option<Duration>, StoreError> {
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = Nullable<BigInt>, column_name = "Seconds_Behind_Master")]
        seconds: Option<i64>,
    }
    let found: Vec<Status> = diesel::sql_query("/* load::own_lag */ SHOW SLAVE STATUS").load(conn)?;
    let seconds = found.first().and_then(|status| status.seconds);
    Ok(seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

/// Executes a query from the settings and returns its integer.
///
/// # Errors
/// The database's; also if the query returns no row or no integer.
pub fn scalar(conn: &mut AnyConnection, query: &str) -> Result<i64, StoreError> {
    let value = if conn.backend() == Backend::Mysql { "SIGNED" } else { "BIGINT" };
    let cast = format!("/* load::scalar */ SELECT CAST(({query}) AS {value}) AS value");
    Ok(diesel::sql_query(cast).get_result::<Count>(conn)?.value)
}
