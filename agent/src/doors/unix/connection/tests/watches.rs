//! Watches, and questions that wait, beside the calls of a connection.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_watch_tells_beside_calls_and_ends_with_the_connection() {
    let (mut client, mut writer) = connect();
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    let first = client.reply().await.expect("a reply");
    assert_eq!(first["response"]["instances"]["instances"][0]["id"], "a");
    client.call(2, pick()).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 2);
    writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
    writer.publish();
    let change = client.reply().await.expect("a reply");
    assert_eq!(
        (&change["id"], &change["response"]["changes"]["instances"][0]["id"]),
        (&json!(1), &json!("b"))
    );
    let Client { stream, serving, registry, .. } = client;
    drop(stream);
    assert!(serving.await.expect("no panic").is_ok());
    tokio::task::yield_now().await;
    drop(writer);
    assert_eq!(Arc::strong_count(&registry), 1, "neither a watch nor a handler is left");
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_delays_neither_a_watch_nor_the_answers_before_it() {
    let (driver, _silent) = DriverHandle::silent();
    let (mut client, mut writer) = connect_to(driver, MAX_CLIENT_BYTES);
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    assert!(client.reply().await.expect("a reply")["response"]["instances"].is_object());
    let slow = format!("{}\n", json!({ "id": 3, "request": { "members": {} } }));
    client.send(&format!("{}\n{slow}", json!({ "id": 2, "request": pick() }))).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 2, "the answer before the slow one");
    for id in ["b", "c"] {
        writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        writer.publish();
        let change = client.reply().await.expect("the watch goes on");
        assert_eq!(change["response"]["changes"]["instances"][0]["id"], id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_waits_ends_with_its_client_and_not_with_what_its_client_sends() {
    for is_gone in [true, false] {
        let (mut client, served) = UnixStream::pair().expect("a pair");
        let Served { serving, registry, mut writer, .. } =
            serve_on(served, DriverHandle::stopped(), MAX_CLIENT_BYTES);
        let wait = json!({ "since": registry.revision(), "timeout_ms": 300_000 });
        let resolve = json!({ "resolve": { "service": "web", "wait": wait } });
        let call = format!("{}\n", json!({ "id": 1, "request": resolve }));
        client.write_all(call.as_bytes()).await.expect("sent");
        if is_gone {
            drop(client);
            let ended = timeout(LONG, serving).await.expect("the wait ends");
            assert!(ended.expect("no panic").is_ok());
            continue;
        }
        client.shutdown().await.expect("sends no more");
        assert!(timeout(LONG, client.readable()).await.is_err(), "it waits");
        writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
        writer.publish();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.contains("\"id\":\"b\""), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_after_it_began_to_tell_ends_its_connection() {
    let (mut client, mut writer) = connect_to(DriverHandle::stopped(), 3 << 20);
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    assert!(client.reply().await.expect("a reply")["response"]["instances"].is_object());
    fill(&mut writer, 60_000);
    let mut last = Value::Null;
    while let Some(reply) = client.reply().await {
        last = reply;
    }
    assert_eq!(last["response"]["error"]["code"], "too_much_held", "{last:.200}");
    assert!(client.serving.await.expect("no panic").is_ok());
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_waits_says_whether_something_changed() {
    let (mut client, mut writer) = connect();
    let wait = json!({ "since": client.registry.revision(), "timeout_ms": 10_000 });
    let resolve = json!({ "resolve": { "service": "web", "wait": wait } });
    client.call(1, resolve.clone()).await;
    let unchanged = client.reply().await.expect("a reply");
    assert_eq!(unchanged["unchanged"], true, "{unchanged}");
    assert_eq!(unchanged["response"]["instances"]["instances"][0]["id"], "a");
    client.call(2, resolve).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
    writer.publish();
    let changed = client.reply().await.expect("a reply");
    assert!(changed["unchanged"].is_null(), "{changed}");
    assert_eq!(changed["response"]["instances"]["instances"][1]["id"], "b");
}
