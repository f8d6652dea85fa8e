//! A server of the demonstration: it answers each HTTP request with the id of its instance, in a process of its own.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::ServerArgs;
use crate::exit::Exit;
use crate::stdin;

/// The most connections that are answered at once.
const MAX_CONNECTIONS: usize = 64;
/// The most bytes of the head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The pause after a connection could not be accepted.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// The time that a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until the standard input ends. Prints the address once it listens.
pub(crate) async fn run(args: ServerArgs) -> anyhow::Result<Exit> {
    let end_of_stdin = stdin::end_of_stdin()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("{} cannot listen on {}", args.id, args.listen))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    tokio::select! {
        () = serve(listener, &args.id) => {}
        // An error means that the reader is gone, so that nothing would tell of the end.
        _ = end_of_stdin => {}
    }
    Ok(Exit::Done)
}

async fn serve(listener: TcpListener, id: &str) {
    let body = format!("hello from {id}\n");
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(timeout(REQUEST_TIMEOUT, answer(stream, body.clone())));
            }
            // Waiting is all that helps, for example against a shortage of file descriptors.
            Err(_) => sleep(PAUSE_AFTER_FAILURE).await,
        }
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
    }
}

/// Answers one request and closes the connection.
async fn answer(mut stream: TcpStream, body: String) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_request_is_answered_with_the_id() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { serve(listener, "web-1").await });
        for _ in 0..2 {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.ends_with("\r\n\r\nhello from web-1\n"), "{response}");
        }
        server.abort();
    }
}
