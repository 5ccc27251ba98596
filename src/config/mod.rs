//! Floor 3: environment → settings, every error at once. `config/default.env` has the defaults
//! and nothing else has; [`Env`] prepares the text, envy reads it into one flat struct per
//! concern, `check` holds the rules between settings. Never changes the process environment.

mod access;
pub(crate) mod ahead;
mod capacity;
mod check;
mod dotenv;
mod effective;
mod env;
mod events;
mod fault;
mod http;
mod known;
mod limits;
mod logs;
mod machine;
mod options;
mod platform;
mod pods;
mod read;
mod secret;
mod stores;
mod tracing;
mod url;
mod values;

#[cfg(test)]
mod bad_environments;

pub use access::{Access, Unsigned};
pub use ahead::Ahead;
pub use capacity::Capacity;
pub use effective::effective;
pub use env::{Env, Source};
pub use events::{Events, Intake, TopicArn, WebhookUrl};
pub use fault::{Fault, Faults};
pub use http::{BasePath, CacheControl, CorsOrigin, Http};
pub use logs::{LogFormat, Logs};
pub use machine::{Machine, Told};
pub use options::StoreOptions;
pub use pods::{Peer, PeerList, Pods, Token};
pub use secret::Secret;
pub use stores::{Layout, OnMiss, Origin, OwnRules, StoreAt, Stores};
pub use tracing::{Batches, Sampling, SpanExport, Tracing};
pub use url::{PublicUrl, StorePlace, StoreUrl};

use crate::dialect::signature::Keys;
use crate::model::key::OriginName;
use crate::model::limits::Limits;
use read::Reader;
use std::path::Path;
use std::time::Duration;

/// Everything an operator can decide, read and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listeners and what every answer carries.
    pub http: Http,
    /// Who may ask for what.
    pub access: Access,
    /// What is made before anybody asks for it.
    pub ahead: Ahead,
    /// Originals and variants.
    pub stores: Stores,
    /// What one picture may cost.
    pub limits: Limits,
    /// What the process may use.
    pub capacity: Capacity,
    /// Who orders purges and who else hears of them.
    pub pods: Pods,
    /// How logs look.
    pub logs: Logs,
    /// Where traces go.
    pub tracing: Tracing,
    /// The same for the same settings, wherever they were set; of secrets only whether they are.
    pub fingerprint: String,
    /// How notifications of object stores are taken.
    pub events: Events,
}

/// What the settings are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: there must be originals, and a decision about who may ask.
    Serve,
    /// To render, explain or sign by hand: neither is needed.
    Offline,
}

impl Settings {
    /// Reads every setting. Looks at the files that settings name, nothing else.
    ///
    /// # Errors
    /// All that is wrong with the environment, at once; the process should exit with 78.
    pub fn read(env: &Env, machine: &Machine, purpose: Purpose) -> Result<Self, Faults> {
        let mut reader = Reader::new(env);
        let http = reader.read::<Http>();
        let access = Access::read(&mut reader);
        let stores = Stores::read(&mut reader);
        let limits = limits::read(&mut reader);
        let ahead = Ahead::read(&mut reader, access.as_ref(), limits.as_ref());
        let capacity = Capacity::read(&mut reader, machine);
        let pods = reader.read::<Pods>();
        let logs = Logs::read(&mut reader);
        let tracing = Tracing::read(&mut reader);
        let events = Events::read(&mut reader);
        let mut faults = reader.finish();
        let settings = (|| {
            Some(Self {
                http: http?,
                access: access?,
                ahead: ahead?,
                stores: stores?,
                limits: limits?,
                capacity: capacity?,
                pods: pods?,
                logs: logs?,
                tracing: tracing?,
                fingerprint: effective::fingerprint(env),
                events: events?,
            })
        })();
        if let Some(settings) = &settings {
            check::between(settings, env, purpose, &mut faults);
        }
        match settings {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(faults),
        }
    }
}

impl Http {
    /// Reads these settings alone, for a command that needs nothing else of the environment.
    ///
    /// # Errors
    /// What is wrong with them; the rest of the environment is not looked at.
    pub fn read(env: &Env) -> Result<Self, Faults> {
        Reader::alone(env).only()
    }
}

/// A duration as settings spell it (`90d`, `12h`), between two bounds in milliseconds.
///
/// # Errors
/// One sentence with the form or the range.
pub fn duration_between(text: &str, least_ms: u64, most_ms: u64) -> Result<Duration, String> {
    values::span_between(text, least_ms, most_ms)
}

/// The trimmed text of a secret's file, at most 64 KiB.
///
/// # Errors
/// Why it cannot be read; never what it holds.
pub fn secret_of(file: &Path) -> Result<String, String> {
    secret::read_secret(file)
}

impl Pods {
    /// Reads these settings alone, for a command that needs nothing else of the environment.
    ///
    /// # Errors
    /// What is wrong with them; the rest of the environment is not looked at.
    pub fn read(env: &Env) -> Result<Self, Faults> {
        Reader::alone(env).only()
    }
}

/// Reads the keys that sign URLs of one origin, for a command that needs nothing else of the
/// environment: its own, else `LENSLET_KEYS`.
///
/// # Errors
/// What is wrong with them; the rest of the environment is not looked at.
pub fn signing_keys(env: &Env, origin: &OriginName) -> Result<Keys, Faults> {
    let own = Reader::alone(env).only_behind::<access::KeyVars>(&stores::prefix_of(origin))?.keys();
    if !own.is_empty() {
        return Ok(own);
    }
    Reader::alone(env).only::<access::KeyVars>().map(access::KeyVars::keys)
}

/// Reads the base path alone, as [`signing_keys`] does its part.
///
/// # Errors
/// What is wrong with it.
pub fn base_path(env: &Env) -> Result<BasePath, Faults> {
    #[derive(serde::Deserialize)]
    struct BaseVars {
        base_path: BasePath,
    }
    Reader::alone(env).only::<BaseVars>().map(|vars| vars.base_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::{ByteSize, PixelCount};
    use crate::origin::SourceTtl;
    use crate::variants::WriteBack;

    const MACHINE: Machine = Machine::of(4, ByteSize::new(8 << 30));

    fn read(pairs: &[(&str, &str)], purpose: Purpose) -> Result<Settings, Faults> {
        let env = Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None);
        Settings::read(&env, &MACHINE, purpose)
    }

    #[test]
    fn the_defaults_are_complete_and_every_one_of_them_is_read() {
        let settings = read(&[], Purpose::Offline).unwrap();
        assert_eq!(settings.http.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(settings.http.request_timeout, Duration::from_secs(10));
        assert_eq!(settings.http.base_path.as_str(), "");
        assert_eq!(settings.stores.write_back, WriteBack::Async);
        assert_eq!(settings.stores.source_ttl, SourceTtl::For(Duration::from_mins(1)));
        assert_eq!(settings.limits.source_pixels, PixelCount::new(50_000_000));
        assert_eq!(settings.limits.avif_pixels, PixelCount::new(16_000_000));
        assert_eq!(settings.capacity.cpus, 4);
        assert_eq!(settings.capacity.memory.get(), 8 << 30);
        assert_eq!(settings.access.unsigned, Unsigned::Deny);
        assert_eq!(settings.logs.filter, "info,actix_server=warn,actix_http=off");
        assert!(settings.logs.color);
        assert!(settings.access.keys.is_empty() && settings.stores.origins.is_empty());
    }

    #[test]
    fn each_default_is_known_to_a_reader_or_refused_as_unbuilt() {
        // A wrong word in any variable must be noticed: a variable nobody reads would not be.
        for (name, _) in dotenv::DEFAULTS.iter() {
            let free_text = ["NO_COLOR", "LENSLET_PRESETS_FILE"].contains(&name.as_str());
            if free_text {
                continue;
            }
            let env = Env::gather([(name.into(), "\u{1}?".into())], None);
            let faults = Settings::read(&env, &MACHINE, Purpose::Offline).unwrap_err();
            assert!(faults.iter().any(|fault| fault.name == *name), "{name}: {faults}");
        }
    }

    #[test]
    fn a_full_environment_is_read_as_written() {
        let settings = read(
            &[
                ("LENSLET_LISTEN", "127.0.0.1:9000"),
                ("LENSLET_BASE_PATH", "/img/v2/"),
                ("LENSLET_CORS_ORIGIN", "https://shop.example"),
                ("LENSLET_ORIGIN", "s3://photos/raw"),
                ("LENSLET_ORIGINS", "shop=file:///srv/my%20shop, old-one = memory:///"),
                ("LENSLET_ORIGIN_DEFAULT_ACCESS_KEY_ID", "AKIA"),
                ("LENSLET_ORIGIN_DEFAULT_SECRET_ACCESS_KEY", "hunter2"),
                ("LENSLET_ORIGIN_SHOP_FOLLOW_SYMLINKS", "yes"),
                ("LENSLET_VARIANTS", "s3://variants"),
                ("LENSLET_VARIANTS_ENDPOINT", "http://minio:9000"),
                ("LENSLET_VARIANTS_ALLOW_HTTP", "on"),
                ("LENSLET_VARIANT_LAYOUT", "mirror"),
                ("LENSLET_ON_MISS", "redirect"),
                ("LENSLET_VARIANTS_PUBLIC_URL", "https://cdn.example/v/"),
                ("LENSLET_ALLOWED_SIZES", "300x200, 600x0"),
                ("LENSLET_SOURCE_TTL", "immutable"),
                ("LENSLET_KEYS", "00112233445566778899AABBCCDDEEFF"),
                ("LENSLET_UNSIGNED", "SIZES"),
                ("LENSLET_MEMORY_LIMIT", "1073741824"),
                ("LENSLET_CPU_BUDGET", "2"),
                ("NO_COLOR", "1"),
                ("RUST_LOG", "warn,lenslet=debug"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "ambient"),
            ],
            Purpose::Serve,
        )
        .unwrap();
        assert_eq!(settings.http.base_path.as_str(), "/img/v2");
        assert_eq!(settings.http.cors_origin.header(), Some("https://shop.example"));
        let names: Vec<_> = settings.stores.origins.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["default", "shop", "old-one"]);
        let [default, shop, _] = settings.stores.origins.as_slice() else { panic!() };
        assert_eq!(
            *default.store.url.place(),
            StorePlace::S3 { bucket: "photos".into(), prefix: "raw".into() }
        );
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(
            default.store.options.pairs(),
            own(&[
                ("aws_region", "eu-central-1"),
                ("aws_access_key_id", "AKIA"),
                ("aws_secret_access_key", "hunter2"),
            ])
        );
        assert_eq!(*shop.store.url.place(), StorePlace::File("/srv/my shop".into()));
        assert_eq!(shop.store.options.pairs(), own(&[("follow_symlinks", "true")]));
        let variants = settings.stores.variants.as_ref().unwrap();
        assert_eq!(
            variants.options.pairs(),
            own(&[
                ("aws_access_key_id", "ambient"),
                ("aws_region", "eu-central-1"),
                ("aws_endpoint", "http://minio:9000"),
                ("aws_allow_http", "true"),
            ])
        );
        assert_eq!(settings.stores.source_ttl, SourceTtl::Immutable);
        let sizes: Vec<_> = settings.access.allowed_sizes.iter().map(ToString::to_string).collect();
        assert_eq!(sizes, ["300x200", "600x0"]);
        assert_eq!(settings.capacity.memory.get(), 1 << 30);
        assert_eq!(settings.capacity.cpus, 2);
        assert!(!settings.logs.color);
        let shown = format!("{settings:?}");
        for secret in ["hunter2", "AKIA", "ambient", "00112233"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn the_files_in_config_are_valid() {
        for (file, others) in [
            ("dev.env", &[("LENSLET_ORIGIN", "memory:///")][..]),
            ("production.env", &[("LENSLET_KEYS", "00112233445566778899aabbccddeeff")][..]),
        ] {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/").to_owned() + file;
            let pairs = others.iter().map(|(n, v)| (n.into(), v.into()));
            let env = Env::gather(pairs, Some(path.as_ref()));
            let settings = Settings::read(&env, &MACHINE, Purpose::Serve);
            assert!(settings.is_ok(), "{file}: {}", settings.unwrap_err());
        }
    }

    #[test]
    fn a_command_may_read_its_own_settings_from_an_environment_that_is_broken_elsewhere() {
        let pairs = [("LENSLET_MAX_FRAMES", "many"), ("LENSLET_ADMIN_LISTEN", "127.0.0.1:7")];
        let env = Env::gather(pairs.map(|(n, v)| (n.into(), v.into())), None);
        assert_eq!(Http::read(&env).unwrap().admin_listen.port(), 7);
        let shop = OriginName::new("shop").unwrap();
        assert!(signing_keys(&env, &shop).is_ok_and(|keys| keys.is_empty()));
    }
}
