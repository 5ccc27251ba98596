//! Settings of the intake of object-store notifications. Never listens and never sends.

use super::fault::Faults;
use super::pods::Token;
use super::read::Reader;
use super::values::{self, deserialize_from_text, unreadable, words};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

words! {
    /// Where notifications are taken.
    pub Intake {
        /// Nowhere.
        Off = "off",
        /// At `/events` of the admin listener.
        Admin = "admin",
        /// There, and at `/_/events` of the public one.
        Public = "public",
    }
}

impl Intake {
    /// Whether they are taken at all.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// How notifications are taken and what is told of the work.
#[derive(Debug, Clone)]
pub struct Events {
    /// Where they are taken.
    pub intake: Intake,
    /// What senders show; there whenever `intake` is not off.
    pub token: Option<Token>,
    /// SNS topics whose subscriptions are confirmed and whose messages are believed.
    pub topics: Vec<TopicArn>,
    /// Originals waiting for their work, 1 to 1,000,000.
    pub queue: usize,
    /// How long the note of an accepted event is left to whoever wrote it, 1 s to 1 h.
    pub lease: Duration,
    /// Who is told of processed originals.
    pub webhook: Option<WebhookUrl>,
    /// What is shown there as Bearer.
    pub webhook_token: Option<Token>,
}

#[derive(Deserialize)]
struct EventVars {
    events: Intake,
    events_token: Option<Token>,
    events_topics: Option<Topics>,
    #[serde(deserialize_with = "values::whole::<1, 1_000_000, _>")]
    events_queue: u32,
    #[serde(deserialize_with = "values::span::<1_000, 3_600_000, _>")]
    events_lease: Duration,
    events_webhook: Option<WebhookUrl>,
    events_webhook_token: Option<Token>,
}

impl Events {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let vars = reader.read::<EventVars>()?;
        Some(Self {
            intake: vars.events,
            token: vars.events_token,
            topics: vars.events_topics.map(|topics| topics.0).unwrap_or_default(),
            queue: vars.events_queue as usize,
            lease: vars.events_lease,
            webhook: vars.events_webhook,
            webhook_token: vars.events_webhook_token,
        })
    }

    /// Holds the rules between these settings; adds what is broken.
    pub(super) fn check(&self, faults: &mut Faults) {
        let names = ["LENSLET_EVENTS", "LENSLET_EVENTS_TOKEN", "LENSLET_EVENTS_TOKEN_FILE"];
        let open = self.intake.is_on() && self.token.is_none();
        faults.cross(&names, open, || {
            "needs LENSLET_EVENTS_TOKEN, which senders show, of at least 16 bytes".to_owned()
        });
        let names = ["LENSLET_EVENTS_WEBHOOK_TOKEN", "LENSLET_EVENTS_WEBHOOK"];
        let nobody = self.webhook_token.is_some() && self.webhook.is_none();
        faults.cross(&names, nobody, || "has no effect without LENSLET_EVENTS_WEBHOOK".to_owned());
    }
}

/// The name of an SNS topic.
///
/// Invariant: `arn:aws…:sns:{region}:{account}:{name}`, every part there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicArn(String);

impl TopicArn {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region, such as `eu-central-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }
}

impl FromStr for TopicArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let fits = |part: &&str| {
            let part = part.as_bytes();
            !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        };
        match parts.as_slice() {
            ["arn", partition, "sns", ..]
                if parts.len() == 6 && partition.starts_with("aws") && parts.iter().all(fits) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => {
                Err(unreadable(text, "ARNs of topics: arn:aws:sns:eu-central-1:123456789012:name"))
            }
        }
    }
}

struct Topics(Vec<TopicArn>);

impl FromStr for Topics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|item| item.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

/// Where processed originals are told of: an `http` or `https` URL, which may carry a secret in
/// its query and so is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The URL itself, for whoever calls it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let authority = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        let host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let good = authority.is_some_and(|a| !a.is_empty() && a.bytes().all(host))
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not an http or https URL without credentials and fragment: \
                 https://shop.example/hooks/images"
                .to_owned())
        }
    }
}

deserialize_from_text!(Topics, WebhookUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_whole_arns() {
        let topics = "arn:aws:sns:eu-west-1:1:a, arn:aws-cn:sns:cn-north-1:2:b.fifo";
        let topics = topics.parse::<Topics>().unwrap().0;
        assert_eq!(
            topics.iter().map(TopicArn::region).collect::<Vec<_>>(),
            ["eu-west-1", "cn-north-1"]
        );
        for text in [
            "uploads",
            "arn:aws:sqs:eu-west-1:1:a",
            "arn:aws:sns:eu-west-1:1:",
            "arn:aws:sns::1:a",
            "arn:aws:sns:e/:1:a",
            "",
        ] {
            assert!(text.parse::<Topics>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_webhook_may_carry_a_secret_and_no_credentials() {
        let url = "https://shop.example/hook?sig=hunter2".parse::<WebhookUrl>().unwrap();
        assert!(url.is_secure() && !format!("{url:?}").contains("hunter2"));
        for text in [
            "shop.example",
            "ftp://x/",
            "https://",
            "https://a:b@c/",
            "https://a/ b",
            "https://a/#b",
        ] {
            assert!(text.parse::<WebhookUrl>().is_err(), "{text:?}");
        }
    }
}
