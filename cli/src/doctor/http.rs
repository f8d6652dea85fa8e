//! The HTTP door, if the agent has one: whether it answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Said;
use super::finding::Findings;

/// The longest wait for the answer.
const WITHIN: Duration = Duration::from_secs(2);
/// The most bytes of the answer that are read.
const MAX_BYTES: u64 = 4_096;

/// Asks the door whether the agent makes progress.
pub(super) async fn look(findings: &mut Findings, said: &Said) {
    let Some(address) = said.setting("http") else { return };
    let Ok(at) = address.parse::<SocketAddr>() else { return };
    if at.port() == 0 {
        let text = "not asked: the port is chosen at each start, and the log names it when the agent is ready";
        return findings.ok("http", text.to_owned());
    }
    match timeout(WITHIN, ask(at)).await {
        Ok(Ok(head)) if head.split_whitespace().nth(1) == Some("200") => {
            findings.ok("http", format!("{at} answers that the agent makes progress"));
        }
        Ok(Ok(head)) => findings.fail(
            "http",
            format!("{at} answers /healthz with `{}`", head.trim_end()),
            "a part of the agent is stuck: look at its log; systemd restarts it with WatchdogSec=",
        ),
        Ok(Err(error)) => findings.fail(
            "http",
            format!("{at} does not answer: {error}"),
            "look for what else listens there, or name another address with --http",
        ),
        Err(_) => findings.fail(
            "http",
            format!("{at} does not answer within {WITHIN:?}"),
            "too many connections, or a host without processor time: look at hobnob_http_connections",
        ),
    }
}

/// The first line of the answer.
async fn ask(at: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let question = format!("GET /healthz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
