//! The criteria as SQL. Preview, count, copy and delete all use the same condition; [`one_of`] is its variant for several
//! requests at once.

use crate::model::criteria::{CALENDAR, Criteria, Recycle};
use crate::model::walk::Walk;
use crate::store::db::Backend;
use crate::store::db::statement::Statement;

/// Appends ` AND …` for every filter. A text matches byte for byte, whatever the column's collation is.
pub(crate) fn criteria(mut statement: Statement, criteria: &Criteria, backend: Backend) -> Statement {
    for walk in [Walk::SessionId, Walk::Called, Walk::CustomField, Walk::RecycleTime] {
        statement = leading(statement, criteria, walk, backend);
        if let Some((column, value)) = text(criteria, walk) {
            statement = identical(statement, column, value, backend);
        }
    }
    statement
}

/// Appends ` AND …` for the filter on the columns of the scanned index, if the criteria have one, in the form that the index
/// supports. Under the collation of the column it may select more numbers than the filter.
pub(crate) fn leading(statement: Statement, criteria: &Criteria, walk: Walk, backend: Backend) -> Statement {
    if let Some((column, value)) = text(criteria, walk) {
        return statement.sql(" AND ").sql(column).sql(" = ").text(value);
    }
    match walk {
        Walk::PrimaryKey | Walk::SessionId | Walk::Called | Walk::CustomField => statement,
        Walk::RecycleTime => match criteria.recycle() {
            Some(filter) => recycle(statement, filter, backend),
            None => statement,
        },
    }
}

/// The column of criteria that consist of a single filter on an exact value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ByValue {
    SessionId,
    Called,
}

impl ByValue {
    /// The column and value, if the criteria are a single filter on an exact value. Not for customField, which selects many
    /// numbers.
    pub(crate) fn of(criteria: &Criteria) -> Option<(Self, &str)> {
        match (criteria.session_id(), criteria.called(), criteria.custom_field(), criteria.recycle()) {
            (Some(session_id), None, None, None) => Some((Self::SessionId, session_id.as_str())),
            (None, Some(called), None, None) => Some((Self::Called, called.as_str())),
            _ => None,
        }
    }

    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::SessionId => "session_id",
            Self::Called => "called",
        }
    }

    /// The scan of the same index.
    pub(crate) fn walk(self) -> Walk {
        match self {
            Self::SessionId => Walk::SessionId,
            Self::Called => Walk::Called,
        }
    }
}

/// Appends ` AND …` for numbers with any of the values. Under the collation of the column it may select more numbers; the
/// caller must compare their values.
pub(crate) fn one_of(statement: Statement, by: ByValue, values: &[&str]) -> Statement {
    let column = statement.sql(" AND ").sql(by.column()).sql(" IN (");
    column.list(values, |list, value| list.text(value)).sql(")")
}

/// The column of a scanned index, and the value that the criteria require.
fn text(criteria: &Criteria, walk: Walk) -> Option<(&'static str, &str)> {
    match walk {
        Walk::SessionId => criteria.session_id().map(|value| ("session_id", value.as_str())),
        Walk::Called => criteria.called().map(|value| ("called", value.as_str())),
        Walk::CustomField => criteria.custom_field().map(|value| ("custom_field", value.as_str())),
        Walk::PrimaryKey | Walk::RecycleTime => None,
    }
}

/// Appends ` AND …`, which compares the bytes of the column with those of the value. No index supports this, so it must be
/// combined with an equality that an index supports.
fn identical(statement: Statement, column: &'static str, value: &str, backend: Backend) -> Statement {
    match backend {
        Backend::Sqlite => statement.sql(" AND ").sql(column).sql(" COLLATE BINARY = ").text(value),
        // As a CASE: for a second equality the planner would expect a small part of the rows that there are.
        Backend::Postgres => {
            let case = statement.sql(" AND CASE WHEN ").sql(column).sql(" COLLATE \"C\" = ").text(value);
            case.sql(" THEN TRUE ELSE FALSE END")
        }
        // utf8mb4_bin would ignore spaces at the end.
        Backend::Mysql => {
            statement.sql(" AND CAST(CONVERT(").sql(column).sql(" USING utf8mb4) AS BINARY) = ").text(value)
        }
    }
}

fn recycle(mut statement: Statement, filter: Recycle, backend: Backend) -> Statement {
    let (from, before) = filter.range();
    statement = statement.sql(" AND recycle_time >= ");
    statement = match from {
        Some(from) => statement.wall_clock(from, backend),
        None => statement.wall_clock_literal(CALENDAR.0, backend),
    };
    match before {
        Some(before) => statement.sql(" AND recycle_time < ").wall_clock(before, backend),
        None => statement.sql(" AND recycle_time <= ").wall_clock_literal(CALENDAR.1, backend),
    }
}
