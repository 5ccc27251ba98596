//! Options of one store: credentials, region, endpoint, spelt as object_store's builders take
//! them. Never logs one and never talks to a store.

use super::known::{self, StoreOption};
use super::platform::{self, Own};
use super::read::Reader;
use super::secret::Secret;
use super::url::{PublicUrl, StorePlace};
use super::values::{Switch, deserialize_from_text, unreadable};
use serde::Deserialize;
use std::str::FromStr;

/// Options of one store. `Debug` hides every value.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions(Vec<(String, Secret)>);

impl StoreOptions {
    /// Names and values as whoever opens the store takes them, later ones over earlier ones. For
    /// `s3://`, `gs://` and `az://` each name parses as a key of the cloud's builder: first what
    /// the platform's `AWS_…`, `GOOGLE_…` or `AZURE_…` variables say (those of `--env-file` too),
    /// then the store's own. For `https://` perhaps `allow_http` and `allow_private`, for
    /// `file://` originals perhaps `follow_symlinks`; nothing for memory. Holds secrets.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }
}

#[derive(Default, Deserialize)]
struct OptionVars {
    access_key_id: Option<Secret>,
    secret_access_key: Option<Secret>,
    session_token: Option<Secret>,
    region: Option<Word>,
    virtual_hosted: Option<Switch>,
    credentials: Option<Secret>,
    account: Option<Word>,
    account_key: Option<Secret>,
    sas_token: Option<Secret>,
    tenant_id: Option<Word>,
    client_id: Option<Word>,
    client_secret: Option<Secret>,
    emulator: Option<Switch>,
    endpoint: Option<PublicUrl>,
    anonymous: Option<Switch>,
    allow_http: Option<Switch>,
    allow_private: Option<Switch>,
    follow_symlinks: Option<Switch>,
}

/// The name of a region, an account, a client: no text of it may change a URL.
struct Word(String);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if text.len() <= 64 && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(unreadable(
                text,
                "a region or another name of letters, digits, - _ and .: eu-central-1",
            ))
        }
    }
}

deserialize_from_text!(Word);

/// Reads the options behind `prefix`, such as `LENSLET_ORIGIN_SHOP_`, of the store at `place`.
/// What is wrong goes to the reader's faults.
pub(super) fn read(reader: &mut Reader<'_>, prefix: &str, place: &StorePlace) -> StoreOptions {
    let Some(vars) = reader.read_behind::<OptionVars>(prefix) else {
        return StoreOptions::default();
    };
    without_effect(reader, prefix, place);
    let plain_web = matches!(place, StorePlace::Web { secure: false, .. });
    check(reader, prefix, &vars, plain_web);
    let (env, own) = (reader.env(), vars.own());
    let mut pairs = match place {
        StorePlace::S3 { .. } => platform::aws(env, own),
        StorePlace::Gcs { .. } => platform::google(env, own),
        StorePlace::Azure { .. } => platform::azure(env, own),
        StorePlace::Web { .. } | StorePlace::File(_) | StorePlace::Memory => Vec::new(),
    };
    let own = match place {
        StorePlace::S3 { .. } => vars.s3(),
        StorePlace::Gcs { .. } => vars.gcs(),
        StorePlace::Azure { .. } => vars.azure(),
        StorePlace::Web { .. } => {
            vec![("allow_http", yes(vars.allow_http)), ("allow_private", yes(vars.allow_private))]
        }
        StorePlace::File(_) => vec![("follow_symlinks", yes(vars.follow_symlinks))],
        StorePlace::Memory => Vec::new(),
    };
    pairs.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    StoreOptions(pairs)
}

/// Reports the options that a store of this kind has not.
fn without_effect(reader: &mut Reader<'_>, prefix: &str, place: &StorePlace) {
    let foreign = |option: &StoreOption| {
        !option.schemes.is_empty() && !option.schemes.contains(&place.scheme())
    };
    let set = reader.env().with_prefix(prefix).map(|(name, _)| name.to_owned());
    let of_other_stores: Vec<_> = set
        .filter_map(|name| {
            let option = known::option_behind(prefix, &name).filter(|option| foreign(option))?;
            Some((name, option.schemes.join(":// or ")))
        })
        .collect();
    for (name, schemes) in of_other_stores {
        reader.faults().add(name, format!("only a store at {schemes}:// has this option"));
    }
}

/// Pairs and switches that need or exclude each other.
fn check(reader: &mut Reader<'_>, prefix: &str, vars: &OptionVars, plain_web: bool) {
    let name = |option: &str| format!("{prefix}{option}");
    let faults = reader.faults();
    // A file that could not be read has been reported; its secret is not "missing" as well.
    let mut needs = |one: &str, has_one: bool, other: &str, has_other: bool| {
        let (one, other) = (name(one), name(other));
        let (one_file, other_file) = (format!("{one}_FILE"), format!("{other}_FILE"));
        faults.cross(&[&one, &one_file, &other, &other_file], has_one && !has_other, || {
            format!("needs {other} beside it")
        });
    };
    let (has_id, has_secret) = (vars.access_key_id.is_some(), vars.secret_access_key.is_some());
    needs("ACCESS_KEY_ID", has_id, "SECRET_ACCESS_KEY", has_secret);
    needs("SECRET_ACCESS_KEY", has_secret, "ACCESS_KEY_ID", has_id);
    needs("SESSION_TOKEN", vars.session_token.is_some(), "ACCESS_KEY_ID", has_id);
    let has_client_secret = vars.client_secret.is_some();
    needs("CLIENT_SECRET", has_client_secret, "CLIENT_ID", vars.client_id.is_some());
    needs("CLIENT_SECRET", has_client_secret, "TENANT_ID", vars.tenant_id.is_some());

    let on = |switch: Option<Switch>| matches!(switch, Some(Switch(true)));
    for (credential, has_it) in [
        ("ACCESS_KEY_ID", has_id),
        ("CREDENTIALS", vars.credentials.is_some()),
        ("ACCOUNT_KEY", vars.account_key.is_some()),
        ("SAS_TOKEN", vars.sas_token.is_some()),
        ("CLIENT_SECRET", has_client_secret),
    ] {
        let credential = name(credential);
        let both = on(vars.anonymous) && has_it;
        faults.cross(&[&name("ANONYMOUS"), &credential], both, || {
            format!("contradicts {credential}: requests are either signed or not")
        });
    }
    let emulator = on(vars.emulator) && vars.endpoint.is_some();
    faults.cross(&[&name("EMULATOR"), &name("ENDPOINT")], emulator, || {
        format!(
            "contradicts {}: the emulator is where AZURITE_BLOB_STORAGE_URL says",
            name("ENDPOINT")
        )
    });
    let (plain, switch) =
        (vars.endpoint.as_ref().is_some_and(PublicUrl::is_plain_http), name("ALLOW_HTTP"));
    let refused = plain && !on(vars.allow_http);
    faults.cross(&[&name("ENDPOINT"), &switch], refused, || {
        format!("is http://, which needs {switch}=1")
    });
    // Named by what has to be set: the URL may stand in a list.
    faults.cross(&[&switch], plain_web && !on(vars.allow_http), || {
        "has to be 1, because this origin is at http://".to_owned()
    });
}

type Pairs = Vec<(&'static str, Option<Secret>)>;

impl OptionVars {
    /// What of the platform's words the store's own ones replace.
    fn own(&self) -> Own {
        let credentials = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.credentials,
            &self.account_key,
            &self.sas_token,
            &self.client_secret,
        ];
        let anonymous = matches!(self.anonymous, Some(Switch(true)));
        let emulator = matches!(self.emulator, Some(Switch(true)));
        Own {
            credentials: credentials.into_iter().any(Option::is_some) || anonymous || emulator,
            account: self.account.is_some() || emulator,
            endpoint: self.endpoint.is_some() || emulator,
        }
    }

    fn s3(self) -> Pairs {
        vec![
            ("aws_access_key_id", self.access_key_id),
            ("aws_secret_access_key", self.secret_access_key),
            ("aws_session_token", self.session_token),
            ("aws_region", word(self.region)),
            ("aws_endpoint", address(self.endpoint)),
            ("aws_allow_http", yes(self.allow_http)),
            ("aws_virtual_hosted_style_request", yes(self.virtual_hosted)),
            ("aws_skip_signature", yes(self.anonymous)),
        ]
    }

    fn gcs(self) -> Pairs {
        vec![
            ("google_service_account_key", self.credentials),
            ("google_base_url", address(self.endpoint)),
            ("google_allow_http", yes(self.allow_http)),
            ("google_skip_signature", yes(self.anonymous)),
        ]
    }

    fn azure(self) -> Pairs {
        vec![
            ("azure_storage_account_name", word(self.account)),
            ("azure_storage_account_key", self.account_key),
            ("azure_storage_sas_key", self.sas_token),
            ("azure_storage_tenant_id", word(self.tenant_id)),
            ("azure_storage_client_id", word(self.client_id)),
            ("azure_storage_client_secret", self.client_secret),
            ("azure_storage_use_emulator", yes(self.emulator)),
            ("azure_storage_endpoint", address(self.endpoint)),
            ("azure_allow_http", yes(self.allow_http)),
            ("azure_skip_signature", yes(self.anonymous)),
        ]
    }
}

fn yes(switch: Option<Switch>) -> Option<Secret> {
    switch.map(|Switch(on)| Secret::new(on.to_string()))
}

fn word(word: Option<Word>) -> Option<Secret> {
    word.map(|word| Secret::new(word.0))
}

fn address(url: Option<PublicUrl>) -> Option<Secret> {
    url.map(|url| Secret::new(url.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Env;
    use crate::config::fault::Faults;
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;
    use object_store::gcp::GoogleConfigKey;

    fn options(url: &str, pairs: &[(&str, &str)]) -> (Vec<(String, String)>, Faults) {
        let env = Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None);
        let mut reader = Reader::new(&env);
        let url: crate::config::StoreUrl = url.parse().unwrap();
        let options = read(&mut reader, "LENSLET_ORIGIN_X_", url.place());
        (options.pairs(), reader.finish())
    }

    #[test]
    fn every_name_handed_on_is_one_the_builder_of_its_cloud_knows() {
        let (pairs, faults) = options(
            "s3://photos",
            &[
                ("LENSLET_ORIGIN_X_ACCESS_KEY_ID", "a"),
                ("LENSLET_ORIGIN_X_SECRET_ACCESS_KEY", "b"),
                ("LENSLET_ORIGIN_X_SESSION_TOKEN", "c"),
                ("LENSLET_ORIGIN_X_REGION", "d"),
                ("LENSLET_ORIGIN_X_ENDPOINT", "http://e:1"),
                ("LENSLET_ORIGIN_X_ALLOW_HTTP", "1"),
                ("LENSLET_ORIGIN_X_VIRTUAL_HOSTED", "no"),
                ("LENSLET_ORIGIN_X_ANONYMOUS", "off"),
                ("AWS_ALLOW_HTTP", "true"),
            ],
        );
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(pairs.len(), 9);
        assert!(pairs.iter().all(|(name, _)| name.parse::<AmazonS3ConfigKey>().is_ok()));

        let (pairs, faults) = options(
            "gs://photos",
            &[
                ("LENSLET_ORIGIN_X_CREDENTIALS", "{}"),
                ("LENSLET_ORIGIN_X_ENDPOINT", "https://e:1"),
                ("LENSLET_ORIGIN_X_ALLOW_HTTP", "0"),
                ("LENSLET_ORIGIN_X_ANONYMOUS", "no"),
            ],
        );
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(pairs.len(), 4);
        assert!(pairs.iter().all(|(name, _)| name.parse::<GoogleConfigKey>().is_ok()));

        let (pairs, faults) = options(
            "az://photos",
            &[
                ("LENSLET_ORIGIN_X_ACCOUNT", "a"),
                ("LENSLET_ORIGIN_X_ACCOUNT_KEY", "b"),
                ("LENSLET_ORIGIN_X_SAS_TOKEN", "c"),
                ("LENSLET_ORIGIN_X_TENANT_ID", "d"),
                ("LENSLET_ORIGIN_X_CLIENT_ID", "e"),
                ("LENSLET_ORIGIN_X_CLIENT_SECRET", "f"),
                ("LENSLET_ORIGIN_X_EMULATOR", "no"),
                ("LENSLET_ORIGIN_X_ENDPOINT", "https://g"),
                ("LENSLET_ORIGIN_X_ALLOW_HTTP", "no"),
                ("LENSLET_ORIGIN_X_ANONYMOUS", "no"),
            ],
        );
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(pairs.len(), 10);
        assert!(pairs.iter().all(|(name, _)| name.parse::<AzureConfigKey>().is_ok()));
    }

    #[test]
    fn an_option_without_effect_is_a_fault() {
        let (pairs, faults) = options(
            "file:///srv",
            &[("LENSLET_ORIGIN_X_REGION", "eu-west-1"), ("AWS_REGION", "eu-west-1")],
        );
        assert!(pairs.is_empty());
        assert_eq!(faults.iter().count(), 1);
        let text = faults.to_string();
        assert!(text.starts_with("LENSLET_ORIGIN_X_REGION: only a store at s3://"), "{text}");
        for (url, option, value) in [
            ("s3://photos", "ACCOUNT", "a"),
            ("gs://photos", "REGION", "a"),
            ("az://photos", "CREDENTIALS", "{}"),
            ("https://example.com", "ENDPOINT", "https://a"),
            ("s3://photos", "ALLOW_PRIVATE", "1"),
            ("memory:///", "ANONYMOUS", "1"),
        ] {
            let name = format!("LENSLET_ORIGIN_X_{option}");
            let (_, faults) = options(url, &[(&name, value)]);
            assert!(faults.to_string().starts_with(&format!("{name}: only a store")), "{faults}");
        }
    }

    #[test]
    fn a_web_origin_without_tls_has_to_be_allowed() {
        assert!(options("https://example.com", &[]).1.is_empty());
        let (_, faults) = options("http://example.com", &[]);
        assert!(faults.to_string().starts_with("LENSLET_ORIGIN_X_ALLOW_HTTP: "), "{faults}");
        let allowed =
            [("LENSLET_ORIGIN_X_ALLOW_HTTP", "1"), ("LENSLET_ORIGIN_X_ALLOW_PRIVATE", "1")];
        let (pairs, faults) = options("http://example.com", &allowed);
        assert!(faults.is_empty(), "{faults}");
        let expected = ["allow_http", "allow_private"].map(|name| (name.into(), "true".into()));
        assert_eq!(pairs, expected);
    }

    #[test]
    fn credentials_that_are_half_or_contradict_each_other_are_faults() {
        for (url, set, says) in [
            ("az://photos", &[("CLIENT_SECRET", "x")][..], "needs LENSLET_ORIGIN_X_CLIENT_ID"),
            ("gs://photos", &[("ANONYMOUS", "1"), ("CREDENTIALS", "{}")], "contradicts"),
            ("az://photos", &[("EMULATOR", "1"), ("ENDPOINT", "https://a")], "contradicts"),
            ("gs://photos", &[("ENDPOINT", "http://a")], "needs LENSLET_ORIGIN_X_ALLOW_HTTP=1"),
        ] {
            let set: Vec<_> =
                set.iter().map(|(n, v)| (format!("LENSLET_ORIGIN_X_{n}"), *v)).collect();
            let set: Vec<_> = set.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            let (_, faults) = options(url, &set);
            assert!(faults.to_string().contains(says), "{faults}");
        }
    }
}
