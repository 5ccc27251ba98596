//! The envelope of Amazon SNS over HTTP: a message as a string inside JSON, and the letters about
//! subscriptions. Whether a topic is believed is decided elsewhere.

use super::{BadBody, Notice, Parsed, Shape, json, of_message, read};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "TopicArn")]
    topic: &'a str,
    #[serde(rename = "Message")]
    message: Option<&'a str>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<&'a str>,
}

/// The envelope opened; none where the JSON is not one.
pub(super) fn envelope(value: &Value) -> Result<Option<Parsed>, BadBody> {
    if value.get("Type").is_none() || value.get("TopicArn").is_none() {
        return Ok(None);
    }
    let envelope: Envelope<'_> = read(Shape::Sns, "the envelope", value)?;
    let missing = |name| BadBody::field(Shape::Sns, format!("{name} is missing"));
    let notice = match envelope.kind {
        "Notification" => {
            let message = envelope.message.ok_or_else(|| missing("Message"))?;
            let inner = json(message.as_bytes())
                .map_err(|error| BadBody::field(Shape::Sns, format!("its Message: {error}")))?;
            of_message(&inner)?.1
        }
        "SubscriptionConfirmation" => {
            let url = envelope.subscribe_url.ok_or_else(|| missing("SubscribeURL"))?;
            Notice::Confirm { url: url.to_owned() }
        }
        "UnsubscribeConfirmation" => Notice::Ended,
        other => return Err(BadBody::field(Shape::Sns, format!("its Type is {other:?}"))),
    };
    Ok(Some(Parsed { shape: Shape::Sns, notice, topic: Some(envelope.topic.to_owned()) }))
}
