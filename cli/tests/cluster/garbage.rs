//! Garbage on every port: counted, and nothing more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use crate::agent::{Agent, eventually};

const PACKETS: usize = 10_000;

/// Xorshift64*: the same garbage in every run.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = 1 + self.next() as usize % most;
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn cluster(home: &std::path::Path) -> [Agent; 2] {
    let a1 = Agent::start(home, "a1", &[]);
    let a2 = Agent::start(home, "a2", &[&a1]);
    eventually("two are alive", || a1.alive() == 2 && a2.alive() == 2);
    [a1, a2]
}

fn still_works([mut a1, a2]: [Agent; 2]) {
    a1.ok(&["register", "web", "--id", "after", "--port", "80"]);
    eventually("news still spread", || a2.healthy("web") == ["after"]);
    eventually("all are still alive", || a1.alive() == 2 && a2.alive() == 2);
    assert!(a1.is_running());
}

/// Sends in small bursts and waits for the kernel between them, so that the agent really gets to see most of it.
fn flood(to: &str, garbage: &mut Garbage, first_byte: impl Fn(u64) -> Option<u8>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..PACKETS {
        let mut packet = garbage.bytes(1_500);
        if let Some(first) = first_byte(number as u64) {
            packet[0] = first;
        }
        // A full buffer drops it, as a network may.
        let _ = socket.send_to(&packet, to);
        if number % 32 == 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn ten_thousand_packets_at_the_gossip_port() {
    let home = tempfile::tempdir().unwrap();
    let agents = cluster(home.path());
    let version = |number: u64| number.is_multiple_of(2).then_some(1);
    flood(&agents[0].bind().to_string(), &mut Garbage(7), version);
    eventually("they are counted", || agents[0].counter("datagrams_malformed") > 0);
    println!("{} of {PACKETS} arrived", agents[0].counter("datagrams_malformed"));
    still_works(agents);
}

#[test]
fn ten_thousand_packets_at_the_sync_port() {
    let home = tempfile::tempdir().unwrap();
    let agents = cluster(home.path());
    let sync = crate::agent::text(&agents[0].json(&["info"]), "sync_address");
    // Long and short headers of QUIC among them.
    let header = |number: u64| match number % 3 {
        0 => Some(0xc0),
        1 => Some(0x40),
        _ => None,
    };
    flood(&sync, &mut Garbage(8), header);
    still_works(agents);
}

#[test]
fn ten_thousand_packets_at_the_dns_port() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--dns=127.0.0.1:0".to_owned()];
    let agent = Agent::start_with(home.path(), "a1", crate::agent::ANY_PORT, &args);
    let ready = agent.logged("the agent is ready").remove(0);
    let address = ready.split_once(" dns=").unwrap().1.split(' ').next().unwrap().to_owned();
    let query = |number: u64| number.is_multiple_of(2).then_some(0);
    let counted = || {
        let of = |kind| agent.counter(&format!("dns_{kind}"));
        ["ignored", "malformed", "unsupported", "refused"].map(of).iter().sum::<u64>()
    };
    let resident = || {
        let pid = agent.json(&["info"])["pid"].as_u64().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    flood(&address, &mut Garbage(10), query);
    eventually("they are counted", || counted() > 0);
    let (first, before) = (counted(), resident());
    for seed in 11..15 {
        flood(&address, &mut Garbage(seed), query);
    }
    eventually("more are counted", || counted() > first);
    let grown = resident().saturating_sub(before);
    println!("{} of {} arrived, {grown} KiB more", counted(), 5 * PACKETS);
    assert!(grown < 4_096, "it grew by {grown} KiB");
    agent.ok(&["register", "web", "--port", "80"]);
}

#[test]
fn ten_thousand_frames_on_the_socket() {
    let home = tempfile::tempdir().unwrap();
    let agents = cluster(home.path());
    let mut garbage = Garbage(9);

    let mut json = UnixStream::connect(agents[0].socket()).unwrap();
    let mut answers = BufReader::new(json.try_clone().unwrap());
    for _ in 0..PACKETS / 2 {
        let mut line = garbage.bytes(200);
        line.retain(|byte| *byte != b'\n');
        json.write_all(b"{").unwrap();
        json.write_all(&line).unwrap();
        json.write_all(b"\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.contains("error"), "{answer}");
    }
    json.write_all(b"{\"id\":1,\"request\":{\"members\":{}}}\n").unwrap();
    let mut answer = String::new();
    answers.read_line(&mut answer).unwrap();
    assert!(answer.contains("\"members\""), "the connection still answers: {answer}");

    let mut binary = UnixStream::connect(agents[0].socket()).unwrap();
    for _ in 0..PACKETS / 2 {
        let body = garbage.bytes(200);
        binary.write_all(&(body.len() as u32).to_be_bytes()).unwrap();
        binary.write_all(&body).unwrap();
        let mut len = [0; 4];
        binary.read_exact(&mut len).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        binary.read_exact(&mut answer).unwrap();
    }

    for _ in 0..200 {
        let mut stream = UnixStream::connect(agents[0].socket()).unwrap();
        // The agent may hang up in the middle.
        let _ = stream.write_all(&garbage.bytes(2_000));
    }
    assert!(agents[0].counter("api_malformed") > 0);
    still_works(agents);
}
