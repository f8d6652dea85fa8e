//! A forwarder as a NAT or a container runtime has it: what arrives at a port of its own is sent on to another address,
//! and the answers back.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::agent::ANY_PORT;

/// A thread notices within this time that its forwarder is gone.
const NOTICED_WITHIN: Duration = Duration::from_millis(50);
/// The number of attempts to find a port that is free for UDP and for TCP.
const TRIES: u32 = 64;

/// A running forwarder. It ends when dropped.
pub(super) struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: OnceLock<SocketAddr>,
    drops: AtomicBool,
    datagrams: AtomicU64,
    has_ended: AtomicBool,
}

impl Forwarder {
    /// Forwards datagrams alone. A TCP connection to its port is refused.
    pub(super) fn of_udp() -> Self {
        Self::start(UdpSocket::bind(ANY_PORT).unwrap(), None)
    }

    /// Forwards datagrams, and TCP connections on the same port.
    pub(super) fn of_udp_and_tcp() -> Self {
        let free_for_both = || {
            let socket = UdpSocket::bind(ANY_PORT).unwrap();
            let listener = TcpListener::bind(socket.local_addr().unwrap()).ok()?;
            Some((socket, listener))
        };
        let (socket, listener) = (0..TRIES).find_map(|_| free_for_both()).unwrap();
        Self::start(socket, Some(listener))
    }

    fn start(socket: UdpSocket, listener: Option<TcpListener>) -> Self {
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_datagrams = shared.clone();
        thread::spawn(move || forward_datagrams(&Arc::new(socket), &of_datagrams));
        if let Some(listener) = listener {
            let of_connections = shared.clone();
            thread::spawn(move || forward_connections(&listener, &of_connections));
        }
        Self { address, shared }
    }

    /// The address to which others send.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to which it sends on. What arrives earlier is dropped.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        self.shared.target.set(target).unwrap();
    }

    /// Drops datagrams from now on, or forwards them again.
    pub(super) fn drop_datagrams(&self, drops: bool) {
        self.shared.drops.store(drops, Ordering::Relaxed);
    }

    /// The number of datagrams that it has forwarded to its target.
    pub(super) fn datagrams(&self) -> u64 {
        self.shared.datagrams.load(Ordering::Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, if there is one.
        let _ = TcpStream::connect(self.address);
    }
}

/// Sends each datagram on from a socket for its sender, as a NAT does.
fn forward_datagrams(socket: &Arc<UdpSocket>, shared: &Arc<Shared>) {
    socket.set_read_timeout(Some(NOTICED_WITHIN)).unwrap();
    let mut outside: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = [0; 2_048];
    while !shared.has_ended.load(Ordering::Relaxed) {
        // A timeout, or the refusal of an earlier answer.
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(target) = shared.target.get() else { continue };
        if shared.drops.load(Ordering::Relaxed) {
            continue;
        }
        let onward = outside.entry(from).or_insert_with(|| {
            let onward = Arc::new(UdpSocket::bind(ANY_PORT).unwrap());
            onward.connect(target).unwrap();
            let (answers, back, shared) = (onward.clone(), socket.clone(), shared.clone());
            thread::spawn(move || send_back(&answers, &back, from, &shared));
            onward
        });
        shared.datagrams.fetch_add(1, Ordering::Relaxed);
        // It fails when the target has refused an earlier one.
        let _ = onward.send(&buffer[..len]);
    }
}

fn send_back(answers: &UdpSocket, back: &UdpSocket, to: SocketAddr, shared: &Shared) {
    answers.set_read_timeout(Some(NOTICED_WITHIN)).unwrap();
    let mut buffer = [0; 2_048];
    while !shared.has_ended.load(Ordering::Relaxed) {
        if let Ok(len) = answers.recv(&mut buffer)
            && !shared.drops.load(Ordering::Relaxed)
        {
            let _ = back.send_to(&buffer[..len], to);
        }
    }
}

/// Accepts connections whose onward connections succeed. Agents say nothing on them, so no bytes are forwarded.
fn forward_connections(listener: &TcpListener, shared: &Shared) {
    while !shared.has_ended.load(Ordering::Relaxed) {
        let (_connection, _) = listener.accept().unwrap();
        if let Some(target) = shared.target.get() {
            let _ = TcpStream::connect(target);
        }
    }
}
