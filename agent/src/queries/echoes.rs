//! Round trips to a few members, in both directions: by datagram and by stream.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hobnob_api::{ApiError, Echo, Echoes, ErrorCode, Way};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Node, NodeId, Time};
use rand::seq::IndexedRandom;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::actor::Stopping;
use crate::clock::wall_clock_ms;
use crate::driver::{DriverHandle, name_of};
use crate::elsewhere::{Echoed, echo_by_quic, echoes_by_udp};
use crate::services::Registry;
use crate::translate::api_node_id;

/// The members that are asked when the call gives no number.
const MEMBERS: u8 = 5;
/// The most members that are asked.
const MAX_MEMBERS: u8 = 16;
/// The wait for the refusal of a datagram by the host of a member.
const REFUSED_WITHIN: Duration = Duration::from_millis(200);

/// One question at a time: each makes traffic, and clients that repeat it make no more than that.
static TURN: Mutex<()> = Mutex::const_new(());

/// Asks a few living members, chosen at random.
///
/// # Errors
/// The number is out of range, or this agent is stopping.
pub(crate) async fn echoes(
    registry: &Registry,
    driver: &DriverHandle,
    members: Option<u8>,
) -> Result<Echoes, ApiError> {
    let wanted = members.unwrap_or(MEMBERS);
    if !(1..=MAX_MEMBERS).contains(&wanted) {
        let message = format!("the number of members {wanted} is not from 1 to {MAX_MEMBERS}");
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    let _turn = TURN.lock().await;
    let Living { others, versions } = driver.inspect(Living::read).await?;
    let living = others.len();
    let mut asked: Vec<Asked> =
        others.sample(&mut rand::rng(), usize::from(wanted)).cloned().collect();
    asked.sort_by(|a, b| (&a.name, a.node).cmp(&(&b.name, b.node)));
    let nodes: Vec<NodeId> = asked.iter().map(|asked| asked.node).collect();
    let by_quic = join_all(nodes.iter().map(|node| by_quic(driver, *node)));
    let (by_udp, by_quic) = tokio::join!(echoes_by_udp(driver, &nodes), by_quic);
    let by_udp = by_udp?;
    let by_quic = by_quic.into_iter().collect::<Result<Vec<_>, _>>()?;
    let members = judge_all(&asked, &by_udp, &by_quic).await;
    Ok(Echoes { isolated: registry.is_isolated(), living, members, versions })
}

/// The living members.
struct Living {
    /// All but this agent.
    others: Vec<Asked>,
    versions: BTreeMap<String, usize>,
}

impl Living {
    fn read(node: &Node, _: Time) -> Self {
        let own = node.identity().node_id;
        let members = node.members().into_iter();
        let living = members.filter(|member| member.status == MemberStatus::Alive);
        let ids: BTreeMap<NodeId, SocketAddr> =
            living.map(|member| (member.identity.node_id, member.identity.addr)).collect();
        let mut versions = BTreeMap::<String, usize>::new();
        for id in ids.keys().copied().chain([own]).collect::<BTreeSet<_>>() {
            if let Some(record) = node.description(id) {
                *versions.entry(record.software.to_string()).or_default() += 1;
            }
        }
        let others = ids.into_iter().filter(|(id, _)| *id != own);
        let others = others.map(|(id, at)| Asked { node: id, name: name_of(node, id), at });
        Self { others: others.collect(), versions }
    }
}

/// A member that is asked.
#[derive(Clone, Debug)]
struct Asked {
    node: NodeId,
    name: String,
    at: SocketAddr,
}

/// An answer by stream: the time that it took, what it says, and the clock of the member minus ours.
type ByQuic = Option<(Duration, Option<Echoed>, Option<i64>)>;

async fn by_quic(driver: &DriverHandle, node: NodeId) -> Result<ByQuic, Stopping> {
    let Some((took, echoed)) = echo_by_quic(driver, node, true).await? else { return Ok(None) };
    // The member reads its clock just before it answers, so its time is that of now but for half a round trip.
    let offset = echoed.map(|echoed| offset_ms(echoed.wall_ms, wall_clock_ms()));
    Ok(Some((took, echoed, offset)))
}

/// A clock minus ours. A peer may tell any number.
fn offset_ms(theirs: u64, ours: u64) -> i64 {
    let [theirs, ours] = [theirs, ours].map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    theirs.saturating_sub(ours)
}

/// Judges all at once: each silent member takes the time of a refusal.
async fn judge_all(
    asked: &[Asked],
    by_udp: &BTreeMap<NodeId, Option<Duration>>,
    by_quic: &[ByQuic],
) -> Vec<Echo> {
    let all = asked.iter().zip(by_quic);
    join_all(all.map(|(asked, quic)| asked.judge(by_udp.get(&asked.node).copied(), *quic))).await
}

impl Asked {
    /// `udp` is absent for a member that was not pinged.
    async fn judge(&self, udp: Option<Option<Duration>>, quic: ByQuic) -> Echo {
        let echoed = quic.and_then(|(_, echoed, _)| echoed);
        Echo {
            name: self.name.clone(),
            node_id: api_node_id(self.node),
            gossip_address: self.at.to_string(),
            udp: match udp {
                None => Way::NotTried,
                Some(Some(_)) => Way::Answered,
                Some(None) if is_refused(self.at).await => Way::Refused,
                Some(None) => Way::Silent,
            },
            udp_us: udp.flatten().map(micros),
            quic: if quic.is_some() { Way::Answered } else { Way::Silent },
            quic_us: quic.map(|(took, _, _)| micros(took)),
            udp_back: way_back(echoed.and_then(|echoed| echoed.udp_back)),
            quic_back: way_back(echoed.and_then(|echoed| echoed.quic_back)),
            clock_offset_ms: quic.and_then(|(_, _, offset)| offset),
        }
    }
}

fn way_back(answered: Option<bool>) -> Way {
    match answered {
        Some(true) => Way::Answered,
        Some(false) => Way::Silent,
        None => Way::NotTried,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether the host at an address refuses datagrams there. Only a socket of its own is told so.
async fn is_refused(at: SocketAddr) -> bool {
    let from: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let ask = async {
        let socket = UdpSocket::bind(from).await?;
        socket.connect(at).await?;
        socket.send(&[]).await?;
        socket.recv(&mut [0]).await
    };
    let answer = timeout(REFUSED_WITHIN, ask).await;
    matches!(answer, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_peer_may_tell_any_time() {
        for (theirs, ours, offset) in [
            (5_000, 3_000, 2_000),
            (3_000, 5_000, -2_000),
            (1 << 63, 1_700_000_000_000, i64::MAX - 1_700_000_000_000),
            (u64::MAX, 1, i64::MAX - 1),
            (0, u64::MAX, -i64::MAX),
        ] {
            assert_eq!(offset_ms(theirs, ours), offset, "{theirs} {ours}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_silent_members_take_no_longer_than_one() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let at = silent.local_addr().expect("an address");
        let asked = |n| Asked { node: NodeId(n), name: n.to_string(), at };
        let asked: Vec<Asked> = (0..u64::from(MAX_MEMBERS)).map(asked).collect();
        let by_udp = asked.iter().map(|asked| (asked.node, None)).collect();
        let since = Instant::now();
        let echoes = judge_all(&asked, &by_udp, &vec![None; asked.len()]).await;
        assert!(echoes.iter().all(|echo| echo.udp == Way::Silent));
        assert_eq!(echoes.len(), asked.len());
        // By the clock of the runtime, which goes on only when all of them wait.
        assert!(since.elapsed() < 2 * REFUSED_WITHIN);
    }
}
