//! A link between two datacenters, each a network namespace: it delays every packet, and can be cut.
//!
//! In each namespace the link has an address for each host of the other one. What a host sends there is sent on in the other
//! namespace, from the address that stands for the sender. So both sides see the addresses that the hosts have.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The ports of every host: gossip and sync.
pub(super) const PORTS: [u16; 2] = [7_946, 7_947];
/// The hosts of a datacenter.
pub(super) const HOSTS: u8 = 3;
/// Time after which a thread of the link looks whether the test is over.
const LOOK: Duration = Duration::from_millis(100);
/// Packets under way. Further ones are lost, as on a real link.
const MAX_UNDER_WAY: usize = 65_536;

/// The address of a host: `10.1.0.1` is the first one of the first datacenter.
pub(super) fn host(datacenter: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, datacenter as u8 + 1, 0, number)
}

/// A packet on its way.
struct Packet {
    due: Instant,
    from: Arc<UdpSocket>,
    to: SocketAddrV4,
    bytes: Vec<u8>,
}

/// The link. It ends when it is dropped.
pub(super) struct Link {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
}

impl State {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }
}

impl Link {
    /// Connects the namespaces of two processes, which have the addresses of both datacenters.
    pub(super) fn between(processes: [u32; 2], delay: Duration) -> Self {
        let state = Arc::<State>::default();
        let sides = [0, 1].map(|side| stand_ins(processes[side], 1 - side));
        let (packets, queue) = mpsc::sync_channel::<Packet>(MAX_UNDER_WAY);
        let shared = state.clone();
        thread::spawn(move || deliver(&queue, &shared));
        for (side, here) in sides.iter().enumerate() {
            for (at, socket) in here.iter().enumerate() {
                let (socket, there) = (socket.clone(), sides[1 - side].clone());
                let to = address(at, 1 - side);
                let (packets, state) = (packets.clone(), state.clone());
                thread::spawn(move || take(&socket, &there, to, delay, &packets, &state));
            }
        }
        for side in [0, 1] {
            for number in 1..=HOSTS {
                carry_connections(processes, side, number, &state);
            }
        }
        Self { state }
    }

    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
    }

    pub(super) fn heal(&self) {
        self.state.is_cut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
    }
}

/// Runs `act` on a thread in the network of a process.
fn within<T: Send + 'static>(process: u32, act: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = move || {
        enter(process);
        act()
    };
    thread::spawn(inside).join().unwrap()
}

/// Moves this thread into the network of a process. The sockets that it has stay where they are.
fn enter(process: u32) {
    let network = File::open(format!("/proc/{process}/ns/net")).unwrap();
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// The sockets that stand for the hosts of a datacenter, in the network of a process: for each host one of each port.
fn stand_ins(process: u32, datacenter: usize) -> Vec<Arc<UdpSocket>> {
    within(process, move || {
        let addresses = (1..=HOSTS).flat_map(|number| PORTS.map(|port| (number, port)));
        let bind = |(number, port)| {
            let socket = UdpSocket::bind((host(datacenter, number), port)).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            Arc::new(socket)
        };
        addresses.map(bind).collect()
    })
}

/// The address that the stand-in at this place stands for.
fn address(at: usize, datacenter: usize) -> SocketAddrV4 {
    let (number, port) = (at / PORTS.len(), at % PORTS.len());
    SocketAddrV4::new(host(datacenter, number as u8 + 1), PORTS[port])
}

/// The place of the stand-in for an address of a host.
fn place(of: SocketAddrV4) -> Option<usize> {
    let [.., number] = of.ip().octets();
    let port = PORTS.iter().position(|port| *port == of.port())?;
    (1..=HOSTS).contains(&number).then(|| usize::from(number - 1) * PORTS.len() + port)
}

/// Takes what the hosts of one side send to a host of the other one.
fn take(
    socket: &UdpSocket,
    there: &[Arc<UdpSocket>],
    to: SocketAddrV4,
    delay: Duration,
    packets: &mpsc::SyncSender<Packet>,
    state: &State,
) {
    let mut buffer = vec![0; 65_536];
    while !state.is_over() {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // Nothing came, or nobody took what was sent before.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let SocketAddr::V4(from) = from else { continue };
        let Some(at) = place(from).filter(|_| !state.is_cut()) else { continue };
        let (due, from) = (Instant::now() + delay, there[at].clone());
        // A full link loses it.
        let _ = packets.try_send(Packet { due, from, to, bytes: buffer[..length].to_vec() });
    }
}

/// Sends packets on when they are due. All have the same delay, so they stay in order.
fn deliver(queue: &mpsc::Receiver<Packet>, state: &State) {
    while !state.is_over() {
        let Ok(Packet { due, from, to, bytes }) = queue.recv_timeout(LOOK) else { continue };
        sleep(due.saturating_duration_since(Instant::now()));
        if !state.is_cut() {
            // Nobody may listen there.
            let _ = from.send_to(&bytes, to);
        }
    }
}

/// Carries the TCP connections from one side to the gossip port of a host of the other one. They are not delayed.
fn carry_connections(processes: [u32; 2], side: usize, number: u8, state: &Arc<State>) {
    let (state, to) = (state.clone(), (host(1 - side, number), PORTS[0]));
    thread::spawn(move || {
        enter(processes[side]);
        let listener = TcpListener::bind(to).unwrap();
        listener.set_nonblocking(true).unwrap();
        // The listener stays on its side. The connections are made on the other one.
        enter(processes[1 - side]);
        while !state.is_over() {
            let accepted = listener.accept().ok().filter(|_| !state.is_cut());
            let Some((here, _)) = accepted else {
                sleep(Duration::from_millis(5));
                continue;
            };
            let Ok(there) = TcpStream::connect(to) else { continue };
            for (from, to) in [(&here, &there), (&there, &here)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let state = state.clone();
                thread::spawn(move || copy(from, to, &state));
            }
        }
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, state: &State) {
    from.set_read_timeout(Some(LOOK)).unwrap();
    let mut buffer = [0; 4_096];
    while !state.is_over() {
        match from.read(&mut buffer) {
            Ok(1..) if state.is_cut() => {}
            Ok(length @ 1..) if to.write_all(&buffer[..length]).is_ok() => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    // The other end may have closed it.
    let _ = to.shutdown(Shutdown::Write);
}
