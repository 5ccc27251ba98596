//! Settings of the logs, and the word that decides about unknown settings. Never logs.

use super::read::Reader;
use super::values::{deserialize_from_text, unreadable, words};
use serde::Deserialize;
use std::str::FromStr;
use tracing_subscriber::EnvFilter;

words! {
    /// How log lines look.
    pub LogFormat {
        /// Pretty on a terminal, JSON otherwise.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// One JSON object a line.
        Json = "json",
        /// `key=value` pairs.
        Logfmt = "logfmt",
        /// JSON with the names that Google Cloud Logging reads.
        Gcp = "gcp",
    }
}

/// How logs look. `RUST_LOG`, `NO_COLOR` and `GOOGLE_CLOUD_PROJECT` are honoured here.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The form of a line.
    pub format: LogFormat,
    /// A level or a filter in the form of `tracing_subscriber::EnvFilter`, known to parse.
    pub filter: String,
    /// Whether pretty lines may have colours.
    pub color: bool,
    /// The Google Cloud project that traces are looked for in.
    pub project: Option<String>,
}

#[derive(Deserialize)]
struct LogVars {
    lenslet_log_format: LogFormat,
    rust_log: Filter,
    no_color: Option<String>,
    google_cloud_project: Option<Project>,
    // Judged by `Env` before anything is read; read here so that a wrong word is an error.
    #[serde(rename = "lenslet_unknown_env")]
    _unknown_env: UnknownEnv,
}

words! {
    /// What an unknown setting does.
    UnknownEnv {
        /// Stops the start.
        Error = "error",
        /// Is logged.
        Warn = "warn",
    }
}

/// The id of a project, such as `shop-4711` or `example.com:shop`.
struct Project(String);

impl FromStr for Project {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:_".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(unreadable(text, "the id of a project, of letters, digits and - . : _"))
        }
    }
}

struct Filter(String);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(unreadable(text, "a level or a filter: info,lenslet=debug")),
        }
    }
}

deserialize_from_text!(Filter, Project);

impl Logs {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.read_plain::<LogVars>().map(|vars| Self {
            format: vars.lenslet_log_format,
            filter: vars.rust_log.0,
            color: vars.no_color.is_none(),
            project: vars.google_cloud_project.map(|project| project.0),
        })
    }
}
