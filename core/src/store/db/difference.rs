//! How the columns of `call_data` and of its history differ.

/// A difference between the columns of the two tables. The texts complete "call_data_history is not as call_data: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// History lacks a column of `call_data`.
    #[error("column {column} is missing there: add it to call_data_history with the same definition")]
    MissingInHistory {
        /// The column.
        column: String,
    },
    /// `call_data` lacks a column of history. Only a restore would lose it.
    #[error(
        "column {column} is missing in call_data: a restore would lose its values. Add it to call_data with the same \
        definition, or drop it from call_data_history"
    )]
    MissingInCallData {
        /// The column.
        column: String,
    },
    /// The same column with another type, length, character set or nullability.
    #[error("column {column} is {here} in call_data and {there} in call_data_history")]
    Definition {
        /// The column.
        column: String,
        /// Its definition in `call_data`.
        here: String,
        /// Its definition in history.
        there: String,
    },
    /// History generates a column that `call_data` stores.
    #[error("column {column} is generated in call_data_history and not in call_data: its values would be lost")]
    GeneratedInHistory {
        /// The column.
        column: String,
    },
    /// A column of `call_data` has the name of one that only history may have.
    #[error("column {column} of call_data has the name of a column that call_data_history fills itself: rename it")]
    NameTaken {
        /// The column.
        column: String,
    },
    /// History requires a value that no number has.
    #[error(
        "column {column} of call_data_history is NOT NULL, has no default and is missing in call_data: give it a default"
    )]
    NoDefault {
        /// The column.
        column: String,
    },
}

impl Difference {
    /// Whether it forbids archiving too, and not only restoring.
    #[must_use]
    pub fn forbids_archive(&self) -> bool {
        !matches!(self, Self::MissingInCallData { .. })
    }
}
