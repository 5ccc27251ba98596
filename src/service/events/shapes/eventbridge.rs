//! S3 events as Amazon EventBridge sends them (an API destination): one event, the key plain.

use super::s3::Entity;
use super::{BadBody, Kind, Objects, Shape, read};
use serde_json::Value;

pub(super) fn objects(event: &Value) -> Result<Objects, BadBody> {
    let mut objects = Objects::default();
    let text = |name: &str| {
        let found = event.get(name).and_then(Value::as_str);
        let missing = || format!("{name} is missing or no text");
        found.ok_or_else(|| BadBody::field(Shape::EventBridge, missing()))
    };
    let (source, kind) = (text("source")?, text("detail-type")?);
    let kind = match kind {
        "Object Created" | "Object Restore Completed" => Kind::Created,
        "Object Deleted" => Kind::Deleted,
        _ => {
            objects.other += 1;
            return Ok(objects);
        }
    };
    if source != "aws.s3" {
        objects.other += 1;
        return Ok(objects);
    }
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let detail: Entity<'_> = read(Shape::EventBridge, "detail", detail)?;
    objects.push(None, detail.bucket.name, Some(detail.object.key.to_owned()), kind);
    Ok(objects)
}
