//! The question for the sync port.

use super::*;

#[tokio::test]
async fn a_newcomer_is_told_the_sync_port_in_fewer_bytes_than_it_asked_with() {
    let member = Member::start(1).await;
    let expected = SocketAddr::new(member.addr.ip(), SYNC_PORT);
    assert_eq!(ask_sync_port(source(), member.addr).await.expect("told"), expected);
    let mut stream = TcpStream::connect(member.addr).await.expect("connected");
    let question = b"port\x01\0";
    stream.write_all(question).await.expect("room");
    stream.shutdown().await.expect("a half close");
    let mut answer = Vec::new();
    // The member ends by a reset once the asker has ended.
    let _ = timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await.expect("in time");
    assert_eq!(answer, [0x34, 0x12], "the wire format");
    assert!(answer.len() < question.len());
    assert_eq!((member.count("sync_ports_told"), member.count("holds_invalid")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_stays_costs_its_place_for_a_second() {
    let member = Member::start(1).await;
    let mut stays = TcpStream::connect(member.addr).await.expect("connected");
    stays.write_all(b"port\x01\0").await.expect("room");
    assert_eq!(stays.read_u16_le().await.expect("told"), SYNC_PORT);
    let crowded =
        ask_sync_port(source(), member.addr).await.expect_err("one may say something at a time");
    assert!(matches!(crowded, SyncPortError::Unanswered { .. }), "{crowded}");
    assert_eq!(member.count("holds_crowded"), 1);
    timeout(TEST_TIMEOUT, stays.read_u8()).await.expect("in time").expect_err("it is over");
    ask_sync_port(source(), member.addr).await.expect("told");
}
