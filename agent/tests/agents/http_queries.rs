//! Questions over HTTP: the agent's own API, its events, and what clients of Consul ask.

use std::net::SocketAddr;

use hobnob_agent::{Agent, AgentConfig};
use hobnob_api::client::Client;
use hobnob_api::{Registration, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TEST_TIMEOUT, config};

struct Asked {
    agent: Agent,
    http: SocketAddr,
    client: Client,
    home: tempfile::TempDir,
}

/// An answer over HTTP.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
        Self { status: status.expect("a status"), head: head.to_lowercase(), body }
    }

    fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn index(&self) -> u64 {
        self.header("x-consul-index").parse().expect("a number")
    }
}

impl Asked {
    async fn start() -> Self {
        Self::in_home(tempfile::tempdir().expect("a directory")).await
    }

    async fn in_home(home: tempfile::TempDir) -> Self {
        let http = Some("127.0.0.1:0".parse().expect("an address"));
        let config = AgentConfig { http, ..config(home.path(), "a1", &[]) };
        let agent = Agent::start(config).await.expect("started");
        let http = agent.http_addr().expect("it answers HTTP");
        let client = Client::connect(agent.socket()).await.expect("connected");
        Self { agent, http, client, home }
    }

    async fn register(&mut self, registration: Value) {
        let registration: Registration =
            serde_json::from_value(registration).expect("a registration");
        let request = Request::Register(Box::new(registration));
        self.client.call(request).await.expect("registered");
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.http, path).await
    }
}

async fn ask(http: SocketAddr, path: &str) -> Answer {
    let got = async {
        let mut stream = begin(http, path, "Connection: close\r\n").await;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        Answer::of(&text)
    };
    timeout(TEST_TIMEOUT, got).await.expect("in time")
}

async fn begin(http: SocketAddr, path: &str, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(http).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {http}\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

fn web(id: &str) -> Value {
    json!({
        "service": "web", "id": id, "port": 8080, "address": "10.0.0.7",
        "tags": ["blue"], "meta": {"tier": "x"}, "weight": 7
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_api_answers_as_the_socket_does() {
    let mut asked = Asked::start().await;
    asked.register(web("web-1")).await;
    let answer = asked.get("/v1/hobnob/resolve?service=web&tags=blue&meta=tier%3Dx").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let request =
        serde_json::from_value(json!({"resolve": {"service": "web"}})).expect("a request");
    let of_socket = asked.client.call(request).await.expect("answered");
    assert_eq!(answer.body["response"], serde_json::to_value(of_socket).expect("written"));
    assert_eq!((&answer.body["api"], answer.body["run"].is_string()), (&json!(1), true));

    let picked = asked.get("/v1/hobnob/pick?service=web&count=2").await.body;
    let picks = picked["response"]["picked"]["picks"].as_array().expect("picks");
    assert!(picks.len() == 2 && picks.iter().all(|pick| pick["instance"]["id"] == "web-1"));
    for (path, status, code) in [
        ("/v1/hobnob/resolve", 400, "request_malformed"),
        ("/v1/hobnob/resolve?service=web&selector=a%20in", 400, "selector_invalid"),
        ("/v1/hobnob/explain?subject=nobody", 404, "subject_not_found"),
        ("/v1/hobnob/resolve?service=web&consistency=strong", 503, "no_voters"),
        ("/v1/hobnob/leave", 400, "request_malformed"),
    ] {
        let refused = asked.get(path).await;
        let told = &refused.body["response"]["error"]["code"];
        assert_eq!((refused.status, told), (status, &json!(code)), "{path}");
    }
    for question in [
        "services",
        "members",
        "datacenters",
        "info",
        "history",
        "registrations",
        "settings",
        "voters",
    ] {
        let answer = asked.get(&format!("/v1/hobnob/{question}")).await;
        assert!(
            answer.status == 200 && answer.body["response"][question].is_object(),
            "{question}"
        );
    }
    asked.agent.shutdown().await;
}

/// The events of a stream.
struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    async fn open(http: SocketAddr, path: &str, fields: &str) -> Self {
        Self(BufReader::new(begin(http, path, fields).await).lines())
    }

    /// The next event: its name, its id and its data.
    async fn next(&mut self) -> (String, String, Value) {
        let (mut name, mut id) = (String::new(), String::new());
        loop {
            let line = timeout(TEST_TIMEOUT, self.0.next_line()).await.expect("in time");
            let line = line.expect("read").expect("no end");
            if let Some(of) = line.strip_prefix("event: ") {
                name = of.to_owned();
            } else if let Some(of) = line.strip_prefix("id: ") {
                id = of.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, id, serde_json::from_str(data).expect("JSON"));
            }
        }
    }
}

fn ids(told: &Value) -> Vec<&str> {
    let list = told["instances"].as_array().expect("instances");
    list.iter().map(|one| one["id"].as_str().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_goes_on_where_the_last_one_ended() {
    let mut asked = Asked::start().await;
    asked.register(web("web-1")).await;
    let path = "/v1/hobnob/watch?service=web";
    let mut events = Events::open(asked.http, path, "").await;
    let (name, first, data) = events.next().await;
    assert_eq!((&*name, ids(&data["response"]["instances"])), ("instances", vec!["web-1"]));
    asked.register(web("web-2")).await;
    let (name, second, data) = events.next().await;
    assert_eq!((&*name, ids(&data["response"]["changes"])), ("changes", vec!["web-2"]));
    assert_ne!(first, second);
    drop(events);

    let resumed = format!("Last-Event-ID: {first}\r\n");
    let (name, id, data) = Events::open(asked.http, path, &resumed).await.next().await;
    assert_eq!((&*name, ids(&data["response"]["changes"])), ("changes", vec!["web-2"]));
    assert_eq!(id, second);
    let other_run =
        format!("Last-Event-ID: {}-0\r\n", first.split('-').next().expect("a revision"));
    let (name, _, data) = Events::open(asked.http, path, &other_run).await.next().await;
    assert_eq!((&*name, &data["reset"]), ("instances", &json!("other_run")));
    let (name, _, data) =
        Events::open(asked.http, "/v1/hobnob/watch_members", "").await.next().await;
    let members = data["response"]["members"]["members"].as_array().expect("members");
    assert_eq!((&*name, members.len()), ("members", 1));
    asked.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shapes_of_consul() {
    let mut asked = Asked::start().await;
    asked.register(web("web-1")).await;
    let mut leased = web("web-2");
    leased["checks"] = json!([{"name": "lease", "probe": {"ttl": {"ttl_ms": 60_000}}}]);
    asked.register(leased).await;

    let all = asked.get("/v1/health/service/web").await;
    let entries = all.body.as_array().expect("a list");
    assert_eq!((all.status, entries.len()), (200, 2));
    let entry = &entries[0];
    assert_eq!(
        (&entry["Node"]["Node"], &entry["Node"]["Address"]),
        (&json!("a1"), &json!("127.0.0.1"))
    );
    let service = &entry["Service"];
    for (field, value) in [
        ("ID", json!("web-1")),
        ("Service", json!("web")),
        ("Tags", json!(["blue"])),
        ("Meta", json!({"tier": "x"})),
        ("Port", json!(8080)),
        ("Address", json!("10.0.0.7")),
        ("Weights", json!({"Passing": 7, "Warning": 7})),
        ("EnableTagOverride", json!(false)),
        ("ModifyIndex", json!(all.index())),
    ] {
        assert_eq!(service[field], value, "{field}");
    }
    let statuses = |entry: &Value| {
        let checks = entry["Checks"].as_array().expect("checks").clone();
        let pair = |check: &Value| {
            (
                check["CheckID"].as_str().map(str::to_owned),
                check["Status"].as_str().map(str::to_owned),
            )
        };
        checks.iter().map(pair).collect::<Vec<_>>()
    };
    let some = |id: &str, status: &str| (Some(id.to_owned()), Some(status.to_owned()));
    assert_eq!(statuses(entry), [some("serfHealth", "passing"), some("service:web-1", "passing")]);
    assert_eq!(statuses(&entries[1])[1], some("service:web-2", "critical"), "no report yet");
    assert_eq!(
        (all.header("x-consul-knownleader"), all.header("x-consul-lastcontact")),
        ("true", "0")
    );
    assert_eq!(all.header("x-consul-effective-consistency"), "stale");

    let ids = async |path: &str| -> Vec<String> {
        let body = asked.get(path).await.body;
        let entries = body.as_array().unwrap_or_else(|| panic!("{path}: {body}")).clone();
        let id = |entry: &Value| {
            [&entry["Service"]["ID"], &entry["ServiceID"]]
                .iter()
                .find_map(|id| id.as_str())
                .map(str::to_owned)
        };
        entries.iter().filter_map(id).collect()
    };
    for (path, expected) in [
        ("/v1/health/service/web?passing", vec!["web-1"]),
        ("/v1/health/service/web?passing=1&tag=blue&dc=dc1&near=_agent&stale", vec!["web-1"]),
        ("/v1/health/service/web?tag=red", vec![]),
        ("/v1/health/service/web?filter=Service.ID+%3D%3D+%22web-2%22", vec!["web-2"]),
        ("/v1/health/service/none", vec![]),
        ("/v1/catalog/service/web", vec!["web-1", "web-2"]),
        ("/v1/health/checks/web", vec!["web-1", "web-2"]),
        ("/v1/health/state/critical", vec!["web-2"]),
        ("/v1/health/node/a1", vec!["", "web-1", "web-2"]),
    ] {
        assert_eq!(ids(path).await, expected, "{path}");
    }
    assert_eq!(asked.get("/v1/catalog/services").await.body, json!({"web": ["blue"]}));
    assert_eq!(asked.get("/v1/catalog/datacenters").await.body, json!(["dc1"]));
    assert_eq!(asked.get("/v1/catalog/nodes").await.body[0]["Node"], "a1");
    let node = asked.get("/v1/catalog/node/a1").await.body;
    assert_eq!(
        (&node["Node"]["Node"], &node["Services"]["web-2"]["Port"]),
        (&json!("a1"), &json!(8080))
    );
    assert_eq!(asked.get("/v1/catalog/node/none").await.body, Value::Null);
    assert_eq!(asked.get("/v1/agent/self").await.body["Config"]["NodeName"], "a1");
    assert_eq!(asked.get("/v1/agent/members").await.body[0]["Status"], 1);
    assert_eq!(asked.get("/v1/agent/members?wan").await.body[0]["Name"], "a1.dc1");
    let leader = asked.get("/v1/status/leader").await.body;
    assert_eq!(asked.get("/v1/agent/self").await.body["Stats"]["consul"]["leader_addr"], leader);
    assert_eq!(asked.get("/v1/agent/services").await.body["web-1"]["Service"], "web");
    assert_eq!(asked.get("/v1/agent/service/web-1").await.body["ID"], "web-1");
    assert_eq!(asked.get("/v1/agent/service/none").await.status, 404);
    let checks = asked.get("/v1/agent/checks").await.body;
    assert_eq!(
        (&checks["lease"]["ServiceID"], &checks["lease"]["Type"]),
        (&json!("web-2"), &json!("ttl"))
    );
    let healthy = asked.get("/v1/agent/health/service/id/web-1").await;
    assert_eq!((healthy.status, &healthy.body["AggregatedStatus"]), (200, &json!("passing")));
    assert_eq!(
        asked.get("/v1/agent/health/service/name/web").await.status,
        503,
        "the worst counts"
    );
    let gossip = asked.agent.gossip_addr().to_string();
    assert_eq!(asked.get("/v1/status/leader").await.body, json!(gossip));
    assert_eq!(asked.get("/v1/status/peers").await.body, json!([gossip]));
    for (path, status, says) in [
        ("/v1/kv/a", 501, "key-value"),
        ("/v1/session/list", 501, "sessions"),
        ("/v1/nothing", 404, "no such path"),
        ("/v1/health/service/web?dc=mars", 400, "No path to datacenter"),
        ("/v1/health/service/web?filter=Nothing", 400, "filter"),
        ("/v1/health/service/web?near=mars", 400, "near"),
        ("/v1/health/service/web?node-meta=a:b", 400, "node-meta"),
        ("/v1/health/service/web?consistent", 503, "no voters"),
        ("/v1/catalog/nodes?consistent", 400, "voters"),
    ] {
        let refused = asked.get(path).await;
        let told = refused.body.as_str().expect("a sentence");
        assert!(
            refused.status == status && told.contains(says),
            "{path}: {} {told}",
            refused.status
        );
    }
    asked.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_wakes_for_its_service_alone_and_an_index_never_comes_twice() {
    let mut asked = Asked::start().await;
    asked.register(web("web-1")).await;
    let path = "/v1/health/service/web";
    let first = asked.get(path).await;
    let waits = format!("{path}?index={}&wait=60s", first.index());
    let waiting = tokio::spawn({
        let http = asked.http;
        async move { ask(http, &waits).await }
    });
    for port in 1..20 {
        asked.register(json!({"service": "api", "port": port})).await;
    }
    assert_eq!(asked.get(path).await.index(), first.index(), "another service is no change of it");
    asked.register(web("web-2")).await;
    let second = waiting.await.expect("no panic");
    assert_eq!(second.body.as_array().map(Vec::len), Some(2), "it waited for this one");
    assert!(second.index() > first.index());
    let old = asked.get(&format!("{path}?index={}", first.index())).await;
    assert_eq!(old.index(), second.index(), "an old index is answered at once");
    let zero = asked.get(&format!("{path}?index=0")).await;
    assert_eq!(zero.index(), second.index(), "0 never waits");
    let late = asked.get(&format!("{path}?index={}&wait=10ms", second.index())).await;
    assert_eq!(late.index(), second.index(), "the time limit");

    let Asked { agent, home, .. } = asked;
    agent.shutdown().await;
    let asked = Asked::in_home(home).await;
    let restarted = asked.get(&format!("{path}?index={}&wait=60s", second.index())).await;
    assert!(restarted.index() > second.index(), "answered at once, by a higher index");
    assert!(asked.get("/v1/health/service/none").await.index() > second.index());
    asked.agent.shutdown().await;
}

/// A counter of the agent.
async fn counter(asked: &Asked, name: &str) -> u64 {
    let info = asked.get("/v1/hobnob/info").await.body;
    info["response"]["info"]["counters"][name].as_u64().expect(name)
}

async fn until(asked: &Asked, name: &str, value: u64) {
    let reached = async {
        while counter(asked, name).await != value {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, reached).await.expect(name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_client_also_when_more_requests_came_behind_it() {
    let asked = Asked::start().await;
    let index = asked.get("/v1/health/service/web").await.index();
    let since = asked.get("/v1/hobnob/resolve?service=web").await.body;
    let response = &since["response"]["instances"];
    let (revision, run) = (&response["revision"], since["run"].as_str().expect("a run"));
    let mut cut = 0;
    for path in [
        format!("/v1/health/service/web?index={index}&wait=10m"),
        format!("/v1/catalog/services?index={index}&wait=10m"),
        format!(
            "/v1/hobnob/resolve?service=web&wait.since={revision}&wait.run={run}&wait.timeout_ms=60000"
        ),
    ] {
        for behind in ["", "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let stream = begin(asked.http, &path, "").await;
            until(&asked, "http_waiting", 1).await;
            let mut stream = stream;
            stream.write_all(behind.as_bytes()).await.expect("sent");
            drop(stream);
            until(&asked, "http_waiting", 0).await;
            // Without a request behind it, the server sees the end by itself.
            cut += u64::from(!behind.is_empty());
        }
        assert_eq!(counter(&asked, "http_waits_cut").await, cut, "{path}");
    }

    let path = format!("/v1/health/service/web?index={index}&wait=10m");
    let mut stream = begin(asked.http, &path, "").await;
    until(&asked, "http_waiting", 1).await;
    let behind = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    // The door may end the connection before it took all of them.
    let _ = stream.write_all(behind.as_bytes()).await;
    let mut begun = [0; 12];
    timeout(TEST_TIMEOUT, stream.read_exact(&mut begun)).await.expect("in time").expect("read");
    assert_eq!(&begun, b"HTTP/1.1 400");
    asked.agent.shutdown().await;
}
