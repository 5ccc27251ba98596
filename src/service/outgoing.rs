//! The HTTP the service sends by itself: to its peers, to webhooks, to confirm a subscription. One
//! client for each, with the manners of the store clients: no proxy from the environment, no redirects, a
//! time for everything. Never sends a token to another address than it was told.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How we name ourselves.
const USER_AGENT: &str = concat!("lenslet/", env!("CARGO_PKG_VERSION"));

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// A client that is built when it is first needed: reading the system's certificates takes time.
#[derive(Debug)]
pub(super) struct Outgoing {
    connect: Duration,
    total: Duration,
    plain: OnceCell<reqwest::Client>,
    secure: OnceCell<reqwest::Client>,
}

/// A POST of JSON that got an answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// At most 64 KiB.
    pub(super) body: Vec<u8>,
}

impl Outgoing {
    /// At most `connect` for a connection and `total` for everything.
    pub(super) const fn new(connect: Duration, total: Duration) -> Self {
        Self { connect, total, plain: OnceCell::const_new(), secure: OnceCell::const_new() }
    }

    async fn client(&self, secure: bool) -> Result<&reqwest::Client, String> {
        let cell = if secure { &self.secure } else { &self.plain };
        let (connect, total) = (self.connect, self.total);
        cell.get_or_try_init(|| async move {
            let build = move || {
                crate::origin::install_tls();
                let builder = reqwest::Client::builder()
                    .user_agent(USER_AGENT)
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .http1_only()
                    .connect_timeout(connect)
                    .timeout(total);
                if secure {
                    builder.https_only(true).build()
                } else {
                    builder.tls_certs_only([]).build()
                }
            };
            let built = tokio::task::spawn_blocking(build).await.map_err(|e| e.to_string())?;
            built.map_err(|error| error.to_string())
        })
        .await
    }

    /// Posts `json` to `url`, with a bearer token and further headers, and reads the answer.
    ///
    /// # Errors
    /// Why there was no answer, in a few words that hold neither the token nor the body.
    pub(super) async fn post(
        &self,
        url: &str,
        json: Vec<u8>,
        token: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answered, String> {
        let mut answer = self.posted(url, json, token, headers).await?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| words(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err("its answer is too long".to_owned());
            }
        }
        Ok(Answered { status, body })
    }

    /// Posts likewise and leaves the answer's body unread.
    ///
    /// # Errors
    /// As [`Outgoing::post`].
    pub(super) async fn tell(
        &self,
        url: &str,
        json: Vec<u8>,
        token: Option<&str>,
    ) -> Result<StatusCode, String> {
        Ok(self.posted(url, json, token, &[]).await?.status())
    }

    /// Visits `url` and leaves the answer's body unread.
    ///
    /// # Errors
    /// As [`Outgoing::post`].
    pub(super) async fn visit(&self, url: &str) -> Result<StatusCode, String> {
        let request = self.client(is_secure(url)).await?.get(url);
        Ok(request.send().await.map_err(|error| words(&error))?.status())
    }

    async fn posted(
        &self,
        url: &str,
        json: Vec<u8>,
        token: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Result<Response, String> {
        let mut request = self.client(is_secure(url)).await?.post(url).body(json);
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| "the token cannot stand in a header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.map_err(|error| words(&error))
    }
}

fn is_secure(url: &str) -> bool {
    url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
}

/// What went wrong at the root; the URL is left out, the caller knows it.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
