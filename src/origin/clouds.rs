//! The buckets of three clouds and of what speaks their protocols, opened from names and values
//! that `config` has gathered. Looks at no environment for them and makes no request. Plain http
//! is refused unless it is allowed in so many words.

use super::connect::{Connector, is_true};
use super::store::{Place, StoreTimeouts, StoreUrlError};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{Error, ObjectStore, StaticCredentialProvider};
use std::sync::Arc;

/// Names and values of one store, later ones over earlier ones.
type Options<'a> = &'a [(String, String)];

/// `s3://bucket/prefix`.
pub(super) fn s3(
    place: &Place<'_>,
    options: Options<'_>,
    timeouts: StoreTimeouts,
) -> Result<Arc<dyn ObjectStore>, StoreUrlError> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in options {
        let key = name.to_ascii_lowercase().parse().map_err(|_| place.unknown(name))?;
        builder = builder.with_config(key, value);
    }
    let said = |key| builder.get_config_value(&key).unwrap_or_default();
    let endpoint = Some(said(AmazonS3ConfigKey::S3Endpoint)).filter(|e| !e.is_empty());
    let endpoint = endpoint.unwrap_or_else(|| said(AmazonS3ConfigKey::Endpoint));
    let allowed = said(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    refuse_plain_http(place, &endpoint, &allowed, "AWS_ALLOW_HTTP")?;
    let built = builder
        .with_bucket_name(place.host)
        .with_retry(timeouts.retry())
        .with_http_connector(Connector::new(timeouts))
        .build();
    opened(place, built)
}

/// `gs://bucket/prefix`.
pub(super) fn gcs(
    place: &Place<'_>,
    options: Options<'_>,
    timeouts: StoreTimeouts,
) -> Result<Arc<dyn ObjectStore>, StoreUrlError> {
    let allow_http = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
    // object_store allows it by itself for this cloud.
    let mut builder = GoogleCloudStorageBuilder::new().with_config(allow_http, "false");
    for (name, value) in options {
        let key = name.to_ascii_lowercase().parse().map_err(|_| place.unknown(name))?;
        builder = builder.with_config(key, value);
    }
    let said = |key| builder.get_config_value(&key).unwrap_or_default();
    let (endpoint, allowed) = (said(GoogleConfigKey::BaseUrl), said(allow_http));
    refuse_plain_http(place, &endpoint, &allowed, "GOOGLE_ALLOW_HTTP")?;
    if is_true(&said(GoogleConfigKey::SkipSignature)) {
        // Without credentials of any kind its writes would ask the metadata server for some.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    let built = builder
        .with_bucket_name(place.host)
        .with_retry(timeouts.retry())
        .with_http_connector(Connector::new(timeouts))
        .build();
    opened(place, built)
}

/// `az://container/prefix`.
pub(super) fn azure(
    place: &Place<'_>,
    options: Options<'_>,
    timeouts: StoreTimeouts,
) -> Result<Arc<dyn ObjectStore>, StoreUrlError> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in options {
        let key = name.to_ascii_lowercase().parse().map_err(|_| place.unknown(name))?;
        builder = builder.with_config(key, value);
    }
    let said = |key| builder.get_config_value(&key).unwrap_or_default();
    // The emulator is plain http by its nature: whoever says its name has allowed it.
    let emulator = is_true(&said(AzureConfigKey::UseEmulator));
    if !emulator {
        let allowed = said(AzureConfigKey::Client(ClientConfigKey::AllowHttp));
        refuse_plain_http(place, &said(AzureConfigKey::Endpoint), &allowed, "AZURE_ALLOW_HTTP")?;
        if said(AzureConfigKey::AccountName).is_empty() {
            let why = "its storage account is missing: set the option ACCOUNT of this store, or \
                       AZURE_STORAGE_ACCOUNT_NAME";
            return Err(StoreUrlError::Settings { url: place.display(), why: why.to_owned() });
        }
    }
    let built = builder
        .with_container_name(place.host)
        .with_retry(timeouts.retry())
        .with_http_connector(Connector::new(timeouts))
        .build();
    opened(place, built)
}

fn refuse_plain_http(
    place: &Place<'_>,
    endpoint: &str,
    allowed: &str,
    switch: &'static str,
) -> Result<(), StoreUrlError> {
    let plain = endpoint.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"));
    if plain && !is_true(allowed) {
        return Err(StoreUrlError::PlainHttp { url: place.display(), switch });
    }
    Ok(())
}

fn opened(
    place: &Place<'_>,
    built: Result<impl ObjectStore, Error>,
) -> Result<Arc<dyn ObjectStore>, StoreUrlError> {
    let settings = |e: Error| StoreUrlError::Settings { url: place.display(), why: e.to_string() };
    place.prefixed(built.map_err(settings)?)
}

#[cfg(test)]
mod tests {
    use crate::origin::store::{Role, StoreTimeouts, StoreUrlError, open};
    use std::time::{Duration, Instant};

    const AZURE: [(&str, &str); 2] =
        [("azure_storage_account_name", "pictures"), ("azure_storage_account_key", "a2V5")];

    fn opened(url: &str, options: &[(&str, &str)]) -> Result<bool, StoreUrlError> {
        let options: Vec<_> =
            options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let timeouts = StoreTimeouts::within(Duration::from_secs(2));
        open(url, &options, timeouts, Role::Variants).map(|store| store.kind.has_metadata())
    }

    #[test]
    fn buckets_of_every_cloud_open_without_a_request_and_keep_metadata() {
        let begun = Instant::now();
        let gcs = [("google_skip_signature", "true")];
        assert!(opened("gs://pictures/some/prefix", &gcs).unwrap());
        assert!(opened("az://pictures/some/prefix/", &AZURE).unwrap());
        assert!(opened("az://pictures", &[("azure_storage_use_emulator", "true")]).unwrap());
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    }

    #[test]
    fn plain_http_has_to_be_allowed_by_the_switch_of_its_own_cloud() {
        let account = AZURE.iter().copied();
        let azure: Vec<_> = account.chain([("azure_endpoint", "HTTP://127.0.0.1:1/x")]).collect();
        for (url, options, switch) in [
            (
                "gs://pictures",
                &[("google_base_url", "http://127.0.0.1:1")][..],
                "google_allow_http",
            ),
            ("s3://pictures", &[("aws_endpoint", "http://127.0.0.1:1")][..], "aws_allow_http"),
            ("az://pictures", &azure[..], "azure_allow_http"),
        ] {
            let refused = opened(url, options).unwrap_err();
            let text = refused.to_string();
            assert!(matches!(refused, StoreUrlError::PlainHttp { .. }), "{text}");
            assert!(text.contains(&switch.to_ascii_uppercase()), "{text}");
            assert!(text.contains("ALLOW_HTTP"), "{text}");
            let signed = [("aws_access_key_id", "k"), ("aws_secret_access_key", "s")];
            let signed = if url.starts_with("s3") { &signed[..] } else { &[] };
            let anonymous = [("google_skip_signature", "true")];
            let anonymous = if url.starts_with("gs") { &anonymous[..] } else { &[] };
            let allowed = [options, signed, anonymous, &[(switch, "true")]].concat();
            assert!(opened(url, &allowed).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_account_is_asked_for_by_its_names() {
        let text = opened("az://pictures", &[]).unwrap_err().to_string();
        assert!(text.contains("ACCOUNT") && text.contains("AZURE_STORAGE_ACCOUNT_NAME"), "{text}");
    }

    #[test]
    fn options_of_another_cloud_are_unknown() {
        for (url, name) in [
            ("gs://pictures", "aws_region"),
            ("az://pictures", "google_base_url"),
            ("s3://pictures", "azure_storage_account_name"),
        ] {
            let text = opened(url, &[(name, "x")]).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
    }
}
