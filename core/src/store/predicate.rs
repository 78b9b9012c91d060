//! The predicate of the criteria. Preview, count, copy and delete all use this one text.

use super::connection::Backend;
use super::statement::Statement;
use super::walk::Walk;
use crate::criteria::{CALENDAR, Criteria, Recycle};
use crate::number::{Called, CustomField, SessionId};

/// ` AND …` for every filter.
pub(super) fn criteria(mut statement: Statement, criteria: &Criteria, backend: Backend) -> Statement {
    for walk in [Walk::SessionId, Walk::Called, Walk::CustomField, Walk::RecycleTime] {
        statement = leading(statement, criteria, walk, backend);
    }
    statement
}

/// ` AND …` for the filter by which a walk leads, where the criteria have it.
pub(super) fn leading(statement: Statement, criteria: &Criteria, walk: Walk, backend: Backend) -> Statement {
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
        None => statement.wall_clock_text(CALENDAR.0, backend),
    };
    match before {
        Some(before) => statement.sql(" AND recycle_time < ").wall_clock(before, backend),
        None => statement.sql(" AND recycle_time <= ").wall_clock_text(CALENDAR.1, backend),
    }
}
