//! Errors of request parameters.

use std::borrow::Cow;

/// A parameter that the contract does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct InvalidParameter {
    /// The parameter's name in the contract.
    pub name: Cow<'static, str>,
    /// The violated rule.
    pub problem: Problem,
}

impl InvalidParameter {
    /// Creates the error.
    pub fn new(name: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self { name: name.into(), problem }
    }
}

/// The rule that a parameter violates. The texts complete "sessionId: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An empty string, an empty body, or no filter.
    #[error("must not be empty")]
    Empty,
    /// Characters that are not allowed, such as control characters.
    #[error("has a character that is not allowed here")]
    Characters,
    /// Too many characters.
    #[error("is longer than {max_chars} characters")]
    TooLong {
        /// The most characters (Unicode code points) allowed.
        max_chars: usize,
    },
    /// The wrong type.
    #[error("must be {0}")]
    Type(&'static str),
    /// The right type, but not an allowed value.
    #[error("must be {0}")]
    Value(&'static str),
    /// Not an existing date and time.
    #[error("must be a real date and time in the form yyyy-mm-dd hh:mm:ss")]
    NotADateTime,
    /// Given without the other parameter that it requires.
    #[error("must be given together with {0}")]
    Without(&'static str),
    /// A name that is not on the vendor's page.
    #[error("is not a parameter of this call")]
    Unknown,
    /// The same name twice.
    #[error("is given more than once")]
    Repeated,
    /// More members than the vendor's page defines.
    #[error("has more than {max} parameters")]
    TooMany {
        /// The most members a body may have.
        max: usize,
    },
    /// Not valid JSON.
    #[error("is not valid JSON in UTF-8: {0}")]
    NotJson(String),
}
