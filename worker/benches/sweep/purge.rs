//! What MariaDB has left to do after a COMMIT: rows that are deleted are only marked, and purged afterwards.

use std::thread;
use std::time::Duration;

use callsweep_core::store::AnyConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Returns when the rows that were deleted are gone from the indexes.
pub(crate) fn wait_for(conn: &mut AnyConnection) {
    while pending(conn) > 0 {
        thread::sleep(LOOK_EVERY);
    }
}

/// Transactions whose rows are yet to be purged.
fn pending(conn: &mut AnyConnection) -> u64 {
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = Text, column_name = "Value")]
        value: String,
    }
    let query = diesel::sql_query("SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'");
    query.get_result::<Status>(conn).expect("reads the status").value.parse().expect("a number")
}
