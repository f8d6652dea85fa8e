//! Reaching a member's process: whether it keeps a new connection open, and whether its host refuses one.

use std::io;
use std::net::SocketAddr;

use hobnob_membership::ReachOutcome;
use hobnob_membership::limits::REACH_STAYS_OPEN;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::transport::limits::REACH_TIMEOUT;
use crate::transport::tcp_source::TcpSource;

/// Connects, waits for as long as the connection of a living process stays open, and drops it by a reset, which leaves no
/// state behind on either side.
pub(super) async fn reach(source: TcpSource, to: SocketAddr) -> ReachOutcome {
    match timeout(REACH_TIMEOUT, connect(source, to)).await {
        Ok(Ok(stream)) if is_to_itself(&stream) => ReachOutcome::Refused,
        Ok(Ok(stream)) => stays_open(stream).await,
        Ok(Err(error)) => outcome_of(&error),
        Err(_) => ReachOutcome::Silent,
    }
}

async fn connect(source: TcpSource, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = source.connect(to).await?;
    stream.set_zero_linger()?;
    Ok(stream)
}

/// Whether a connection goes to itself. A connection to a port of the own host may get that port as its source port, if
/// nobody listens there. So it tells the same as a refusal.
pub(super) fn is_to_itself(stream: &TcpStream) -> bool {
    let (Ok(from), Ok(to)) = (stream.local_addr(), stream.peer_addr()) else { return false };
    from == to
}

async fn stays_open(mut stream: TcpStream) -> ReachOutcome {
    let mut byte = [0];
    match timeout(REACH_STAYS_OPEN, stream.read(&mut byte)).await {
        Ok(Ok(0) | Err(_)) => ReachOutcome::Dropped,
        // Something speaks there. An agent does not, but nothing that is dead does, either.
        Ok(Ok(_)) => ReachOutcome::Open,
        // This agent may have stood still, and not have been told of the end of the connection yet: ask the kernel.
        Err(_) => match recv(&stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) | Ok((1.., _)) => ReachOutcome::Open,
            Ok(_) | Err(_) => ReachOutcome::Dropped,
        },
    }
}

/// The outcome of an attempt for which no connection was made. Only a refusal tells something of the member.
fn outcome_of(error: &io::Error) -> ReachOutcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ReachOutcome::Refused,
        io::ErrorKind::ConnectionReset => ReachOutcome::Dropped,
        io::ErrorKind::TimedOut => ReachOutcome::Silent,
        _ => ReachOutcome::LocalError,
    }
}

/// Whether an error is one of this host, or of the way to the member.
pub(super) fn is_local(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && outcome_of(error) == ReachOutcome::LocalError
}

#[cfg(test)]
mod tests {
    use super::ReachOutcome::{Dropped, LocalError, Refused, Silent};
    use super::*;

    #[test]
    fn only_a_refusal_tells_of_the_member() {
        for (errno, outcome) in [
            (Errno::CONNREFUSED, Refused),
            (Errno::CONNRESET, Dropped),
            (Errno::TIMEDOUT, Silent),
            (Errno::MFILE, LocalError),
            (Errno::NFILE, LocalError),
            (Errno::NOBUFS, LocalError),
            (Errno::NOMEM, LocalError),
            (Errno::ADDRNOTAVAIL, LocalError),
            (Errno::NETUNREACH, LocalError),
            (Errno::HOSTUNREACH, LocalError),
            (Errno::NETDOWN, LocalError),
            (Errno::ACCESS, LocalError),
            (Errno::PERM, LocalError),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(outcome_of(&error), outcome, "{error}");
            assert_eq!(is_local(&error), outcome == LocalError, "{error}");
        }
        assert!(!is_local(&io::ErrorKind::UnexpectedEof.into()), "the peer closed");
    }
}
