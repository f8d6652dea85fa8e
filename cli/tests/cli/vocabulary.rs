//! Every command, as people and as programs read it: one field name for one thing in the JSON of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use hobnob_api::{Basis, Instance, InstanceStatus, Reply, Response};
use serde_json::{Value, json};

use crate::support::{ScriptedAgent, hobnob, stderr, stdout};

/// Answers of agents with all their fields, as they were recorded.
const RECORDED: &str = include_str!("../../../agent/api/tests/recorded/replies.jsonl");
/// The document that lists the names.
const DOCUMENT: &str = include_str!("../../../docs/CLI.md");
/// Objects whose keys are data.
const DATA: [&str; 4] = ["balancing", "counters", "meta", "protocol"];

/// The commands that ask an agent: their words, and the kinds of the answers that they read. The last kind is tried with each
/// recorded answer.
const ASKING: [(&str, &[&str]); 34] = [
    ("register web --port 80", &["registered"]),
    ("deregister web-1", &["deregistered"]),
    ("check pass web-1", &["checked"]),
    ("maintenance on web-1", &["maintained"]),
    ("drain web-1", &["drained"]),
    ("resolve web", &["instances"]),
    ("pick web", &["picked"]),
    ("pick web --summary", &["instances", "picked"]),
    ("report 7", &["reported"]),
    ("watch web", &["changes"]),
    ("watch --all", &["changes"]),
    ("watch --members", &["member_changes"]),
    ("services", &["services"]),
    ("services --picks", &["services"]),
    ("services --local", &["registrations"]),
    ("history", &["history"]),
    ("members", &["info", "members"]),
    ("datacenters", &["datacenters"]),
    ("voters", &["voters"]),
    ("voters set a1 a2 a3", &["voters"]),
    ("voters vouch", &["voters"]),
    ("datacenters isolate us", &["isolation"]),
    ("datacenters rejoin us", &["isolation"]),
    ("explain web-1", &["explained"]),
    ("join 10.0.0.1", &["joined"]),
    ("leave", &["leaving"]),
    ("force-leave a2", &["info", "force_left"]),
    ("prune", &["pruned"]),
    ("info", &["info"]),
    ("log-level", &["log_level"]),
    ("reload", &["reloaded"]),
    ("keys status", &["keys"]),
    ("keys rotate --wait 1ms", &["keys", "keys", "keys", "rotated"]),
    ("config show", &["settings"]),
];

/// The commands that ask no agent, or need files or a server: [`without_an_agent`] runs them. `trust`, `revoke` and `call`
/// ask, too.
const WITHOUT: [&str; 15] = [
    "access-key create",
    "access-key list",
    "access-key revoke",
    "call",
    "template",
    "init",
    "token create",
    "token inspect",
    "validate",
    "keys trust",
    "revoke",
    "config init",
    "completions",
    "doctor",
    "man",
];

/// The commands that run until they are told to stop: other tests run them.
const RUNNING: [&str; 4] = ["agent", "dev", "proxy", "top"];

/// Answers with fields that no recorded one has.
fn unrecorded() -> Vec<Response> {
    let info = json!({ "info": {
        "api": 1, "revision": 9, "isolated": true, "name": "a1", "cluster": "prod", "node_id": "00000000000000ab", "epoch": 7,
        "version": "0.1.0", "datacenter": "dc1", "zone": "", "gossip_address": "10.0.0.1:7946", "sync_address": "10.0.0.1:7947",
        "gossip_bound": "0.0.0.0:7946", "sync_bound": "0.0.0.0:7947", "pid": 1, "uptime_ms": 5, "last_contact_ago_ms": null,
        "duplicate": null, "name_conflicts": [{ "node_id": "00000000000000ac", "gossip_address": "10.0.0.2:7946" }],
        "takes_tcp_probes": true, "udp_blocked": false, "active_members": 1, "instances": 0, "catalog_digest": "0", "voter": { "standing": "votes", "registers": 7 },
        "counters": {}, "protocol": {}, "broken_links": ["a3"],
        "mass_losses": [{ "ago_ms": 9, "lost": 12, "of": 20, "back": 3, "missing": 9, "exited": 1 }],
        "sealed": { "key": "ab", "token": "cd", "generation": 3, "revoked": false, "refusal": "its token expired" },
    } });
    let joined =
        json!({ "joined": { "gossip_address": "10.0.0.1:7946", "unresolved": ["no such name"] } });
    let keys = json!({ "keys": {
        "cluster_id": "cd", "authorities": ["7c"], "operator": true,
        "generation": { "number": 5, "hash": "ef", "held_for_ms": 7 }, "members": [], "revocations": [], "long_tokens": [],
        "untimely_tokens": 1, "unkept": "no room",
    } });
    let explained = json!({ "explained": { "revision": 9, "isolated": false, "instances": [], "members": [{
        "member": { "name": "a1", "node_id": "00000000000000ab", "gossip_address": "10.0.0.1:7946", "status": "alive",
            "datacenter": "dc1", "zone": "z1", "epoch": 7 },
        "is_self": false, "reason": "this agent hears it", "down_ago_ms": null, "verdict": null, "heard": null,
        "watched": { "held_ms": 5 },
        "records": { "epoch": 7, "version": 3, "behind": true, "instances": 1, "hidden": 2, "news": null },
    }] } });
    let forgotten = json!({ "datacenters": { "revision": 7, "isolated": false,
        "datacenters": [{ "name": "us", "status": "isolated", "alive": 0, "down": 0, "instances": 0, "gateways": [],
            "isolation_orders": 3, "received_bytes_per_second": 4 }],
        "forgotten": [{ "id": "00000000000000cd", "isolation_orders": 5 }] } });
    let out = json!({ "maintained": { "instances": ["web-1"], "still_out": ["web-1"] } });
    let all = [info, joined, keys, explained, forgotten, out];
    all.into_iter().map(|answer| serde_json::from_value(answer).unwrap()).collect()
}

fn kind_of(response: &Response) -> String {
    let Value::Object(fields) = serde_json::to_value(response).unwrap() else {
        panic!("{response:?}")
    };
    fields.into_iter().next().unwrap().0
}

fn answers(kind: &str) -> Vec<Response> {
    let recorded = RECORDED.lines().map(|line| serde_json::from_str::<Reply>(line).unwrap());
    let all = recorded.map(|reply| reply.response).chain(unrecorded());
    let fitting: Vec<_> = all.filter(|response| kind_of(response) == kind).collect();
    assert!(!fitting.is_empty(), "no answer `{kind}`");
    fitting
}

/// The answers to a command in the order of its questions, for each answer of the kind that it is about.
fn scripts(kinds: &[&str]) -> Vec<Vec<Vec<Response>>> {
    let (about, others) = kinds.split_last().unwrap();
    let others: Vec<Response> = others.iter().map(|kind| answers(kind).remove(0)).collect();
    let script = |response: Response| {
        let first = match *about {
            "changes" => vec![answers("instances").remove(0), response],
            "member_changes" => vec![answers("members").remove(0), response],
            _ => vec![response],
        };
        let others = others.iter().map(|other| vec![other.clone()]);
        // It asks for further pages until there are none.
        let last = (*about == "registrations").then(|| vec![answers(about).remove(0)]);
        [first].into_iter().chain(others).chain(last).collect()
    };
    answers(about).into_iter().map(script).collect()
}

/// The commands that the help lists, with those inside of others in place of these.
fn leaves(path: &str) -> Vec<String> {
    let words: Vec<&str> = path.split_whitespace().collect();
    let help = stdout(&hobnob(&[&words[..], &["--help"]].concat()).output().unwrap());
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    let inner = names.iter().filter(|name| **name != "help");
    let inner: Vec<String> =
        inner.flat_map(|name| leaves(format!("{path} {name}").trim())).collect();
    // It does something by itself, if a command inside of it is not required.
    let is_leaf = !path.is_empty() && (inner.is_empty() || help.contains("[COMMAND]"));
    inner.into_iter().chain(is_leaf.then(|| path.to_owned())).collect()
}

fn is_of(line: &str, leaf: &str) -> bool {
    line == leaf || line.strip_prefix(leaf).is_some_and(|rest| rest.starts_with(' '))
}

#[test]
fn every_command_is_run_by_a_test() {
    for leaf in leaves("") {
        let asking = ASKING.iter().map(|(line, _)| *line);
        let mut known = asking.chain(WITHOUT).chain(RUNNING);
        assert!(known.any(|line| is_of(line, &leaf)), "`hobnob {leaf}` is run by no test");
    }
}

/// The JSON of all commands, each with the line that printed it.
#[derive(Default)]
struct Printed(Vec<(String, Value)>);

impl Printed {
    fn add(&mut self, line: &str, output: &Output) {
        assert_ne!(output.status.code(), Some(2), "{line}: {}", stderr(output));
        let text = stdout(output);
        assert!(!text.is_empty(), "{line} prints nothing: {}", stderr(output));
        for printed in text.lines() {
            let value: Value = serde_json::from_str(printed).unwrap();
            assert!(value.is_object(), "{line} prints no object: {printed}");
            self.0.push((line.to_owned(), value));
        }
    }
}

fn asking() -> Printed {
    let mut printed = Printed::default();
    for (line, kinds) in ASKING {
        let words: Vec<&str> = line.split(' ').collect();
        for script in scripts(kinds) {
            let agent = ScriptedAgent::start(script.clone());
            let (output, _) = agent.run(&[&words[..], &["--json"]].concat());
            printed.add(line, &output);
            let (output, _) = ScriptedAgent::start(script).run(&words);
            let told = format!("{}{}", stdout(&output), stderr(&output));
            assert_ne!(output.status.code(), Some(2), "{line}: {told}");
            let is_silent = line.starts_with("report");
            assert!(is_silent || !told.trim().is_empty(), "{line} says nothing");
            assert!(serde_json::from_str::<Value>(&told).is_err(), "{line} says JSON: {told}");
        }
    }
    let agent = ScriptedAgent::start_telling(vec![restarted()]);
    let (output, _) = agent.run(&["watch", "--all", "--json"]);
    printed.add("watch --all", &output);
    printed
}

/// The events of a watch that begins again, since its agent was restarted and lost an instance.
fn restarted() -> Vec<Reply> {
    let told = |reply: Value| serde_json::from_value::<Reply>(reply).unwrap();
    let recorded = |kind| serde_json::to_value(answers(kind).remove(0)).unwrap();
    let nothing = json!({ "instances": { "revision": 1, "isolated": false, "instances": [] } });
    let time = "2026-11-29T14:03:07.120Z";
    let first = json!({ "id": 0, "run": "a", "time": time, "response": recorded("instances") });
    let again =
        json!({ "id": 0, "run": "b", "time": time, "reset": "other_run", "response": nothing });
    vec![told(first), told(again)]
}

/// Runs the commands that make and read files.
fn without_an_agent(folder: &Path) -> Printed {
    let mut printed = Printed::default();
    let ca = folder.join("ca.key").display().to_string();
    let other_ca = folder.join("other.key").display().to_string();
    let succession = folder.join("ca-2.succession").display().to_string();
    let run = |line: &str| {
        // Whole words alone are replaced: a token has the letters `CA` now and then.
        let words = line.split(' ').map(|word| match word {
            "CA" => ca.as_str(),
            "OTHER-CA" => other_ca.as_str(),
            other => other,
        });
        hobnob(&words.collect::<Vec<_>>()).output().unwrap()
    };
    let init = run("init --cluster prod --ca CA --json");
    printed.add("init", &init);
    let made: Value = serde_json::from_str(&stdout(&init)).unwrap();
    let token = made["token"].as_str().unwrap();
    printed.add("init --rotate-ca", &run("init --rotate-ca --ca CA --json"));
    printed.add("token create", &run("token create --role operator --name w* --ca CA --json"));
    printed.add("token inspect", &run(&format!("token inspect {token} --json")));
    let dir = folder.display().to_string();
    let key = run(&format!("access-key create --write --name ci --data-dir {dir} --json"));
    printed.add("access-key create", &key);
    printed.add("access-key list", &run(&format!("access-key list --data-dir {dir} --json")));
    let made: Value = serde_json::from_str(&stdout(&key)).unwrap();
    let id = made["access_key_id"].as_str().unwrap();
    printed
        .add("access-key revoke", &run(&format!("access-key revoke {id} --data-dir {dir} --json")));
    for count in ["1", "8"] {
        let output = call(&["call", "web", "/", "-n", count, "--strategy", "random", "--json"]);
        printed.add("call", &output);
        assert!(!stdout(&call(&["call", "web", "/", "-n", count])).is_empty());
    }
    let hosts = folder.join("hosts").display().to_string();
    for (option, command) in [("--dry-run", "true"), ("--once", "true"), ("--once", "false")] {
        let spec = format!("../docs/examples/hosts.tmpl:{hosts}:{command}");
        // The first connection only finds out whether an agent is there.
        let scripts = vec![vec![], vec![vec![answers("members").remove(0)]]];
        let words = ["template", option, "--json", &spec];
        printed.add("template", &ScriptedAgent::start_each(scripts).run(&words).0);
        fs::remove_file(&hosts).unwrap_or_default();
    }
    fs::write(folder.join("hobnob.toml"), "zone = \"r1\"\n").unwrap();
    let toml = folder.join("hobnob.toml").display().to_string();
    let dir = folder.display().to_string();
    let socket = folder.join("none.sock").display().to_string();
    let doctor = hobnob(&["--socket", &socket, "doctor", "--json"]).output().unwrap();
    printed.add("doctor", &doctor);
    printed.add("validate", &run(&format!("validate --config {toml} --config-dir {dir} --json")));
    for (line, kinds) in [
        ("keys trust SUCCESSION --wait 1ms", &["keys", "keys", "keys", "trusted"][..]),
        ("revoke a1 --yes --wait 1ms", &["keys", "keys", "keys", "revoked"]),
    ] {
        let line = line.replace("SUCCESSION", &succession);
        let words: Vec<&str> = line.split(' ').collect();
        for mut script in scripts(kinds) {
            if line.starts_with("revoke") {
                // It asks for the keys before and after.
                script.swap(0, 1);
            }
            let (output, _) =
                ScriptedAgent::start(script.clone()).run(&[&words[..], &["--json"]].concat());
            printed.add(&line, &output);
            let (output, _) = ScriptedAgent::start(script).run(&words);
            assert!(!stdout(&output).is_empty(), "{line}: {}", stderr(&output));
        }
    }
    for line in [
        "init --cluster other --ca OTHER-CA",
        &format!("access-key create --read --data-dir {dir}"),
        &format!("access-key list --data-dir {dir}"),
        "token create --ca CA",
        &format!("token inspect {token}"),
        &format!("validate --config {toml}"),
        "config init",
        "completions bash",
        "man",
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", stderr(&output));
        assert!(!stdout(&output).is_empty(), "{line}");
    }
    printed
}

/// Calls a service of two instances: one answers, and the other refuses connections.
fn call(words: &[&str]) -> Output {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // The last connection is that of a test that ended.
        for stream in server.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        (&stream).write_all(answer).unwrap();
                    }
                }
            });
        }
    });
    let mut found = answers("instances").remove(0);
    let Response::Instances(instances) = &mut found else { panic!("{found:?}") };
    let one = instances.instances.remove(0);
    let healthy = |(id, port): (&str, u16)| Instance {
        id: id.to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        status: InstanceStatus::Healthy,
        basis: Basis::Current,
        ..one.clone()
    };
    instances.instances = [("web-1", port), ("web-2", refusing)].map(healthy).to_vec();
    let info = answers("info").remove(0);
    let scripts = vec![vec![vec![found.clone()]], vec![vec![info], vec![found]]];
    ScriptedAgent::start_each(scripts).run(words).0
}

/// The vocabulary of the document: each name, and the types of its values.
fn vocabulary() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let section = DOCUMENT.split("## Names in JSON").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |row: &'static str| {
        let (name, rest) = row.split_once("` | ").unwrap();
        let (types, _) = rest.split_once(" |").unwrap();
        (name, types.split(", ").collect())
    };
    rows.map(row).collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Calls `each` with every field of a value and of those inside of it.
fn fields<'v>(value: &'v Value, each: &mut impl FnMut(&'v str, &'v Value)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| fields(value, each)),
        Value::Object(inside) => {
            for (name, value) in inside {
                each(name, value);
                if !DATA.contains(&name.as_str()) {
                    fields(value, each);
                }
            }
        }
        _ => {}
    }
}

/// The fields of all that was printed, with their types, and where one was seen first.
fn printed_fields(printed: &[(String, Value)]) -> BTreeMap<(&str, &'static str), &str> {
    let mut seen = BTreeMap::new();
    for (line, value) in printed {
        fields(value, &mut |name, value| {
            seen.entry((name, type_of(value))).or_insert(line.as_str());
        });
    }
    seen
}

#[test]
fn json_has_one_name_for_one_thing_and_the_document_lists_it() {
    let folder = tempfile::tempdir().unwrap();
    let printed = [asking().0, without_an_agent(folder.path()).0].concat();
    let vocabulary = vocabulary();
    let seen = printed_fields(&printed);
    let strange: Vec<String> = seen
        .iter()
        .filter(|((name, is), _)| !vocabulary.get(name).is_some_and(|types| types.contains(is)))
        .map(|((name, is), line)| format!("| `{name}` | {is} |  `{line}`"))
        .collect();
    assert!(strange.is_empty(), "docs/CLI.md does not have:\n{}", strange.join("\n"));
    let unseen = vocabulary.keys().filter(|name| !seen.keys().any(|(seen, _)| seen == *name));
    let unseen: Vec<_> = unseen.collect();
    assert!(unseen.is_empty(), "no command prints what docs/CLI.md has: {unseen:?}");
}

#[test]
fn a_time_is_text_and_a_duration_has_its_unit() {
    for name in vocabulary().keys() {
        let is_on_the_socket = ["id", "node", "name", "at_ms", "valid_until_ms", "valid_from_ms"];
        assert!(!is_on_the_socket.contains(name), "{name}");
        for unit in ["_us", "_s", "_sec", "_seconds", "_secs"] {
            assert!(!name.ends_with(unit) || name.ends_with("_bytes_per_second"), "{name}");
        }
    }
}

#[test]
fn answers_of_the_catalog_say_how_far_they_can_be_trusted() {
    for line in [
        "resolve web",
        "pick web",
        "pick web --summary",
        "services",
        "members",
        "datacenters",
        "explain web-1",
        "info",
    ] {
        let (_, kinds) = ASKING.iter().find(|(asking, _)| *asking == line).unwrap();
        let words: Vec<&str> = line.split(' ').chain(["--json"]).collect();
        let script = scripts(kinds).remove(0);
        let (output, _) = ScriptedAgent::start(script).run(&words);
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert!(answer["isolated"].is_boolean() && answer["revision"].is_u64(), "{line}: {answer}");
    }
}
