//! CloudEvents 1.0, as Eventarc, Knative and Event Grid send them: context and data, in headers
//! and body or both in one JSON. What is inside is of Cloud Storage, Azure or S3.

use super::{BadBody, Kind, Objects, Shape, eventbridge, eventgrid, read, s3, unescaped};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

/// What an event says of itself beside its data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// `type`.
    pub(super) kind: &'a str,
    /// `source`.
    pub(super) source: &'a str,
    /// `subject`.
    pub(super) subject: Option<&'a str>,
    /// Whether it came in headers, whose text is percent-escaped.
    pub(super) escaped: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    source: &'a str,
    subject: Option<&'a str>,
    data_base64: Option<&'a str>,
}

/// One event in JSON, or a list of them.
pub(super) fn structured(value: &Value) -> Result<Objects, BadBody> {
    let mut all = Objects::default();
    let one = std::slice::from_ref(value);
    for value in value.as_array().map_or(one, Vec::as_slice) {
        let envelope: Envelope<'_> = read(Shape::CloudEvents, "the event", value)?;
        if !envelope.specversion.starts_with("1.") {
            let what = format!("specversion is {:?}, only 1.0 is read", envelope.specversion);
            return Err(BadBody::field(Shape::CloudEvents, what));
        }
        let Envelope { kind, source, subject, .. } = envelope;
        let context = Context { kind, source, subject, escaped: false };
        let data = match (value.get("data"), envelope.data_base64) {
            // Some senders put the JSON of their data into a string.
            (Some(Value::String(text)), _) => text_data(text.as_bytes())?,
            (Some(data), _) => data.clone(),
            (None, Some(encoded)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
                let wrong = |_| BadBody::field(Shape::CloudEvents, "data_base64 is no base64");
                text_data(&bytes.map_err(wrong)?)?
            }
            (None, None) => Value::Null,
        };
        all.join(objects(&context, &data)?);
    }
    Ok(all)
}

fn text_data(data: &[u8]) -> Result<Value, BadBody> {
    serde_json::from_slice(data)
        .map_err(|error| BadBody::field(Shape::CloudEvents, format!("its data: {error}")))
}

/// What an event tells.
pub(super) fn objects(context: &Context<'_>, data: &Value) -> Result<Objects, BadBody> {
    let mut objects = Objects::default();
    if let Some(kind) = context.kind.strip_prefix("google.cloud.storage.object.v1.") {
        let kind = match kind {
            "finalized" => Kind::Created,
            "deleted" | "archived" => Kind::Deleted,
            _ => {
                objects.other += 1;
                return Ok(objects);
            }
        };
        let (bucket, key) = context.of_google(data)?;
        objects.push(None, &bucket, key, kind);
    } else if context.kind.starts_with("Microsoft.Storage.") {
        let subject = context.subject.unwrap_or_default();
        let subject = context.text(subject).unwrap_or_default();
        eventgrid::blob(Shape::CloudEvents, context.kind, &subject, data, &mut objects)?;
    } else if data.get("Records").is_some() {
        objects = s3::records(Shape::CloudEvents, data)?;
    } else if data.get("s3").is_some() {
        s3::one(Shape::CloudEvents, "its data", data, &mut objects)?;
    } else if data.get("detail-type").is_some() {
        objects = eventbridge::objects(data)?;
    } else {
        objects.other += 1;
    }
    Ok(objects)
}

impl Context<'_> {
    fn text(&self, text: &str) -> Option<String> {
        if self.escaped { unescaped(text) } else { Some(text.to_owned()) }
    }

    /// Bucket and key: by the data, else by `//storage.googleapis.com/projects/_/buckets/{bucket}`
    /// and `objects/{key}`.
    fn of_google(&self, data: &Value) -> Result<(String, Option<String>), BadBody> {
        let field = |name: &str| data.get(name).and_then(Value::as_str);
        let bucket = field("bucket")
            .or_else(|| self.source.rsplit_once("/buckets/").map(|(_, bucket)| bucket))
            .ok_or_else(|| BadBody::field(Shape::CloudEvents, "no bucket is named"))?;
        let key = match (field("name"), self.subject.and_then(|s| s.strip_prefix("objects/"))) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(subject)) => self.text(subject),
            (None, None) => {
                return Err(BadBody::field(Shape::CloudEvents, "no object is named"));
            }
        };
        Ok((bucket.to_owned(), key))
    }
}
