//! Blob events of Azure Event Grid in its own schema, a list of them, and the handshake in which
//! a subscription is validated. Container and blob stand in the subject, the account in the URL.

use super::{BadBody, Kind, Notice, Objects, Shape, read, unescaped};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "eventType")]
    kind: &'a str,
    #[serde(default)]
    subject: &'a str,
}

/// What a list of events asks.
pub(super) fn notice(events: &[Value]) -> Result<Notice, BadBody> {
    let mut objects = Objects::default();
    for (index, value) in events.iter().enumerate() {
        let at = format!("event {index}");
        let event: Event<'_> = read(Shape::EventGrid, &at, value)?;
        let data = value.get("data").unwrap_or(&Value::Null);
        if event.kind == "Microsoft.EventGrid.SubscriptionValidationEvent" {
            let code = data.get("validationCode").and_then(Value::as_str);
            let missing = || BadBody::field(Shape::EventGrid, "validationCode is missing");
            return Ok(Notice::Validate { code: code.ok_or_else(missing)?.to_owned() });
        }
        blob(Shape::EventGrid, event.kind, event.subject, data, &mut objects)?;
    }
    Ok(Notice::Objects(objects))
}

/// One event of a blob; CloudEvents carry the same kinds, subjects and data.
pub(super) fn blob(
    shape: Shape,
    kind: &str,
    subject: &str,
    data: &Value,
    objects: &mut Objects,
) -> Result<(), BadBody> {
    let url = |name: &str| data.get(name).and_then(Value::as_str).and_then(at_url);
    let renamed = kind == "Microsoft.Storage.BlobRenamed";
    let kind = match kind {
        "Microsoft.Storage.BlobCreated" | "Microsoft.Storage.BlobRenamed" => Kind::Created,
        "Microsoft.Storage.BlobDeleted" => Kind::Deleted,
        _ => {
            objects.other += 1;
            return Ok(());
        }
    };
    let by_url = if renamed { url("destinationUrl") } else { url("url") };
    let account = by_url.as_ref().map(|place| place.account.as_str());
    if renamed && let Some(old) = url("sourceUrl") {
        objects.push(Some(&old.account), &old.container, old.blob, Kind::Deleted);
    }
    match (in_subject(subject), &by_url) {
        (Some((container, blob)), _) => {
            objects.push(account, container, Some(blob.to_owned()), kind);
        }
        (None, Some(place)) => {
            objects.push(account, &place.container, place.blob.clone(), kind);
        }
        (None, None) => {
            let what = "neither its subject nor its url names a container and a blob";
            return Err(BadBody::field(shape, what));
        }
    }
    Ok(())
}

/// `/blobServices/default/containers/{container}/blobs/{blob}`, not escaped.
fn in_subject(subject: &str) -> Option<(&str, &str)> {
    let rest = subject.strip_prefix("/blobServices/default/containers/")?;
    rest.split_once("/blobs/").filter(|(container, blob)| !container.is_empty() && !blob.is_empty())
}

/// A blob by its URL.
struct Place {
    account: String,
    container: String,
    /// None where it is no UTF-8.
    blob: Option<String>,
}

/// `https://{account}.blob.core.windows.net/{container}/{blob}`, escaped.
fn at_url(url: &str) -> Option<Place> {
    let (_, rest) = url.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let (container, blob) = path.split_once('/')?;
    let account = host.split('.').next().unwrap_or_default();
    let whole = !account.is_empty() && !container.is_empty() && !blob.is_empty();
    whole.then(|| Place {
        account: account.to_ascii_lowercase(),
        container: container.to_owned(),
        blob: unescaped(blob),
    })
}
