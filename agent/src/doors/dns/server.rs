//! The sockets of the DNS door.

use std::io;
use std::net::{self, IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};

use super::counters::DnsCounters;
use super::forwarding::Forwarder;
use super::taking::Taking;
use super::zone::Zone;
use super::{tcp, udp};
use crate::config::DnsConfig;
use crate::descriptors;
use crate::info::AgentInfo;
use crate::services::Registry;

/// Free ports that are tried, since one may be free for UDP and taken for TCP.
const MAX_PORTS_TRIED: usize = 16;

/// The DNS door could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for DNS on {addr}: {source}")]
pub struct DnsError {
    addr: SocketAddr,
    /// The error of the system.
    source: io::Error,
}

/// The sockets, before anybody answers on them: queries wait meanwhile.
pub(crate) struct DnsDoor {
    udp: UdpSocket,
    tcp: TcpListener,
    addr: SocketAddr,
    config: DnsConfig,
    counters: Arc<DnsCounters>,
}

impl DnsDoor {
    /// Listens there, on one port for UDP and TCP, within the runtime that is to serve it.
    pub(crate) fn bind(config: DnsConfig) -> Result<Self, DnsError> {
        let wanted = config.addr;
        let mut tries = if wanted.port() == 0 { MAX_PORTS_TRIED } else { 1 };
        loop {
            tries -= 1;
            match bind(wanted) {
                Ok((udp, tcp, addr)) => {
                    return Ok(Self { udp, tcp, addr, config, counters: Arc::default() });
                }
                Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(DnsError { addr: wanted, source }),
            }
        }
    }

    /// The bound address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn counters(&self) -> Arc<DnsCounters> {
        self.counters.clone()
    }

    /// Answers from the catalog until dropped.
    pub(crate) async fn serve(self, registry: Arc<Registry>, info: AgentInfo) {
        let Self { udp, tcp, addr, config, counters } = self;
        let server = shown_address(addr.ip(), info.gossip_addr.ip());
        let shares = descriptors::shares();
        let forwarder = (!config.forward.is_empty())
            .then(|| Forwarder::new(config.forward.clone(), counters.clone(), shares.dns_forwards));
        let is_open = !addr.ip().is_loopback();
        let zone = Zone::new(registry, config, server, &info.datacenter);
        let taking = Arc::new(Taking::new(zone, counters, forwarder, is_open));
        let most = shares.dns_connections;
        tokio::join!(udp::serve(taking.clone(), udp), tcp::serve(taking, tcp, most));
    }
}

fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let udp = net::UdpSocket::bind(addr)?;
    let addr = udp.local_addr()?;
    let tcp = net::TcpListener::bind(addr)?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?, addr))
}

/// The address under which clients know this server: the bound one, or the advertised one where it listens on all.
fn shown_address(bound: IpAddr, advertised: IpAddr) -> IpAddr {
    if bound.is_unspecified() { advertised } else { bound }
}
