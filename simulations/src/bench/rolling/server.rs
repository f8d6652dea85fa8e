//! A server that answers each connection by a byte.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::{RollingError, Serve};

/// A server on loopback. It ends with this.
pub(super) struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let thread = thread::Builder::new().spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                // A check closes without reading; a caller counts what it misses.
                if let Ok(mut stream) = stream {
                    let _ = stream.write_all(b"1");
                }
            }
        })?;
        Ok(Self { address, ends, thread: Some(thread) })
    }
}

impl Serve for Server {
    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its calls are over when their connections stand.
    fn stop(&mut self) -> Result<(), RollingError> {
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // A last connection wakes it. Without one it would stay until this process ends.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}
