//! Small HTTP services on one port of several loopback addresses, each of which can be killed and started again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::agent::Agent;

/// Services at 127.0.0.1, 127.0.0.2 and so on. Each answers with its address, and has metrics.
pub(crate) struct Backends {
    port: u16,
    running: Vec<Option<Backend>>,
}

impl Backends {
    /// Starts so many on a port that is free on all of their addresses.
    pub(crate) fn start(count: u8) -> Self {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            let others = (2..=count).map(|n| TcpListener::bind((address(n), port)));
            let Ok(others) = others.collect::<Result<Vec<_>, _>>() else { continue };
            let all = std::iter::once(first).chain(others);
            return Self { port, running: all.map(|one| Some(Backend::start(one))).collect() };
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Registers them all, with a check by which their agent notices a death.
    pub(crate) fn register(&self, agent: &Agent, weight: u32) {
        (1..=self.running.len()).for_each(|n| self.register_one(agent, n as u8, weight));
    }

    /// Registers one, or changes its weight.
    pub(crate) fn register_one(&self, agent: &Agent, n: u8, weight: u32) {
        let (address, port) = (address(n), self.port.to_string());
        let (id, check) = (format!("web-{n}"), format!("{address}:{port}"));
        let weight = weight.to_string();
        agent.ok(&[
            "register",
            "web",
            "--id",
            &id,
            "--address",
            &address,
            "--port",
            &port,
            "--weight",
            &weight,
            "--check-tcp",
            &check,
            "--interval",
            "500ms",
        ]);
    }

    /// Its port refuses connections when this returns.
    pub(crate) fn kill(&mut self, n: u8) {
        self.running[usize::from(n) - 1] = None;
    }

    pub(crate) fn restart(&mut self, n: u8) {
        let listener = TcpListener::bind((address(n), self.port)).unwrap();
        self.running[usize::from(n) - 1] = Some(Backend::start(listener));
    }
}

pub(crate) fn address(n: u8) -> String {
    format!("127.0.0.{n}")
}

struct Backend {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(listener: TcpListener) -> Self {
        let (addr, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A probe gives up without a word.
                let _ = stream.and_then(|stream| answer(stream, addr));
            }
        });
        Self { addr, stop, thread: Some(thread) }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(mut stream: TcpStream, addr: SocketAddr) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1_024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => head.extend(&buffer[..length]),
        }
    }
    // Prometheus takes nothing but metrics.
    let is_scrape = head.starts_with(b"GET /metrics ");
    let body = if is_scrape { "backend 1\n".to_owned() } else { addr.ip().to_string() };
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
