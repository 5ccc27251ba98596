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

/// An option of one store.
pub(super) struct StoreOption {
    /// Its name behind the prefix of the store.
    pub(super) name: &'static str,
    /// Schemes of the stores that have it; none: every store of originals, and no other.
    pub(super) schemes: &'static [&'static str],
    secret: bool,
}

const fn option(name: &'static str, schemes: &'static [&'static str]) -> StoreOption {
    StoreOption { name, schemes, secret: false }
}

const fn secret(name: &'static str, schemes: &'static [&'static str]) -> StoreOption {
    StoreOption { name, schemes, secret: true }
}

/// Options of one store.
const STORE_OPTIONS: [StoreOption; 23] = [
    secret("ACCESS_KEY_ID", &["s3"]),
    secret("SECRET_ACCESS_KEY", &["s3"]),
    secret("SESSION_TOKEN", &["s3"]),
    option("REGION", &["s3"]),
    option("VIRTUAL_HOSTED", &["s3"]),
    secret("CREDENTIALS", &["gs"]),
    option("ACCOUNT", &["az"]),
    secret("ACCOUNT_KEY", &["az"]),
    secret("SAS_TOKEN", &["az"]),
    option("TENANT_ID", &["az"]),
    option("CLIENT_ID", &["az"]),
    secret("CLIENT_SECRET", &["az"]),
    option("EMULATOR", &["az"]),
    option("ENDPOINT", &["s3", "gs", "az"]),
    option("ANONYMOUS", &["s3", "gs", "az"]),
    option("ALLOW_HTTP", &["s3", "gs", "az", "https"]),
    option("ALLOW_PRIVATE", &["https"]),
    option("FOLLOW_SYMLINKS", &["file"]),
    secret("KEYS", &[]),
    option("MAX_SOURCE_BYTES", &[]),
    option("MAX_SOURCE_PIXELS", &[]),
    option("FETCH_TIMEOUT", &[]),
    option("SOURCE_TTL", &[]),
];

/// Secrets among the settings of `config/default.env`.
const SECRETS: [&str; 8] = [
    "LENSLET_KEYS",
    "LENSLET_ADMIN_TOKEN",
    "LENSLET_CDN_WEBHOOK_TOKEN",
    "LENSLET_EVENTS_TOKEN",
    "LENSLET_EVENTS_WEBHOOK",
    "LENSLET_EVENTS_WEBHOOK_TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];

/// Names without our prefix that change what we do.
const FOREIGN: [&str; 6] =
    ["PORT", "RUST_LOG", "NO_COLOR", "K_SERVICE", "AWS_LAMBDA_FUNCTION_NAME", IDENTITY_ENDPOINT];

/// In front of the names that OpenTelemetry gives its settings.
const OTEL_PREFIX: &str = "OTEL_";

/// In front of the names that the clients of the clouds read.
pub(super) const AWS_PREFIX: &str = "AWS_";
pub(super) const GOOGLE_PREFIX: &str = "GOOGLE_";
pub(super) const AZURE_PREFIX: &str = "AZURE_";

/// Where Azure's hosting platforms hand out managed identities.
pub(super) const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

/// Whether the variable is looked at at all.
pub(super) fn concerns_us(name: &str) -> bool {
    let prefixes = [PREFIX, AWS_PREFIX, GOOGLE_PREFIX, AZURE_PREFIX, OTEL_PREFIX];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || FOREIGN.contains(&name)
}

/// Whether a setting of this name exists. An option of an origin that is not configured exists
/// too; the reader of the stores reports it.
pub(super) fn exists(name: &str) -> bool {
    DEFAULTS.iter().any(|(known, _)| known == name) || store_option(name).is_some()
}

/// Whether the value must never be shown.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name) || store_option(name).is_some_and(|option| option.secret)
}

/// The option that `name` is, if it is `prefix` and the name of an option, nothing between them.
pub(super) fn option_behind(prefix: &str, name: &str) -> Option<&'static StoreOption> {
    let rest = name.strip_prefix(prefix)?;
    let of_variants = prefix == VARIANTS_PREFIX;
    let fits = |option: &&StoreOption| !of_variants || !option.schemes.is_empty();
    STORE_OPTIONS.iter().filter(fits).find(|option| option.name == rest)
}

fn store_option(name: &str) -> Option<&'static StoreOption> {
    if let Some(rest) = name.strip_prefix(ORIGIN_PREFIX) {
        let named = |option: &&StoreOption| {
            rest.strip_suffix(option.name).is_some_and(|n| n.ends_with('_'))
        };
        return STORE_OPTIONS.iter().find(named);
    }
    option_behind(VARIANTS_PREFIX, name)
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
            "LENSLET_VARIANTS_ACCOUNT_KEY",
            "LENSLET_ORIGIN_SHOP_CREDENTIALS",
            "LENSLET_ORIGIN_SHOP_KEYS",
        ] {
            assert!(exists(name), "{name}");
        }
        for name in [
            "LENSLET_ORIGIN_REGION",
            "LENSLET_ORIGIN_SHOP_COLOUR",
            "LENSLET_VARIANTS_X_REGION",
            "LENSLET_VARIANTS_KEYS",
            "LENSLET_VARIANTS_SOURCE_TTL",
            "LENSLET_X",
        ] {
            assert!(!exists(name), "{name}");
        }
    }

    #[test]
    fn every_credential_is_a_secret_and_nothing_else() {
        for name in [
            "LENSLET_KEYS",
            "LENSLET_ORIGIN_A_KEYS",
            "LENSLET_ORIGIN_A_SECRET_ACCESS_KEY",
            "LENSLET_VARIANTS_SESSION_TOKEN",
            "LENSLET_VARIANTS_SAS_TOKEN",
            "LENSLET_ORIGIN_A_CREDENTIALS",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["LENSLET_PRESETS", "LENSLET_ORIGIN", "LENSLET_ORIGIN_A_REGION"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn no_option_ends_like_another_one() {
        // `LENSLET_ORIGIN_A_B_C` would be the option `C` of `a-b` and the option `B_C` of `a`.
        for one in &STORE_OPTIONS {
            let tail = format!("_{}", one.name);
            assert!(STORE_OPTIONS.iter().all(|other| !other.name.ends_with(&tail)), "{tail}");
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
