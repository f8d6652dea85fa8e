//! Connections to the host of a probe; opening one is all of a TCP probe.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::lookup;
use super::target::Target;
use super::{ProbeError, is_local};

/// Addresses of one name that are tried.
pub const MAX_ADDRESSES: usize = 8;
/// The longest head start of an address before the next one is tried beside it, as in RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the target: to the first of its addresses that takes the connection. The stream does not block.
pub(super) async fn connect(target: &Target, deadline: Instant) -> Result<TcpStream, ProbeError> {
    let addresses = lookup::addresses(&target.host, deadline).await?;
    let connecting = connect_to_any(&addresses, target.port, deadline);
    let connected = timeout_at(deadline, connecting).await.map_err(|_| ProbeError::NoAnswer)?;
    connected.map_err(|source| ProbeError::connect(target, source))
}

/// Tries one address after the other. An address that neither takes nor refuses the connection does not use up the time of
/// the others: they are tried beside it, the last of them well before the deadline.
async fn connect_to_any(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> io::Result<TcpStream> {
    if let [ip] = addresses {
        return connect_to(SocketAddr::new(*ip, port)).await;
    }
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let parts = addresses.len() as u32 + 1;
    let head_start = HEAD_START.min(deadline.duration_since(Instant::now()) / parts);
    let mut waiting = addresses.iter();
    let mut attempts = JoinSet::new();
    let mut failed: Option<io::Error> = None;
    loop {
        if let Some(ip) = waiting.next() {
            attempts.spawn(connect_to(SocketAddr::new(*ip, port)));
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

/// Connects to one address. A connection within this host is complete before the call returns that begins it, so the
/// runtime, which needs more time than the connection itself, is told of others only.
async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    let begun = match net::connect(&socket, &address) {
        // The second call tells how far the first one is.
        Err(Errno::INPROGRESS) => net::connect(&socket, &address),
        begun => begun,
    };
    let stream = TcpStream::from(socket);
    match begun {
        Ok(()) | Err(Errno::ISCONN) => Ok(stream),
        Err(Errno::ALREADY | Errno::INPROGRESS) => finished(stream).await,
        Err(error) => Err(error.into()),
    }
}

/// Waits for a connection that has begun.
async fn finished(stream: TcpStream) -> io::Result<TcpStream> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.into_std(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const PATIENT: Duration = Duration::from_secs(30);

    /// A listener whose queue is full takes no connection and refuses none, as a host that drops packets.
    async fn silent() -> (TcpListener, u16, Vec<tokio::net::TcpStream>) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
        let listener = socket.listen(0).expect("listening");
        let addr = listener.local_addr().expect("an address");
        let mut streams = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(addr))
                .await
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

    /// The two ways to the end of a connection: one is complete at once, the other is waited for.
    #[tokio::test]
    async fn a_connection_that_takes_time_is_waited_for() {
        let (listener, port, streams) = silent().await;
        let connecting = connect_to((Ipv4Addr::LOCALHOST, port).into());
        tokio::pin!(connecting);
        let waiting = timeout_at(Instant::now() + Duration::from_millis(10), &mut connecting);
        assert!(waiting.await.is_err(), "the queue is full");
        // Linux tries again a second later.
        let accepting = async {
            for _ in &streams {
                listener.accept().await.expect("accepted");
            }
            std::future::pending::<()>().await;
        };
        let connected = tokio::select! {
            connected = timeout_at(Instant::now() + PATIENT, connecting) => connected,
            () = accepting => unreachable!(),
        };
        let stream = connected.expect("in time").expect("connected");
        assert_eq!(stream.peer_addr().expect("an address").port(), port);
    }
}
