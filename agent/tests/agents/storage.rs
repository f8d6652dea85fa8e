//! A real agent on a data directory that a later version of Hobnob has written to.

use std::fs;
use std::path::Path;

use hobnob_agent::{Agent, SecurityError, StartError};
use hobnob_api::client::Client;
use hobnob_api::{Instance, Query, Request, Response};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::config;

const NODE: &str = r#"{"format":2,"written_by":"0.9.0","node_id":"00000000000000ab","instance_key":"000000000000000000000000000000cd","cluster":"default","enclave":{"quote":"xyz"}}"#;
const EPOCH: &str = r#"{"format":2,"written_by":"0.9.0","epoch":7,"signed":true}"#;
const PEERS: &str = r#"{"format":2,"written_by":"0.9.0","peers":[],"gateways":["10.0.0.1:1"]}"#;
const HEAD: &str = r#"{"format":2,"written_by":"0.9.0","compressed":false}"#;
const PUT: &str = r#"{"put":{"service":"web","id":"web-1","port":8001,"tier":"gold","checks":[],"balancing":{"slow_start_ms":1000}},"by":"alice"}"#;
const DRAIN: &str = r#"{"drain":{"id":"web-1","until":1}}"#;

fn sealed(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{:016x} {text}\n", xxh3_64(text.as_bytes()))).collect()
}

fn write_later_files(home: &Path) {
    let dir = home.join("a");
    fs::create_dir(&dir).expect("created");
    for (file, content) in [("node.json", NODE), ("epoch.json", EPOCH), ("peers.json", PEERS)] {
        fs::write(dir.join(file), content).expect("written");
    }
    fs::write(dir.join("registrations.log"), sealed(&[HEAD, PUT, DRAIN])).expect("written");
}

async fn resolve(agent: &Agent) -> Vec<Instance> {
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    let query: Query = serde_json::from_str(r#"{"service":"web"}"#).expect("a query");
    match client.call(Request::Resolve(query)).await.expect("answered") {
        Response::Instances(instances) => instances.instances,
        other => panic!("{other:?}"),
    }
}

async fn register(agent: &Agent, json: &str) {
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    let registration = serde_json::from_str(json).expect("a registration");
    let answer = client.call(Request::Register(registration)).await.expect("answered");
    assert!(!matches!(answer, Response::Error(_)), "{answer:?}");
}

#[tokio::test]
async fn registrations_of_a_later_version_are_offered_and_unknown_entries_are_kept() {
    let home = tempfile::tempdir().expect("a directory");
    write_later_files(home.path());
    for life in 0..3 {
        let agent = Agent::start(config(home.path(), "a", &[])).await.expect("started");
        let ids: Vec<String> = resolve(&agent).await.into_iter().map(|one| one.id).collect();
        let both = ["web-1".to_owned(), "web-2".to_owned()];
        assert_eq!(ids, both[..if life == 0 { 1 } else { 2 }], "life {life}");
        register(&agent, r#"{"service":"web","id":"web-2","port":8002}"#).await;
        agent.shutdown().await;
        let log = fs::read_to_string(home.path().join("a/registrations.log")).expect("read");
        for kept in [PUT, DRAIN] {
            assert!(log.contains(&sealed(&[kept])), "life {life} lost {kept}");
        }
    }
}

#[tokio::test]
async fn a_registration_that_this_version_would_refuse_is_left_out_and_its_line_is_kept() {
    let home = tempfile::tempdir().expect("a directory");
    write_later_files(home.path());
    let path = home.path().join("a/registrations.log");
    let bad = r#"{"put":{"service":"web","id":"bad","port":0}}"#;
    fs::write(&path, sealed(&[HEAD, PUT, bad])).expect("written");
    let agent = Agent::start(config(home.path(), "a", &[])).await.expect("started");
    let ids: Vec<String> = resolve(&agent).await.into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["web-1"]);
    agent.shutdown().await;
    assert!(fs::read_to_string(&path).expect("read").contains(&sealed(&[bad])));
}

#[tokio::test]
async fn a_newer_format_is_refused_with_both_versions() {
    let home = tempfile::tempdir().expect("a directory");
    write_later_files(home.path());
    let path = home.path().join("a/registrations.log");
    let newer = sealed(&[r#"{"format":3,"written_by":"1.0.0"}"#]);
    fs::write(&path, &newer).expect("written");
    let error = Agent::start(config(home.path(), "a", &[])).await.err().expect("refused");
    assert!(matches!(error, StartError::Security(SecurityError::DataDir(_))), "{error}");
    for part in ["registrations.log", "format 3", "1.0.0", "format 2", env!("CARGO_PKG_VERSION")] {
        assert!(error.to_string().contains(part), "no {part} in: {error}");
    }
    assert_eq!(fs::read_to_string(&path).expect("read"), newer, "nothing was touched");
}
