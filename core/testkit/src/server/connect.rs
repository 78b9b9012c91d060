//! Plain driver connections, without Callsweep's pool and session settings.

use diesel::SqliteConnection;
use diesel::connection::{Connection as _, SimpleConnection as _};

use callsweep_core::store::{AnyConnection, Backend};

/// Opens a plain driver connection.
pub(crate) fn connect(backend: Backend, url: &str) -> Result<AnyConnection, String> {
    match backend {
        Backend::Sqlite => {
            let mut conn = SqliteConnection::establish(url.trim_start_matches("sqlite://")).map_err(text)?;
            conn.batch_execute("PRAGMA busy_timeout = 30000").map_err(text)?;
            Ok(AnyConnection::Sqlite(conn))
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres => diesel::PgConnection::establish(url).map(AnyConnection::Postgres).map_err(text),
        #[cfg(feature = "mysql")]
        Backend::Mysql => diesel::MysqlConnection::establish(url).map(AnyConnection::Mysql).map_err(text),
        #[allow(unreachable_patterns, reason = "reached only by builds that leave a backend out")]
        left_out => Err(format!("{left_out} is not compiled in")),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
