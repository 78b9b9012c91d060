//! The predicate of the criteria. Preview, count, copy and delete all use this one text; [`one_of`] is the same for
//! several requests at once.

use crate::model::criteria::{CALENDAR, Criteria, Recycle};
use crate::model::walk::Walk;
use crate::store::db::Backend;
use crate::store::db::statement::Statement;

/// ` AND …` for every filter. A text matches byte for byte, whatever the column's collation is.
pub(crate) fn criteria(mut statement: Statement, criteria: &Criteria, backend: Backend) -> Statement {
    for walk in [Walk::SessionId, Walk::Called, Walk::CustomField, Walk::RecycleTime] {
        statement = leading(statement, criteria, walk, backend);
        if let Some((column, value)) = text(criteria, walk) {
            statement = identical(statement, column, value, backend);
        }
    }
    statement
}

/// ` AND …` for the filter by which a walk leads, where the criteria have it: in the form that an index serves. By the
/// collation of a column it may select more than the filter does.
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

/// A filter that a number passes by one of its values, and no other filter beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ByValue {
    SessionId,
    Called,
}

impl ByValue {
    /// The filter and its value, where the criteria are that alone. A customField names a batch.
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

    /// The walk that goes by the same index.
    pub(crate) fn walk(self) -> Walk {
        match self {
            Self::SessionId => Walk::SessionId,
            Self::Called => Walk::Called,
        }
    }
}

/// ` AND …` for numbers that pass the filter by any of the values; by the collation of the column there may be more, which
/// the caller tells by their value.
pub(crate) fn one_of(statement: Statement, by: ByValue, values: &[&str]) -> Statement {
    let column = statement.sql(" AND ").sql(by.column()).sql(" IN (");
    column.list(values, |list, value| list.text(value)).sql(")")
}

/// The column of a walk and the text that the criteria ask for.
fn text(criteria: &Criteria, walk: Walk) -> Option<(&'static str, &str)> {
    match walk {
        Walk::SessionId => criteria.session_id().map(|value| ("session_id", value.as_str())),
        Walk::Called => criteria.called().map(|value| ("called", value.as_str())),
        Walk::CustomField => criteria.custom_field().map(|value| ("custom_field", value.as_str())),
        Walk::PrimaryKey | Walk::RecycleTime => None,
    }
}

/// ` AND` the column's bytes are those of the value. No index serves it: it goes with an equality that one does.
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
