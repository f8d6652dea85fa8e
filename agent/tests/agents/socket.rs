//! The unix socket as any language sees it: lines of JSON.

use std::io::{BufRead, Write};
use std::path::Path;

use hobnob_agent::Agent;
use hobnob_agent::storage::DataDir;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::config;

async fn agent(home: &Path) -> Agent {
    Agent::start(config(home, "a", &[])).await.expect("started")
}

struct Connection {
    answers: Lines<BufReader<OwnedReadHalf>>,
    calls: OwnedWriteHalf,
}

impl Connection {
    async fn open(agent: &Agent) -> Self {
        let stream = UnixStream::connect(agent.socket()).await.expect("connected");
        let (answers, calls) = stream.into_split();
        Self { answers: BufReader::new(answers).lines(), calls }
    }

    async fn send(&mut self, line: &str) {
        self.calls.write_all(line.as_bytes()).await.expect("sent");
        self.calls.write_all(b"\n").await.expect("sent");
    }

    async fn answer(&mut self) -> Value {
        let line = self.answers.next_line().await.expect("read").expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn call(&mut self, request: Value) -> Value {
        self.send(&json!({ "id": 1, "request": request }).to_string()).await;
        self.answer().await["response"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_in_order_with_their_ids() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    let register = json!({ "register": { "service": "web", "port": 80 } });
    assert_eq!(connection.call(register.clone()).await["registered"]["outcome"], "added");
    assert_eq!(connection.call(register).await["registered"]["outcome"], "unchanged");
    let heavier = json!({ "register": { "service": "web", "port": 80, "weight": 2 } });
    assert_eq!(connection.call(heavier).await["registered"]["outcome"], "replaced");
    for id in [7, 8, 9] {
        let request = json!({ "resolve": { "service": "web" } });
        connection.send(&json!({ "id": id, "request": request }).to_string()).await;
    }
    for id in [7, 8, 9] {
        let answer = connection.answer().await;
        assert_eq!(answer["id"], id);
        let instance = &answer["response"]["instances"]["instances"][0];
        assert_eq!(instance["id"], "web");
        assert_eq!(instance["address"], "127.0.0.1", "the agent's own address by default");
        assert_eq!(instance["zone"], "z1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_request_is_answered_and_the_connection_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    for line in ["{}", "{\"id\":1,\"request\":\"dance\"}", "{\"id\":1", "nonsense", "[]"] {
        connection.send(line).await;
        let answer = connection.answer().await;
        assert_eq!(answer["response"]["error"]["kind"], "invalid", "{line}: {answer}");
    }
    let refused = [
        (json!({ "pick": { "service": "web", "count": 0 } }), "count"),
        (json!({ "pick": { "service": "web", "strategy": "consistent-hash" } }), "key"),
        (json!({ "pick": { "service": "web", "selector": "tier in (" } }), "selector"),
        (json!({ "resolve": { "service": "web", "selector": "=" } }), "selector"),
        (json!({ "register": { "service": "", "port": 1 } }), "the service `` is empty"),
        (json!({ "register": { "service": "web", "port": 1, "address": "999.1.1.1" } }), "IP"),
        (json!({ "register": { "service": "web", "port": 1, "weight": 0 } }), "weight"),
        (json!({ "register": { "service": "a\u{7}b", "port": 1 } }), "cannot be printed"),
        (json!({ "register": { "service": "web", "id": "web 1", "port": 1 } }), "id `web 1` has a"),
        (json!({ "register": { "service": "web", "namespace": "a,b", "port": 1 } }), "namespace"),
        (json!({ "register": { "service": "web", "tags": ["a,b"], "port": 1 } }), "tag `a,b`"),
        (json!({ "register": { "service": "web", "meta": {"a b": ""}, "port": 1 } }), "key `a b`"),
        (json!({ "register": { "service": "web", "port": 1, "chekc": {} } }), "chekc"),
        (json!({ "pick": { "service": "web", "stratgy": "ring" } }), "stratgy"),
        (json!({ "join": { "addresses": [] } }), "address"),
    ];
    for (request, says) in refused {
        let answer = connection.call(request).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "no `{says}` in {answer}");
    }
    assert_eq!(
        connection.call(json!({ "members": {} })).await["members"]["members"][0]["name"],
        "a"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_registration_with_an_invalid_name_is_restored_and_can_be_removed() {
    let home = tempfile::tempdir().expect("a directory");
    let mut data_dir = DataDir::open(home.path().join("a"), "default").expect("opened");
    let registration = json!({ "service": "web 1", "id": "web 1", "port": 80, "tags": ["a,b"] });
    let registration = serde_json::from_value(registration).expect("a registration");
    data_dir.put_registration(&registration, None).expect("kept");
    drop(data_dir);
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    let found = connection.call(json!({ "resolve": { "service": "web 1" } })).await;
    assert_eq!(found["instances"]["instances"][0]["tags"], json!(["a,b"]), "{found}");
    let gone = connection.call(json!({ "deregister": { "id": "web 1" } })).await;
    assert_eq!(gone["deregistered"]["id"], "web 1", "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_watch_only_so_many_services() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    for number in 0..65 {
        let watch = json!({ "watch": { "service": format!("s{number}") } });
        connection.send(&json!({ "id": number, "request": watch }).to_string()).await;
    }
    let mut refused = Vec::new();
    for _ in 0..65 {
        let answer = connection.answer().await;
        if answer["response"]["error"].is_object() {
            refused.push(answer["id"].clone());
        }
    }
    assert_eq!(refused, [64]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_end_is_refused_and_costs_its_connection_only() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut stream = UnixStream::connect(agent.socket()).await.expect("connected");
    let endless = vec![b'{'; 2 << 20];
    // The agent may hang up before all of it is written.
    let _ = stream.write_all(&endless).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let mut connection = Connection::open(&agent).await;
    assert!(connection.call(json!({ "info": {} })).await["info"]["counters"]["api_malformed"] == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_speaks_http_can_read_the_answer() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    connection.send("GET / HTTP/1.1").await;
    assert_eq!(connection.answer().await["response"]["error"]["kind"], "invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_only_what_changed() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    let register = |port: u16| json!({ "register": { "service": "web", "port": port } });
    let mut other = Connection::open(&agent).await;
    other.call(register(80)).await;
    connection
        .send(&json!({ "id": 1, "request": { "watch": { "service": "web" } } }).to_string())
        .await;
    assert!(connection.answer().await["response"]["instances"].is_object());
    for port in [80, 80, 81] {
        other.call(register(port)).await;
    }
    let changes = connection.answer().await["response"]["changes"]["instances"].clone();
    assert_eq!(changes.as_array().map(Vec::len), Some(1), "{changes}");
    assert_eq!(changes[0]["port"], 81);
}

/// The one thread of the agent's own runtime is this test's, and it waits without giving way.
#[tokio::test]
async fn clients_have_threads_of_their_own() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = agent(home.path()).await;
    let mut connection = Connection::open(&agent).await;
    connection.call(json!({ "register": { "service": "web", "port": 80 } })).await;
    let pick = json!({ "id": 9, "request": { "pick": { "service": "web" } } });
    connection.send(&pick.to_string()).await;
    assert_eq!(connection.answer().await["id"], 9);
    let Connection { answers, calls } = connection;
    let stream = answers.into_inner().into_inner().reunite(calls).expect("one stream");
    let stream = stream.into_std().expect("a stream");
    stream.set_nonblocking(false).expect("blocking");
    // Only for a test that fails.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
    (&stream).write_all(format!("{pick}\n").as_bytes()).expect("sent");
    let mut line = String::new();
    std::io::BufReader::new(&stream).read_line(&mut line).expect("an answer");
    assert!(line.contains("\"picked\""), "{line}");
}
