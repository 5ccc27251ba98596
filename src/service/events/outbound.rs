//! The two calls the intake makes by itself: visiting the URL that confirms an SNS subscription,
//! and telling the webhook of a processed original. No redirects, no ambient proxy, bounded in
//! time. Never follows a URL of a sender that is not Amazon's own.

use crate::config::{Token, TopicArn, WebhookUrl};
use crate::service::outgoing::Outgoing;
use reqwest::{StatusCode, Url};
use std::time::Duration;

/// How long one call may take, from connect to the head of its answer.
const TIME: Duration = Duration::from_secs(10);

/// How often the webhook is called before the whole work counts as failed, and the pauses between.
const CALLS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// Why a subscription was not confirmed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotConfirmed {
    /// The URL is not Amazon's, or not of that topic.
    #[error("the SubscribeURL is not https://sns.{region}.amazonaws.com/ of that topic")]
    NotAmazons {
        /// The topic's region.
        region: String,
    },
    /// The visit failed.
    #[error("the SubscribeURL could not be visited: {0}")]
    Failed(String),
}

/// The URL of a letter, if it leads to the SNS endpoint of the topic's own region and names the
/// topic.
fn vetted(url: &str, topic: &TopicArn) -> Option<Url> {
    let parsed = Url::parse(url).ok()?;
    let host = format!("sns.{}.amazonaws.com", topic.region());
    let own = parsed.host_str()?;
    let amazon = own == host || own.strip_suffix(".cn") == Some(&host);
    let bare =
        parsed.port().is_none() && parsed.username().is_empty() && parsed.password().is_none();
    let names =
        parsed.query_pairs().any(|(name, value)| name == "TopicArn" && value == topic.as_str());
    (parsed.scheme() == "https" && amazon && bare && names).then_some(parsed)
}

/// Confirms a subscription by visiting its URL.
///
/// # Errors
/// [`NotConfirmed`].
pub(super) async fn confirm(url: &str, topic: &TopicArn) -> Result<(), NotConfirmed> {
    let not_amazons = || NotConfirmed::NotAmazons { region: topic.region().to_owned() };
    let url = vetted(url, topic).ok_or_else(not_amazons)?;
    // Its query carries what confirms: neither it nor an error that quotes it is shown.
    let visited = Outgoing::new(TIME, TIME).visit(url.as_str()).await;
    visited.and_then(taken).map_err(NotConfirmed::Failed)
}

/// Who is told of processed originals.
#[derive(Debug)]
pub(super) struct Webhook {
    outgoing: Outgoing,
    url: WebhookUrl,
    token: Option<Token>,
}

impl Webhook {
    pub(super) const fn new(url: WebhookUrl, token: Option<Token>) -> Self {
        Self { outgoing: Outgoing::new(TIME, TIME), url, token }
    }

    /// Tells it, at most three times; `failed` is called for every call that was in vain.
    ///
    /// # Errors
    /// What the last call came to, without the URL.
    pub(super) async fn tell(&self, json: &[u8], failed: impl Fn()) -> Result<(), String> {
        let mut last = String::new();
        for call in 0..CALLS {
            if call > 0 {
                tokio::time::sleep(PAUSE * call).await;
            }
            match self.call(json).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            failed();
        }
        Err(last)
    }

    async fn call(&self, json: &[u8]) -> Result<(), String> {
        let token = self.token.as_ref().map(Token::expose);
        self.outgoing.tell(self.url.expose(), json.to_vec(), token).await.and_then(taken)
    }
}

/// Whether an answer is a consent.
fn taken(status: StatusCode) -> Result<(), String> {
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn topic() -> TopicArn {
        "arn:aws:sns:eu-central-1:123456789012:uploads".parse().unwrap()
    }

    const GOOD: &str = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription\
                        &TopicArn=arn:aws:sns:eu-central-1:123456789012:uploads&Token=abc";

    #[test]
    fn only_amazons_own_endpoint_of_the_topics_region_is_visited() {
        assert!(vetted(GOOD, &topic()).is_some());
        assert!(vetted(&GOOD.replace("amazonaws.com", "amazonaws.com.cn"), &topic()).is_some());
        for (from, to) in [
            ("https:", "http:"),
            ("amazonaws.com", "amazonaws.com.evil.example"),
            ("amazonaws.com", "amazonaws.com.cn.cn"),
            ("//sns.", "//evil.example/sns."),
            ("//sns.", "//sns.eu-central-1.amazonaws.com@evil.example/"),
            ("//sns.", "//user:pass@sns."),
            ("//sns.", "//x.sns."),
            ("eu-central-1.amazonaws", "us-east-1.amazonaws"),
            ("amazonaws.com/", "amazonaws.com:8443/"),
            ("uploads", "others"),
            ("https://sns.eu-central-1.amazonaws.com", "https://169.254.169.254"),
            (GOOD, "file:///etc/passwd"),
            (GOOD, ""),
        ] {
            let url = GOOD.replacen(from, to, 1);
            assert!(vetted(&url, &topic()).is_none(), "{url}");
        }
    }

    /// A server that answers one request after another with these heads, and counts.
    async fn server(answers: &'static [&'static str]) -> (String, std::sync::Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = socket.read(&mut head).await.unwrap();
                let text = String::from_utf8_lossy(&head[..read]).to_lowercase();
                assert!(text.contains("authorization: bearer 0123456789abcdef"), "{text}");
                let turn = counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers.get(turn).or(answers.last()).unwrap();
                let _ = socket
                    .write_all(
                        format!(
                            "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        )
                        .as_bytes(),
                    )
                    .await;
            }
        });
        (format!("http://{address}/hook?sig=hunter2"), count)
    }

    async fn told(answers: &'static [&'static str]) -> (Result<(), String>, usize, usize) {
        let (url, count) = server(answers).await;
        let token = "0123456789abcdef".parse().unwrap();
        let webhook = Webhook::new(url.parse().unwrap(), Some(token));
        let failures = AtomicUsize::new(0);
        let told = webhook
            .tell(b"{}", || {
                failures.fetch_add(1, Ordering::SeqCst);
            })
            .await;
        (told, count.load(Ordering::SeqCst), failures.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_webhook_is_called_again_when_it_fails_and_no_more_than_three_times() {
        let (result, calls, failures) = told(&["503 Busy", "200 OK"]).await;
        assert_eq!((result, calls, failures), (Ok(()), 2, 1));
        let (result, calls, failures) = told(&["500 No"]).await;
        assert_eq!((calls, failures), (3, 3));
        let told = result.unwrap_err();
        assert!(told.contains("500") && !told.contains("hunter2"), "{told}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (result, calls, _) = told(&["302 Found\r\nLocation: /elsewhere"]).await;
        assert!(result.unwrap_err().contains("302"));
        assert_eq!(calls, 3);
    }

    #[tokio::test]
    async fn an_error_does_not_show_the_url() {
        let url = "http://127.0.0.1:1/hook?sig=hunter2".parse().unwrap();
        let told = Webhook::new(url, None).tell(b"{}", || ()).await.unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
    }
}
