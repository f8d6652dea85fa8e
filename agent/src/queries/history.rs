//! What this agent saw and did: the newest events that match.

use hobnob_api::codec::MAX_RESPONSE_BYTES;
use hobnob_api::{
    ApiError, ByKind, ErrorCode, EventBy, EventKind, History, HistoryEvent, HistoryQuery,
    MAX_HISTORY_EVENTS,
};

use super::asked::check;
use super::timestamp::timestamp;
use crate::clock::wall_clock_ms;
use crate::history::{self, Asked, Found};
use crate::services::Registry;
use crate::storage::{StoredBy, StoredEvent};

/// The most bytes of events in an answer. In an answer they take more than in memory, yet not four times as much.
const MAX_EVENT_BYTES: usize = MAX_RESPONSE_BYTES / 4;

/// The newest events that match a query.
///
/// # Errors
/// The query breaks a rule, or this agent is stopping.
pub(crate) async fn history(
    registry: &Registry,
    history: &history::History,
    member: &str,
    query: HistoryQuery,
) -> Result<History, ApiError> {
    let HistoryQuery { subject, since_ms, limit } = query;
    subject.iter().try_for_each(|subject| check("subject", subject))?;
    let limit = limit.unwrap_or(MAX_HISTORY_EVENTS);
    if !(1..=MAX_HISTORY_EVENTS).contains(&limit) {
        let message =
            format!("the number of events is {limit}: it is from 1 to {MAX_HISTORY_EVENTS}");
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    let since_ms = since_ms.map_or(0, |since_ms| wall_clock_ms().saturating_sub(since_ms));
    let asked = Asked { subject, since_ms, limit: limit as usize };
    let Found { events, more, nearest } = history.find(asked).await?;
    let mut bytes = 0_usize;
    let fitting = events.iter().rev().take_while(|event| {
        bytes = bytes.saturating_add(event.bytes());
        bytes <= MAX_EVENT_BYTES
    });
    let mut shown: Vec<HistoryEvent> = fitting.map(|event| show(event)).collect();
    shown.reverse();
    Ok(History {
        revision: registry.revision(),
        isolated: registry.is_isolated(),
        member: member.to_owned(),
        more: more || shown.len() < events.len(),
        events: shown,
        did_you_mean: nearest,
    })
}

fn show(event: &StoredEvent) -> HistoryEvent {
    let event = event.clone();
    HistoryEvent {
        number: event.number,
        at: timestamp(event.at_ms),
        what: EventKind::of_word(&event.what),
        by: show_by(event.by),
        instance: event.instance,
        service: event.service,
        check: event.check,
        member: event.member,
        datacenter: event.datacenter,
        from: event.from,
        to: event.to,
        why: event.why,
        count: event.repeats.saturating_add(1),
        last_at: (event.repeats > 0).then(|| timestamp(event.last_at_ms)),
    }
}

fn show_by(by: StoredBy) -> EventBy {
    let kind = match by.kind.as_str() {
        "client" => ByKind::Client,
        "file" => ByKind::File,
        "check" => ByKind::Check,
        "peer" => ByKind::Peer,
        _ => ByKind::Agent,
    };
    let StoredBy { uid, gid, pid, program, agent, file, member, .. } = by;
    EventBy { kind, uid, gid, pid, program, agent, file, member }
}
