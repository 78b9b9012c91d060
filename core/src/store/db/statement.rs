//! SQL put together from fixed text and bound values; never from values as text.

use chrono::NaiveDateTime;
use diesel::backend::Backend as DieselBackend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, SmallInt, Text, Timestamp, Untyped};

use crate::store::db::Backend;

/// One statement. Its text has a placeholder for every value, in the style of the backend that runs it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statement(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Sql(&'static str),
    Identifier(String),
    SmallInt(i16),
    BigInt(i64),
    Text(String),
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

    /// A name from the catalogue, quoted: users choose the names of columns.
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

    pub(crate) fn text(mut self, value: &str) -> Self {
        self.0.push(Piece::Text(value.to_owned()));
        self
    }

    pub(crate) fn timestamp(mut self, value: NaiveDateTime) -> Self {
        self.0.push(Piece::Timestamp(value));
        self
    }

    /// A time to compare `recycle_time` with. Diesel binds a time to MySQL as a TIMESTAMP, which ends in 1970 and 2106: what
    /// lies beyond would compare as NULL.
    pub(crate) fn wall_clock(self, value: NaiveDateTime, backend: Backend) -> Self {
        match backend {
            Backend::Sqlite | Backend::Postgres => self.timestamp(value),
            Backend::Mysql => self.sql("CAST(").timestamp(value).sql(" AS DATETIME(6))"),
        }
    }

    /// As [`Statement::wall_clock`], in a text that the database itself has made of a time.
    pub(crate) fn wall_clock_text(self, value: &str, backend: Backend) -> Self {
        match backend {
            // The column holds texts, and not every program writes them in one form.
            Backend::Sqlite => self.text(value),
            Backend::Postgres => self.sql("CAST(").text(value).sql(" AS TIMESTAMP)"),
            Backend::Mysql => self.sql("CAST(").text(value).sql(" AS DATETIME(6))"),
        }
    }

    /// A time that never changes, in the page's form. It is a literal, for PostgreSQL would make a cast of a text again for
    /// every row.
    pub(crate) fn wall_clock_literal(self, value: &'static str, backend: Backend) -> Self {
        let kind = if backend == Backend::Sqlite { "'" } else { "TIMESTAMP '" };
        self.sql(kind).sql(value).sql("'")
    }

    /// The values of an IN, at least one, separated by commas, as [`padded`].
    pub(crate) fn list<T>(self, values: &[T], push: impl Fn(Self, &T) -> Self) -> Self {
        let separated = |(list, separator), value| (push(Self::sql(list, separator), value), ", ");
        padded(values).fold((self, ""), separated).0
    }

    /// Names of columns, separated by commas.
    pub(crate) fn identifiers(self, names: &[String]) -> Self {
        let separated = |(list, separator), name: &String| (Self::sql(list, separator).identifier(name), ", ");
        names.iter().fold((self, ""), separated).0
    }

    pub(crate) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// The values, the last repeated up to a power of two: statements whose lists differ in length a little have one text,
/// and are prepared once.
pub(crate) fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let places = values.len().next_power_of_two();
    values.iter().chain(values.last().into_iter().cycle()).take(places)
}

/// A number of rows, as the ledger counts them.
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
                Piece::Text(value) => out.push_bind_param::<Text, _>(value)?,
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
