//! What is wrong with a parameter of the contract.

use std::borrow::Cow;

/// A parameter that the contract does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct InvalidParameter {
    /// The parameter, by the name that the contract gives it.
    pub name: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl InvalidParameter {
    /// Names a parameter and what is wrong with it.
    pub fn new(name: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self { name: name.into(), problem }
    }
}

/// What can be wrong with a parameter. The texts complete "sessionId: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An empty string, an empty body, or no filter.
    #[error("must not be empty")]
    Empty,
    /// Characters outside those allowed, a control character among them.
    #[error("has a character that is not allowed here")]
    Characters,
    /// Too many characters.
    #[error("is longer than {max_chars} characters")]
    TooLong {
        /// The most characters (Unicode code points) allowed.
        max_chars: usize,
    },
    /// Not of the type that the page gives.
    #[error("must be {0}")]
    Type(&'static str),
    /// Of the right type, outside what is allowed.
    #[error("must be {0}")]
    Value(&'static str),
    /// No real date and time.
    #[error("must be a real date and time in the form yyyy-mm-dd hh:mm:ss")]
    NotADateTime,
    /// Given without the parameter it goes with.
    #[error("must be given together with {0}")]
    Without(&'static str),
    /// A name that the page does not have.
    #[error("is not a parameter of this call")]
    Unknown,
    /// The same name twice.
    #[error("is given more than once")]
    Repeated,
    /// More members than the page has.
    #[error("has more than {max} parameters")]
    TooMany {
        /// The most members a body may have.
        max: usize,
    },
    /// No JSON text.
    #[error("is not valid JSON in UTF-8: {0}")]
    NotJson(String),
}
