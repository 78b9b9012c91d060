//! Macros that store enums and ids in columns of the ledger.

/// Maps an enum to the texts of a column: implements `as_str`, `Display`, and Diesel's traits to write and read it.
///
/// Reading an unknown text is an error: only a newer version of Callsweep could have written it.
macro_rules! text_column {
    ($type:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            /// Every variant.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// The text in the ledger's column.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::model::column::text_column_sql!($type);
    };
}

/// Diesel's traits for a type that has `ALL` and `as_str`. Part of [`text_column`].
macro_rules! text_column_sql {
    ($type:ident) => {
        impl<DB> diesel::serialize::ToSql<diesel::sql_types::Text, DB> for $type
        where
            DB: diesel::backend::Backend,
            str: diesel::serialize::ToSql<diesel::sql_types::Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<diesel::sql_types::Text, DB>::to_sql(self.as_str(), out)
            }
        }

        impl<DB> diesel::deserialize::FromSql<diesel::sql_types::Text, DB> for $type
        where
            DB: diesel::backend::Backend,
            String: diesel::deserialize::FromSql<diesel::sql_types::Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let text = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, DB>>::from_sql(bytes)?;
                let known = Self::ALL.into_iter().find(|value| value.as_str() == text);
                known.ok_or_else(|| format!(concat!("{:?} is no ", stringify!($type)), text).into())
            }
        }
    };
}

/// Diesel's traits for a number that is validated when it is read.
macro_rules! number_column {
    ($type:ident, $sql:ident, $number:ident) => {
        impl<DB> diesel::serialize::ToSql<diesel::sql_types::$sql, DB> for $type
        where
            DB: diesel::backend::Backend,
            $number: diesel::serialize::ToSql<diesel::sql_types::$sql, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<diesel::sql_types::$sql, DB>::to_sql(&self.0, out)
            }
        }

        impl<DB> diesel::deserialize::FromSql<diesel::sql_types::$sql, DB> for $type
        where
            DB: diesel::backend::Backend,
            $number: diesel::deserialize::FromSql<diesel::sql_types::$sql, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let number = <$number as diesel::deserialize::FromSql<diesel::sql_types::$sql, DB>>::from_sql(bytes)?;
                Ok(Self::try_from(i64::from(number))?)
            }
        }
    };
}

pub(crate) use {number_column, text_column, text_column_sql};
