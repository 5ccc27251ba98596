//! What the variables of the clouds say of a store: `AWS_…`, `GOOGLE_…`, `AZURE_…`, under the
//! names that their own tools read. What a store says for itself drives them out: credentials of
//! two owners must not mix, nor may an endpoint of another server stay. Never shows a value.

use super::env::Env;
use super::known::{AWS_PREFIX, AZURE_PREFIX, GOOGLE_PREFIX, IDENTITY_ENDPOINT};
use super::secret::Secret;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

/// What a store has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    /// Keys, tokens, or the wish to have none.
    pub(super) credentials: bool,
    /// The account its container is in.
    pub(super) account: bool,
    /// The server.
    pub(super) endpoint: bool,
}

type Pairs = Vec<(String, Secret)>;

/// For `s3://`.
pub(super) fn aws(env: &Env, own: Own) -> Pairs {
    use AmazonS3ConfigKey as Key;
    taken(env, AWS_PREFIX, |name| match name.parse() {
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
        ) => !own.credentials,
        Ok(Key::Endpoint | Key::S3Endpoint) => !own.endpoint,
        Ok(_) => true,
    })
}

/// For `gs://`.
pub(super) fn google(env: &Env, own: Own) -> Pairs {
    use GoogleConfigKey as Key;
    taken(env, GOOGLE_PREFIX, |name| match name.parse() {
        Err(_) | Ok(Key::Bucket) => false,
        Ok(
            Key::ServiceAccount
            | Key::ServiceAccountKey
            | Key::ApplicationCredentials
            | Key::BearerToken
            | Key::SkipSignature,
        ) => !own.credentials,
        Ok(Key::BaseUrl) => !own.endpoint,
        Ok(_) => true,
    })
}

/// For `az://`. A key opens one account, so it goes with the account; an identity does not.
pub(super) fn azure(env: &Env, own: Own) -> Pairs {
    use AzureConfigKey as Key;
    let mut pairs = taken(env, AZURE_PREFIX, |name| match name.parse() {
        Err(_) | Ok(Key::ContainerName) => false,
        Ok(Key::AccountName) => !own.account,
        Ok(Key::AccessKey | Key::SasKey) => !own.credentials && !own.account,
        Ok(Key::Endpoint | Key::UseEmulator | Key::UseFabricEndpoint) => {
            !own.endpoint && !own.account
        }
        Ok(
            Key::ClientId
            | Key::ClientSecret
            | Key::AuthorityId
            | Key::Token
            | Key::MsiEndpoint
            | Key::ObjectId
            | Key::MsiResourceId
            | Key::FederatedTokenFile
            | Key::UseAzureCli
            | Key::SkipSignature
            | Key::CredentialType
            | Key::FabricTokenServiceUrl
            | Key::FabricWorkloadHost
            | Key::FabricSessionToken
            | Key::FabricClusterIdentifier,
        ) => !own.credentials,
        Ok(_) => true,
    });
    if let Some(var) = env.get(IDENTITY_ENDPOINT).filter(|_| !own.credentials) {
        pairs.push(("azure_msi_endpoint".to_owned(), Secret::new(var.value.clone())));
    }
    pairs
}

fn taken(env: &Env, prefix: &str, wanted: impl Fn(&str) -> bool) -> Pairs {
    env.with_prefix(prefix)
        .map(|(name, var)| (name.to_ascii_lowercase(), var))
        .filter(|(name, _)| wanted(name))
        .map(|(name, var)| (name, Secret::new(var.value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Own = Own { credentials: false, account: false, endpoint: false };

    fn names(pairs: Pairs) -> Vec<String> {
        pairs.into_iter().map(|(name, _)| name).collect()
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None)
    }

    #[test]
    fn own_credentials_and_endpoints_drive_out_those_of_aws() {
        let env = env(&[
            ("AWS_ACCESS_KEY_ID", "theirs"),
            ("AWS_SESSION_TOKEN", "theirs"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/theirs"),
            ("AWS_ENDPOINT_URL_S3", "https://theirs"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_BUCKET", "theirs"),
            ("AWS_LAMBDA_FUNCTION_NAME", "resize"),
        ]);
        assert_eq!(aws(&env, NOTHING).len(), 5);
        let own = Own { credentials: true, account: false, endpoint: true };
        assert_eq!(names(aws(&env, own)), ["aws_region"]);
    }

    #[test]
    fn googles_names_are_taken_and_give_way() {
        let env = env(&[
            ("GOOGLE_APPLICATION_CREDENTIALS", "/theirs"),
            ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}"),
            ("GOOGLE_BASE_URL", "http://theirs"),
            ("GOOGLE_ALLOW_HTTP", "true"),
            ("GOOGLE_BUCKET", "theirs"),
            ("GOOGLE_CLOUD_PROJECT", "theirs"),
        ]);
        assert_eq!(google(&env, NOTHING).len(), 4);
        let own = Own { credentials: true, account: false, endpoint: true };
        assert_eq!(names(google(&env, own)), ["google_allow_http"]);
    }

    #[test]
    fn azures_keys_go_with_their_account_and_its_identities_do_not() {
        let env = env(&[
            ("AZURE_STORAGE_ACCOUNT_NAME", "theirs"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "theirs"),
            ("AZURE_CLIENT_ID", "id"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
            ("AZURE_AUTHORITY_HOST", "https://login"),
            ("AZURE_CONTAINER_NAME", "theirs"),
            ("IDENTITY_ENDPOINT", "http://identity"),
        ]);
        assert_eq!(azure(&env, NOTHING).len(), 7);
        let identity = [
            "azure_authority_host",
            "azure_client_id",
            "azure_federated_token_file",
            "azure_tenant_id",
            "azure_msi_endpoint",
        ];
        assert_eq!(names(azure(&env, Own { account: true, ..NOTHING })), identity);
        let all = Own { credentials: true, account: true, endpoint: true };
        assert_eq!(names(azure(&env, all)), ["azure_authority_host"]);
    }
}
