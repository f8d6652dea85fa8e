//! Queries in datagrams. Those that concern the catalog are answered before the next one is read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::counters::count;
use super::taking::{Came, Taken, Taking};

/// Bytes of a query. What is longer is cut, and malformed.
const MAX_QUERY_BYTES: usize = 4_096;
/// The pause after the system failed to hand over a datagram.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// Answers until dropped.
pub(super) async fn serve(taking: Arc<Taking>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; MAX_QUERY_BYTES];
    // The first answer must not fail because nobody has looked yet whether the socket takes it.
    let _ = socket.writable().await;
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                count(&taking.counters.receive_failed);
                tracing::debug!(%error, "a DNS query could not be received");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        match taking.take(bytes, Came::Udp(from.ip())) {
            Taken::Ignore => {}
            Taken::Send(answer) => send(&taking, &socket, &answer, from),
            Taken::Wait(pending) => {
                let (taking, socket, bytes) = (taking.clone(), socket.clone(), bytes.to_vec());
                // It ends by itself, within the time that servers have, and has a place until then.
                tokio::spawn(async move {
                    let came = Came::Udp(from.ip());
                    if let Some(answer) = taking.finish(&bytes, came, pending).await {
                        send(&taking, &socket, &answer, from);
                    }
                });
            }
        }
    }
}

/// Sends an answer, or drops it: a client asks again.
fn send(taking: &Taking, socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(answer, to) {
        count(&taking.counters.unsent);
        if error.kind() != io::ErrorKind::WouldBlock {
            tracing::debug!(%to, %error, "a DNS answer could not be sent");
        }
    }
}
