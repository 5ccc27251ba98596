//! The effective configuration as a text that is itself an env file. Never shows a secret.

use super::dotenv::{DEFAULTS, quote};
use super::env::{Env, Source, Var};
use super::known;
use super::url::without_credentials;
use std::fmt::Write as _;

/// Every variable with its value and where that comes from, in the order of `config/default.env`;
/// the options of single stores follow the setting that names the stores. Secrets are replaced,
/// credentials in URLs put out. Values of variables that are at fault are shown as they are set.
#[must_use]
pub fn effective(env: &Env) -> String {
    let mut text = String::new();
    for (name, _) in DEFAULTS.iter() {
        let unset = Var { value: String::new(), source: Source::Default };
        line(&mut text, name, env.get(name).unwrap_or(&unset));
        let options = match name.as_str() {
            "LENSLET_ORIGINS" => known::ORIGIN_PREFIX,
            "LENSLET_VARIANTS" => known::VARIANTS_PREFIX,
            _ => continue,
        };
        for (name, var) in env.with_prefix(options) {
            if !DEFAULTS.iter().any(|(known, _)| known == name) {
                line(&mut text, name, var);
            }
        }
    }
    text
}

fn line(text: &mut String, name: &str, var: &Var) {
    let (value, source) = (shown(name, var), &var.source);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name}={value} # {source}");
}

fn shown(name: &str, var: &Var) -> String {
    if var.value.is_empty() {
        String::new()
    } else if known::is_secret(name) {
        "<redacted>".to_owned()
    } else {
        quote(&without_credentials(&var.value))
    }
}

/// Twelve hex digits that are the same for the same settings, wherever they were set. Of a secret
/// it tells only whether it is set.
pub(super) fn fingerprint(env: &Env) -> String {
    let mut hash = blake3::Hasher::new();
    // Not the platform's own variables: credentials there are new every hour.
    for (name, var) in env.with_prefix("").filter(|(name, _)| known::exists(name)) {
        hash.update(format!("{name}={}\n", shown(name, var)).as_bytes());
    }
    let mut digits = hash.finalize().to_hex().to_string();
    digits.truncate(12);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dotenv::parse;

    fn shown(pairs: &[(&str, &str)]) -> String {
        effective(&Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None))
    }

    #[test]
    fn the_defaults_are_shown_in_their_order_and_can_be_read_back() {
        let parsed = parse(&shown(&[]));
        assert_eq!(parsed.faults, []);
        assert_eq!(parsed.vars, *DEFAULTS);
    }

    #[test]
    fn values_are_shown_with_where_they_come_from() {
        let text = shown(&[
            ("LENSLET_MAX_QUEUE", "7"),
            ("PORT", "9000"),
            ("LENSLET_ORIGINS", "a=s3://photos"),
            ("LENSLET_ORIGIN_A_REGION", "eu-west-1"),
        ]);
        for line in [
            "LENSLET_MAX_QUEUE=7 # from the environment\n",
            "LENSLET_LISTEN=0.0.0.0:9000 # because PORT is set\n",
            "LENSLET_ORIGINS=a=s3://photos # from the environment\nLENSLET_ORIGIN_A_REGION=eu-west-1 # from",
            "LENSLET_MAX_FRAMES=256 # default\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn the_fingerprint_follows_the_settings_and_not_where_they_stand() {
        let print = |pairs: &[(&str, &str)]| {
            fingerprint(&Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None))
        };
        assert_eq!(print(&[]), print(&[("LENSLET_MAX_QUEUE", "512"), ("HOME", "/x")]));
        assert_ne!(print(&[]), print(&[("LENSLET_MAX_QUEUE", "7")]));
        assert_ne!(print(&[]), print(&[("LENSLET_KEYS", "hunter2")]));
        assert_eq!(print(&[("LENSLET_KEYS", "hunter3")]), print(&[("LENSLET_KEYS", "hunter2")]));
        assert_eq!(print(&[]).len(), 12);
    }

    #[test]
    fn no_secret_is_shown_wherever_it_was_put() {
        let text = shown(&[
            ("LENSLET_KEYS", "hunter2"),
            ("LENSLET_ADMIN_TOKEN", "hunter2"),
            ("LENSLET_EVENTS_TOKEN", "hunter2"),
            ("LENSLET_ORIGIN", "s3://id:hunter2@photos"),
            ("LENSLET_ORIGINS", "a=https://hunter2@photos"),
            ("LENSLET_ORIGIN_A_SECRET_ACCESS_KEY", "hunter2"),
            ("LENSLET_VARIANTS_SESSION_TOKEN", "hunter2"),
            ("LENSLET_UNHEARD_OF", "hunter2"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("LENSLET_KEYS=<redacted>"));
    }
}
