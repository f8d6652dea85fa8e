//! The text of `hobnob explain` for people.

use std::time::{Duration, SystemTime};

use hobnob_api::names::printable;
use hobnob_api::{
    CheckExplained, Explained, HeardFrom, InstanceExplained, InstanceScope, MemberExplained,
    MemberStatus, RegisteredBy, ServiceSettings, StandingExplained, WatchedExplained,
};

use super::{Style, age, endpoint, member_status, or_dash, status_style, status_word};

/// The last second of the year 9999, the end of what a time stamp can show.
const LAST_MS: u64 = 253_402_300_799_000;

/// The text of an explanation, the most important lines first, with a blank line between two subjects.
pub(crate) fn explanation(explanation: &Explained, style: Style) -> String {
    let members = explanation.members.iter().map(|explained| member(explained, style));
    let instances = explanation.instances.iter().map(|explained| instance(explained, style));
    members.chain(instances).collect::<Vec<_>>().join("\n\n")
}

fn member(explained: &MemberExplained, style: Style) -> String {
    let MemberExplained { member, reason, .. } = explained;
    let (status, colour) = member_status(member.status);
    let status = style.paint(status, colour);
    let mut text = format!("member {} is {status}", printable(&member.name));
    let mut row = |name: &str, value: String| text += &line(name, &value);
    row("why", reason.clone());
    match explained.down_ago_ms {
        Some(down_ago_ms) if member.status == MemberStatus::Left => {
            row("left", format!("{} ago", age(down_ago_ms)));
        }
        Some(down_ago_ms) => row("down for", age(down_ago_ms)),
        None => {}
    }
    if let Some(verdict) = &explained.verdict {
        row("told", format!("{} ago by {}", age(verdict.ago_ms), verdict.told_by));
    }
    if !explained.is_self {
        let never = || "never, by this agent".to_owned();
        row("heard", explained.heard.as_ref().map_or_else(never, |heard| by(heard, false)));
    }
    if let Some(watched) = &explained.watched {
        row("watched", by_this_agent(watched));
    }
    row("node id", format!("{}, epoch {}", member.node_id, member.epoch));
    let (datacenter, zone) = (or_dash(&member.datacenter), or_dash(&member.zone));
    let address = or_dash(&member.gossip_address);
    row("address", format!("{address}, datacenter {datacenter}, zone {zone}"));
    match &explained.records {
        None => row("records", no_records(member.status).to_owned()),
        Some(records) => {
            let state =
                if records.behind { "behind: newer ones are on their way" } else { "complete" };
            let (version, epoch) = (records.version, records.epoch);
            row("records", format!("version {version} of epoch {epoch}, {state}"));
            let instances = records.instances.to_string();
            row(
                "instances",
                match member.status {
                    MemberStatus::Left => "none: they went when it left".to_owned(),
                    MemberStatus::Replaced => "none: they went with this life".to_owned(),
                    _ if records.hidden > 0 => {
                        format!(
                            "{instances}, and {} hidden (`hobnob explain ID` tells why)",
                            records.hidden
                        )
                    }
                    _ => instances,
                },
            );
            if let Some(news) = &records.news {
                row("news", by(news, true));
            }
        }
    }
    text
}

fn by_this_agent(watched: &WatchedExplained) -> String {
    match watched.held_ms {
        Some(held_ms) => {
            format!("by this agent, which has held a connection to it for {}", age(held_ms))
        }
        None => "by this agent, by pings alone: it holds no connection to it".to_owned(),
    }
}

/// The reason why a member has no records here. Those of a member that is down are dropped after a day, or when an
/// operator makes it force-leave.
fn no_records(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Unreachable => {
            "none have arrived"
        }
        MemberStatus::Down | MemberStatus::Replaced | MemberStatus::Unknown => "none are held",
        MemberStatus::ForceLeft => "dropped: it was forced to leave",
        MemberStatus::Left => "dropped: it left",
    }
}

fn instance(explained: &InstanceExplained, style: Style) -> String {
    let InstanceExplained { instance, offered, reason, origin, .. } = explained;
    let status = style.paint(status_word(instance.status), status_style(instance.status));
    let offer = if *offered { "offered" } else { "not offered" };
    let (id, service) = (printable(&instance.id), printable(&instance.service));
    let mut text = format!("instance {id} of {service} is {status}, {offer}");
    let mut row = |name: &str, value: String| text += &line(name, &value);
    row("why", reason.clone());
    match &explained.checks[..] {
        [] | [_] => row("check", check(explained)),
        several => several.iter().for_each(|one| row("check", one_of_several(one))),
    }
    if let Some(learnt) = &explained.standing {
        row("circuit", standing(learnt));
        row("calls", reported(learnt));
    }
    if let Some(settings) = &explained.settings {
        row("settings", settings_of(settings));
    }
    if let Some(registered_by) = &explained.registered_by {
        row("registered", registrant(registered_by));
    }
    row("endpoint", endpoint(&instance.address, instance.port));
    row("namespace", instance.namespace.clone());
    if instance.scope == InstanceScope::Datacenter {
        row("scope", "datacenter: agents of other datacenters do not show it".to_owned());
    }
    let health = explained.health_version;
    let health = health.map_or("never written".to_owned(), |version| format!("version {version}"));
    row("record", format!("version {}, its health {health}", explained.version));
    row("age", age(instance.age_ms));
    text + "\nregistered with " + &member(origin, style)
}

/// Text such as `open for 4s; not ejected`.
fn standing(learnt: &StandingExplained) -> String {
    let StandingExplained { circuit, circuit_for_ms, ejected_for_ms, .. } = learnt;
    let left = circuit_for_ms.map(|ms| match circuit.as_str() {
        "open" => format!(" for {}, then one pick is a trial", age(ms)),
        _ => format!(": a trial is under way, for {} at most", age(ms)),
    });
    let ejected = match ejected_for_ms {
        Some(ms) => format!("ejected for {}", age(*ms)),
        None => "not ejected".to_owned(),
    };
    format!("{circuit}{}; {ejected}", left.unwrap_or_default())
}

/// What the circuit, the ejection and the averages of this agent rest on.
fn reported(learnt: &StandingExplained) -> String {
    let StandingExplained { failed_picks, calls, failed_calls, .. } = learnt;
    format!(
        "clients reported {failed_picks} failed picks, and {calls} calls of their own, {failed_calls} of which failed"
    )
}

/// Text such as `failure_threshold 5, strategy ring; from web-1 of a1`.
fn settings_of(settings: &ServiceSettings) -> String {
    let given = settings.balancing.given();
    let given: Vec<_> = given.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let given =
        if given.is_empty() { "none that are known here".to_owned() } else { given.join(", ") };
    let instance = settings.instance.as_deref().unwrap_or_default();
    format!("{given}; from {instance} of {}", settings.member.as_deref().unwrap_or_default())
}

fn line(name: &str, value: &str) -> String {
    format!("\n  {name:<10} {}", printable(value))
}

/// Text such as `by uid 1000 (pid 4242) at 2026-11-28T20:16:35Z`.
fn registrant(RegisteredBy { uid, pid, at_ms, agent, file }: &RegisteredBy) -> String {
    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(*at_ms));
    let at = at.filter(|_| *at_ms <= LAST_MS).map(humantime::format_rfc3339_seconds);
    let agent = agent.map(|agent| format!(" of the host of agent {agent}")).unwrap_or_default();
    let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
    match file {
        Some(file) => format!("by the file {file}{at}"),
        None => format!("by uid {uid}{pid}{agent}{at}"),
    }
}

/// The verdict of the check, as far as this agent knows it. For an instance of a dead agent it is the last one that
/// arrived.
fn check(explained: &InstanceExplained) -> String {
    let InstanceExplained { instance, health, origin, .. } = explained;
    let lives = matches!(origin.member.status, MemberStatus::Alive | MemberStatus::Suspect);
    match explained.checks.first() {
        _ if !explained.checked => "none".to_owned(),
        Some(one @ CheckExplained { output, changed_ago_ms, .. }) => {
            let tried = tried(one);
            match (output, changed_ago_ms) {
                (Some(output), Some(ms)) => {
                    format!("{health} for {}: {output}{}; {tried}", age(*ms), latest(one))
                }
                _ => format!("{health}{}; {tried}", latest(one)),
            }
        }
        None if !lives => format!("{health}, last known"),
        None => format!("{health}; ask `{}` for more: `hobnob explain` there", instance.node),
    }
}

/// A check of an instance that has several, with a status of its own.
fn one_of_several(check: &CheckExplained) -> String {
    let CheckExplained { name, status, output, changed_ago_ms, .. } = check;
    let tried = tried(check);
    match (output, changed_ago_ms) {
        (Some(output), Some(ms)) => {
            format!("{name}: {status} for {}: {output}{}; {tried}", age(*ms), latest(check))
        }
        _ => format!("{name}: {status}{}; {tried}", latest(check)),
    }
}

/// When the check last ran, and what that gave if it is not what its status rests on.
fn latest(check: &CheckExplained) -> String {
    let CheckExplained { output, latest_output, latest_ago_ms, .. } = check;
    match (latest_output, latest_ago_ms) {
        (Some(latest), Some(ms)) if output.as_ref() == Some(latest) => {
            format!("; last run {} ago", age(*ms))
        }
        (Some(latest), Some(ms)) => format!("; last run {} ago: {latest}", age(*ms)),
        _ => String::new(),
    }
}

/// What a check examines, and how often.
fn tried(CheckExplained { target, interval_ms, .. }: &CheckExplained) -> String {
    match interval_ms {
        0 => target.clone(),
        ms => format!("{target} every {}", humantime::format_duration(Duration::from_millis(*ms))),
    }
}

/// Text such as `3s ago, by a digest`. With `from`, the text also names the sender.
fn by(heard: &HeardFrom, from: bool) -> String {
    let HeardFrom { ago_ms, from: teller, by } = heard;
    let by = match by.as_str() {
        "members" => "a comparison of members".to_owned(),
        "session" => "a sync session".to_owned(),
        other => format!("a {other}"),
    };
    let from = if from { format!(" from {teller}") } else { String::new() };
    format!("{} ago, by {by}{from}", age(*ago_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hobnob_api::{Balancing, NodeId, Strategy};

    #[test]
    fn a_circuit_and_an_ejection_tell_until_when() {
        let learnt = StandingExplained {
            circuit: "open".to_owned(),
            circuit_for_ms: Some(4_000),
            ejected_for_ms: Some(30_000),
            failed_picks: 3,
            calls: 70,
            failed_calls: 7,
        };
        assert_eq!(standing(&learnt), "open for 4s, then one pick is a trial; ejected for 30s");
        let half = StandingExplained {
            circuit: "half-open".to_owned(),
            ejected_for_ms: None,
            ..learnt.clone()
        };
        assert_eq!(standing(&half), "half-open: a trial is under way, for 4s at most; not ejected");
        let closed =
            StandingExplained { circuit: "closed".to_owned(), circuit_for_ms: None, ..half };
        assert_eq!(standing(&closed), "closed; not ejected");
        let told = "clients reported 3 failed picks, and 70 calls of their own, 7 of which failed";
        assert_eq!(reported(&learnt), told);
    }

    #[test]
    fn settings_tell_where_they_come_from() {
        let balancing = Balancing {
            strategy: Some(Strategy::Ring),
            max_retries: Some(3),
            ..Default::default()
        };
        let settings = ServiceSettings {
            instance: Some("web-1".to_owned()),
            member: Some("a1".to_owned()),
            balancing,
        };
        assert_eq!(settings_of(&settings), "max_retries 3, strategy ring; from web-1 of a1");
    }

    #[test]
    fn a_registrant_is_told_as_far_as_it_is_known() {
        let by = |pid, at_ms| {
            registrant(&RegisteredBy { uid: 1_000, pid, at_ms, agent: None, file: None })
        };
        assert_eq!(
            by(Some(4_242), 1_700_000_000_999),
            "by uid 1000 (pid 4242) at 2023-11-14T22:13:20Z"
        );
        assert_eq!(by(None, 0), "by uid 1000 at 1970-01-01T00:00:00Z");
        assert_eq!(by(None, u64::MAX), "by uid 1000", "a clock that was far off");
        let agent = Some(NodeId(10));
        let elsewhere = RegisteredBy { uid: 7, pid: None, at_ms: 0, agent, file: None };
        assert_eq!(
            registrant(&elsewhere),
            "by uid 7 of the host of agent 000000000000000a at 1970-01-01T00:00:00Z"
        );
        let defined = RegisteredBy { agent: None, file: Some("web.toml".to_owned()), ..elsewhere };
        assert_eq!(registrant(&defined), "by the file web.toml at 1970-01-01T00:00:00Z");
    }
}
