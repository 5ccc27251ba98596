//! Bodies as each sender writes them, and what is read out of them. Written here after the public
//! descriptions of their fields; no sender's own sample is copied.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn read(head: &Head<'_>, body: &Value) -> Result<Parsed, BadBody> {
    parse(head, body.to_string().as_bytes())
}

fn plain(body: &Value) -> Parsed {
    read(&Head::default(), body).unwrap()
}

fn event(bucket: &str, key: &str, kind: Kind) -> ObjectEvent {
    ObjectEvent { account: None, bucket: bucket.to_owned(), key: key.to_owned(), kind }
}

fn events(parsed: &Parsed) -> &[ObjectEvent] {
    match &parsed.notice {
        Notice::Objects(objects) => &objects.events,
        other => panic!("{other:?}"),
    }
}

fn s3_record(name: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-21T10:00:00.000Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "lenslet",
            "bucket": { "name": "photos", "arn": "arn:aws:s3:::photos" },
            "object": { "key": key, "size": 1024, "eTag": "d41d8", "sequencer": "0055AED6DCD90281E5" },
        },
        "aFieldOfTomorrow": [1, 2, 3],
    })
}

fn s3_body() -> Value {
    json!({ "Records": [
        s3_record("ObjectCreated:Put", "shop/red+flower+%28a%2Bb%29.jpg"),
        s3_record("ObjectRemoved:DeleteMarkerCreated", "old.jpg"),
        s3_record("ObjectTagging:Put", "tagged.jpg"),
        s3_record("ObjectCreated:Copy", "%FF%FE.jpg"),
    ]})
}

fn assert_s3(parsed: &Parsed) {
    let expected = [
        event("photos", "shop/red flower (a+b).jpg", Kind::Created),
        event("photos", "old.jpg", Kind::Deleted),
    ];
    assert_eq!(events(parsed), expected);
    let Notice::Objects(objects) = &parsed.notice else { panic!() };
    assert_eq!((objects.other, objects.unreadable), (1, 1));
}

fn sns(kind: &str, message: &str) -> Value {
    json!({
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:uploads",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": "2026-11-21T10:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/cert.pem",
    })
}

#[test]
fn an_s3_notification_has_form_escaped_keys() {
    let parsed = plain(&s3_body());
    assert_eq!(parsed.shape, Shape::S3);
    assert_s3(&parsed);
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos" });
    assert_eq!(plain(&test).notice, Notice::Test);
}

#[test]
fn sns_wraps_the_same_in_a_string_and_may_leave_the_wrapping_away() {
    let parsed = plain(&sns("Notification", &s3_body().to_string()));
    assert_eq!(parsed.shape, Shape::Sns);
    assert_eq!(parsed.topic.as_deref(), Some("arn:aws:sns:eu-central-1:123456789012:uploads"));
    assert_s3(&parsed);
    let head = Head { sns_topic: Some("arn:aws:sns:eu-west-1:1:raw"), ..Head::default() };
    let raw = read(&head, &s3_body()).unwrap();
    assert_eq!(raw.topic.as_deref(), Some("arn:aws:sns:eu-west-1:1:raw"));
    assert_s3(&raw);
}

#[test]
fn sns_letters_about_subscriptions_are_told_apart() {
    let mut letter = sns("SubscriptionConfirmation", "You have chosen to subscribe");
    letter["Token"] = "2336412f37".into();
    letter["SubscribeURL"] = "https://sns.eu-central-1.amazonaws.com/?Action=x".into();
    let url = "https://sns.eu-central-1.amazonaws.com/?Action=x".to_owned();
    assert_eq!(plain(&letter).notice, Notice::Confirm { url });
    assert_eq!(plain(&sns("UnsubscribeConfirmation", "bye")).notice, Notice::Ended);
    assert!(read(&Head::default(), &sns("Greeting", "hello")).is_err());
    assert!(read(&Head::default(), &sns("SubscriptionConfirmation", "no url")).is_err());
}

#[test]
fn eventbridge_keys_are_plain() {
    let body = |kind: &str, source: &str| {
        json!({
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": kind,
            "source": source,
            "account": "123456789012",
            "region": "ca-central-1",
            "resources": ["arn:aws:s3:::photos"],
            "detail": {
                "version": "0",
                "bucket": { "name": "photos" },
                "object": { "key": "a+b 100%.jpg", "size": 5, "etag": "b1946ac9", "sequencer": "00" },
                "reason": "PutObject",
            },
        })
    };
    let created = plain(&body("Object Created", "aws.s3"));
    assert_eq!(created.shape, Shape::EventBridge);
    assert_eq!(events(&created), [event("photos", "a+b 100%.jpg", Kind::Created)]);
    let deleted = plain(&body("Object Deleted", "aws.s3"));
    assert_eq!(events(&deleted), [event("photos", "a+b 100%.jpg", Kind::Deleted)]);
    assert_eq!(events(&plain(&body("Object Tags Added", "aws.s3"))), []);
    assert_eq!(events(&plain(&body("Object Created", "my.app"))), []);
}

#[test]
fn minio_names_its_events_with_s3_in_front() {
    let body = |name: &str| {
        let mut record = s3_record(name, "cats%2Fmy+cat.jpg");
        record["eventVersion"] = "2.0".into();
        json!({ "EventName": name, "Key": "photos/cats/my cat.jpg", "Records": [record] })
    };
    let created = plain(&body("s3:ObjectCreated:CompleteMultipartUpload"));
    assert_eq!(created.shape, Shape::Minio);
    assert_eq!(events(&created), [event("photos", "cats/my cat.jpg", Kind::Created)]);
    let deleted = plain(&body("s3:ObjectRemoved:Delete"));
    assert_eq!(events(&deleted), [event("photos", "cats/my cat.jpg", Kind::Deleted)]);
    assert_eq!(events(&plain(&body("s3:ObjectAccessed:Get"))), []);
}

#[test]
fn pubsub_tells_by_attributes() {
    let body = |kind: &str| {
        json!({
            "message": {
                "attributes": {
                    "bucketId": "photos",
                    "objectId": "cats/a+b.jpg",
                    "eventType": kind,
                    "objectGeneration": "1700000000000000",
                    "payloadFormat": "JSON_API_V1",
                },
                "data": "e30=",
                "messageId": "136969346945",
                "publishTime": "2026-11-21T10:00:00Z",
            },
            "subscription": "projects/shop/subscriptions/lenslet",
        })
    };
    let created = plain(&body("OBJECT_FINALIZE"));
    assert_eq!(created.shape, Shape::PubSub);
    assert_eq!(events(&created), [event("photos", "cats/a+b.jpg", Kind::Created)]);
    for kind in ["OBJECT_DELETE", "OBJECT_ARCHIVE"] {
        assert_eq!(events(&plain(&body(kind)))[0].kind, Kind::Deleted);
    }
    assert_eq!(events(&plain(&body("OBJECT_METADATA_UPDATE"))), []);
    assert!(read(&Head::default(), &json!({ "message": { "data": "e30=" } })).is_err());
}

fn blob_event(kind: &str) -> Value {
    json!({
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/myshop",
        "subject": "/blobServices/default/containers/photos/blobs/cats/my cat.jpg",
        "eventType": kind,
        "eventTime": "2026-11-21T10:00:00.000Z",
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "data": {
            "api": "PutBlob",
            "eTag": "0x8D4BCC2E4835CD0",
            "contentType": "image/jpeg",
            "contentLength": 524_288,
            "url": "https://myshop.blob.core.windows.net/photos/cats/my%20cat.jpg",
        },
        "dataVersion": "",
        "metadataVersion": "1",
    })
}

fn in_azure(kind: Kind) -> ObjectEvent {
    ObjectEvent { account: Some("myshop".to_owned()), ..event("photos", "cats/my cat.jpg", kind) }
}

#[test]
fn event_grid_sends_lists_and_names_blobs_twice() {
    let body = json!([
        blob_event("Microsoft.Storage.BlobCreated"),
        blob_event("Microsoft.Storage.BlobDeleted"),
        blob_event("Microsoft.Storage.BlobTierChanged"),
    ]);
    let parsed = plain(&body);
    assert_eq!(parsed.shape, Shape::EventGrid);
    assert_eq!(events(&parsed), [in_azure(Kind::Created), in_azure(Kind::Deleted)]);
    let mut by_url = blob_event("Microsoft.Storage.BlobCreated");
    by_url["subject"] = "something else".into();
    assert_eq!(events(&plain(&json!([by_url]))), [in_azure(Kind::Created)]);
    let mut renamed = blob_event("Microsoft.Storage.BlobRenamed");
    renamed["data"]["destinationUrl"] = renamed["data"]["url"].take();
    renamed["data"]["sourceUrl"] = "https://myshop.dfs.core.windows.net/photos/old.jpg".into();
    let parsed = plain(&json!([renamed]));
    assert_eq!(events(&parsed)[0].key, "old.jpg");
    assert_eq!(events(&parsed)[1], in_azure(Kind::Created));
}

#[test]
fn event_grid_validates_a_subscription_by_a_code() {
    let body = json!([{
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/s",
        "subject": "",
        "data": { "validationCode": "512d38b6-c7b8", "validationUrl": "https://example" },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-11-21T10:00:00.000Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }]);
    assert_eq!(plain(&body).notice, Notice::Validate { code: "512d38b6-c7b8".to_owned() });
}

#[test]
fn cloudevents_come_in_headers_or_in_one_json() {
    let head = Head {
        content_type: "application/json",
        ce_type: Some("google.cloud.storage.object.v1.finalized"),
        ce_source: Some("//storage.googleapis.com/projects/_/buckets/photos"),
        ce_subject: Some("objects/cats/my%20cat.jpg"),
        sns_topic: None,
    };
    let expected = [event("photos", "cats/my cat.jpg", Kind::Created)];
    let bare = parse(&head, b"").unwrap();
    assert_eq!((bare.shape, events(&bare)), (Shape::CloudEvents, &expected[..]));
    let data = json!({ "kind": "storage#object", "bucket": "photos", "name": "cats/my cat.jpg" });
    assert_eq!(events(&read(&head, &data).unwrap()), expected);

    let structured = |extra: (&str, Value)| {
        let mut body = json!({
            "specversion": "1.0",
            "id": "1",
            "type": "google.cloud.storage.object.v1.deleted",
            "source": "//storage.googleapis.com/projects/_/buckets/photos",
            "subject": "objects/a%b.jpg",
            "datacontenttype": "application/json",
        });
        body[extra.0] = extra.1;
        body
    };
    let head =
        Head { content_type: "application/cloudevents+json; charset=utf-8", ..Head::default() };
    let deleted = [event("photos", "a%b.jpg", Kind::Deleted)];
    let data = json!({ "bucket": "photos", "name": "a%b.jpg" });
    let encoded =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data.to_string());
    for extra in [
        ("data", data.clone()),
        ("data", data.to_string().into()),
        ("data_base64", encoded.into()),
        ("nothing", Value::Null),
    ] {
        assert_eq!(events(&read(&head, &structured(extra.clone())).unwrap()), deleted, "{extra:?}");
        // The fields tell even where the Content-Type does not.
        assert_eq!(events(&plain(&structured(extra))), deleted);
    }
    let batch = Head { content_type: "application/cloudevents-batch+json", ..Head::default() };
    let two = json!([structured(("data", data.clone())), structured(("data", data))]);
    assert_eq!(events(&read(&batch, &two).unwrap()).len(), 2);
}

#[test]
fn cloudevents_carry_azure_and_s3_as_well() {
    let azure = json!({
        "specversion": "1.0",
        "id": "1",
        "type": "Microsoft.Storage.BlobCreated",
        "source": "/subscriptions/s/providers/Microsoft.Storage/storageAccounts/myshop",
        "subject": "/blobServices/default/containers/photos/blobs/cats/my cat.jpg",
        "data": blob_event("x")["data"],
    });
    assert_eq!(events(&plain(&azure)), [in_azure(Kind::Created)]);
    let s3 = |data: Value| {
        json!({
            "specversion": "1.0",
            "id": "1",
            "type": "com.amazonaws.s3.ObjectCreated:Put",
            "source": "aws:s3.eu-central-1.photos",
            "subject": "my+cat.jpg",
            "data": data,
        })
    };
    let expected = [event("photos", "my cat.jpg", Kind::Created)];
    let record = s3_record("ObjectCreated:Put", "my+cat.jpg");
    assert_eq!(events(&plain(&s3(record.clone()))), expected);
    assert_eq!(events(&plain(&s3(json!({ "Records": [record] })))), expected);
    assert_eq!(events(&plain(&s3(json!({ "unknown": 1 })))), []);
}

#[test]
fn what_is_wrong_with_a_body_is_said_in_a_sentence() {
    let told = |body: &str| parse(&Head::default(), body.as_bytes()).unwrap_err().to_string();
    assert!(told("").starts_with("the body is not JSON"), "{}", told(""));
    assert!(told("hello").starts_with("the body is not JSON"));
    assert!(told("{}").starts_with("the body is of no shape"));
    assert!(told("[]").starts_with("the body is of no shape"));
    assert!(told("{\"Records\":1}").contains("Records is no list"));
    let missing = told("{\"Records\":[{\"eventName\":\"ObjectCreated:Put\"}]}");
    assert!(missing.contains("Records[0]: missing field `s3`"), "{missing}");
    let mut later = s3_record("ObjectCreated:Put", "a.jpg");
    later["eventVersion"] = "3.0".into();
    let later = told(&json!({ "Records": [later] }).to_string());
    assert!(later.contains("eventVersion is \"3.0\""), "{later}");
    let long = json!({ "Records": [s3_record(&"x".repeat(4_000), "a")], "x": 1 });
    assert_eq!(events(&plain(&long)), []);
    let long = json!({ "specversion": "9".repeat(4_000), "type": "x" }).to_string();
    assert!(told(&long).len() < 300);
    assert!(told(&"[".repeat(100_000)).starts_with("the body is not JSON"));
}

/// JSON of any form, with the names of real bodies among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 24] = [
        "Records",
        "s3",
        "bucket",
        "object",
        "key",
        "name",
        "eventName",
        "eventVersion",
        "Type",
        "TopicArn",
        "Message",
        "SubscribeURL",
        "message",
        "attributes",
        "eventType",
        "subject",
        "data",
        "url",
        "specversion",
        "type",
        "detail-type",
        "detail",
        "source",
        "data_base64",
    ];
    const WORDS: [&str; 12] = [
        "2.1",
        "1.0",
        "ObjectCreated:Put",
        "Notification",
        "OBJECT_FINALIZE",
        "Object Created",
        "Microsoft.Storage.BlobCreated",
        "google.cloud.storage.object.v1.finalized",
        "aws.s3",
        "/blobServices/default/containers/c/blobs/b",
        "https://a.b/c/%ff",
        "{\"Records\":[{}]}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&NAMES[..]), inner), 0..6).prop_map(
                |fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            ),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..400), kind in "\\PC{0,40}") {
        let _ = parse(&Head::default(), &body);
        let _ = parse(&Head { ce_type: Some(&kind), ce_subject: Some(&kind), ..Head::default() }, &body);
    }

    #[test]
    fn no_json_panics_and_every_error_is_short(body in any_json(), cloud in any::<bool>()) {
        let content_type = if cloud { "application/cloudevents+json" } else { "application/json" };
        let head = Head { content_type, ..Head::default() };
        if let Err(error) = read(&head, &body) {
            prop_assert!(error.to_string().len() < 900, "{error}");
        }
        for kind in ["google.cloud.storage.object.v1.finalized", "Microsoft.Storage.BlobRenamed", "x"] {
            let head = Head { ce_type: Some(kind), ..Head::default() };
            let _ = read(&head, &body);
        }
    }

    #[test]
    fn any_key_comes_out_as_s3_escaped_it(key in "\\PC{1,60}") {
        let form = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%20", "+");
        let body = json!({ "Records": [s3_record("ObjectCreated:Post", &form)] });
        let parsed = plain(&body);
        prop_assert_eq!(&events(&parsed)[0].key, &key);
    }
}
