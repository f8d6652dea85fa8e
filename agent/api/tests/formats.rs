//! The formats that this version writes, byte for byte, and how it reads messages of a later one.

use bytes::BytesMut;
use hobnob_api::codec::{BinaryCodec, CodecError, JsonCodec, Malformed};
use hobnob_api::{
    Basis, Call, ErrorCode, ErrorKind, Grade, Instance, InstanceScope, InstanceStatus,
    MemberStatus, Reply, Request, Response,
};
use serde_json::{Value, json};
use tokio_util::codec::{Decoder, Encoder};

type Decoded<T> = Result<Option<Result<T, Malformed>>, CodecError>;

fn message<T>(decoded: Decoded<T>) -> T {
    decoded.expect("a connection").expect("a whole message").expect("a message")
}

fn frame(body: &[u8]) -> BytesMut {
    let len = u32::try_from(body.len()).expect("a short message");
    BytesMut::from(&[&len.to_be_bytes()[..], body].concat()[..])
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

/// Each recorded message reads as the same in both dialects, and is written as it was recorded.
macro_rules! assert_recorded {
    ($json:literal, $binary:literal, $read:ident, $write:ident, $message:ty) => {
        let (json, binary) = (include_str!($json), include_str!($binary));
        assert_eq!(json.lines().count(), binary.lines().count());
        for (line, hex) in json.lines().zip(binary.lines()) {
            let mut line_feed = BytesMut::from(format!("{line}\n").as_bytes());
            let read: $message = message(JsonCodec::$read().decode(&mut line_feed));
            let mut body = frame(&bytes_of(hex));
            assert_eq!(message(BinaryCodec::$read().decode(&mut body)), read, "{line}");

            let mut written = BytesMut::new();
            JsonCodec::$write().encode(&read, &mut written).expect("encoded");
            assert_eq!(str::from_utf8(&written), Ok(&*format!("{line}\n")));
            written.clear();
            BinaryCodec::$write().encode(&read, &mut written).expect("encoded");
            assert_eq!(written, frame(&bytes_of(hex)), "{line}");
        }
    };
}

#[test]
fn calls_are_written_as_they_were_recorded() {
    assert_recorded!("recorded/calls.jsonl", "recorded/calls.msgpack.hex", server, client, Call);
}

#[test]
fn replies_are_written_as_they_were_recorded() {
    assert_recorded!(
        "recorded/replies.jsonl",
        "recorded/replies.msgpack.hex",
        client,
        server,
        Reply
    );
}

/// The same message in both dialects, as a client of this version reads it.
fn read_by_client(newer: &Value) -> Reply {
    let mut line = BytesMut::from(format!("{newer}\n").as_bytes());
    let from_json: Reply = message(JsonCodec::client().decode(&mut line));
    let mut newer = newer.clone();
    number_node_ids(&mut newer);
    let mut body = frame(&rmp_serde::to_vec_named(&newer).expect("MessagePack"));
    assert_eq!(message(BinaryCodec::client().decode(&mut body)), from_json);
    from_json
}

/// MessagePack has numbers where JSON has hexadecimal text.
fn number_node_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().map(|text| u64::from_str_radix(text, 16)) {
                    Some(Ok(id)) if name == "node_id" => *field = id.into(),
                    _ => number_node_ids(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(number_node_ids),
        _ => {}
    }
}

/// Adds a field that this version does not know to every object, but for maps whose keys people choose.
fn grow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !matches!(name.as_str(), "meta" | "counters" | "protocol" | "versions") {
                    grow(field);
                }
            }
            // An enum is an object with one field, the variant.
            let is_variant = fields.len() == 1 && fields.values().all(Value::is_object);
            if !is_variant {
                fields.insert("of_later".to_owned(), json!({ "any": [1, "thing", null] }));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(grow),
        _ => {}
    }
}

#[test]
fn a_client_skips_fields_that_a_later_version_adds() {
    for line in include_str!("recorded/replies.jsonl").lines() {
        let now: Value = serde_json::from_str(line).expect("JSON");
        let mut later = now.clone();
        grow(&mut later);
        assert_ne!(now, later);
        assert_eq!(read_by_client(&later), read_by_client(&now), "{later}");
    }
}

#[test]
fn a_word_that_a_later_version_adds_has_a_meaning() {
    let line = include_str!("recorded/replies.jsonl").lines().nth(3).expect("instances");
    let mut later: Value = serde_json::from_str(line).expect("JSON");
    let instance = &mut later["response"]["instances"]["instances"][0];
    instance["status"] = json!("draining");
    instance["basis"] = json!("rumored");
    instance["scope"] = json!("zone");
    let Response::Instances(read) = read_by_client(&later).response else { panic!("{later}") };
    let read = &read.instances[0];
    assert_eq!((read.status, read.basis), (InstanceStatus::Unknown, Basis::Nothing));
    assert_eq!(read.scope, InstanceScope::Datacenter, "narrower than global");
    let healthy = Instance { status: InstanceStatus::Healthy, ..read.clone() };
    assert_eq!(healthy.grade(), Some(Grade::Healthy), "whatever its basis");
    assert_eq!(json!(Basis::Unanswered), json!("unanswered"));

    let line = include_str!("recorded/replies.jsonl").lines().nth(7).expect("members");
    let mut later: Value = serde_json::from_str(line).expect("JSON");
    later["response"]["members"]["members"][0]["status"] = json!("leaving");
    let Response::Members(read) = read_by_client(&later).response else { panic!("{later}") };
    assert_eq!(read.members[0].status, MemberStatus::Unknown);

    let error = json!({ "kind": "throttled", "code": "too_many_calls", "message": "slower" });
    let later = json!({ "id": 1, "response": { "error": error } });
    let Response::Error(error) = read_by_client(&later).response else { panic!("{later}") };
    assert_eq!((error.kind, error.code), (ErrorKind::Failed, ErrorCode::Other));
    assert_eq!(error.message, "slower");
}

#[test]
fn an_agent_names_the_field_or_the_request_that_it_does_not_know() {
    for (later, named) in [
        (json!({ "id": 7, "request": { "pick": { "service": "web", "hedge": 2 } } }), "hedge"),
        (
            json!({ "id": 7, "request": { "register": { "service": "web", "port": 80, "scope": "zone" } } }),
            "zone",
        ),
        (json!({ "id": 7, "request": { "members": { "of_pool": "dc2" } } }), "of_pool"),
        (json!({ "id": 7, "deadline_ms": 5, "request": { "info": {} } }), "deadline_ms"),
        (json!({ "id": 7, "request": { "compare": { "service": "web" } } }), "compare"),
    ] {
        let mut line = BytesMut::from(format!("{later}\n").as_bytes());
        let refused = JsonCodec::server().decode(&mut line).expect("a line").expect("whole");
        let mut body = frame(&rmp_serde::to_vec_named(&later).expect("MessagePack"));
        let also = BinaryCodec::server().decode(&mut body).expect("a frame").expect("whole");
        for refused in [refused, also].map(|refused| refused.expect_err(named)) {
            assert_eq!(refused.id, 7, "{refused}");
            assert!(refused.reason.contains(named), "{refused}");
        }
    }
}

/// A check as version 0.1.0 wrote it first. These bytes never change.
#[test]
fn a_registration_of_an_earlier_client_is_read() {
    let earlier = json!({ "id": 1, "request": { "register": { "service": "db", "port": 5432, "checks": [{
        "name": "check", "probe": { "tcp": { "address": "127.0.0.1:5432" } }, "interval_ms": 1000, "timeout_ms": 500,
        "success_before_passing": 1, "failures_before_failing": 5, "listener_watch": false,
    }] } } });
    let mut line = BytesMut::from(format!("{earlier}\n").as_bytes());
    let from_json: Call = message(JsonCodec::server().decode(&mut line));
    let mut body = frame(&rmp_serde::to_vec_named(&earlier).expect("MessagePack"));
    assert_eq!(message(BinaryCodec::server().decode(&mut body)), from_json);
    let Request::Register(registration) = from_json.request else { panic!("{earlier}") };
    let check = &registration.checks[0];
    assert_eq!(check.failures_before_critical, 5);
    assert_eq!((check.failures_before_warning, check.listener_watch), (None, false));
}

#[test]
fn the_documentation_names_every_error_code() {
    let documented = include_str!("../../../docs/API.md");
    for code in ErrorCode::ALL {
        let word = serde_json::to_string(code).expect("a word");
        let word = word.trim_matches('"');
        assert!(documented.contains(&format!("`{word}`")), "{word}");
    }
}
