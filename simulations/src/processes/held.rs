//! The connections that agents hold to each other, and their reset from outside.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, sockopt,
};

/// The state of an open connection in `/proc/net/tcp`: `TCP_ESTABLISHED`.
const ESTABLISHED: &str = "01";
/// The type of a request: `SOCK_DESTROY`.
const DESTROY: u16 = 21;
/// The flags of a request: `NLM_F_REQUEST` and `NLM_F_ACK`.
const REQUEST_ACK: u16 = 1 | 4;
/// Bytes of a request: `struct nlmsghdr` and `struct inet_diag_req_v2`.
const REQUEST: usize = 16 + 56;
/// The longest wait for an acknowledgement, which the kernel gives within the call that sends the request.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// One end of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) local: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
}

/// Both ends of each open connection of this network namespace, over IPv4.
pub(super) fn open_connections() -> io::Result<Vec<End>> {
    Ok(fs::read_to_string("/proc/net/tcp")?.lines().skip(1).filter_map(end).collect())
}

fn end(line: &str) -> Option<End> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    (fields.next()? == ESTABLISHED).then_some(End { local, remote })
}

/// The address is a number in the byte order of the host.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_str_radix(port, 16).ok()?))
}

/// The way to reset connections of other processes: the kernel does so for root.
pub(super) struct Resetter(OwnedFd);

impl Resetter {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Some(netlink::SOCK_DIAG);
        let fd = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(WITHIN))?;
        Ok(Self(fd))
    }

    /// Resets a connection at this end: the process there finds it aborted, and the other one reset. False when it is
    /// gone already.
    ///
    /// # Errors
    /// The kernel refuses: without the capability `CAP_NET_ADMIN`, or when it was built without `CONFIG_INET_DIAG_DESTROY`.
    pub(super) fn reset(&self, end: End) -> io::Result<bool> {
        net::send(&self.0, &request(end), SendFlags::empty())?;
        let mut answer = [0; 256];
        let (len, _) = net::recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        let code = answer[..len].get(16..20).and_then(|code| code.try_into().ok());
        let code = i32::from_ne_bytes(code.ok_or(io::ErrorKind::InvalidData)?);
        // The kernel's numbers are negative, and 0 is an acknowledgement.
        match io::Error::from_raw_os_error(code.saturating_neg()) {
            _ if code == 0 => Ok(true),
            error if error.kind() == io::ErrorKind::NotFound => Ok(false),
            error => Err(error),
        }
    }
}

fn request(End { local, remote }: End) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST);
    request.extend((REQUEST as u32).to_ne_bytes());
    request.extend(DESTROY.to_ne_bytes());
    request.extend(REQUEST_ACK.to_ne_bytes());
    request.extend([0; 8]); // Sequence number, and the port id of the kernel.
    request.extend([2, 6, 0, 0]); // AF_INET, IPPROTO_TCP, no extensions
    request.extend(u32::MAX.to_ne_bytes()); // Any state.
    request.extend(local.port().to_be_bytes());
    request.extend(remote.port().to_be_bytes());
    for ip in [local.ip(), remote.ip()] {
        request.extend(ip.octets());
        request.extend([0; 12]);
    }
    request.extend([0; 4]); // Any interface.
    request.resize(REQUEST, 0xff); // No cookie.
    request
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    fn v4(address: io::Result<SocketAddr>) -> SocketAddrV4 {
        match address.unwrap() {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[test]
    fn an_open_connection_is_listed_from_both_ends_and_reset_by_root() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let end = End { local: v4(stream.local_addr()), remote: v4(stream.peer_addr()) };
        let found = open_connections().unwrap();
        assert!(found.contains(&end));
        assert!(found.contains(&End { local: end.remote, remote: end.local }));

        let resetter = Resetter::open().unwrap();
        match resetter.reset(end) {
            Ok(was_open) => {
                assert!(was_open);
                let error = accepted.read(&mut [0]).expect_err("reset");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                assert!(!open_connections().unwrap().contains(&end));
                assert!(!resetter.reset(end).unwrap(), "gone");
            }
            // Without privileges, or on a kernel without this.
            Err(error) => {
                let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        }
    }

    #[test]
    fn lines_of_proc_are_read() {
        let line =
            "   1: 0100007F:1F90 0200007F:0050 01 00000000:00000000 00:00000000 00000000     0";
        let end = end(line);
        if cfg!(target_endian = "little") {
            let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080);
            let remote = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 80);
            assert_eq!(end, Some(End { local, remote }));
        }
        assert_eq!(super::end(&line.replace(" 01 ", " 0A ")), None, "a listener");
        assert_eq!(super::end("  sl  local_address rem_address   st"), None);
    }
}
