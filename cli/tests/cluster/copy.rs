//! A data directory that is copied: two agents with one identity.

use crate::agent::{ANY_PORT, Agent, eventually};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn the_copy_of_an_agent_gives_way_and_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    a1.ok(&["register", "web", "--port", "80"]);
    eventually("a2 finds it", || a2.healthy("web") == ["web"]);
    let epoch_of_a2 = a2.json(&["info"])["epoch"].clone();

    copy(&home.path().join("a1"), &home.path().join("copy"));
    let mut args = vec![format!("--join={}", a2.bind())];
    args.push("--advertise=127.0.0.1".to_owned());
    let mut twin = Agent::start_with(home.path(), "copy", ANY_PORT, &args);
    let duplicate = |agent: &Agent| agent.json(&["info"])["duplicate"].clone();
    eventually("the copy is silent", || duplicate(&twin)["silent"] == true);
    eventually("the original knows", || duplicate(&a1)["silent"] == false);
    let twin_bind = twin.bind().to_string();
    assert_eq!(duplicate(&a1)["gossip_address"], twin_bind.as_str());
    assert_eq!(duplicate(&twin)["same_key"], true);
    let info = String::from_utf8(twin.run(&["info"]).stdout).unwrap();
    assert!(info.contains("remove node.json and registrations.log"), "{info}");
    assert_eq!(twin.json(&["info"])["isolated"], true);
    for refused in [&["register", "db", "--port", "81"][..], &["join", &a2.bind().to_string()]] {
        let output = twin.run(refused);
        assert_eq!(output.status.code(), Some(1), "{refused:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("gave way and is silent"), "{error}");
        assert!(error.contains(&a1.bind().to_string()), "{error}");
    }
    let why = String::from_utf8(twin.run(&["explain", "copy"]).stdout).unwrap();
    assert!(why.contains("gave way and is silent"), "{why}");
    let members = String::from_utf8(twin.run(&["members"]).stderr).unwrap();
    assert!(members.contains("another agent runs under its node id"), "{members}");

    eventually("the original is the one that is known", || {
        let members = a2.json(&["members"])["members"].take();
        let of_a1 = crate::agent::items(&members)
            .iter()
            .find(|item| item["node_id"] == duplicate_id(&a1))
            .cloned()
            .unwrap_or_default();
        of_a1["gossip_address"] == a1.bind().to_string().as_str() && of_a1["status"] == "alive"
    });
    eventually("its records are its own again", || {
        let found = a2.json(&["resolve", "web"])["instances"].take();
        crate::agent::items(&found).first().is_some_and(|item| item["member"] == "a1")
    });
    assert_eq!(a1.counter("gave_way"), 0);
    assert_eq!(twin.counter("gave_way"), 1);
    assert_eq!(a2.json(&["info"])["epoch"], epoch_of_a2, "nobody else is disturbed");
    twin.kill();
    assert_eq!(a1.healthy("web"), ["web"]);
}

fn duplicate_id(agent: &Agent) -> serde_json::Value {
    agent.json(&["info"])["node_id"].clone()
}
