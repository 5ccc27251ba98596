//! Notifications of S3 and of stores that speak like it: `{"Records":[…]}`, keys escaped as forms
//! are (`red+flower.jpg` is "red flower.jpg"). Never reads the sequencer: two descriptions of it
//! contradict each other, and the store is asked anyway.

use super::{BadBody, Kind, Objects, Shape, read, unescaped};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventVersion")]
    version: Option<&'a str>,
    #[serde(rename = "eventName")]
    name: &'a str,
    #[serde(borrow)]
    s3: Entity<'a>,
}

/// Which object a record is about; EventBridge has the same under another name.
#[derive(Deserialize)]
pub(super) struct Entity<'a> {
    #[serde(borrow)]
    pub(super) bucket: Bucket<'a>,
    #[serde(borrow)]
    pub(super) object: Object<'a>,
}

#[derive(Deserialize)]
pub(super) struct Bucket<'a> {
    pub(super) name: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Object<'a> {
    pub(super) key: &'a str,
}

/// The records of a body that has some.
pub(super) fn records(shape: Shape, body: &Value) -> Result<Objects, BadBody> {
    let records = body.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| BadBody::field(shape, "Records is no list"))?;
    let mut objects = Objects::default();
    for (index, record) in records.iter().enumerate() {
        one(shape, &format!("Records[{index}]"), record, &mut objects)?;
    }
    Ok(objects)
}

/// One record, as CloudEvents carry them alone.
pub(super) fn one(
    shape: Shape,
    at: &str,
    record: &Value,
    objects: &mut Objects,
) -> Result<(), BadBody> {
    let record: Record<'_> = read(shape, at, record)?;
    if let Some(version) = record.version
        && version.split('.').next() != Some("2")
    {
        let what = format!("{at}: eventVersion is {version:?}, only 2.x is read");
        return Err(BadBody::field(shape, what));
    }
    let Some(kind) = kind(record.name) else {
        objects.other += 1;
        return Ok(());
    };
    let key = unescaped(&record.s3.object.key.replace('+', " "));
    objects.push(None, record.s3.bucket.name, key, kind);
    Ok(())
}

/// By the name of an event, with or without the `s3:` that MinIO puts in front.
fn kind(name: &str) -> Option<Kind> {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    match name.split(':').next().unwrap_or(name) {
        "ObjectCreated" => Some(Kind::Created),
        // Back from an archive: readable again.
        "ObjectRestore" if name == "ObjectRestore:Completed" => Some(Kind::Created),
        "ObjectRemoved" | "LifecycleExpiration" => Some(Kind::Deleted),
        _ => None,
    }
}
