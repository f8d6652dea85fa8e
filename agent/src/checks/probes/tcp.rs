//! Connections to the host of a probe; opening one is all of a TCP probe.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::lookup;
use super::target::Target;
use super::{ProbeError, is_local};

/// Addresses of one name that are tried.
pub const MAX_ADDRESSES: usize = 8;
/// The longest head start of an address before the next one is tried beside it, as in RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the target: to the first of its addresses that takes the connection.
pub(super) async fn connect(target: &Target, deadline: Instant) -> Result<TcpStream, ProbeError> {
    let Target { host, port, .. } = target;
    let addresses = lookup::addresses(host, deadline).await?;
    let connecting = connect_to_any(&addresses, *port, deadline);
    let connected = timeout_at(deadline, connecting).await.map_err(|_| ProbeError::NoAnswer)?;
    connected.map_err(|source| ProbeError::Connect { host: host.clone(), port: *port, source })
}

/// Tries one address after the other. An address that neither takes nor refuses the connection does not use up the time of
/// the others: they are tried beside it, the last of them well before the deadline.
async fn connect_to_any(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let parts = addresses.len() as u32 + 1;
    let head_start = HEAD_START.min(deadline.duration_since(Instant::now()) / parts);
    let mut waiting = addresses.iter();
    let mut attempts = JoinSet::new();
    let mut failed: Option<io::Error> = None;
    loop {
        if let Some(ip) = waiting.next() {
            attempts.spawn(TcpStream::connect(SocketAddr::new(*ip, port)));
        }
        let is_last = waiting.len() == 0;
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(connected) => match connected? {
                    Ok(stream) => return Ok(stream),
                    // A shortage on this host is no news about the target, so it outweighs a refusal.
                    Err(error) => if failed.as_ref().is_none_or(|failed| !is_local(failed)) {
                        failed = Some(error);
                    },
                },
                None if is_last => {
                    return Err(failed.unwrap_or_else(|| io::Error::other("the name has no address")));
                }
                None => {}
            },
            () = sleep(head_start), if !is_last => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(30);

    /// A listener whose queue is full takes no connection and refuses none, as a host that drops packets.
    async fn silent() -> (TcpListener, u16, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
        let listener = socket.listen(0).expect("listening");
        let addr = listener.local_addr().expect("an address");
        let mut streams = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(addr)).await
        {
            streams.push(connected.expect("connected"));
        }
        (listener, addr.port(), streams)
    }

    #[tokio::test]
    async fn the_second_address_is_tried_when_the_first_is_silent_or_refuses() {
        let (_silent, port, _streams) = silent().await;
        let second = Ipv4Addr::new(127, 0, 0, 2);
        let _listener = TcpListener::bind((second, port)).await.expect("another address");
        let deadline = Instant::now() + PATIENT;
        let addresses = [Ipv4Addr::LOCALHOST.into(), second.into()];
        let connecting = connect_to_any(&addresses, port, deadline);
        let stream = timeout_at(deadline, connecting).await.expect("in time").expect("connected");
        assert_eq!(stream.peer_addr().expect("an address").ip(), second);

        let third = Ipv4Addr::new(127, 0, 0, 3);
        let stream = connect_to_any(&[third.into(), second.into()], port, deadline).await;
        let stream = stream.expect("connected although the first refuses");
        assert_eq!(stream.peer_addr().expect("an address").ip(), second);
        let refused = connect_to_any(&[third.into()], port, deadline).await.expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
