//! Connections that wait for their next request without buffers, and those that must not.

use std::time::Duration;

use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::limits::get2;
use super::support::{
    Server, at_rest, client1, client2, full, get, instance, pass, raw, read_head, rest, soon, web,
    whole,
};

/// Longer than a connection without a call keeps its buffers.
const WHILE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn a_connection_that_waited_takes_the_next_request() {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    let (mut one, mut two) = (client1(web.address).await, client2(web.address).await);
    let mut slow = TcpStream::connect(web.address).await.unwrap();
    for _ in 0..3 {
        one.ready().await.unwrap();
        two.ready().await.unwrap();
        assert_eq!(whole(one.send_request(get("/")).await.unwrap()).await.0, 200);
        assert_eq!(whole(two.send_request(get2("/")).await.unwrap()).await.0, 200);
        // A head in two pieces, the first of one byte.
        slow.write_all(b"P").await.unwrap();
        at_rest().await;
        slow.write_all(b"UT / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        let head = soon(read_head(&mut slow)).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut body = [0; 2];
        soon(slow.read_exact(&mut body)).await.unwrap();
        pass(WHILE).await;
    }
    assert_eq!(web.proxy.connections(), 3);
    // The version is chosen once.
    slow.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(!answer.contains('\u{0}') && !answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn the_rest_of_a_body_never_becomes_a_request() {
    // It answers before the body has come, and reads on.
    let early = raw(|mut stream| async move {
        assert!(read_head(&mut stream).await.starts_with("POST /first "));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await.unwrap();
        let mut body = String::new();
        // The proxy closes when the client does.
        let _ = stream.read_to_string(&mut body).await;
        assert!(!body.contains("HTTP/1.1\r\nhost: web\r\nx-request-id"), "{body}");
    })
    .await;
    let web = web(vec![instance("web-1", early)]).await;
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream
        .write_all(b"POST /first HTTP/1.1\r\nhost: web\r\ncontent-length: 500\r\n\r\n")
        .await
        .unwrap();
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    pass(WHILE).await;
    // It is a part of the body, or nothing.
    let _ = stream.write_all(b"GET /second HTTP/1.1\r\nhost: web\r\n\r\n").await;
    let _ = stream.shutdown().await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("early") && !answer.contains("HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_is_sent_to_its_end() {
    const LENGTH: usize = 4 << 20;
    let server = Server::start(|_| async { Response::new(full(vec![b'x'; LENGTH])) }).await;
    let web = web(vec![server.instance("web-1")]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await.unwrap();
    soon(read_head(&mut stream)).await;
    let mut piece = vec![0; LENGTH / 8];
    for turn in 0..8 {
        // The last pieces have left the instance long before.
        if turn > 4 {
            pass(WHILE).await;
        }
        soon(stream.read_exact(&mut piece)).await.unwrap();
    }
    assert_eq!(piece, vec![b'x'; LENGTH / 8]);
}
