//! The predicate of the criteria. Preview, count, copy and delete all use this one text; [`one_of`] is the same for
//! several requests at once.

use crate::model::criteria::{CALENDAR, Criteria, Recycle};
use crate::model::number::{Called, CustomField, SessionId};
use crate::model::walk::Walk;
use crate::store::db::Backend;
use crate::store::db::statement::Statement;

/// ` AND …` for every filter.
pub(crate) fn criteria(mut statement: Statement, criteria: &Criteria, backend: Backend) -> Statement {
    for walk in [Walk::SessionId, Walk::Called, Walk::CustomField, Walk::RecycleTime] {
        statement = leading(statement, criteria, walk, backend);
    }
    statement
}

/// ` AND …` for the filter by which a walk leads, where the criteria have it.
pub(crate) fn leading(statement: Statement, criteria: &Criteria, walk: Walk, backend: Backend) -> Statement {
    match walk {
        Walk::PrimaryKey => statement,
        Walk::SessionId => equal(statement, " AND session_id = ", criteria.session_id().map(SessionId::as_str)),
        Walk::Called => equal(statement, " AND called = ", criteria.called().map(Called::as_str)),
        Walk::CustomField => equal(statement, " AND custom_field = ", criteria.custom_field().map(CustomField::as_str)),
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

/// ` AND …` for numbers that pass the filter by any of the values.
pub(crate) fn one_of(statement: Statement, by: ByValue, values: &[&str]) -> Statement {
    let column = statement.sql(" AND ").sql(by.column()).sql(" IN (");
    column.list(values, |list, value| list.text(value)).sql(")")
}

fn equal(statement: Statement, condition: &'static str, value: Option<&str>) -> Statement {
    match value {
        Some(value) => statement.sql(condition).text(value),
        None => statement,
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
