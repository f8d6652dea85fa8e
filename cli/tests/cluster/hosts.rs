//! Three hosts, each a network namespace, from nothing to a sealed cluster by the commands of the README, while all packets between
//! them are captured.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SocketType, eth, recv, socket, sockopt};
use serde_json::Value;

use crate::agent::{eventually, hobnob, items, text};
use crate::networks::{Killed, Namespace, found_cluster, in_own_network, ip};

const SERVICE: &str = "payments-in-secret";
/// The clear text of the outsider, which shows that the capture sees everything.
const MARK: &[u8] = b"an outsider was here";
/// The report of the inner process, once all three hosts know each other.
const SEALED: &str = "three hosts were sealed";
/// Bytes that the capture keeps.
const MAX_CAPTURED: usize = 64 << 20;

#[test]
fn three_hosts_are_sealed_by_two_commands_each_and_an_outsider_learns_nothing() {
    let name = "hosts::three_hosts_are_sealed_by_two_commands_each_and_an_outsider_learns_nothing";
    in_own_network(name, "link add br0 type bridge", SEALED, inside);
}

fn inside() {
    let home = tempfile::tempdir().unwrap();
    ip("link set lo up");
    ip("link add switch type bridge");
    ip("link set switch up");
    ip("address add 10.77.0.254/24 dev switch");
    let hosts = [1, 2, 3].map(|number| Host::new(home.path(), number));
    let capture = Capture::start();

    let start = Instant::now();
    let token = found_cluster(home.path(), "10.77.0.1:7946");
    let agents = hosts.each_ref().map(|host| host.start_agent(&token));
    for host in &hosts {
        let id = format!("{SERVICE}-{}", host.number);
        host.ok(&["register", SERVICE, "--id", &id, "--port", "80", "--meta", "of=the-vault"]);
    }
    eventually("all three know all three", || {
        hosts.iter().all(|host| host.alive() == 3 && host.healthy().len() == 3)
    });
    println!("{SEALED} within {} ms", start.elapsed().as_millis());

    let outsider = Outsider::new();
    for host in &hosts {
        outsider.send_junk(host.number);
    }
    // News still spread after the junk, so it was handled by then.
    hosts[0].ok(&["deregister", &format!("{SERVICE}-1")]);
    eventually("all three know what changed", || {
        hosts.iter().all(|host| host.healthy().len() == 2)
    });
    assert!(hosts.iter().all(|host| host.alive() == 3));

    let captured = capture.stop();
    drop(agents);
    assert!(captured.contains(MARK), "the capture sees what is sent");
    for secret in [SERVICE, "the-vault", "host-2"] {
        assert!(!captured.contains(secret.as_bytes()), "{secret} was sent in clear");
    }
    assert_eq!(captured.sent_to(Outsider::ADDRESS), 0, "the outsider got an answer");
    assert!(captured.sent_to([10, 77, 0, 1]) > 100, "the hosts talk to each other");
}

/// A network namespace with a cable to the switch.
struct Host {
    number: u8,
    home: String,
    network: Namespace,
}

impl Host {
    fn new(home: &Path, number: u8) -> Self {
        let network = Namespace::new();
        let pid = network.process();
        ip(&format!("link add cable{number} type veth peer name eth0 netns {pid}"));
        ip(&format!("link set cable{number} master switch up"));
        for command in ["address add 10.77.0.X/24 dev eth0", "link set eth0 up", "link set lo up"] {
            network.ip(&command.replace('X', &number.to_string()));
        }
        Self { number, home: home.to_str().unwrap().to_owned(), network }
    }

    fn path(&self, of: &str) -> String {
        format!("{}/host-{}.{of}", self.home, self.number)
    }

    /// The one command of a host.
    fn start_agent(&self, token: &str) -> Killed {
        let bind = format!("10.77.0.{}:7946", self.number);
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.network.within(env!("CARGO_BIN_EXE_hobnob"));
        command.args(["agent", "--name", &format!("host-{}", self.number), "--bind", &bind]);
        command.args(["--token-file", token, "--data-dir", &self.path("data")]);
        let agent = command.args(["--socket", &self.path("sock")]).stderr(log).spawn().unwrap();
        let agent = Killed(agent);
        eventually("the agent is ready", || {
            std::fs::read_to_string(self.path("log")).unwrap().contains("the agent is ready")
        });
        agent
    }

    /// Runs a command against the agent, which must succeed, and returns what it printed.
    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = hobnob(args).env("HOBNOB_SOCKET", self.path("sock")).output().unwrap();
        let log = || std::fs::read_to_string(self.path("log")).unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", log());
        output.stdout
    }

    fn alive(&self) -> usize {
        let members: Value = serde_json::from_slice(&self.ok(&["members", "--json"])).unwrap();
        items(&members["members"]).iter().filter(|one| text(one, "status") == "alive").count()
    }

    fn healthy(&self) -> Vec<String> {
        let mut command = hobnob(&["resolve", SERVICE, "--strict", "--json"]);
        let output = command.env("HOBNOB_SOCKET", self.path("sock")).output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        items(&found["instances"]).iter().map(|one| text(one, "instance")).collect()
    }
}

/// Somebody at the switch who is no member.
struct Outsider(UdpSocket);

impl Outsider {
    const ADDRESS: [u8; 4] = [10, 77, 0, 254];

    fn new() -> Self {
        Self(UdpSocket::bind((std::net::Ipv4Addr::from(Self::ADDRESS), 0)).unwrap())
    }

    /// Packets of every form, of every length up to 200 bytes.
    fn send_junk(&self, host: u8) {
        for form in [0x01, 0x02, 0x42, 0x52, 0x62, 0xff] {
            for length in 0..200 {
                let mut packet = vec![form];
                packet.extend_from_slice(MARK);
                packet.resize(1 + length.max(MARK.len()), u8::try_from(length).unwrap());
                self.0.send_to(&packet, format!("10.77.0.{host}:7946")).unwrap();
            }
        }
    }
}

/// Everything that passes the switch.
struct Capture {
    is_over: Arc<AtomicBool>,
    reader: JoinHandle<Captured>,
}

struct Captured(Vec<Vec<u8>>);

impl Capture {
    fn start() -> Self {
        let packets = socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap();
        sockopt::set_socket_timeout(
            &packets,
            sockopt::Timeout::Recv,
            Some(Duration::from_millis(50)),
        )
        .unwrap();
        sockopt::set_socket_recv_buffer_size(&packets, 4 << 20).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let reader = std::thread::spawn(move || Captured(read_all(&packets, &over)));
        Self { is_over, reader }
    }

    fn stop(self) -> Captured {
        self.is_over.store(true, Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

/// Reads packets until it is over and none is left.
fn read_all(packets: &OwnedFd, is_over: &AtomicBool) -> Vec<Vec<u8>> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    let mut buffer = vec![0; 65_536];
    loop {
        match recv(packets, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => {
                bytes += length;
                assert!(bytes < MAX_CAPTURED, "the hosts say too much");
                all.push(buffer[..length].to_vec());
            }
            Err(_) if is_over.load(Ordering::Relaxed) => return all,
            Err(_) => {}
        }
    }
}

impl Captured {
    fn contains(&self, text: &[u8]) -> bool {
        self.0.iter().any(|frame| frame.windows(text.len()).any(|part| part == text))
    }

    /// Packets of IPv4, without ARP, that were sent to an address.
    fn sent_to(&self, address: [u8; 4]) -> usize {
        let is_to = |frame: &&Vec<u8>| {
            frame.get(12..14) == Some(&[8, 0]) && frame.get(30..34) == Some(&address[..])
        };
        self.0.iter().filter(is_to).count()
    }
}
