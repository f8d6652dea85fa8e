//! Clients that mean no good: requests hidden in others, heads without an end, answers that nobody reads.

use super::super::stream::WRITE_WITHIN;
use super::*;

/// A request that must not be seen. Its answer would have a word that no other one has.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HIDDEN_ANSWER: &str = "driver: ok";
/// The request after it, which ends the connection.
const LAST: &str = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The statuses of all answers on a connection.
fn statuses(answers: &str) -> Vec<u16> {
    let heads = answers.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head[..3].parse().expect("a status")).collect()
}

/// Each pair of fields gives a body two lengths, so that one party sees a request where another sees a body. Here it is a body,
/// or the end of the connection.
#[tokio::test]
async fn a_request_within_a_body_is_never_answered() {
    let served = Served::start().await;
    let n = HIDDEN.len();
    let chunk = format!("{n:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let after_last_chunk = format!("0\r\n\r\n{HIDDEN}");
    let (refused, none) = (400, 405);
    for (fields, body, status) in [
        (format!("Content-Length: {n}"), HIDDEN, none),
        (format!("Content-Length: {n}\r\nContent-Length: {n}"), HIDDEN, none),
        (format!("Content-Length: {n}, {n}"), HIDDEN, refused),
        (format!("Content-Length: {n}\r\nContent-Length: 0"), HIDDEN, refused),
        (format!("Content-Length: 0\r\nContent-Length: {n}"), HIDDEN, refused),
        (format!("Content-Length: -{n}"), HIDDEN, refused),
        (format!("Content-Length: {n}\r\n a"), HIDDEN, refused),
        (format!("Content-Length:\r\n {n}"), HIDDEN, refused),
        (format!("Content-Length\r\n: {n}"), HIDDEN, refused),
        ("Content-Length: 18446744073709551616".to_owned(), HIDDEN, refused),
        ("Transfer-Encoding: chunked".to_owned(), chunk.as_str(), none),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(), HIDDEN, refused),
        ("Transfer-Encoding: identity".to_owned(), HIDDEN, refused),
        ("Transfer-Encoding: \x0bchunked".to_owned(), HIDDEN, refused),
        ("Transfer-Encoding : chunked".to_owned(), HIDDEN, refused),
        ("X: a\rTransfer-Encoding: chunked".to_owned(), HIDDEN, refused),
        // Where the encoding counts, nothing behind this request does.
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {n}"),
            after_last_chunk.as_str(),
            none,
        ),
        (
            format!("Content-Length: {n}\r\nTransfer-Encoding: chunked"),
            after_last_chunk.as_str(),
            none,
        ),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        let answers = served.send(&format!("{head}{body}{LAST}")).await;
        assert!(!answers.contains(HIDDEN_ANSWER), "{fields:?}: {answers}");
        assert_eq!(statuses(&answers).first(), Some(&status), "{fields:?}: {answers}");
    }
    let old =
        format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{after_last_chunk}{LAST}");
    assert_eq!(statuses(&served.send(&old).await), [400], "HTTP/1.0 has no chunks");
    assert!(is(&served.get("/healthz").await, 200), "it goes on");
}

/// RFC 9112 lets a server take a bare LF for the end of a line. A bare CR is none.
#[tokio::test]
async fn a_bare_line_feed_ends_a_line_and_a_bare_carriage_return_does_not() {
    let served = Served::start().await;
    let feeds = served.send(&format!("{HIDDEN}{LAST}").replace('\r', "")).await;
    assert_eq!(statuses(&feeds), [200, 503], "{feeds}");
    for request in [HIDDEN.replace('\n', ""), HIDDEN.replacen("\r\n", "\r", 1)] {
        let answers = served.send(&format!("{request}\r\n\r\n")).await;
        assert!(!answers.contains(HIDDEN_ANSWER), "{request:?}: {answers}");
        assert!(answers.is_empty() || is(&answers, 400), "{request:?}: {answers}");
    }
}

#[tokio::test]
async fn a_crowd_of_slow_heads_gives_its_places_back_in_time() {
    let served = Served::start().await;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.expect("sent");
        crowd.push(stream);
    }
    assert_eq!(served.get("/").await, "", "there is no place");
    served.settled(HEAD_WITHIN * 2).await;
    assert!(is(&served.get("/").await, 200), "there is place again");
    assert_eq!(served.counters.failed.load(Ordering::Relaxed), CONNECTIONS as u64);
    assert_eq!(served.counters.refused.load(Ordering::Relaxed), 1);
}

/// Many requests, and nobody who takes the answers: the door reads no further once the buffers of the system are full.
#[tokio::test]
async fn a_client_that_takes_no_answer_is_given_up_and_counted() {
    const REQUESTS: usize = 2_000;
    let served = Served::start().await;
    let mut stream = served.connect().await;
    let asked = "GET /ui/console.css HTTP/1.1\r\n\r\n".repeat(REQUESTS);
    stream.write_all(asked.as_bytes()).await.expect("there is room");
    stream.read_u8().await.expect("the first answer begins");
    served.settled(WRITE_WITHIN * 2).await;
    assert_eq!(served.counters.failed.load(Ordering::Relaxed), 1);
    assert!(served.counters.requests.load(Ordering::Relaxed) < REQUESTS as u64);
    assert!(is(&served.get("/").await, 200), "it goes on");
}
