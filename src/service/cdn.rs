//! The CDN's webhook: which tags were purged, posted to one URL, tried a few times. Never knows a
//! CDN's own API: whoever listens there speaks it.

use super::outgoing::Outgoing;
use crate::config::{PublicUrl, Token};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Waited before each further attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// For a connection, and for one attempt.
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);

/// Where purged tags are posted to.
#[derive(Debug)]
pub(super) struct Webhook {
    url: PublicUrl,
    token: Option<Token>,
    outgoing: Outgoing,
}

/// What came of posting them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookReport {
    /// Whether it was taken (a status of 2xx).
    pub taken: bool,
    /// The last status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How often it was tried.
    pub attempts: usize,
    /// Why there was no answer to the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Webhook {
    pub(super) const fn new(url: PublicUrl, token: Option<Token>) -> Self {
        Self { url, token, outgoing: Outgoing::new(CONNECT, TOTAL) }
    }

    /// Posts tags and scope. A refusal (4xx but 429) is final, everything else is tried three
    /// times in all, within 17 seconds.
    pub(super) async fn tell(&self, tags: &[String], scope: &Value) -> WebhookReport {
        let body = json!({ "tags": tags, "scope": scope }).to_string();
        let token = self.token.as_ref().map(Token::expose);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answered =
                self.outgoing.post(self.url.as_str(), body.clone().into(), token, &[]).await;
            let report = match answered {
                Ok(answered) => {
                    let status = answered.status;
                    let taken = (200..300).contains(&status);
                    WebhookReport { taken, status: Some(status), attempts, error: None }
                }
                Err(error) => {
                    WebhookReport { taken: false, status: None, attempts, error: Some(error) }
                }
            };
            let passing = report.status.is_none_or(|status| status == 429 || status >= 500);
            match PAUSES.get(attempts - 1) {
                Some(pause) if passing && !report.taken => tokio::time::sleep(*pause).await,
                _ => return report,
            }
        }
    }
}
