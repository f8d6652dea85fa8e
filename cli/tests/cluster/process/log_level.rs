//! The filter of the log, changed while the agent runs.

use serde_json::json;

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};

#[test]
fn more_lines_are_logged_for_as_long_as_they_are_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start_with(
        home.path(),
        "a1",
        ANY_PORT,
        &["--log=warn,hobnob_agent::agent=info".to_owned()],
    );
    let start = "warn,hobnob_agent::agent=info";
    assert_eq!(agent.json(&["log-level"]), json!({ "filter": start, "at_start": start }));
    agent.ok(&["register", "quiet", "--port", "80"]);
    let changed = agent.json(&["log-level", "info"]);
    assert_eq!(changed, json!({ "filter": "info", "at_start": start }));
    agent.ok(&["register", "loud", "--port", "81"]);
    eventually("the second is logged", || agent.has_logged("registered id=\"loud\""));
    assert!(!agent.has_logged("registered id=\"quiet\""));
    assert!(agent.has_logged("a client sets the filter of the log"));
    agent.ok(&["log-level", "off"]);
    eventually("the log tells who turned it off", || agent.has_logged("filter=\"off\""));

    let short = agent.json(&["log-level", "debug", "--for", "1s"]);
    assert!(short["back_in_ms"].as_u64().is_some_and(|ms| ms <= 1_000), "{short}");
    eventually("the filter of the start is back", || {
        agent.json(&["log-level"]) == json!({ "filter": start, "at_start": start })
    });
    agent.ok(&["log-level", "trace"]);
    let reset = agent.run(&["log-level", "--reset"]);
    assert_eq!(String::from_utf8_lossy(&reset.stdout).trim(), start);
}

#[test]
fn a_wrong_filter_and_a_query_socket_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let query = socket(home.path(), "query");
    let args = [format!("--query-socket={}", query.display())];
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &args);
    let before = agent.json(&["log-level"]);
    let at_query = |args: &[&str]| hobnob(args).arg("--socket").arg(&query).output().unwrap();
    assert!(at_query(&["log-level"]).status.success(), "it is a question");
    let refused = at_query(&["log-level", "debug"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("`log_level` is a change"), "{told}");
    for wrong in [
        &["log-level", "loud"][..],
        &["log-level", "--for", "1m"],
        &["log-level", "debug", "--for", "1ms"],
    ] {
        let refused = agent.run(wrong);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {told}");
    }
    assert_eq!(agent.json(&["log-level"]), before);
}
