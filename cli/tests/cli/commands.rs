//! Commands against an agent that answers from a script: what they ask, print, and exit with.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{ScriptedAgent, hobnob, stderr, stdout};
use hobnob_api::{
    Ackers, Acknowledged, ApiError, Basis, Changes, Consistency, Dropped, ErrorCode, Instance,
    InstanceStatus, Instances, NodeId, Pick, Picked, RegisterOutcome, Request, Response, Services,
};
use serde_json::{Value, json};

pub(crate) fn instance(id: &str, status: InstanceStatus) -> Instance {
    Instance {
        service: "web".to_owned(),
        id: id.to_owned(),
        node: "a1".to_owned(),
        node_id: NodeId(0xab),
        datacenter: "dc1".to_owned(),
        zone: "z1".to_owned(),
        address: "127.0.0.1".to_owned(),
        port: 8001,
        tags: BTreeSet::from(["v1".to_owned()]),
        meta: BTreeMap::new(),
        weight: 1,
        namespace: "default".to_owned(),
        status,
        offered: status == InstanceStatus::Healthy,
        basis: Basis::Current,
        age_ms: 5,
        scope: hobnob_api::InstanceScope::Global,
        check: None,
        draining: false,
    }
}

fn found(instances: Vec<Instance>) -> Response {
    Response::Instances(Instances {
        revision: 1,
        isolated: false,
        consistency: Consistency::Eventual,
        settings: None,
        instances,
    })
}

fn refusal(code: ErrorCode, message: &str) -> Response {
    Response::Error(ApiError::new(code, message))
}

fn changed(revision: u64, instance: Instance) -> Response {
    Response::Changes(Changes {
        revision,
        isolated: false,
        settings: None,
        instances: vec![instance],
    })
}

#[test]
fn resolve_prints_the_object_of_the_api() {
    let agent =
        ScriptedAgent::start(vec![vec![found(vec![instance("web-1", InstanceStatus::Healthy)])]]);
    let (output, requests) = agent.run(&["resolve", "web", "--json", "--tag", "v1,eu"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        answer,
        json!({ "revision": 1, "isolated": false, "instances": [{
            "service": "web", "instance": "web-1", "member": "a1", "node_id": "00000000000000ab",
            "datacenter": "dc1", "zone": "z1", "address": "127.0.0.1", "port": 8001,
            "tags": ["v1"], "meta": {}, "weight": 1, "namespace": "default",
            "status": "healthy", "offered": true, "basis": "current", "age_ms": 5
        }] })
    );
    let Request::Resolve(query) = &requests[0] else { panic!("{requests:?}") };
    assert!(!query.all && query.tags.iter().eq(["eu", "v1"]), "{query:?}");
}

#[test]
fn a_table_has_no_colours_in_a_pipe() {
    let agent =
        ScriptedAgent::start(vec![vec![found(vec![instance("web-1", InstanceStatus::Healthy)])]]);
    let (output, _) = agent.run(&["resolve", "web"]);
    let text = stdout(&output);
    assert!(text.starts_with("INSTANCE  ADDRESS         STATUS "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn resolve_of_nothing_exits_with_3_and_says_what_is_known() {
    let unhealthy = found(vec![instance("web-1", InstanceStatus::Unhealthy)]);
    let agent = ScriptedAgent::start(vec![vec![found(vec![])], vec![unhealthy]]);
    let (output, _) = agent.run(&["resolve", "web", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("\"instances\":[]"), "{}", stdout(&output));
    assert!(stderr(&output).contains("--all` shows it"), "{}", stderr(&output));
}

#[test]
fn typed_text_does_not_command_the_terminal() {
    let lines: [&[&str]; 4] = [
        &["resolve", "a\u{1b}[31mb"],
        &["resolve", "web", "--tag", "a\u{1b}[31mb"],
        &["pick", "a\u{1b}[31mb"],
        &["services", "--namespace", "a\u{1b}[31mb"],
    ];
    for line in lines {
        let first = match line[0] {
            "pick" => Response::Picked(Picked {
                revision: 1,
                isolated: false,
                consistency: Consistency::Eventual,
                picks: vec![],
            }),
            "services" => {
                Response::Services(Services { revision: 1, isolated: false, services: vec![] })
            }
            _ => found(vec![]),
        };
        let whole = found(vec![instance("web-1", InstanceStatus::Healthy)]);
        let script = [first, found(vec![]), whole].map(|response| vec![response]);
        let (output, _) = ScriptedAgent::start(script.to_vec()).run(line);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(r"a\u{1b}[31mb") && !told.contains('\u{1b}'), "{told}");
    }
}

#[test]
fn an_isolated_answer_comes_with_a_warning() {
    let instances = vec![instance("web-1", InstanceStatus::Healthy)];
    let alone = Response::Instances(Instances {
        revision: 1,
        isolated: true,
        consistency: Consistency::Eventual,
        settings: None,
        instances,
    });
    let (output, _) = ScriptedAgent::start(vec![vec![alone]]).run(&["resolve", "web"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).starts_with("warning: this agent hears no other member"));
}

#[test]
fn pick_prints_a_line_a_pick() {
    let picks = || {
        let ids = ["web-1", "web-2"];
        let instances = ids.map(|id| instance(id, InstanceStatus::Healthy));
        let picks = instances.map(|instance| Pick { token: 0, instance }).to_vec();
        vec![vec![Response::Picked(Picked {
            revision: 1,
            isolated: false,
            consistency: Consistency::Eventual,
            picks,
        })]]
    };
    let (output, requests) = ScriptedAgent::start(picks()).run(&["pick", "web", "-n", "2"]);
    assert_eq!(stdout(&output), "127.0.0.1:8001  web-1\n127.0.0.1:8001  web-2\n");
    let Request::Pick(query) = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(query.count, 2);

    let (output, _) = ScriptedAgent::start(picks()).run(&["pick", "web", "-n", "2", "--json"]);
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&answer["revision"], &answer["isolated"]), (&json!(1), &json!(false)));
    let pick = &answer["picks"][1];
    assert_eq!((&pick["instance"], &pick["token"]), (&json!("web-2"), &json!(0)));
}

#[test]
fn pick_of_nothing_exits_with_3() {
    let nothing = Response::Picked(Picked {
        revision: 1,
        isolated: false,
        consistency: Consistency::Eventual,
        picks: vec![],
    });
    let agent = ScriptedAgent::start(vec![vec![nothing], vec![found(vec![])]]);
    let (output, _) = agent.run(&["pick", "web"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no instance of `web` in namespace"), "{}", stderr(&output));
}

#[test]
fn a_refusal_decides_the_exit_code() {
    for (code, exit) in [
        (ErrorCode::InstanceNotFound, 3),
        (ErrorCode::NameInvalid, 2),
        (ErrorCode::AgentStopping, 1),
    ] {
        let agent = ScriptedAgent::start(vec![vec![refusal(code, "web-9 is not here")]]);
        let (output, _) = agent.run(&["deregister", "web-9"]);
        assert_eq!(output.status.code(), Some(exit));
        let told = stderr(&output);
        assert!(told.starts_with("error: web-9 is not here\n"), "{told}");
    }
}

#[test]
fn register_asks_for_what_was_typed() {
    let agent = ScriptedAgent::start(vec![vec![Response::Registered {
        consistency: Consistency::Eventual,
        id: "web-1".to_owned(),
        outcome: RegisterOutcome::Added,
        ack: None,
        node: None,
        also_at: Vec::new(),
        dropped: None,
        not_offered: None,
    }]]);
    let line =
        ["register", "web", "--id", "web-1", "--port", "8001", "--meta", "a=b", "--weight", "2"];
    let (output, requests) = agent.run(&line);
    assert_eq!(stdout(&output), "registered web-1\n");
    let Request::Register(registration) = &requests[0] else { panic!("{requests:?}") };
    assert_eq!((registration.instance_id(), registration.weight), ("web-1", 2));
    assert_eq!(registration.meta["a"], "b");
}

#[test]
fn register_tells_what_was_lost_and_that_the_instance_is_not_offered() {
    let answer = || Response::Registered {
        consistency: Consistency::Eventual,
        id: "x".to_owned(),
        outcome: RegisterOutcome::Replaced,
        ack: None,
        node: None,
        also_at: Vec::new(),
        dropped: Some(Dropped {
            service: Some("api".to_owned()),
            namespace: "default".to_owned(),
            checks: vec!["http".to_owned()],
        }),
        not_offered: Some("this agent is in maintenance: disk".to_owned()),
    };
    let line = ["register", "web", "--id", "x", "--port", "80"];
    let (output, _) = ScriptedAgent::start(vec![vec![answer()]]).run(&line);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "replaced x\n"));
    let told = stderr(&output);
    assert!(
        told.contains("warning: `x` was an instance of the service `api`, which has it no more, and its check `http` is gone: "),
        "{told}"
    );
    let withheld =
        "warning: `x` is registered, and not offered: this agent is in maintenance: disk\n";
    assert!(told.ends_with(withheld), "{told}");
    let agent = ScriptedAgent::start(vec![vec![answer()]]);
    let (output, _) = agent.run(&[&line[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["dropped"]["service"], "api");
    assert_eq!(answer["not_offered"], "this agent is in maintenance: disk");
}

#[test]
fn a_change_elsewhere_names_the_datacenter_and_then_the_agent() {
    let (id, node) = ("web-1".to_owned(), Some("eu-2".to_owned()));
    let outcome = RegisterOutcome::Added;
    let (of, by) = (id.clone(), node.clone());
    let agent = ScriptedAgent::start(vec![vec![Response::Registered {
        consistency: Consistency::Eventual,
        id: of,
        outcome,
        ack: None,
        node: by,
        also_at: vec!["eu-5".to_owned()],
        dropped: None,
        not_offered: None,
    }]]);
    let line = ["register", "web", "--id", "web-1", "--port", "80", "--dc", "eu"];
    let (output, requests) = agent.run(&line);
    assert_eq!(stdout(&output), "registered web-1 with the agent eu-2\n");
    assert_eq!(output.status.code(), Some(0));
    let warns = |output| stderr(output).contains("the agent `eu-5` has");
    assert!(warns(&output), "{}", stderr(&output));
    let Request::Register(registration) = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(registration.datacenter.as_deref(), Some("eu"));

    let agent = ScriptedAgent::start(vec![vec![Response::Deregistered {
        consistency: Consistency::Eventual,
        id,
        ack: None,
        node,
        also_at: vec!["eu-5".to_owned()],
    }]]);
    let (output, requests) = agent.run(&["deregister", "web-1", "--dc", "eu"]);
    assert_eq!(stdout(&output), "deregistered web-1 from the agent eu-2\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(warns(&output), "{}", stderr(&output));
    let Request::Deregister { datacenter, .. } = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(datacenter.as_deref(), Some("eu"));

    let agent = ScriptedAgent::start(vec![vec![refusal(ErrorCode::OutcomeUnknown, "no answer")]]);
    let (output, _) = agent.run(&["deregister", "web-1", "--dc", "eu"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("repeat the command"), "{}", stderr(&output));
}

#[test]
fn a_change_that_too_few_acknowledge_fails_and_says_who_is_missing() {
    for (confirmed, complete, exit) in [(1, false, 1), (2, true, 0)] {
        let missing = if complete { vec![] } else { vec!["a3".to_owned()] };
        let ack = Some(Acknowledged { confirmed, wanted: 2, complete, missing });
        let id = "web-1".to_owned();
        let agent = ScriptedAgent::start(vec![vec![Response::Deregistered {
            consistency: Consistency::Eventual,
            id,
            ack,
            node: None,
            also_at: Vec::new(),
        }]]);
        let (output, requests) = agent.run(&["deregister", "web-1", "--ack", "2"]);
        assert_eq!(output.status.code(), Some(exit));
        let told = format!("deregistered web-1: {confirmed} other agents have applied it\n");
        assert_eq!(stdout(&output), told);
        assert_eq!(stderr(&output).contains("missing: a3"), !complete, "{}", stderr(&output));
        let Request::Deregister { ack: Some(asked), .. } = &requests[0] else {
            panic!("{requests:?}")
        };
        assert_eq!((&asked.by, asked.timeout_ms), (&Ackers::Any(2), 2_000));
    }
}

#[test]
fn watch_prints_what_is_and_then_what_changes() {
    let script = vec![
        found(vec![instance("web-1", InstanceStatus::Healthy)]),
        changed(2, instance("web-1", InstanceStatus::Unhealthy)),
        changed(3, instance("web-1", InstanceStatus::Gone)),
    ];
    let (output, _) = ScriptedAgent::start(vec![script]).run(&["watch", "web", "--json"]);
    let text = stdout(&output);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["instances"]["instances"][0]["status"], "healthy");
    let changed = lines[1..].iter().map(|line| line["changes"]["instances"][0]["status"].clone());
    assert_eq!(Vec::from_iter(changed), ["unhealthy", "gone"]);
    assert_eq!(output.status.code(), Some(1), "an agent that went away is a failure");
    assert!(stderr(&output).contains("closed the connection"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let first = found(vec![instance("web-1", InstanceStatus::Healthy)]);
    let rest = (2..20_000).map(|at| changed(at, instance("web-1", InstanceStatus::Healthy)));
    let agent = ScriptedAgent::start(vec![[first].into_iter().chain(rest).collect()]);
    let mut watch = hobnob(&["watch", "web", "--json"])
        .env("HOBNOB_SOCKET", agent.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("web-1"));
    let output = watch.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn check_reports_for_the_service_and_names_the_check() {
    let taken = Response::Checked { check: "lease".to_owned() };
    let agent = ScriptedAgent::start(vec![vec![taken]]);
    let (output, requests) = agent.run(&["check", "warn", "web-1", "--note", "the queue is long"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "the check lease of web-1 is warning\n");
    let (id, note) = ("web-1".to_owned(), "the queue is long".to_owned());
    let status = hobnob_api::CheckStatus::Warning;
    assert_eq!(requests, [Request::Check { id, check: None, status, note }]);

    let unknown = refusal(ErrorCode::CheckNotFound, "`web-1` has no check by reports");
    let agent = ScriptedAgent::start(vec![vec![unknown]]);
    let (output, _) = agent.run(&["check", "pass", "web-1", "--check", "other"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("no check by reports"), "{}", stderr(&output));
}

#[test]
fn maintenance_is_turned_on_for_one_instance_and_off_for_all() {
    let done = |ids: &[&str]| {
        let instances = ids.iter().map(|id| (*id).to_owned()).collect();
        ScriptedAgent::start(vec![vec![Response::Maintained {
            instances,
            still_out: Vec::new(),
            unchanged: false,
        }]])
    };
    let args = ["maintenance", "on", "web-1", "--reason", "new disk"];
    let (output, requests) = done(&["web-1"]).run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "web-1 is in maintenance\n");
    let (id, reason) = (Some("web-1".to_owned()), "new disk".to_owned());
    assert_eq!(requests, [Request::Maintenance { on: true, id, reason }]);

    let (output, requests) = done(&["web-1", "db"]).run(&["maintenance", "off"]);
    assert_eq!(stdout(&output), "this agent is no longer in maintenance, with its 2 instances\n");
    let reason = String::new();
    assert_eq!(requests, [Request::Maintenance { on: false, id: None, reason }]);
}

#[test]
fn a_drain_that_too_few_agents_have_applied_exits_with_4() {
    let drained = |ack| Response::Drained { id: "web-1".to_owned(), ack };
    let agent = ScriptedAgent::start(vec![vec![drained(None)]]);
    let (output, requests) = agent.run(&["drain", "web-1", "--for", "5s"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "web-1 drains: its share of the calls is nothing in 5 s\n");
    let request =
        hobnob_api::DrainRequest { for_ms: 5_000, ..hobnob_api::DrainRequest::new("web-1") };
    assert_eq!(requests, [Request::Drain(request)]);

    for (complete, missing, code) in [(true, vec![], 0), (false, vec!["a3".to_owned()], 4)] {
        let ack = Acknowledged { confirmed: 2, wanted: 3, complete, missing };
        let agent = ScriptedAgent::start(vec![vec![drained(Some(ack))]]);
        let (output, _) = agent.run(&["drain", "web-1", "--for", "1ms", "--wait-acked", "99%"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stdout(&output), "web-1 is drained: 2 other agents have applied it\n");
        assert_eq!(stderr(&output).contains("missing: a3"), !complete, "{}", stderr(&output));
    }
}

#[test]
fn an_instance_that_warns_drains_or_is_in_maintenance_says_so_in_the_table() {
    let healthy = || instance("web", InstanceStatus::Healthy);
    let warns = Instance { check: Some(hobnob_api::CheckStatus::Warning), ..healthy() };
    let drains = Instance { draining: true, ..healthy() };
    let out = instance("web", InstanceStatus::Unhealthy);
    let out = Instance { basis: Basis::Maintenance, ..out };
    let agent = ScriptedAgent::start(vec![vec![found(vec![warns, drains, out])]]);
    let (output, _) = agent.run(&["resolve", "web", "--all"]);
    for said in ["healthy, warns", "healthy, draining", "unhealthy, maintenance"] {
        assert!(stdout(&output).contains(said), "{}", stdout(&output));
    }
}
