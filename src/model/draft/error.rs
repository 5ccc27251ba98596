//! What is wrong with a parameter, as data: a person reads the sentence, the service reads the
//! kind. Never a status code.

use std::fmt;

/// One parameter that cannot be obeyed. `Display` is one sentence that names the value and what
/// would have been right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadParam {
    /// The parameter, as it was spelt; empty where the fault is that none was given.
    pub parameter: String,
    /// Its value, as it was given; may be empty.
    pub value: String,
    /// What would have been right: a range, a list of words, what it is at odds with.
    pub allowed: String,
    /// What was probably meant, as a clause of its own.
    pub suggestion: Option<String>,
    /// What is wrong.
    pub kind: BadParamKind,
}

/// The ways a parameter can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadParamKind {
    /// No parameter has this name.
    Unknown,
    /// The name is reserved for something this version cannot do.
    NotYet,
    /// The value is not of the form.
    Malformed,
    /// The value is of the form, but too small or too large.
    OutOfRange,
    /// Given twice, under one name or two.
    Duplicate,
    /// Given without the value it needs.
    Empty,
    /// At odds with something else that was asked.
    Contradiction,
    /// Something else must be given with it; with no parameter named: nothing was asked at all.
    Missing,
}

impl BadParam {
    /// A fault without a suggestion.
    #[must_use]
    pub fn new(kind: BadParamKind, parameter: &str, value: &str, allowed: &str) -> Self {
        Self {
            parameter: parameter.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
            suggestion: None,
            kind,
        }
    }

    /// The same with a suggestion, a clause such as `use w=`.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// Text from a URL inside a sentence: quoted, control characters escaped, cut at 64 characters.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(64) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
        }
    }
}

impl fmt::Display for BadParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value, allowed) = (Quoted(&self.parameter), Quoted(&self.value), &self.allowed);
        match self.kind {
            BadParamKind::Unknown => write!(f, "unknown parameter {name}"),
            BadParamKind::NotYet => {
                write!(f, "parameter {name} is not supported in this version")
            }
            BadParamKind::Malformed => {
                write!(f, "parameter {name} cannot be {value}: expected {allowed}")
            }
            BadParamKind::OutOfRange => {
                write!(f, "parameter {name} is out of range at {value}: expected {allowed}")
            }
            BadParamKind::Duplicate => {
                write!(f, "parameter {name} is given twice, again as {value}: expected {allowed}")
            }
            BadParamKind::Empty => write!(f, "parameter {name} has no value: expected {allowed}"),
            BadParamKind::Contradiction => {
                write!(f, "parameter {name} with value {value} contradicts {allowed}")
            }
            BadParamKind::Missing if self.parameter.is_empty() => {
                write!(f, "nothing was asked of the picture: expected {allowed}")
            }
            BadParamKind::Missing => {
                write!(f, "parameter {name} with value {value} needs {allowed}")
            }
        }?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadParam {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_the_value_and_the_range() {
        let fault = BadParam::new(BadParamKind::OutOfRange, "dpr", "9", "a number 0.1–8");
        assert_eq!(
            fault.to_string(),
            "parameter \"dpr\" is out of range at \"9\": expected a number 0.1–8"
        );
        let fault = BadParam::new(BadParamKind::Unknown, "width", "9", "").suggest("use w=");
        assert_eq!(fault.to_string(), "unknown parameter \"width\"; use w=");
    }

    #[test]
    fn a_hostile_value_is_escaped_and_cut() {
        let value = format!("\r\n\u{1b}[31m{}", "é".repeat(5_000));
        let text = BadParam::new(BadParamKind::Malformed, "w", &value, "digits").to_string();
        assert!(text.len() < 300 && !text.contains(['\r', '\n', '\u{1b}']), "{text}");
    }
}
