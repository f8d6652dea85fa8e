//! Names of other domains: another server is asked, and its answer passed on.
//!
//! Each question goes out from a socket of its own, on a port that the system chooses at random, under a random id, so that
//! nobody can guess what an answer has to look like (RFC 5452).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Header, Message, MessageBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::counters::{DnsCounters, count};
use super::message::{MAX_UDP_BYTES, Query};

/// Questions that are under way at the same time. A further one fails and is counted.
pub(super) const MAX_FORWARDS: usize = 256;
/// The longest wait for the answer of one server. Then the next one is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks other servers.
pub(super) struct Forwarder {
    servers: Vec<SocketAddr>,
    /// The server that answered last. It is asked first.
    last: AtomicUsize,
    places: Arc<Semaphore>,
    counters: Arc<DnsCounters>,
}

/// A question that goes out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// The query with a new id. It has nothing of the client's but its question and its flags.
    bytes: Vec<u8>,
    /// The id that the client gave it.
    id: u16,
    /// The bytes that an answer over UDP may have.
    limit: usize,
    over_tcp: bool,
}

impl Outgoing {
    /// The query as another server is asked it; `None` if it has no question.
    pub(super) fn of(query: &Query<'_>, over_tcp: bool) -> Option<Self> {
        let mut questions = MessageBuilder::new_vec().question();
        let header = questions.header_mut();
        header.set_id(rand::random());
        header.set_rd(query.header.rd());
        header.set_cd(query.header.cd());
        header.set_ad(query.header.ad());
        questions.push(query.question.as_ref()?).ok()?;
        let mut additional = questions.additional();
        if let Some(edns) = query.edns {
            let opt = additional.opt(|opt| {
                opt.set_udp_payload_size(edns.udp_bytes);
                opt.set_dnssec_ok(edns.dnssec_ok);
                Ok(())
            });
            opt.ok()?;
        }
        let (bytes, id) = (additional.finish(), query.header.id());
        Some(Self { bytes, id, limit: query.udp_limit(), over_tcp })
    }

    /// Whether bytes are an answer to this question. Some errors have no question.
    fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let (Ok(query), Ok(answer)) =
            (Message::from_octets(&self.bytes[..]), Message::from_octets(bytes))
        else {
            return false;
        };
        let (header, counts) = (answer.header(), answer.header_counts());
        let is_bare = header.rcode() != Rcode::NOERROR && counts.qdcount() == 0;
        let is_ours = header.qr() && header.id() == query.header().id();
        is_ours && (is_bare || answer.is_answer(&query))
    }

    /// The answer under the id of the client.
    fn for_client(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        Header::for_message_slice_mut(&mut bytes).set_id(self.id);
        bytes
    }
}

impl Forwarder {
    pub(super) fn new(servers: Vec<SocketAddr>, counters: Arc<DnsCounters>) -> Self {
        let places = Arc::new(Semaphore::new(MAX_FORWARDS));
        Self { servers, last: AtomicUsize::new(0), places, counters }
    }

    /// A place among the questions under way; `None` if there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().ok();
        if place.is_none() {
            count(&self.counters.forwards_dropped);
        }
        place
    }

    /// Asks the servers in turn until one answers.
    pub(super) async fn ask(&self, question: &Outgoing) -> Option<Vec<u8>> {
        let (first, all) = (self.last.load(Ordering::Relaxed), self.servers.len());
        for at in (first..first + all).map(|at| at % all) {
            let Some(server) = self.servers.get(at) else { continue };
            let asked = timeout(ANSWER_WITHIN, self.ask_one(*server, question)).await;
            if let Ok(Ok(answer)) = asked {
                self.last.store(at, Ordering::Relaxed);
                count(&self.counters.forwarded);
                return Some(question.for_client(answer));
            }
        }
        count(&self.counters.forwards_failed);
        None
    }

    async fn ask_one(&self, server: SocketAddr, question: &Outgoing) -> io::Result<Vec<u8>> {
        if question.over_tcp {
            return self.ask_by_tcp(server, question).await;
        }
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        // From now on the system drops what others send.
        socket.connect(server).await?;
        socket.send(&question.bytes).await?;
        // One byte more, so that an answer that is too long is noticed.
        let mut buffer = vec![0; usize::from(MAX_UDP_BYTES) + 1];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if length <= question.limit && question.is_answered_by(bytes) {
                return Ok(bytes.to_vec());
            }
            count(&self.counters.forwards_mismatched);
        }
    }

    async fn ask_by_tcp(&self, server: SocketAddr, question: &Outgoing) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &question.bytes].concat()).await?;
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        if question.is_answered_by(&bytes) {
            return Ok(bytes);
        }
        count(&self.counters.forwards_mismatched);
        Err(io::ErrorKind::InvalidData.into())
    }
}
