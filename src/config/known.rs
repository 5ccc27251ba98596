//! Which variables exist. The list itself is `config/default.env`; here are the patterns around
//! it: the options of one store, the files of secrets, the names that platforms set.

use super::dotenv::DEFAULTS;

/// In front of every setting of ours.
pub(super) const PREFIX: &str = "LENSLET_";

/// In front of the options of one origin, and its name behind it.
pub(super) const ORIGIN_PREFIX: &str = "LENSLET_ORIGIN_";

/// In front of the options of the store of variants.
pub(super) const VARIANTS_PREFIX: &str = "LENSLET_VARIANTS_";

/// Where a person finds the names.
pub(super) const NAMES_ALL: &str = "`lenslet check-config` lists them";

/// Options of one store.
const STORE_OPTIONS: [&str; 9] = [
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "SESSION_TOKEN",
    "REGION",
    "ENDPOINT",
    "ALLOW_HTTP",
    "VIRTUAL_HOSTED",
    "ANONYMOUS",
    "FOLLOW_SYMLINKS",
];

/// Those of them that are secrets.
const SECRET_STORE_OPTIONS: [&str; 3] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"];

/// Secrets among the settings of `config/default.env`.
const SECRETS: [&str; 3] = ["LENSLET_KEYS", "LENSLET_ADMIN_TOKEN", "LENSLET_EVENTS_TOKEN"];

/// Names without our prefix that change what we do.
const FOREIGN: [&str; 5] =
    ["PORT", "RUST_LOG", "NO_COLOR", "K_SERVICE", "AWS_LAMBDA_FUNCTION_NAME"];

/// In front of the names that the S3 client reads.
pub(super) const CLOUD_PREFIX: &str = "AWS_";

/// Whether the variable is looked at at all.
pub(super) fn concerns_us(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(CLOUD_PREFIX) || FOREIGN.contains(&name)
}

/// Whether a setting of this name exists. An option of an origin that is not configured exists
/// too; the reader of the stores reports it.
pub(super) fn exists(name: &str) -> bool {
    DEFAULTS.iter().any(|(known, _)| known == name) || store_option(name).is_some()
}

/// Whether the value must never be shown.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
        || (store_option(name).is_some_and(|o| SECRET_STORE_OPTIONS.contains(&o)))
}

/// Whether `name` is `prefix` and the name of an option, nothing between them.
pub(super) fn is_option_behind(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| STORE_OPTIONS.contains(&rest))
}

fn store_option(name: &str) -> Option<&'static str> {
    if let Some(rest) = name.strip_prefix(ORIGIN_PREFIX) {
        let named = |option: &&str| rest.strip_suffix(option).is_some_and(|n| n.ends_with('_'));
        return STORE_OPTIONS.into_iter().find(named);
    }
    let rest = name.strip_prefix(VARIANTS_PREFIX)?;
    STORE_OPTIONS.into_iter().find(|option| *option == rest)
}

/// Whether Kubernetes set the variable by itself because a Service carries our name
/// (`enableServiceLinks`). `LENSLET_PORT=9000` was written by a person and is not one.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    if !name.starts_with(PREFIX) || exists(name) {
        return false;
    }
    if name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") {
        return true;
    }
    let behind_a_port = name.contains("_PORT_");
    behind_a_port || (name.ends_with("_PORT") && value.contains("://"))
}

/// The existing name most like this one, if any is like it.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // What people coming from other systems write; the distance between words cannot know.
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    let meant = match rest {
        "PORT" | "BIND" | "ADDR" | "ADDRESS" | "HOST" => Some("LENSLET_LISTEN"),
        "KEY" | "SECRET" | "SIGNING_KEY" => Some("LENSLET_KEYS"),
        "SOURCE" | "BUCKET" => Some("LENSLET_ORIGIN"),
        "WORKERS" | "THREADS" | "CONCURRENCY" => Some("LENSLET_CPU_BUDGET"),
        _ => None,
    };
    meant.or_else(|| {
        let names =
            DEFAULTS.iter().filter_map(|(known, _)| known.strip_prefix(PREFIX).map(|r| (r, known)));
        let (distance, known) = names
            .map(|(known, full)| (strsim::damerau_levenshtein(rest, known), full))
            .min_by_key(|(distance, _)| *distance)?;
        (distance <= (rest.len() / 3).max(2)).then_some(known.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_store_exist_for_origins_and_variants() {
        for name in [
            "LENSLET_ORIGIN_SHOP_REGION",
            "LENSLET_ORIGIN_MY_SHOP_ACCESS_KEY_ID",
            "LENSLET_VARIANTS_ENDPOINT",
        ] {
            assert!(exists(name), "{name}");
        }
        for name in [
            "LENSLET_ORIGIN_REGION",
            "LENSLET_ORIGIN_SHOP_COLOUR",
            "LENSLET_VARIANTS_X_REGION",
            "LENSLET_X",
        ] {
            assert!(!exists(name), "{name}");
        }
    }

    #[test]
    fn every_credential_is_a_secret_and_nothing_else() {
        for name in
            ["LENSLET_KEYS", "LENSLET_ORIGIN_A_SECRET_ACCESS_KEY", "LENSLET_VARIANTS_SESSION_TOKEN"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["LENSLET_PRESETS", "LENSLET_ORIGIN", "LENSLET_ORIGIN_A_REGION"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn no_setting_looks_like_a_service_link() {
        for (name, _) in DEFAULTS.iter() {
            assert!(!is_service_link(name, "tcp://10.0.0.1:80"), "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_given_only_where_one_is_near() {
        assert_eq!(nearest("LENSLET_REQEST_TIMEOUT"), Some("LENSLET_REQUEST_TIMEOUT"));
        assert_eq!(nearest("LENSLET_WORKERS"), Some("LENSLET_CPU_BUDGET"));
        assert_eq!(nearest("LENSLET_QQQQQQQQQQQQQQQ"), None);
    }
}
