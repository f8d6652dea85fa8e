//! Requests whose end two readers may see at two places.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::{Server, instance, raw, read_head, rest, send, web};

/// A request with these lines after its first two, and a body.
fn request(lines: &str, body: &str) -> String {
    format!("POST /first HTTP/1.1\r\nhost: web\r\n{lines}\r\n\r\n{body}")
}

const SECOND: &str = "GET /second HTTP/1.1\r\nhost: web\r\n\r\n";

#[tokio::test]
async fn requests_of_two_meanings_are_refused_and_reach_no_instance() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    for (what, bytes) in [
        ("two lengths", request("content-length: 4\r\ncontent-length: 5", "abcde")),
        ("two lengths in one", request("content-length: 4, 5", "abcde")),
        ("a length with a sign", request("content-length: +5", "abcde")),
        ("a length that is no number", request("content-length: 0x5", "abcde")),
        ("a negative length", request("content-length: -1", "")),
        ("an empty length", request("content-length:", "")),
        ("a length beyond all", request("content-length: 99999999999999999999", "")),
        ("an unknown coding", request("transfer-encoding: gzip", "abcde")),
        ("chunked that is not last", request("transfer-encoding: chunked, gzip", "0\r\n\r\n")),
        ("a coding before chunked", request("transfer-encoding: gzip, chunked", "0\r\n\r\n")),
        (
            "a coding before chunked, in a line of its own",
            request("transfer-encoding: gzip\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        ),
        ("chunked twice", request("transfer-encoding: chunked, chunked", "0\r\n\r\n0\r\n\r\n")),
        ("chunked with a parameter", request("transfer-encoding: chunked;q=1", "0\r\n\r\n")),
        ("a name and a password", "GET http://u:pw@h/x HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()),
        ("a host that is none", "GET / HTTP/1.1\r\nhost: a, b/..@c d\r\n\r\n".to_owned()),
        ("a host with a name", "GET / HTTP/1.1\r\nhost: u@web\r\n\r\n".to_owned()),
        ("a host with a port that is none", "GET / HTTP/1.1\r\nhost: web:x\r\n\r\n".to_owned()),
        ("a target that is a host", "GET evil:80 HTTP/1.1\r\nhost: web\r\n\r\n".to_owned()),
        ("a coding that is almost chunked", request("transfer-encoding: xchunked", "0\r\n\r\n")),
        ("a line that goes on", request("x-long: a\r\n b", "")),
        ("a line that goes on after a length", request("content-length:\r\n 5", "abcde")),
        ("a space before the colon", request("content-length : 5", "abcde")),
        ("a tab before the colon", request("transfer-encoding\t: chunked", "0\r\n\r\n")),
        ("a space before the name", request(" content-length: 5", "abcde")),
        ("a zero in a value", request("x-zero: a\0b", "")),
        ("a return in a value", request("x-return: a\rb", "")),
        ("a name with a space", request("bad name: 1", "")),
        ("a name with a bracket", request("bad(name: 1", "")),
        ("no name", request(": 1", "")),
        ("no colon", request("nothing", "")),
        ("two hosts", request("host: other", "")),
        (
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("an unknown version", "GET / HTTP/1.2\r\nhost: web\r\n\r\n".to_owned()),
        ("two spaces", "GET  / HTTP/1.1\r\nhost: web\r\n\r\n".to_owned()),
        ("no method", "/ HTTP/1.1\r\nhost: web\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
    ] {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all([&bytes, SECOND].concat().as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{what}: {answer}"
        );
        assert_eq!(server.seen.requests(), 0, "{what}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{what}: nothing follows: {answer}");
    }
}

#[tokio::test]
async fn with_a_length_and_chunks_the_chunks_count_and_the_connection_ends() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    for lines in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
    ] {
        let before = server.seen.requests();
        let bytes = [&request(lines, "3\r\nabc\r\n0\r\n\r\n"), SECOND].concat();
        let answer = send(web.address, bytes).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nabc"),
            "{answer}"
        );
        let seen = server.seen.last();
        assert!(!seen.headers.contains_key("content-length"), "{seen:?}");
        assert_eq!(seen.headers["transfer-encoding"], "chunked");
        assert_eq!(server.seen.requests(), before + 1, "what follows is not read");
    }
}

/// The answer of the proxy to one of an instance with these lines, and a body.
async fn answered(lines: &str, body: &str) -> String {
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}");
    let server = raw(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // It is open until the proxy has read the answer.
            rest(&mut stream).await;
        }
    })
    .await;
    let web = web(vec![instance("web-1", server)]).await;
    send(web.address, "GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").await
}

#[tokio::test]
async fn an_answer_with_a_length_and_chunks_has_the_end_of_the_chunks() {
    for lines in [
        "content-length: 20\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 20",
        "transfer-encoding: Chunked",
    ] {
        let answer = answered(lines, "3\r\nabc\r\n0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{lines}: {answer}");
        assert!(!answer.contains("content-length"), "{lines}: {answer}");
        assert!(answer.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{lines}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_whose_coding_would_be_lost_is_not_passed_on() {
    for lines in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: gzip",
    ] {
        let answer = answered(lines, "3\r\nabc\r\n0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{lines}: {answer}");
        assert!(answer.contains("\r\nx-hobnob-error: answer_invalid\r\n"), "{lines}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_broken_ends_its_call() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let bytes = [&request("transfer-encoding: chunked", body), SECOND].concat();
        let answer = send(web.address, bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert!(
            server.seen.heads.lock().unwrap().iter().all(|head| head.uri.path() == "/first"),
            "{body}"
        );
    }
    let answer =
        send(web.address, SECOND.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "its instance is not held responsible: {answer}");
}
