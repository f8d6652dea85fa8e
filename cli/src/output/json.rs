//! The names of the fields of `--json`: one for one thing, in all commands. `docs/CLI.md` lists them.
//!
//! An answer of the agent is given in its own shape, with these names. The socket keeps the names that it always had.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};

/// Objects whose keys are data.
const DATA: [&str; 4] = ["balancing", "counters", "meta", "protocol"];

/// Fields with another name than on the socket: the fields that tell the kind of the object, the name there, and the name here.
const NAMES: [(&[&str], &str, &str); 23] = [
    (&["node_id"], "id", "instance"),
    (&["node_id"], "node", "member"),
    (&["node_id"], "name", "member"),
    (&["alive"], "name", "datacenter"),
    (&["isolation_orders"], "id", "datacenter_id"),
    (&["target"], "name", "check"),
    (&["basis"], "check", "check_status"),
    (&["from", "ago_ms"], "by", "message"),
    (&["uid"], "agent", "node_id"),
    (&["number", "what"], "by", "actor"),
    (&["number", "what"], "from", "before"),
    (&["number", "what"], "to", "after"),
    (&["number", "what"], "count", "event_count"),
    (&["lost", "of"], "of", "member_count"),
    (&["restored"], "version", "record_version"),
    (&["health_version"], "version", "record_version"),
    (&["behind"], "version", "record_version"),
    (&["hash"], "number", "generation"),
    (&["has_newest"], "token", "token_fingerprint"),
    (&["revoked"], "token", "token_fingerprint"),
    (&["revoked"], "key", "key_fingerprint"),
    (&["changed", "isolated"], "isolated", "datacenter_isolated"),
    (&["lacking"], "members", "member_count"),
];

/// Points in time, which are text here.
const TIMES: [(&str, &str); 3] =
    [("at_ms", "at"), ("valid_from_ms", "valid_from"), ("valid_until_ms", "valid_until")];

/// Numbers of things, where lists of them have the name.
const COUNTS: [(&str, &str); 12] = [
    ("back", "back_count"),
    ("calls", "call_count"),
    ("changes", "change_count"),
    ("exited", "exited_count"),
    ("failed_calls", "failed_count"),
    ("failed_picks", "failed_pick_count"),
    ("files", "file_count"),
    ("hidden", "hidden_count"),
    ("instances", "instance_count"),
    ("lost", "lost_count"),
    ("missing", "missing_count"),
    ("picks", "pick_count"),
];

/// The last millisecond of the year 9999, the end of what a time stamp can show.
const LAST_MS: u64 = 253_402_300_799_999;

/// The same value with the names of `--json`.
pub(super) fn named(value: Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(named).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| match DATA.contains(&&*name) {
                true => (name, value),
                false => (name, named(value)),
            });
            Value::Object(object(fields.collect()))
        }
        value => value,
    }
}

/// The fields of one object. Those inside of it have their names already.
fn object(mut fields: Map<String, Value>) -> Map<String, Value> {
    for inner in ["instance", "member"] {
        if fields.get(inner).is_some_and(Value::is_object)
            && let Some(Value::Object(inner)) = fields.remove(inner)
        {
            // What is said of it here is newer, or holds for it in this answer.
            inner.into_iter().for_each(|(name, value)| {
                fields.entry(name).or_insert(value);
            });
        }
    }
    for (signs, old, new) in NAMES {
        if signs.iter().all(|sign| fields.contains_key(*sign)) {
            rename(&mut fields, old, new);
        }
    }
    for (old, new) in TIMES {
        if let Some(ms) = fields.get(old).and_then(Value::as_u64) {
            fields.insert(old.to_owned(), time(ms));
            rename(&mut fields, old, new);
        }
    }
    // The generation in use, beside the next one.
    if fields.get("generation").is_some_and(Value::is_object) {
        rename(&mut fields, "generation", "current");
    }
    for (old, new) in COUNTS {
        if fields.get(old).is_some_and(Value::is_number) {
            rename(&mut fields, old, new);
        }
    }
    fields
}

fn rename(fields: &mut Map<String, Value>, old: &str, new: &str) {
    if let Some(value) = fields.remove(old) {
        fields.insert(new.to_owned(), value);
    }
}

/// A point in time as RFC 3339 has it; null if it is too far away to have a date.
fn time(ms: u64) -> Value {
    if ms > LAST_MS {
        return Value::Null;
    }
    let at = UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_millis(at).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_instance_is_one_wherever_it_stands() {
        let there = json!({ "id": "web-1", "node": "a1", "node_id": "ab", "basis": "current", "check": "warning" });
        let here = json!({
            "instance": "web-1", "member": "a1", "node_id": "ab", "basis": "current", "check_status": "warning"
        });
        assert_eq!(named(json!({ "instances": [there] })), json!({ "instances": [here] }));
        let picked = named(json!({ "picks": [{ "token": 7, "instance": there }] }));
        let mut pick = here;
        pick["token"] = 7.into();
        assert_eq!(picked, json!({ "picks": [pick] }));
    }

    #[test]
    fn a_registration_without_checks_has_the_version_of_its_record() {
        let there = json!({ "instance": { "id": "web-1", "node_id": "ab" }, "restored": false, "version": 3 });
        let here =
            json!({ "instance": "web-1", "node_id": "ab", "restored": false, "record_version": 3 });
        assert_eq!(named(there), here);
    }

    #[test]
    fn an_event_of_the_history_and_a_loss_have_names_of_their_own() {
        let there = json!({ "number": 7, "what": "check_changed", "by": { "kind": "check" }, "from": "passing",
            "to": "critical", "count": 3 });
        let here = json!({ "number": 7, "what": "check_changed", "actor": { "kind": "check" }, "before": "passing",
            "after": "critical", "event_count": 3 });
        assert_eq!(named(there), here);
        let there = json!({ "lost": 12, "of": 20, "back": 3, "missing": 9, "exited": 1 });
        let here = json!({ "lost_count": 12, "member_count": 20, "back_count": 3, "missing_count": 9,
            "exited_count": 1 });
        assert_eq!(named(there), here);
        let verdict = json!({ "exited": true });
        assert_eq!(named(verdict.clone()), verdict);
    }

    #[test]
    fn what_is_explained_stands_beside_its_explanation() {
        let there = json!({
            "member": { "name": "a1", "node_id": "ab", "down_ago_ms": 1 },
            "down_ago_ms": 2,
            "records": { "behind": false, "version": 3, "instances": 4 },
        });
        let here = json!({
            "member": "a1", "node_id": "ab", "down_ago_ms": 2,
            "records": { "behind": false, "record_version": 3, "instance_count": 4 },
        });
        assert_eq!(named(there), here);
    }

    #[test]
    fn data_keep_their_names() {
        let info = json!({ "meta": { "name": "n", "node_id": "x", "at_ms": 1 }, "counters": { "instances": 1 } });
        assert_eq!(named(info.clone()), info);
    }

    #[test]
    fn points_in_time_are_text() {
        assert_eq!(
            named(json!({ "at_ms": 1_700_000_000_999_u64, "valid_until_ms": u64::MAX })),
            json!({ "at": "2023-11-14T22:13:20.999Z", "valid_until": null })
        );
        assert_eq!(named(json!({ "age_ms": 5 })), json!({ "age_ms": 5 }));
    }
}
