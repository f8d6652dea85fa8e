//! The sockets of another process, and a filter on the packets that they take.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::{Domain, SockFilter, Socket};

/// Instructions of a packet filter, from linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// The source address in the header of a packet of IPv4, of which `SKF_NET_OFF` in linux/filter.h is the beginning.
const SOURCE_ADDRESS: u32 = 0xfff0_0000 + 12;
/// The bytes of a packet that a filter lets pass: all, or none.
const ALL: u32 = u32::MAX;
const NONE: u32 = 0;

/// The sockets of a process.
#[derive(Debug)]
pub(super) struct Sockets {
    pid: Pid,
    process: OwnedFd,
}

impl Sockets {
    /// Those of a child that has not been waited for. None, if the kernel is too old.
    pub(super) fn of(child: Pid) -> Option<Self> {
        let process = pidfd_open(child, PidfdFlags::empty()).ok()?;
        Some(Self { pid: child, process })
    }

    /// Drops all packets from these addresses that come to a socket of IPv4 that is there now, as a firewall on the way would: no
    /// connection is made or refused, and one that is open hears nothing more. A socket that accepts connections hands the filter on.
    /// It replaces the one of before; without addresses there is none.
    ///
    /// # Errors
    /// The kernel does not give the sockets, or does not take the filter. A process that has ended has no sockets.
    pub(super) fn drop_packets_from(&self, addresses: &[Ipv4Addr]) -> io::Result<()> {
        let program = program(addresses);
        let pid = self.pid.as_raw_nonzero();
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Ok(()) };
        for entry in entries.map_while(Result::ok) {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let Some(number) = number.filter(|_| target.to_string_lossy().starts_with("socket:"))
            else {
                continue;
            };
            match pidfd_getfd(&self.process, number, PidfdGetfdFlags::empty()) {
                Ok(socket) => filter(&socket.into(), &program)?,
                // The socket was closed, or the process has ended.
                Err(Errno::BADF | Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Sets or removes the filter of a socket, unless it has another use than IPv4.
fn filter(socket: &Socket, program: &[SockFilter]) -> io::Result<()> {
    if socket.domain()? != Domain::IPV4 {
        return Ok(());
    }
    if !program.is_empty() {
        return socket.attach_filter(program);
    }
    match socket.detach_filter() {
        // It has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A filter that lets all packets pass but those from these addresses. At most 254 addresses: a jump is one byte.
fn program(addresses: &[Ipv4Addr]) -> Vec<SockFilter> {
    debug_assert!(addresses.len() < 255, "a demonstration has few agents");
    if addresses.is_empty() {
        return Vec::new();
    }
    let load = SockFilter::new(LOAD_WORD, 0, 0, SOURCE_ADDRESS);
    let compare = addresses.iter().enumerate().map(|(index, address)| {
        // Over the other addresses, and over the instruction that lets the packet pass.
        let to_drop = u8::try_from(addresses.len() - index).unwrap_or(u8::MAX);
        SockFilter::new(JUMP_IF_EQUAL, to_drop, 0, (*address).into())
    });
    let ends = [ALL, NONE].map(|bytes| SockFilter::new(RETURN, 0, 0, bytes));
    [load].into_iter().chain(compare).chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    use super::*;

    /// A socket on an address of its own.
    fn socket(last: u8) -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::new(127, 0, 9, last), 0)).unwrap()
    }

    fn send(from: &UdpSocket, to: SocketAddr) -> Vec<u8> {
        let text = from.local_addr().unwrap().ip().to_string().into_bytes();
        from.send_to(&text, to).unwrap();
        text
    }

    #[test]
    fn only_packets_from_these_addresses_are_dropped_until_there_are_none() {
        let (listener, senders) = (socket(1), [2, 3, 4].map(socket));
        let to = listener.local_addr().unwrap();
        let hears = || {
            let mut bytes = [0; 64];
            let (length, _) = listener.recv_from(&mut bytes).unwrap();
            bytes[..length].to_vec()
        };
        listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let own = Sockets::of(rustix::process::getpid()).unwrap();
        own.drop_packets_from(&[2, 3].map(|last| Ipv4Addr::new(127, 0, 9, last))).unwrap();
        let sent: Vec<_> = senders.iter().map(|sender| send(sender, to)).collect();
        assert_eq!(hears(), sent[2], "packets of one sender to one socket keep their order");
        own.drop_packets_from(&[]).unwrap();
        assert_eq!(send(&senders[0], to), hears());
        own.drop_packets_from(&[]).unwrap();
    }
}
