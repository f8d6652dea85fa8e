//! The question for the sync port of the member at a gossip address. It goes to the gossip port over TCP.
//!
//! A newcomer knows gossip addresses only, and its first words to a sealed cluster need a stream. The answer proves nothing: the
//! stream that follows does.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::opening::{HEAD_BYTES, MAGIC_SYNC_PORT, head};
use super::reach::is_to_itself;
use crate::transport::limits::{PREAMBLE_TIMEOUT, SYNC_PORT_TIMEOUT};
use crate::transport::tcp_source::TcpSource;

/// The question: no fields so far. A later version may append some.
const QUESTION: [u8; HEAD_BYTES] = head(MAGIC_SYNC_PORT, 1, 0);

/// There is no sync port.
#[derive(Debug, thiserror::Error)]
pub(in crate::transport) enum SyncPortError {
    /// Nobody answered, or something else than an agent.
    #[error("cannot ask {to} by TCP for its sync port: {source}")]
    Unanswered { to: SocketAddr, source: io::Error },
    /// The answer is no port.
    #[error("{to} says that its sync port is 0")]
    NoPort { to: SocketAddr },
}

/// Asks at a gossip address for the sync address of the member there, for [`SYNC_PORT_TIMEOUT`] at most.
pub(in crate::transport) async fn ask(
    source: TcpSource,
    to: SocketAddr,
) -> Result<SocketAddr, SyncPortError> {
    let asked = timeout(SYNC_PORT_TIMEOUT, exchange(source, to)).await;
    let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match answer.map_err(|source| SyncPortError::Unanswered { to, source })? {
        0 => Err(SyncPortError::NoPort { to }),
        port => Ok(SocketAddr::new(to.ip(), port)),
    }
}

async fn exchange(source: TcpSource, to: SocketAddr) -> io::Result<u16> {
    let mut stream = source.connect(to).await?;
    if is_to_itself(&stream) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // It ends by a reset, which leaves no state behind on either side.
    stream.set_zero_linger()?;
    stream.write_all(&QUESTION).await?;
    stream.read_u16_le().await
}

/// Answers the question. Waits until the asker ends the connection, for [`PREAMBLE_TIMEOUT`] at most.
pub(super) async fn answer(stream: &mut TcpStream, port: u16) -> io::Result<()> {
    stream.write_u16_le(port).await?;
    // The end that closes first remembers the connection for a minute, and that should not be a member which many ask.
    let _ = timeout(PREAMBLE_TIMEOUT, stream.read_u8()).await;
    Ok(())
}
