//! Cloud Storage notifications as Pub/Sub pushes them: what happened stands in the attributes of
//! the message; its data are not read.

use super::{BadBody, Kind, Objects, Shape, read};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    attributes: Attributes<'a>,
}

#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(rename = "eventType")]
    kind: &'a str,
    #[serde(rename = "bucketId")]
    bucket: &'a str,
    #[serde(rename = "objectId")]
    object: &'a str,
}

pub(super) fn objects(body: &Value) -> Result<Objects, BadBody> {
    let push: Push<'_> = read(Shape::PubSub, "message", body)?;
    let Attributes { kind, bucket, object } = push.message.attributes;
    let mut objects = Objects::default();
    let kind = match kind {
        "OBJECT_FINALIZE" => Some(Kind::Created),
        // Archived is what a live object becomes that was deleted or overwritten.
        "OBJECT_DELETE" | "OBJECT_ARCHIVE" => Some(Kind::Deleted),
        _ => None,
    };
    match kind {
        Some(kind) => objects.push(None, bucket, Some(object.to_owned()), kind),
        None => objects.other += 1,
    }
    Ok(objects)
}
