//! Options of one store: credentials, region, endpoint, spelt as object_store's builder takes
//! them. Never logs one and never talks to a store.

use super::env::Env;
use super::known::{CLOUD_PREFIX, is_option_behind};
use super::read::Reader;
use super::secret::Secret;
use super::url::{PublicUrl, StorePlace};
use super::values::{Switch, deserialize_from_text, unreadable};
use object_store::aws::AmazonS3ConfigKey;
use serde::Deserialize;
use std::str::FromStr;

/// Options of one store. `Debug` hides every value.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions(Vec<(String, Secret)>);

impl StoreOptions {
    /// Names and values as whoever opens the store takes them, later ones over earlier ones. For
    /// `s3://` each name parses as an `AmazonS3ConfigKey`: first what the platform's `AWS_…`
    /// variables say (those of `--env-file` too), then the store's own. For `file://` originals
    /// perhaps `follow_symlinks`; nothing for other stores. Holds secrets.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }
}

#[derive(Deserialize)]
struct OptionVars {
    access_key_id: Option<Secret>,
    secret_access_key: Option<Secret>,
    session_token: Option<Secret>,
    region: Option<Region>,
    endpoint: Option<PublicUrl>,
    allow_http: Option<Switch>,
    virtual_hosted: Option<Switch>,
    anonymous: Option<Switch>,
    follow_symlinks: Option<Switch>,
}

struct Region(String);

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.len() <= 64 && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(unreadable(text, "a region: eu-central-1"))
        }
    }
}

deserialize_from_text!(Region);

/// Reads the options behind `prefix`, such as `LENSLET_ORIGIN_SHOP_`, of the store at `place`.
/// What is wrong goes to the reader's faults.
pub(super) fn read(reader: &mut Reader<'_>, prefix: &str, place: &StorePlace) -> StoreOptions {
    let Some(vars) = reader.read_behind::<OptionVars>(prefix) else {
        return StoreOptions::default();
    };
    let is_s3 = matches!(place, StorePlace::S3 { .. });
    let is_file = matches!(place, StorePlace::File(_));
    let set = reader.env().with_prefix(prefix).map(|(name, _)| name.to_owned());
    let set: Vec<String> = set.filter(|name| is_option_behind(prefix, name)).collect();
    for name in set {
        let for_file = name.ends_with("_FOLLOW_SYMLINKS");
        let (without_effect, scheme) = if for_file { (!is_file, "file") } else { (!is_s3, "s3") };
        if without_effect {
            reader.faults().add(name, format!("only a store at {scheme}:// has this option"));
        }
    }
    check(reader, prefix, &vars);
    match place {
        StorePlace::S3 { .. } => {
            let mut pairs = ambient(reader.env(), &vars);
            pairs.extend(own(vars));
            StoreOptions(pairs)
        }
        StorePlace::File(_) => {
            let follow = yes(vars.follow_symlinks);
            StoreOptions(
                follow.map(|value| ("follow_symlinks".to_owned(), value)).into_iter().collect(),
            )
        }
        StorePlace::Memory => StoreOptions::default(),
    }
}

fn check(reader: &mut Reader<'_>, prefix: &str, vars: &OptionVars) {
    let name = |option: &str| format!("{prefix}{option}");
    let (id, secret, token) =
        (name("ACCESS_KEY_ID"), name("SECRET_ACCESS_KEY"), name("SESSION_TOKEN"));
    let has_id = vars.access_key_id.is_some();
    let has_secret = vars.secret_access_key.is_some();
    let faults = reader.faults();
    // A file that could not be read has been reported; its secret is not "missing" as well.
    let (id_file, secret_file) = (format!("{id}_FILE"), format!("{secret}_FILE"));
    faults.cross(&[&id, &secret, &secret_file], has_id && !has_secret, || {
        format!("needs {secret} beside it")
    });
    faults.cross(&[&secret, &id, &id_file], has_secret && !has_id, || {
        format!("needs {id} beside it")
    });
    faults.cross(&[&token, &id, &id_file], vars.session_token.is_some() && !has_id, || {
        format!("needs {id} beside it")
    });
    let anonymous = matches!(vars.anonymous, Some(Switch(true)));
    faults.cross(&[&name("ANONYMOUS"), &id], anonymous && has_id, || {
        format!("contradicts {id}: requests are either signed or not")
    });
    let plain = vars.endpoint.as_ref().is_some_and(PublicUrl::is_plain_http);
    let allowed = matches!(vars.allow_http, Some(Switch(true)));
    let switch = name("ALLOW_HTTP");
    faults.cross(&[&name("ENDPOINT"), &switch], plain && !allowed, || {
        format!("is http://, which needs {switch}=1")
    });
}

fn own(vars: OptionVars) -> impl Iterator<Item = (String, Secret)> {
    let own = [
        ("aws_access_key_id", vars.access_key_id),
        ("aws_secret_access_key", vars.secret_access_key),
        ("aws_session_token", vars.session_token),
        ("aws_region", vars.region.map(|region| Secret::new(region.0))),
        ("aws_endpoint", vars.endpoint.map(|url| Secret::new(url.as_str().to_owned()))),
        ("aws_allow_http", yes(vars.allow_http)),
        ("aws_virtual_hosted_style_request", yes(vars.virtual_hosted)),
        ("aws_skip_signature", yes(vars.anonymous)),
    ];
    own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

fn yes(switch: Option<Switch>) -> Option<Secret> {
    switch.map(|Switch(on)| Secret::new(on.to_string()))
}

/// What the platform's variables say about S3, without what the store's own options replace:
/// credentials of two owners must not mix, nor may an endpoint of another server stay.
fn ambient(env: &Env, vars: &OptionVars) -> Vec<(String, Secret)> {
    use AmazonS3ConfigKey as Key;
    let anonymous = matches!(vars.anonymous, Some(Switch(true)));
    let own_credentials =
        vars.access_key_id.is_some() || vars.secret_access_key.is_some() || anonymous;
    let own_endpoint = vars.endpoint.is_some();
    let mut pairs = Vec::new();
    for (name, var) in env.with_prefix(CLOUD_PREFIX) {
        let name = name.to_ascii_lowercase();
        let taken = match name.parse::<Key>() {
            // The bucket is the URL's; what object_store does not know is not for it.
            Err(_) | Ok(Key::Bucket) => false,
            Ok(
                Key::AccessKeyId
                | Key::SecretAccessKey
                | Key::Token
                | Key::ContainerCredentialsRelativeUri
                | Key::ContainerCredentialsFullUri
                | Key::ContainerAuthorizationTokenFile
                | Key::WebIdentityTokenFile
                | Key::RoleArn
                | Key::RoleSessionName
                | Key::SkipSignature,
            ) => !own_credentials,
            Ok(Key::Endpoint | Key::S3Endpoint) => !own_endpoint,
            Ok(_) => true,
        };
        if taken {
            pairs.push((name, Secret::new(var.value.clone())));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::Faults;

    fn options(place: &StorePlace, pairs: &[(&str, &str)]) -> (Vec<(String, String)>, Faults) {
        let env = Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None);
        let mut reader = Reader::new(&env);
        let options = read(&mut reader, "LENSLET_VARIANTS_", place);
        (options.pairs(), reader.finish())
    }

    fn s3() -> StorePlace {
        StorePlace::S3 { bucket: "photos".into(), prefix: String::new() }
    }

    #[test]
    fn own_credentials_drive_out_the_platforms() {
        let (pairs, faults) = options(
            &s3(),
            &[
                ("AWS_ACCESS_KEY_ID", "theirs"),
                ("AWS_SESSION_TOKEN", "theirs"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "/theirs"),
                ("AWS_ENDPOINT_URL_S3", "https://theirs"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_BUCKET", "theirs"),
                ("AWS_LAMBDA_FUNCTION_NAME", "resize"),
                ("LENSLET_VARIANTS_ACCESS_KEY_ID", "ours"),
                ("LENSLET_VARIANTS_SECRET_ACCESS_KEY", "ours"),
                ("LENSLET_VARIANTS_ENDPOINT", "https://ours"),
            ],
        );
        assert!(faults.is_empty(), "{faults}");
        assert!(pairs.iter().all(|(_, value)| !value.contains("theirs")), "{pairs:?}");
        assert!(pairs.contains(&("aws_region".to_owned(), "eu-west-1".to_owned())));
    }

    #[test]
    fn every_name_handed_on_is_one_the_s3_builder_knows() {
        let (pairs, faults) = options(
            &s3(),
            &[
                ("LENSLET_VARIANTS_ACCESS_KEY_ID", "a"),
                ("LENSLET_VARIANTS_SECRET_ACCESS_KEY", "b"),
                ("LENSLET_VARIANTS_SESSION_TOKEN", "c"),
                ("LENSLET_VARIANTS_REGION", "d"),
                ("LENSLET_VARIANTS_ENDPOINT", "http://e:1"),
                ("LENSLET_VARIANTS_ALLOW_HTTP", "1"),
                ("LENSLET_VARIANTS_VIRTUAL_HOSTED", "no"),
                ("LENSLET_VARIANTS_ANONYMOUS", "off"),
                ("AWS_ALLOW_HTTP", "true"),
            ],
        );
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(pairs.len(), 9);
        for (name, _) in pairs {
            assert!(name.parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }

    #[test]
    fn an_option_without_effect_is_a_fault() {
        let (pairs, faults) = options(
            &StorePlace::File("/srv".into()),
            &[("LENSLET_VARIANTS_REGION", "eu-west-1"), ("AWS_REGION", "eu-west-1")],
        );
        assert!(pairs.is_empty());
        assert_eq!(faults.iter().count(), 1);
        assert!(faults.to_string().starts_with("LENSLET_VARIANTS_REGION: "), "{faults}");
    }
}
