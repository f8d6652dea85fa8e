//! What answers have in common: names, pages, and the run of the agent.

use super::*;

#[tokio::test(start_paused = true)]
async fn names_obey_their_rules_in_queries_too() {
    let (mut client, _writer) = connect();
    let long = "x".repeat(900 << 10);
    for request in [
        json!({ "pick": { "service": "web", "datacenter": long } }),
        json!({ "pick": { "service": long } }),
        json!({ "watch": { "service": long } }),
        json!({ "watch": { "service": "web", "namespace": long } }),
        json!({ "resolve": { "service": "web", "datacenter": long } }),
        json!({ "deregister": { "id": long } }),
        json!({ "explain": { "subject": long } }),
        json!({ "force_leave": { "member": long } }),
    ] {
        client.call(1, request).await;
        let reply = client.reply().await.expect("a reply");
        assert_eq!(reply["response"]["error"]["code"], "name_invalid");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_reply_names_the_run_and_an_event_its_time() {
    let (mut client, _writer) = connect();
    client.call(1, json!({ "watch_all": {} })).await;
    let first = client.reply().await.expect("a reply");
    assert_eq!(first["run"], client.registry.run());
    assert!(first["time"].as_str().expect("a time").ends_with('Z'), "{first}");
    assert!(first["reset"].is_null(), "{first}");
    assert_eq!(first["response"]["instances"]["instances"][0]["id"], "a");
    for (run, since, reset) in [
        (client.registry.run().to_owned(), client.registry.revision(), json!(null)),
        ("0123456789abcdef".to_owned(), client.registry.revision(), json!("other_run")),
        (client.registry.run().to_owned(), 1, json!("other_run")),
    ] {
        client.call(2, json!({ "watch_all": { "since": since, "run": run } })).await;
        let resumed = client.reply().await.expect("a reply");
        assert_eq!(resumed["reset"], reset, "{resumed}");
        assert_eq!(resumed["response"]["instances"].is_null(), reset.is_null(), "{resumed}");
        assert!(resumed["run"].is_null(), "only the first reply names it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_in_pages_of_one_moment_or_is_refused() {
    const COUNT: usize = 25_000;
    let (mut client, mut writer) = connect();
    fill(&mut writer, COUNT);
    let resolve = json!({ "resolve": { "service": "web" } });
    client.call(1, resolve.clone()).await;
    let refused = client.reply().await.expect("a reply");
    assert_eq!(refused["response"]["error"]["code"], "answer_too_large");
    client.send(&format!("{}\n", json!({ "id": 2, "pages": true, "request": resolve }))).await;
    let mut ids = Vec::new();
    loop {
        let page = client.reply().await.expect("a page");
        assert_eq!(page["id"], 2);
        if ids.is_empty() {
            writer.apply(instance(OWN, "i00000", InstanceStatus::Gone));
            writer.apply(instance(OWN, "zzz", InstanceStatus::Healthy));
            writer.publish();
        }
        let instances = page["response"]["instances"]["instances"].as_array().expect("instances");
        ids.extend(instances.iter().map(|one| one["id"].to_string()));
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(ids.len(), COUNT + 1, "the page of the view that the question met");
    assert!(ids.is_sorted());
    client.call(3, pick()).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 3, "the connection goes on");
    client.send(&format!("{}\n", json!({ "id": 4, "pages": true, "request": pick() }))).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 4);
    drop(client.stream);
    assert!(client.serving.await.expect("no panic").is_ok());
    assert_eq!(client.budget.held(), 0);
}
