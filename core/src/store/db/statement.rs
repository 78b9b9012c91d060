//! Builds SQL statements from constant text and bound values. Values never become part of the text.

use chrono::NaiveDateTime;
use diesel::backend::Backend as DieselBackend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, SmallInt, Text, Timestamp, Untyped};

use crate::model::number::mask;
use crate::store::db::Backend;

/// A statement. Its text has a placeholder for each value, in the syntax of the backend that executes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statement(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Sql(&'static str),
    Identifier(String),
    SmallInt(i16),
    BigInt(i64),
    Text(String),
    /// A text that is shown in full.
    PublicText(String),
    Timestamp(NaiveDateTime),
}

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self(vec![Piece::Sql(sql)])
    }

    pub(crate) fn sql(mut self, sql: &'static str) -> Self {
        self.0.push(Piece::Sql(sql));
        self
    }

    /// Appends a name from the catalogue, quoted, because users may choose any column names.
    pub(crate) fn identifier(mut self, name: &str) -> Self {
        self.0.push(Piece::Identifier(name.to_owned()));
        self
    }

    pub(crate) fn small_int(mut self, value: i16) -> Self {
        self.0.push(Piece::SmallInt(value));
        self
    }

    pub(crate) fn big_int(mut self, value: i64) -> Self {
        self.0.push(Piece::BigInt(value));
        self
    }

    /// A value that may be a phone number: [`Statement::values`] masks it.
    pub(crate) fn text(mut self, value: &str) -> Self {
        self.0.push(Piece::Text(value.to_owned()));
        self
    }

    /// A text that is no value of a filter: a position of a walk.
    pub(crate) fn public_text(mut self, value: &str) -> Self {
        self.0.push(Piece::PublicText(value.to_owned()));
        self
    }

    pub(crate) fn timestamp(mut self, value: NaiveDateTime) -> Self {
        self.0.push(Piece::Timestamp(value));
        self
    }

    /// Appends a time to compare `recycle_time` with. Diesel binds a time on MySQL as a TIMESTAMP, whose range is 1970 to
    /// 2106. A time outside would compare as NULL, so it is bound as text and cast.
    pub(crate) fn wall_clock(self, value: NaiveDateTime, backend: Backend) -> Self {
        match backend {
            Backend::Sqlite | Backend::Postgres => self.timestamp(value),
            Backend::Mysql => self.sql("CAST(").timestamp(value).sql(" AS DATETIME(6))"),
        }
    }

    /// As [`Statement::wall_clock`], for a time as the database printed it.
    pub(crate) fn wall_clock_text(self, value: &str, backend: Backend) -> Self {
        match backend {
            // The column stores texts, and programs write them in different formats.
            Backend::Sqlite => self.public_text(value),
            Backend::Postgres => self.sql("CAST(").public_text(value).sql(" AS TIMESTAMP)"),
            Backend::Mysql => self.sql("CAST(").public_text(value).sql(" AS DATETIME(6))"),
        }
    }

    /// Appends a constant time, `yyyy-mm-dd hh:mm:ss`, as a literal. PostgreSQL would evaluate the cast of a bound text for
    /// every row.
    pub(crate) fn wall_clock_literal(self, value: &'static str, backend: Backend) -> Self {
        let kind = if backend == Backend::Sqlite { "'" } else { "TIMESTAMP '" };
        self.sql(kind).sql(value).sql("'")
    }

    /// Appends the values of an IN list, separated by commas and [`padded`]. There must be at least one.
    pub(crate) fn list<T>(self, values: &[T], push: impl Fn(Self, &T) -> Self) -> Self {
        let separated = |(list, separator), value| (push(Self::sql(list, separator), value), ", ");
        padded(values).fold((self, ""), separated).0
    }

    /// Appends column names, separated by commas.
    pub(crate) fn identifiers(self, names: &[String]) -> Self {
        let separated = |(list, separator), name: &String| (Self::sql(list, separator).identifier(name), ", ");
        names.iter().fold((self, ""), separated).0
    }

    pub(crate) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The values in the order of their placeholders, to show: values of filters have all but their last two characters
    /// masked.
    pub(crate) fn values(&self) -> Vec<String> {
        let value = |piece: &Piece| match piece {
            Piece::Sql(_) | Piece::Identifier(_) => None,
            Piece::SmallInt(value) => Some(value.to_string()),
            Piece::BigInt(value) => Some(value.to_string()),
            Piece::Text(value) => Some(format!("'{}'", mask(value))),
            Piece::PublicText(value) => Some(format!("'{value}'")),
            Piece::Timestamp(value) => Some(format!("'{value}'")),
        };
        self.0.iter().filter_map(value).collect()
    }
}

/// Repeats the last value until the length is a power of two. Lists of similar length then have the same statement text,
/// which is prepared only once.
pub(crate) fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let places = values.len().next_power_of_two();
    values.iter().chain(values.last().into_iter().cycle()).take(places)
}

/// Converts a number of rows to the integer type of the ledger.
pub(crate) fn rows(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl<DB> QueryFragment<DB> for Statement
where
    DB: DieselBackend + HasSqlType<SmallInt> + HasSqlType<BigInt> + HasSqlType<Text> + HasSqlType<Timestamp>,
    i16: ToSql<SmallInt, DB>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
    NaiveDateTime: ToSql<Timestamp, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for piece in &self.0 {
            match piece {
                Piece::Sql(sql) => out.push_sql(sql),
                Piece::Identifier(name) => out.push_identifier(name)?,
                Piece::SmallInt(value) => out.push_bind_param::<SmallInt, _>(value)?,
                Piece::BigInt(value) => out.push_bind_param::<BigInt, _>(value)?,
                Piece::Text(value) | Piece::PublicText(value) => out.push_bind_param::<Text, _>(value)?,
                Piece::Timestamp(value) => out.push_bind_param::<Timestamp, _>(value)?,
            }
        }
        Ok(())
    }
}

/// Prepared statements are cached by their text.
impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl<Conn> diesel::RunQueryDsl<Conn> for Statement {}
