//! The columns to copy between `call_data` and `call_data_history`, according to the database's catalogue.
//!
//! Users may add columns. A number is moved with all its columns or not at all: a value that the other table cannot store
//! would be lost.

use std::fmt;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::any_connection::AnyConnection;
use super::backend::Backend;
pub use super::difference::Difference;
use super::error::StoreError;
use super::statement::Statement;

/// The columns that only history has. Archiving fills them.
const OWN: [&str; 2] = ["archived_at", "run_id"];

/// A column, from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    /// Type, length and character set.
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    not_null: bool,
    /// Generated: the database computes it and accepts no value for it.
    #[diesel(sql_type = Bool)]
    generated: bool,
    /// Whether an INSERT may omit it.
    #[diesel(sql_type = Bool)]
    has_default: bool,
}

/// "VARCHAR(24) NOT NULL"
impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not_null = if self.not_null { " NOT NULL" } else { "" };
        write!(f, "{}{not_null}", self.kind)
    }
}

/// The columns to copy.
#[derive(Debug)]
pub(crate) struct Columns {
    archived: Vec<String>,
    restored: Vec<String>,
    differences: Vec<Difference>,
}

impl Columns {
    /// Reads them from the catalogue.
    pub(crate) fn read(conn: &mut AnyConnection) -> Result<Self, StoreError> {
        let (numbers, history) = (of_table(conn, "call_data")?, of_table(conn, "call_data_history")?);
        Ok(Self::compare(&numbers, &history, conn.backend()))
    }

    fn compare(numbers: &[Column], history: &[Column], backend: Backend) -> Self {
        // Only PostgreSQL distinguishes names by case.
        let fold = |name: &str| if backend == Backend::Postgres { name.to_owned() } else { name.to_lowercase() };
        let find = |columns: &[Column], name: &str| columns.iter().position(|column| fold(&column.name) == fold(name));
        let mut columns = Self { archived: Vec::new(), restored: Vec::new(), differences: Vec::new() };
        for here in numbers {
            let there = find(history, &here.name).map(|place| &history[place]);
            if let Some(difference) = difference(here, there, OWN.contains(&fold(&here.name).as_str())) {
                columns.differences.push(difference);
            }
            // A generated column can be read but not written.
            if there.is_some_and(|there| !there.generated) {
                columns.archived.push(here.name.clone());
            }
            if there.is_some() && !here.generated {
                columns.restored.push(here.name.clone());
            }
        }
        let only_there = history.iter().filter(|there| {
            !there.generated && !OWN.contains(&fold(&there.name).as_str()) && find(numbers, &there.name).is_none()
        });
        columns.differences.extend(only_there.map(|there| {
            let column = there.name.clone();
            if there.not_null && !there.has_default {
                Difference::NoDefault { column }
            } else {
                Difference::MissingInCallData { column }
            }
        }));
        columns
    }

    /// The columns that archiving copies.
    ///
    /// # Errors
    /// [`StoreError::HistoryDrift`]: history cannot store all columns of `call_data`.
    pub(crate) fn archived(&self) -> Result<&[String], StoreError> {
        match self.differences.iter().find(|difference| difference.forbids_archive()) {
            Some(difference) => Err(difference.clone().into()),
            None => Ok(&self.archived),
        }
    }

    /// The columns that a restore copies.
    ///
    /// # Errors
    /// [`StoreError::HistoryDrift`]: the tables differ.
    pub(crate) fn restored(&self) -> Result<&[String], StoreError> {
        match self.differences.first() {
            Some(difference) => Err(difference.clone().into()),
            None => Ok(&self.restored),
        }
    }
}

fn difference(here: &Column, there: Option<&Column>, is_own: bool) -> Option<Difference> {
    let column = here.name.clone();
    if is_own {
        return Some(Difference::NameTaken { column });
    }
    let Some(there) = there else { return Some(Difference::MissingInHistory { column }) };
    if there.generated && !here.generated {
        return Some(Difference::GeneratedInHistory { column });
    }
    let is_written = !here.generated && !there.generated;
    let nullability_differs =
        if is_written { here.not_null != there.not_null } else { there.not_null && !here.not_null };
    (here.kind != there.kind || nullability_differs).then(|| Difference::Definition {
        column,
        here: here.to_string(),
        there: there.to_string(),
    })
}

/// How the columns of `call_data_history` differ from those of `call_data`; empty: a number can move both ways.
///
/// # Errors
/// The database's.
pub fn differences(conn: &mut AnyConnection) -> Result<Vec<Difference>, StoreError> {
    Ok(Columns::read(conn)?.differences)
}

/// The first difference for which archiving is refused.
///
/// # Errors
/// The database's.
pub fn forbidding_archive(conn: &mut AnyConnection) -> Result<Option<Difference>, StoreError> {
    Ok(differences(conn)?.into_iter().find(Difference::forbids_archive))
}

fn of_table(conn: &mut AnyConnection, table: &'static str) -> Result<Vec<Column>, StoreError> {
    let query = match conn.backend() {
        Backend::Sqlite => {
            "/* columns::of_table */ SELECT name, upper(type) AS kind, \"notnull\" AS not_null, \
             hidden IN (2, 3) AS generated, dflt_value IS NOT NULL AS has_default FROM pragma_table_xinfo("
        }
        Backend::Postgres => {
            "/* columns::of_table */ SELECT CAST(a.attname AS TEXT) AS name, \
             format_type(a.atttypid, a.atttypmod) AS kind, a.attnotnull AS not_null, a.attgenerated <> '' AS generated, \
             a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL AS has_default \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = to_regclass("
        }
        // MySQL says DEFAULT_GENERATED of a column with an expression as its default.
        Backend::Mysql => {
            "/* columns::of_table */ SELECT CAST(column_name AS CHAR) AS name, \
             CAST(CONCAT(column_type, COALESCE(CONCAT(' CHARACTER SET ', character_set_name), '')) AS CHAR) AS kind, \
             is_nullable = 'NO' AS not_null, REPLACE(extra, 'DEFAULT_GENERATED', '') LIKE '%GENERATED%' AS generated, \
             column_default IS NOT NULL OR extra LIKE '%auto_increment%' AS has_default \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ("
        }
    };
    Ok(Statement::new(query).text(table).sql(")").load(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: "INTEGER".to_owned(),
            not_null: false,
            generated: false,
            has_default: false,
        }
    }

    fn generated(name: &str) -> Column {
        Column { generated: true, ..plain(name) }
    }

    fn compare(numbers: &[Column], history: &[Column]) -> Columns {
        Columns::compare(numbers, history, Backend::Sqlite)
    }

    #[test]
    fn a_generated_column_is_read_and_never_written() {
        let columns = compare(&[plain("a"), generated("b"), generated("c")], &[generated("c"), plain("b"), plain("a")]);
        assert_eq!(columns.differences, []);
        assert_eq!(columns.archived().unwrap(), ["a", "b"]);
        assert_eq!(columns.restored().unwrap(), ["a"]);
        let columns = compare(&[plain("a")], &[generated("a")]);
        assert_eq!(columns.differences, [Difference::GeneratedInHistory { column: "a".to_owned() }]);
    }

    #[test]
    fn case_matters_on_postgresql_alone() {
        let (numbers, history) = ([plain("Agent")], [plain("agent")]);
        assert_eq!(compare(&numbers, &history).differences, []);
        let columns = Columns::compare(&numbers, &history, Backend::Postgres);
        assert_eq!(columns.differences.len(), 2);
    }

    #[test]
    fn what_only_history_has_keeps_a_restore_alone_from_its_work() {
        let columns = compare(&[plain("a")], &[plain("a"), plain("b"), plain("run_id"), generated("c")]);
        assert_eq!(columns.archived().unwrap(), ["a"]);
        assert!(columns.restored().unwrap_err().to_string().contains("column b is missing in call_data"));
        let required = Column { not_null: true, ..plain("b") };
        let columns = compare(&[plain("a")], &[plain("a"), required.clone()]);
        assert!(columns.archived().unwrap_err().to_string().contains("has no default"));
        let columns = compare(&[plain("a")], &[plain("a"), Column { has_default: true, ..required }]);
        assert!(columns.archived().is_ok());
    }

    #[test]
    fn a_name_that_history_uses_itself_is_refused() {
        let columns = compare(&[plain("RUN_ID")], &[plain("run_id")]);
        assert_eq!(columns.differences, [Difference::NameTaken { column: "RUN_ID".to_owned() }]);
    }
}
