//! The heap pages of a window's rows: PostgreSQL reads adjacent pages sequentially faster than rows through an index.
//!
//! An UPDATE by another program moves a row to another page. So pages only speed up a statement; which rows it selects is
//! always decided by the filter, and the rest of the window is read through the index afterwards.

use crate::store::db::Backend;
use crate::store::db::statement::Statement;

/// The fewest rows per page for which pages are used. Measured with 48 rows per page: if all rows belong to the window, pages
/// take 0.7 of the time of the index; if every other row belongs to another campaign, they take 1.3 of it.
const ROWS_IN_A_PAGE: i64 = 32;

/// A range of PostgreSQL heap pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages {
    first: i64,
    last: i64,
}

impl Pages {
    /// The SQL expression for the location of a row, and for the first and last page of a group. NULL on other backends.
    pub(crate) fn sql(backend: Backend) -> (&'static str, &'static str) {
        match backend {
            Backend::Postgres => (
                "ctid",
                ", CAST((CAST(CAST(min(matched) AS TEXT) AS POINT))[0] AS BIGINT) AS first_page\
                 , CAST((CAST(CAST(max(matched) AS TEXT) AS POINT))[0] AS BIGINT) AS last_page",
            ),
            Backend::Sqlite | Backend::Mysql => ("1", ", NULL AS first_page, NULL AS last_page"),
        }
    }

    /// The pages from `first` to `last`, if reading all of them is faster for this many rows.
    pub(crate) fn of(first: Option<i64>, last: Option<i64>, rows: i64) -> Option<Self> {
        let (first, last) = (first?, last?);
        ((last - first + 1).saturating_mul(ROWS_IN_A_PAGE) <= rows).then_some(Self { first, last })
    }

    /// Appends ` AND …` for rows in these pages.
    pub(crate) fn restrict(self, statement: Statement) -> Statement {
        let begin_of = |page: i64| format!("({page},0)");
        let statement = statement.sql(" AND ctid >= CAST(").public_text(&begin_of(self.first)).sql(" AS TID)");
        statement.sql(" AND ctid < CAST(").public_text(&begin_of(self.last + 1)).sql(" AS TID)")
    }
}
