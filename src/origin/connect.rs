//! The HTTP client of every store that is reached over the network: no proxy from the environment,
//! no redirects, TLS by ring, built when the first request goes out so that a start costs nothing.
//! Never holds credentials and never retries by itself (whoever asks does).

use super::remote_address::PublicOnly;
use super::store::StoreTimeouts;
use async_trait::async_trait;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, HeaderMap};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpService,
};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How we name ourselves to a store.
const USER_AGENT: &str = concat!("lenslet/", env!("CARGO_PKG_VERSION"));

/// Below what S3 and common servers take for idle, so that a connection is rarely closed under
/// a request.
const IDLE: Duration = Duration::from_secs(15);

/// Makes ring the TLS provider of the process. To be called before the first TLS connection;
/// calling it again, or after somebody else chose a provider, changes nothing.
pub fn install_tls() {
    // An error says that a provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Makes [`LazyClient`]s.
#[derive(Debug)]
pub(super) struct Connector {
    timeouts: StoreTimeouts,
}

impl Connector {
    pub(super) const fn new(timeouts: StoreTimeouts) -> Self {
        Self { timeouts }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        // Which server is asked, the operator said: a bucket on the next machine is fine.
        let plain_http = allow_http.is_some_and(|text| is_true(&text));
        Ok(client(self.timeouts, Reach { plain_http, private: true }))
    }
}

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// Without TLS.
    pub(super) plain_http: bool,
    /// To addresses that are not public.
    pub(super) private: bool,
}

/// A client that goes no further than `reach`, not yet built.
pub(super) fn client(timeouts: StoreTimeouts, reach: Reach) -> HttpClient {
    let (plain, secure) = (OnceCell::new(), OnceCell::new());
    HttpClient::new(LazyClient { timeouts, reach, plain, secure })
}

/// The spellings of "yes" that object_store's own settings know.
pub(super) fn is_true(text: &str) -> bool {
    ["1", "true", "on", "yes", "y"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Two clients of which most processes need one: the certificates of the system are read (a few
/// milliseconds and about a megabyte) only if a request goes to https.
#[derive(Debug)]
struct LazyClient {
    timeouts: StoreTimeouts,
    reach: Reach,
    plain: OnceCell<reqwest::Client>,
    secure: OnceCell<reqwest::Client>,
}

impl LazyClient {
    async fn client(&self, secure: bool) -> Result<&reqwest::Client, HttpError> {
        let cell = if secure { &self.secure } else { &self.plain };
        let (timeouts, private) = (self.timeouts, self.reach.private);
        cell.get_or_try_init(|| async move {
            // Reading certificates blocks.
            tokio::task::spawn_blocking(move || build(timeouts, secure, private))
                .await
                .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?
                .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))
        })
        .await
    }
}

#[async_trait]
impl HttpService for LazyClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let secure = request.uri().scheme_str() != Some("http");
        if !secure && !self.reach.plain_http {
            let refusal = std::io::Error::other("plain http is not allowed for this store");
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal));
        }
        HttpService::call(self.client(secure).await?, request).await
    }
}

fn build(timeouts: StoreTimeouts, secure: bool, private: bool) -> reqwest::Result<reqwest::Client> {
    install_tls();
    let mut headers = HeaderMap::new();
    // What is stored compressed is refused, so nobody should compress on the way either.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .pool_idle_timeout(IDLE);
    let builder = if private { builder } else { builder.dns_resolver(PublicOnly) };
    if secure { builder.https_only(true).build() } else { builder.tls_certs_only([]).build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_yes_are_those_of_object_store() {
        assert!(is_true("true") && is_true("1") && is_true("YES"));
        assert!(!is_true("false") && !is_true("0") && !is_true(""));
    }

    #[test]
    fn installing_tls_twice_is_harmless() {
        install_tls();
        install_tls();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }

    #[test]
    fn a_plain_client_is_built_without_reading_certificates() {
        let timeouts = StoreTimeouts::within(Duration::from_secs(1));
        assert!(build(timeouts, false, true).is_ok());
    }
}
