//! What a client may make the agent hold, and for how long.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_ends_unless_it_watches() {
    let (mut silent, _writer) = connect();
    let (mut idle, _writer) = connect();
    let (mut watching, _writer) = connect();
    idle.call(1, pick()).await;
    watching.call(1, json!({ "watch": { "service": "web" } })).await;
    for client in [&mut idle, &mut watching] {
        assert!(client.reply().await.is_some());
    }
    tokio::time::sleep(LONG * 10).await;
    for client in [&mut silent, &mut idle] {
        assert!(client.serving.is_finished());
        assert_eq!(client.reply().await, None);
    }
    watching.call(2, pick()).await;
    assert_eq!(watching.reply().await.expect("a reply")["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn half_a_call_counts_until_it_is_whole() {
    let (mut client, _writer) = connect();
    let whole = json!({ "id": 1, "request": { "report": { "reports": [] } } }).to_string();
    let call = format!("{}{whole}\n", " ".repeat(500 << 10));
    let (half, rest) = call.split_at(400 << 10);
    client.send(half).await;
    assert_eq!(client.reply().await, None);
    assert!(client.budget.held() > 300 << 10, "{}", client.budget.held());
    client.send(rest).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 1);
    assert_eq!(client.reply().await, None);
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_makes_the_agent_hold_too_much_is_told_so() {
    let (mut client, _writer) = connect_to(DriverHandle::stopped(), 32 << 10);
    for id in 1..=20 {
        client.call(id, json!({ "watch": { "service": format!("s{id}") } })).await;
    }
    let mut refused = 0;
    for _ in 1..=20 {
        let reply = client.reply().await.expect("a reply");
        refused += i32::from(reply["response"]["error"]["code"] == "too_much_held");
    }
    assert!((1..20).contains(&refused), "{refused}");
    client.send(&"x".repeat(100 << 10)).await;
    let reply = client.reply().await.expect("a reply");
    assert_eq!(
        (&reply["id"], &reply["response"]["error"]["code"]),
        (&json!(0), &json!("too_much_held"))
    );
    assert_eq!(client.reply().await, None);
    let Client { serving, budget, .. } = client;
    assert!(serving.await.expect("no panic").is_ok());
    assert_eq!(budget.held(), 0, "everything is given back");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let (mut client, _writer) = connect();
    let many = json!({ "pick": { "service": "web", "count": 9_000 } });
    client.call(1, many).await;
    tokio::time::sleep(LONG * 2).await;
    assert!(client.serving.is_finished());
    assert_eq!(client.budget.held(), 0);
}
