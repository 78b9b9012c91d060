//! Writing `recycle_time` to each backend.

use chrono::NaiveDateTime;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Nullable, Timestamp};

/// A wall-clock time to insert.
///
/// Diesel binds every time on MySQL as a TIMESTAMP, whose range is 1970 to 2106. MariaDB would store NULL for a time outside.
/// So the time is bound as text and cast to DATETIME, the type of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryId)]
pub(crate) struct WallClock(pub(crate) Option<NaiveDateTime>);

impl Expression for WallClock {
    type SqlType = Nullable<Timestamp>;
}

impl<Table> AppearsOnTable<Table> for WallClock {}
impl<Table> SelectableExpression<Table> for WallClock {}
impl<GroupBy> ValidGrouping<GroupBy> for WallClock {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<diesel::sqlite::Sqlite> for WallClock {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::sqlite::Sqlite>) -> QueryResult<()> {
        out.push_bind_param::<Nullable<Timestamp>, _>(&self.0)
    }
}

#[cfg(feature = "postgres")]
impl QueryFragment<diesel::pg::Pg> for WallClock {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
        out.push_bind_param::<Nullable<Timestamp>, _>(&self.0)
    }
}

#[cfg(feature = "mysql")]
impl QueryFragment<diesel::mysql::Mysql> for WallClock {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::mysql::Mysql>) -> QueryResult<()> {
        out.push_sql("CAST(");
        out.push_bind_param::<Nullable<Timestamp>, _>(&self.0)?;
        out.push_sql(" AS DATETIME(6))");
        Ok(())
    }
}
