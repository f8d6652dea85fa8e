//! The kernel's answer to the question whether somebody listens at a TCP address of this network namespace.
//!
//! A request of `NETLINK_SOCK_DIAG` that is no dump, with the remote port 0, does the lookup that a SYN would meet, whatever
//! else is open: listeners on all addresses, on both families and with `SO_REUSEPORT` are found. It needs no privileges. A
//! lookup takes 1.5 us; a dump, or `/proc/net/tcp`, takes milliseconds on a host with many sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::net::netlink;

use super::netlink::{Answer, Lookup, Netlink};

/// The type of a request, and of its answer: `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// Bytes of a request after the header: `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// The state `TCP_LISTEN`.
const LISTEN: u8 = 10;
/// The place of the state in an answer: `struct inet_diag_msg`.
const STATE_AT: usize = 1;
/// The question whether somebody listens at an address.
const LOOKUP: Lookup<SocketAddr> = Lookup { kind: BY_FAMILY, write, meaning };

/// The way to ask. See the module.
pub(super) struct Diag(Netlink);

impl Diag {
    /// Opens the way, and tries it on a listener of its own: a kernel without `tcp_diag` knows of no listener at all.
    pub(super) fn open() -> Result<Self, OpenError> {
        let mut this = Self(Netlink::open(Some(netlink::SOCK_DIAG)).map_err(OpenError::of)?);
        let own =
            TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).map_err(OpenError::Failed)?;
        let address = own.local_addr().map_err(OpenError::Failed)?;
        match this.listening(&[address]).map_err(OpenError::of)?.first() {
            Some(Some(true)) => Ok(this),
            Some(None) => Err(OpenError::Failed(Errno::AGAIN.into())),
            _ => Err(OpenError::Denied(Errno::PROTONOSUPPORT.into())),
        }
    }

    /// Whether each address would be answered by a listener; `None` where the kernel does not say.
    ///
    /// # Errors
    /// The socket does not work any more: open another one.
    pub(super) fn listening(&mut self, addresses: &[SocketAddr]) -> io::Result<Vec<Option<bool>>> {
        self.0.ask(&LOOKUP, addresses)
    }
}

/// The kernel cannot be asked.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It does not answer such questions of this process, now or later.
    Denied(io::Error),
    /// This process lacks something. Another try may succeed.
    Failed(io::Error),
}

impl OpenError {
    pub(super) fn of(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(
                Errno::MFILE
                | Errno::NFILE
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::AGAIN
                | Errno::INTR,
            ) => Self::Failed(error),
            _ => Self::Denied(error),
        }
    }
}

fn write(address: &SocketAddr, body: &mut Vec<u8>) {
    let end = body.len() + REQUEST;
    let family = if address.is_ipv4() { 2 } else { 10 }; // AF_INET or AF_INET6
    body.extend([family, 6, 0, 0]); // IPPROTO_TCP, no extensions
    body.extend((1_u32 << LISTEN).to_ne_bytes());
    body.extend(address.port().to_be_bytes());
    body.extend([0, 0]); // The remote port, which no connection has.
    match address.ip() {
        IpAddr::V4(ip) => body.extend(ip.octets()),
        IpAddr::V6(ip) => body.extend(ip.octets()),
    }
    body.resize(end - 8, 0); // The rest of the address, the remote address, the interface.
    body.resize(end, 0xff); // No cookie.
}

fn meaning(answer: Answer<'_>) -> Option<bool> {
    match answer {
        Answer::Message { kind: BY_FAMILY, body } => {
            body.get(STATE_AT).map(|state| *state == LISTEN)
        }
        Answer::Error(Errno::NOENT) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

    use super::*;

    fn is_listening(address: impl Into<SocketAddr>) -> Option<bool> {
        let mut diag = Diag::open().expect("opened");
        diag.listening(&[address.into()]).expect("asked")[0]
    }

    fn listener(address: impl Into<SocketAddr>) -> (TcpListener, u16) {
        let listener = TcpListener::bind(address.into()).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    #[test]
    fn a_listener_is_there_until_it_is_closed() {
        let (listener, port) = listener((Ipv4Addr::LOCALHOST, 0));
        let address = (Ipv4Addr::LOCALHOST, port);
        assert_eq!(is_listening(address), Some(true));
        let _connection = TcpStream::connect(address).expect("connected");
        let (_accepted, _) = listener.accept().expect("accepted");
        assert_eq!(is_listening((Ipv4Addr::new(127, 0, 0, 2), port)), Some(false));
        drop(listener);
        assert_eq!(is_listening(address), Some(false), "connections are no listeners");
    }

    #[test]
    fn a_listener_on_all_addresses_is_found_at_each() {
        let (_listener, port) = listener((Ipv4Addr::UNSPECIFIED, 0));
        for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
            assert_eq!(is_listening((ip, port)), Some(true), "{ip}");
        }
    }

    #[test]
    fn a_listener_on_both_families_is_found_by_each() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(is_listening((Ipv6Addr::LOCALHOST, port)), Some(true));
        assert_eq!(is_listening((Ipv4Addr::LOCALHOST, port)), Some(true));
    }

    fn reusing(port: u16) -> (OwnedFd, u16) {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseport(&fd, true).expect("set");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        bind(&fd, &address).expect("bound");
        listen(&fd, 8).expect("listening");
        let port = TcpListener::from(fd.try_clone().expect("cloned")).local_addr();
        (fd, port.expect("an address").port())
    }

    #[test]
    fn of_workers_that_share_a_port_one_is_enough() {
        let (first, port) = reusing(0);
        let (second, _) = reusing(port);
        drop(first);
        assert_eq!(is_listening((Ipv4Addr::LOCALHOST, port)), Some(true));
        drop(second);
        assert_eq!(is_listening((Ipv4Addr::LOCALHOST, port)), Some(false));
    }

    #[test]
    fn many_are_asked_at_once_and_each_has_its_own_answer() {
        let (_listener, port) = listener((Ipv4Addr::LOCALHOST, 0));
        let addresses: Vec<SocketAddr> = (0..500_u16)
            .map(|at| (Ipv4Addr::new(127, 0, 0, if at % 3 == 0 { 1 } else { 9 }), port).into())
            .collect();
        let mut diag = Diag::open().expect("opened");
        for _ in 0..3 {
            let found = diag.listening(&addresses).expect("asked");
            assert_eq!(found.len(), addresses.len());
            for (at, found) in found.iter().enumerate() {
                assert_eq!(*found, Some(at % 3 == 0), "{at}");
            }
        }
    }

    #[test]
    fn a_shortage_is_told_from_a_refusal() {
        let of = |errno: Errno| matches!(OpenError::of(errno.into()), OpenError::Denied(_));
        assert!(of(Errno::PERM) && of(Errno::ACCESS) && of(Errno::PROTONOSUPPORT));
        assert!(of(Errno::AFNOSUPPORT) && !of(Errno::MFILE) && !of(Errno::NOBUFS));
    }
}
