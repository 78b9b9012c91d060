//! MariaDB's purge: a delete only marks rows, and background threads remove them after the COMMIT.

use std::thread;
use std::time::Duration;

use callsweep_core::store::AnyConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Returns when the deleted rows are removed from the indexes.
pub(crate) fn wait_for(conn: &mut AnyConnection) {
    while pending(conn) > 0 {
        thread::sleep(POLL_INTERVAL);
    }
}

/// Number of transactions whose rows are not purged yet.
fn pending(conn: &mut AnyConnection) -> u64 {
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = Text, column_name = "Value")]
        value: String,
    }
    let query = diesel::sql_query("SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'");
    query.get_result::<Status>(conn).expect("reads the status").value.parse().expect("a number")
}
