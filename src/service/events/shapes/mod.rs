//! Bodies of notifications → what happened to which object. A sender is recognised by the shape
//! of what it sends, never by where from. Pure: reads no clock, asks no store, trusts no field.

mod cloudevents;
mod eventbridge;
mod eventgrid;
#[cfg(test)]
mod golden;
mod pubsub;
mod s3;
mod sns;

use serde::Deserialize;
use serde_json::Value;

/// Which kind of sender a body was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// An S3 notification, directly or by SNS raw delivery.
    S3,
    /// The envelope of SNS.
    Sns,
    /// Amazon EventBridge.
    EventBridge,
    /// MinIO, RustFS and others of that family.
    Minio,
    /// A push of Google Cloud Pub/Sub.
    PubSub,
    /// Azure Event Grid in its own schema.
    EventGrid,
    /// CloudEvents 1.0, whatever is inside.
    CloudEvents,
}

impl Shape {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::S3,
        Self::Sns,
        Self::EventBridge,
        Self::Minio,
        Self::PubSub,
        Self::EventGrid,
        Self::CloudEvents,
    ];

    /// The name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Sns => "sns",
            Self::EventBridge => "eventbridge",
            Self::Minio => "minio",
            Self::PubSub => "pubsub",
            Self::EventGrid => "eventgrid",
            Self::CloudEvents => "cloudevents",
        }
    }
}

/// What happened to an object, as far as a sender may be believed: the store is asked anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Written, overwritten or restored.
    Created,
    /// Deleted, or hidden by a newer version.
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectEvent {
    /// The storage account, where the sender's buckets belong to one (Azure).
    pub(crate) account: Option<String>,
    /// The bucket or container.
    pub(crate) bucket: String,
    /// The object's key, plain.
    pub(crate) key: String,
    /// What happened.
    pub(crate) kind: Kind,
}

/// The changes a body tells of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// Those that concern us.
    pub(crate) events: Vec<ObjectEvent>,
    /// Events of other kinds: metadata, access, lifecycle.
    pub(crate) other: usize,
    /// Events whose key is no UTF-8 text.
    pub(crate) unreadable: usize,
}

impl Objects {
    fn push(&mut self, account: Option<&str>, bucket: &str, key: Option<String>, kind: Kind) {
        match key {
            Some(key) => self.events.push(ObjectEvent {
                account: account.map(str::to_owned),
                bucket: bucket.to_owned(),
                key,
                kind,
            }),
            None => self.unreadable += 1,
        }
    }

    fn join(&mut self, more: Self) {
        self.events.extend(more.events);
        self.other += more.other;
        self.unreadable += more.unreadable;
    }
}

/// What a body asks of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// To look at objects.
    Objects(Objects),
    /// Nothing: the sender tries whether somebody listens (`s3:TestEvent`).
    Test,
    /// To confirm a subscription by visiting a URL (SNS).
    Confirm {
        /// The URL, not looked at yet.
        url: String,
    },
    /// Nothing: a subscription has ended (SNS).
    Ended,
    /// To echo a code (Azure Event Grid).
    Validate {
        /// The code.
        code: String,
    },
}

/// A body, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Its shape.
    pub(crate) shape: Shape,
    /// What it asks.
    pub(crate) notice: Notice,
    /// The SNS topic it came through.
    pub(crate) topic: Option<String>,
}

/// Why a body is none that we read. The texts are for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but nobody's notification.
    #[error(
        "the body is of no shape that is read here: an S3, SNS, EventBridge, MinIO, Pub/Sub, \
         Event Grid or CloudEvents notification"
    )]
    UnknownShape,
    /// Of a known shape, with a field missing or of another type.
    #[error("the body looks like {}, but {what}", shape.name())]
    Field {
        /// The shape.
        shape: Shape,
        /// What is wrong with it.
        what: String,
    },
}

/// Longest piece of a sender's text that is said back to it.
const SHOWN: usize = 120;

impl BadBody {
    fn field(shape: Shape, what: impl std::fmt::Display) -> Self {
        let what = what.to_string();
        let what = match what.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", what.get(..end).unwrap_or_default()),
            None => what,
        };
        Self::Field { shape, what }
    }
}

/// What of a request's head decides about the shape of its body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Head<'a> {
    /// `Content-Type`.
    pub(crate) content_type: &'a str,
    /// `ce-type`: present for CloudEvents in binary mode.
    pub(crate) ce_type: Option<&'a str>,
    /// `ce-source`.
    pub(crate) ce_source: Option<&'a str>,
    /// `ce-subject`.
    pub(crate) ce_subject: Option<&'a str>,
    /// `x-amz-sns-topic-arn`: SNS, also where it delivers a message without its envelope.
    pub(crate) sns_topic: Option<&'a str>,
}

impl Head<'_> {
    fn is(&self, media_type: &str) -> bool {
        let own = self.content_type.split(';').next().unwrap_or_default().trim();
        own.eq_ignore_ascii_case(media_type)
    }
}

/// Reads a body.
///
/// # Errors
/// [`BadBody`].
pub(crate) fn parse(head: &Head<'_>, body: &[u8]) -> Result<Parsed, BadBody> {
    if let Some(kind) = head.ce_type {
        let data = if body.is_empty() { Value::Null } else { json(body)? };
        let context = cloudevents::Context {
            kind,
            source: head.ce_source.unwrap_or_default(),
            subject: head.ce_subject,
            escaped: true,
        };
        let objects = cloudevents::objects(&context, &data)?;
        return Ok(told(Shape::CloudEvents, Notice::Objects(objects)));
    }
    let value = json(body)?;
    if head.is("application/cloudevents+json") || head.is("application/cloudevents-batch+json") {
        return Ok(told(Shape::CloudEvents, Notice::Objects(cloudevents::structured(&value)?)));
    }
    let mut parsed = of_value(&value)?;
    if parsed.topic.is_none() {
        parsed.topic = head.sns_topic.map(str::to_owned);
    }
    Ok(parsed)
}

fn told(shape: Shape, notice: Notice) -> Parsed {
    Parsed { shape, notice, topic: None }
}

fn json(body: &[u8]) -> Result<Value, BadBody> {
    serde_json::from_slice(body).map_err(|error| BadBody::NotJson(error.to_string()))
}

/// Recognises JSON by the fields it has.
fn of_value(value: &Value) -> Result<Parsed, BadBody> {
    if let Some(parsed) = sns::envelope(value)? {
        return Ok(parsed);
    }
    let (shape, notice) = of_message(value)?;
    Ok(told(shape, notice))
}

/// Recognises what may also stand inside an envelope of SNS.
fn of_message(value: &Value) -> Result<(Shape, Notice), BadBody> {
    if let Value::Array(items) = value {
        let first = items.first().ok_or(BadBody::UnknownShape)?;
        return match () {
            () if first.get("specversion").is_some() => {
                Ok((Shape::CloudEvents, Notice::Objects(cloudevents::structured(value)?)))
            }
            () if first.get("eventType").is_some() => {
                Ok((Shape::EventGrid, eventgrid::notice(items)?))
            }
            () => Err(BadBody::UnknownShape),
        };
    }
    let has = |name: &str| value.get(name).is_some();
    if has("Records") {
        let shape = if has("EventName") && has("Key") { Shape::Minio } else { Shape::S3 };
        return Ok((shape, Notice::Objects(s3::records(shape, value)?)));
    }
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok((Shape::S3, Notice::Test));
    }
    if has("detail-type") {
        return Ok((Shape::EventBridge, Notice::Objects(eventbridge::objects(value)?)));
    }
    if has("specversion") {
        return Ok((Shape::CloudEvents, Notice::Objects(cloudevents::structured(value)?)));
    }
    if has("eventType") && has("subject") {
        return Ok((Shape::EventGrid, eventgrid::notice(std::slice::from_ref(value))?));
    }
    if has("message") {
        return Ok((Shape::PubSub, Notice::Objects(pubsub::objects(value)?)));
    }
    Err(BadBody::UnknownShape)
}

/// Reads a struct out of JSON, naming the place where that fails.
fn read<'de, T: Deserialize<'de>>(shape: Shape, at: &str, value: &'de Value) -> Result<T, BadBody> {
    T::deserialize(value).map_err(|error| BadBody::field(shape, format!("{at}: {error}")))
}

/// A percent-escaped text; none where it is no UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}
