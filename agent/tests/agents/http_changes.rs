//! Changes over HTTP, in Consul's form, and the access keys that they need.

use std::net::SocketAddr;

use hobnob_agent::access_keys::{self, AccessRights};
use hobnob_agent::{Agent, AgentConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TEST_TIMEOUT, config};

struct Asked {
    agent: Agent,
    http: SocketAddr,
    home: tempfile::TempDir,
}

impl Asked {
    async fn start(http_open_writes: bool) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let http = Some("127.0.0.1:0".parse().expect("an address"));
        let own = config(home.path(), "a1", &[]);
        let config = AgentConfig { http, http_open_writes, script_checks: true, ..own };
        let agent = Agent::start(config).await.expect("started");
        let http = agent.http_addr().expect("it answers HTTP");
        Self { agent, http, home }
    }

    fn key(&self) -> String {
        let made =
            access_keys::create(&self.home.path().join("a1"), "test", AccessRights::Write, 0);
        made.expect("made").1.to_string()
    }

    /// The status and the body of the answer.
    async fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> (u16, Value) {
        let asked = async {
            let mut stream = TcpStream::connect(self.http).await.expect("connected");
            let (host, length) = (self.http, body.len());
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("an answer");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
            (status.expect("a status"), body)
        };
        timeout(TEST_TIMEOUT, asked).await.expect("in time")
    }

    async fn put(&self, path: &str, key: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask("PUT", path, &format!("X-Consul-Token: {key}\r\n"), &body).await
    }

    /// The ids of the instances of a service that pass.
    async fn passing(&self, service: &str) -> Vec<String> {
        let path = format!("/v1/health/service/{service}?passing");
        let (_, found) = self.ask("GET", &path, "", "").await;
        let ids = found.as_array().expect("a list").iter().map(|entry| &entry["Service"]["ID"]);
        ids.map(|id| id.as_str().expect("an id").to_owned()).collect()
    }
}

const REGISTER: &str = "/v1/agent/service/register";
const CHECK: &str = "/v1/agent/check/register";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_a_key_that_the_agent_knows() {
    let asked = Asked::start(false).await;
    let web = json!({"Name": "web", "ID": "web-1", "Port": 80, "Address": "10.0.0.1"}).to_string();
    for fields in ["", "X-Consul-Token: hobnobkey_wrong\r\n", "Authorization: Bearer x\r\n"] {
        let (status, told) = asked.ask("PUT", REGISTER, fields, &web).await;
        assert!(
            status == 403 && told.as_str().is_some_and(|told| told.contains("Permission denied")),
            "{fields}"
        );
    }
    assert_eq!(asked.passing("web").await, Vec::<String>::new());
    let key = asked.key();
    let (status, told) =
        asked.ask("PUT", REGISTER, &format!("Authorization: Bearer {key}\r\n"), &web).await;
    assert_eq!((status, told), (200, Value::from("")));
    assert_eq!(asked.passing("web").await, ["web-1"]);
    let foreign = format!("X-Consul-Token: {key}\r\nOrigin: http://evil.example\r\n");
    let path = "/v1/agent/service/deregister/web-1";
    assert_eq!(asked.ask("PUT", path, &foreign, "").await.0, 403, "a page with a key");
    assert_eq!(asked.passing("web").await, ["web-1"]);
    asked.agent.shutdown().await;

    let open = Asked::start(true).await;
    assert_eq!(open.ask("PUT", REGISTER, "", &web).await.0, 200);
    assert_eq!(open.passing("web").await, ["web-1"]);
    open.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_those_of_consul() {
    let asked = Asked::start(false).await;
    let key = asked.key();
    let service = json!({
        "Name": "web", "ID": "web-1", "Port": 80, "Address": "10.0.0.1", "Tags": ["a"], "Meta": {"k": "v"},
        "Weights": {"Passing": 5, "Warning": 5}, "Proxy": null, "Checks": null,
        "Check": {"CheckID": "lease", "TTL": "60s", "Status": "passing"}
    });
    let (status, told) = asked.put(REGISTER, &key, service).await;
    assert_eq!((status, told), (200, Value::from("")));
    assert_eq!(asked.passing("web").await, ["web-1"]);
    for (path, body, status) in [
        ("/v1/agent/check/fail/lease?note=no", Value::Null, 503),
        ("/v1/agent/check/warn/service:web-1", Value::Null, 429),
        ("/v1/agent/check/update/lease", json!({"Status": "passing", "Output": "fine"}), 200),
        ("/v1/agent/service/maintenance/web-1?enable=true&reason=disk", Value::Null, 503),
        ("/v1/agent/service/maintenance/web-1?enable=False", Value::Null, 200),
        ("/v1/agent/check/pass/lease", Value::Null, 200),
    ] {
        assert_eq!(asked.put(path, &key, body).await, (200, Value::from("")), "{path}");
        let health = "/v1/agent/health/service/id/web-1";
        // A report is taken at once, and shown as soon as the check has judged it.
        let shown = async {
            while asked.ask("GET", health, "", "").await.0 != status {
                tokio::task::yield_now().await;
            }
        };
        timeout(TEST_TIMEOUT, shown).await.expect(path);
    }
    for (path, body, status, says) in [
        (REGISTER, json!({"Name": "web"}), 400, "`port` is missing"),
        (REGISTER, json!({"Name": "web", "Port": 80, "Prot": 1}), 400, "did you mean"),
        (
            REGISTER,
            json!({"Name": "web", "Port": 80, "Connect": {"Native": true}}),
            400,
            "service mesh",
        ),
        (REGISTER, json!([]), 400, "expected an object"),
        (
            REGISTER,
            json!({"Name": "web", "Port": 80, "Check": {"Args": ["true"], "Interval": "1s"}}),
            403,
            "runs a program",
        ),
        ("/v1/agent/service/deregister/none", Value::Null, 404, "none"),
        ("/v1/agent/service/maintenance/web-1", Value::Null, 400, "enable"),
        ("/v1/agent/check/pass/none", Value::Null, 404, "Unknown check ID"),
        ("/v1/agent/check/update/lease", json!({"Status": "good"}), 400, "`Status`"),
        (CHECK, json!({"Name": "x", "TTL": "1s"}), 501, "`ServiceID`"),
        (CHECK, json!({"TTL": "1s", "ServiceID": "web-1"}), 400, "`Name` is missing"),
        (CHECK, json!({"Name": "x", "ServiceID": "web-1"}), 400, "nothing to check"),
        (CHECK, json!({"Name": "x", "TTL": "1s", "ServiceID": "none"}), 404, "`none`"),
        (
            CHECK,
            json!({"Name": "x", "ServiceID": "web-1", "Args": ["true"], "Interval": "1s"}),
            403,
            "runs a program",
        ),
        ("/v1/agent/check/deregister/none", Value::Null, 404, "Unknown check ID"),
        ("/v1/kv/a", json!("b"), 501, "key-value"),
    ] {
        let (got, told) = asked.put(path, &key, body).await;
        let told = told.as_str().expect("a sentence");
        assert!(got == status && told.contains(says), "{path}: {got} {told}");
    }
    let long = "x".repeat((1 << 20) + 1);
    let bearer = format!("X-Consul-Token: {key}\r\n");
    assert_eq!(asked.ask("PUT", REGISTER, &bearer, &long).await.0, 413);
    assert_eq!(asked.ask("GET", REGISTER, "", "").await.0, 405);
    let gone = asked.put("/v1/agent/service/deregister/web-1", &key, Value::Null).await;
    assert_eq!((gone.0, asked.passing("web").await), (200, vec![]));
    asked.agent.shutdown().await;
}

/// The ids of the checks of the agent.
async fn checks(asked: &Asked) -> Vec<String> {
    let (_, shown) = asked.ask("GET", "/v1/agent/checks", "", "").await;
    shown.as_object().expect("an object").keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_comes_to_an_instance_and_goes_and_no_other_takes_its_id() {
    let asked = Asked::start(false).await;
    let key = asked.key();
    let ok = (200, Value::from(""));
    let ttl = |status: &str| json!({"TTL": "60s", "Status": status});
    let web = json!({"Name": "web", "ID": "web-1", "Port": 80, "Address": "10.0.0.1", "Check": ttl("passing")});
    assert_eq!(asked.put(REGISTER, &key, web).await, ok);
    let disk =
        json!({"Name": "free disk", "ServiceID": "web-1", "TTL": "60s", "Status": "critical"});
    assert_eq!(asked.ask("PUT", CHECK, "", &disk.to_string()).await.0, 403, "no key");
    assert_eq!(asked.put(CHECK, &key, disk.clone()).await, ok);
    assert_eq!(checks(&asked).await, ["free-disk", "service:web-1"]);
    assert_eq!(asked.passing("web").await, Vec::<String>::new(), "the worst decides");

    // A later check of the name has another id, and one of this id is refused.
    let api = json!({"Name": "api", "ID": "api-1", "Port": 81, "Address": "10.0.0.1",
        "Check": {"CheckID": "free-disk", "TTL": "60s", "Status": "passing"}});
    assert_eq!(asked.put(REGISTER, &key, api).await, ok);
    assert_eq!(checks(&asked).await, ["free-disk", "service:api-1", "service:web-1"]);
    let (status, told) =
        asked.put(CHECK, &key, json!({"ID": "free-disk", "ServiceID": "api-1", "TTL": "9s"})).await;
    let told = told.as_str().expect("a sentence");
    assert!(status == 400 && told.contains("that of a check of `web-1`"), "{status} {told}");
    let health = async |id: &str, status: u16| {
        let path = format!("/v1/agent/health/service/id/{id}");
        let shown = async {
            while asked.ask("GET", &path, "", "").await.0 != status {
                tokio::task::yield_now().await;
            }
        };
        timeout(TEST_TIMEOUT, shown).await.expect("shown");
    };
    for (report, of_web) in [("pass/free%20disk", 200), ("fail/free-disk", 503)] {
        assert_eq!(asked.put(&format!("/v1/agent/check/{report}"), &key, Value::Null).await, ok);
        health("web-1", of_web).await;
        health("api-1", 200).await;
    }

    assert_eq!(asked.put("/v1/agent/check/deregister/free%20disk", &key, Value::Null).await, ok);
    assert_eq!(checks(&asked).await, ["service:api-1", "service:web-1"]);
    assert_eq!(asked.passing("web").await, ["web-1"]);
    let (_, told) = asked.ask("GET", "/v1/hobnob/history?subject=web-1", "", "").await;
    let events = told["response"]["history"]["events"].as_array().expect("events");
    let changed = events.iter().filter(|event| event["check"] == "free-disk");
    let why: Vec<_> =
        changed.filter(|event| event["what"] == "changed").map(|event| &event["why"]).collect();
    assert_eq!(why, ["the check was added", "the check was taken away"], "{events:?}");
    asked.agent.shutdown().await;
}
