//! Echoes: whether another agent answers by datagram and by stream. Both sides ask.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{Node, NodeId};
use tokio::time::{Instant, sleep};

use super::message::{Asked, Change, Echoed, Outcome, Process};
use crate::actor::Stopping;
use crate::clock::wall_clock_ms;
use crate::driver::DriverHandle;

/// The time in which a member has to answer a ping. The first ping may be lost, so a second one follows.
const PING_WITHIN: Duration = Duration::from_millis(400);
/// The time in which a member has to answer a request, the way back included.
const QUIC_WITHIN: Duration = Duration::from_millis(2_500);
/// The time in which the way back has to be answered.
const QUIC_BACK_WITHIN: Duration = Duration::from_millis(1_000);
/// The pause between two looks for echoes.
const PAUSE: Duration = Duration::from_millis(10);

/// Pings members of the own pool, and returns the time until each one answered by datagram. Those that cannot be pinged are left out;
/// those that did not answer have no time.
pub(crate) async fn echoes_by_udp(
    driver: &DriverHandle,
    of: &[NodeId],
) -> Result<BTreeMap<NodeId, Option<Duration>>, Stopping> {
    let mut echoes = BTreeMap::new();
    for _ in 0..2 {
        let missing = of.iter().copied().filter(|node| !matches!(echoes.get(node), Some(Some(_))));
        let pinged = driver.ask_for_echoes(missing.collect()).await?;
        echoes.extend(pinged.iter().map(|node| (*node, None)));
        let due = Instant::now() + PING_WITHIN;
        while echoes.values().any(Option::is_none) && Instant::now() < due {
            sleep(PAUSE).await;
            let asked: Vec<NodeId> = echoes.keys().copied().collect();
            let read = move |node: &Node, _| {
                asked.iter().map(|of| (*of, node.echo(*of))).collect::<Vec<_>>()
            };
            for (node, took) in driver.inspect(read).await? {
                let known = echoes.entry(node).or_default();
                *known = known.or(took);
            }
        }
    }
    Ok(echoes)
}

/// The answer of another agent by stream, and the time until it came. An agent that is older than this question answers without an echo.
pub(crate) async fn echo_by_quic(
    driver: &DriverHandle,
    of: NodeId,
    back: bool,
) -> Result<Option<(Duration, Option<Echoed>)>, Stopping> {
    let within = if back { QUIC_WITHIN } else { QUIC_BACK_WITHIN };
    let by = Process { uid: rustix::process::geteuid().as_raw(), pid: None };
    let Ok(question) = Asked::new(by, Change::Echo { back }).write() else { return Ok(None) };
    let began = Instant::now();
    let Ok(answer) = driver.request(of, question, within).await? else { return Ok(None) };
    let echoed = match Outcome::read(&answer) {
        Some(Outcome::Echoed(echoed)) => Some(echoed),
        _ => None,
    };
    Ok(Some((began.elapsed(), echoed)))
}

/// Answers the question of another agent for an echo. Tries the way back first, if that is asked for.
pub(super) async fn echo(
    driver: &DriverHandle,
    from: NodeId,
    back: bool,
) -> Result<Echoed, Stopping> {
    let (mut udp_back, mut quic_back) = (None, None);
    if back {
        let asked = [from];
        let (udp, quic) =
            tokio::join!(echoes_by_udp(driver, &asked), echo_by_quic(driver, from, false));
        udp_back = udp?.get(&from).map(Option::is_some);
        quic_back = Some(quic?.is_some());
    }
    Ok(Echoed { wall_ms: wall_clock_ms(), udp_back, quic_back })
}
