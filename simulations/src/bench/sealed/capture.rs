//! A capture of the datagrams on loopback.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with, sockopt,
};

/// The longest wait for a packet.
const WAIT: Duration = Duration::from_millis(50);
/// Datagrams that a capture keeps.
const MAX_KEPT: usize = 100_000;
/// Bytes that the kernel keeps while nobody reads.
const RECEIVE_BUFFER: usize = 4 << 20;
const UDP: u8 = 17;

/// A datagram of UDP over IPv4.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) to_port: u16,
    pub(super) bytes: Vec<u8>,
}

/// Sees all packets on loopback. Root alone may.
pub(super) struct Capture(OwnedFd);

impl Capture {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Some(eth::IP);
        let flags = SocketFlags::CLOEXEC;
        let packets = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
        sockopt::set_socket_timeout(&packets, sockopt::Timeout::Recv, Some(WAIT))?;
        sockopt::set_socket_recv_buffer_size(&packets, RECEIVE_BUFFER)?;
        Ok(Self(packets))
    }

    /// The datagrams of so long. Each comes once, though the kernel shows it as sent and as received.
    pub(super) fn datagrams(&self, time: Duration) -> io::Result<Vec<Datagram>> {
        let (began, mut kept) = (Instant::now(), Vec::new());
        let mut buffer = vec![0; 65_536];
        while began.elapsed() < time && kept.len() < MAX_KEPT {
            match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => kept.extend(datagram(&buffer[..length])),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        kept.sort_by(|one, other| (one.to_port, &one.bytes).cmp(&(other.to_port, &other.bytes)));
        kept.dedup_by(|one, other| one.to_port == other.to_port && one.bytes == other.bytes);
        Ok(kept)
    }
}

/// The datagram of a packet of IPv4 (RFC 791, RFC 768).
fn datagram(packet: &[u8]) -> Option<Datagram> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let udp = packet.get(header..).filter(|_| packet.get(9) == Some(&UDP))?;
    let [_, _, high, low, ..] = *udp else { return None };
    Some(Datagram { to_port: u16::from_be_bytes([high, low]), bytes: udp.get(8..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_found_behind_both_headers() {
        let mut packet = vec![0x45; 20];
        packet[9] = UDP;
        packet.extend([0x1f, 0x90, 0x1f, 0x0a, 0, 11, 0, 0]);
        packet.extend(*b"hey");
        let found = datagram(&packet).expect("it is one");
        assert_eq!((found.to_port, &found.bytes[..]), (7_946, &b"hey"[..]));
        packet[9] = 6;
        assert!(datagram(&packet).is_none());
        assert!(datagram(&[]).is_none() && datagram(&[0x4f; 12]).is_none());
    }
}
