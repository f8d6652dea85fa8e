//! `hobnob explain`, for people.

use hobnob_agent::api::{Explanation, HeardFrom, InstanceExplained, MemberExplained};

use super::{Style, age, endpoint, member_status, status_style, status_word};

/// Everything that is known, most important first, a blank line between two subjects.
pub(crate) fn explanation(explanation: &Explanation, style: Style) -> String {
    let members = explanation.members.iter().map(|explained| member(explained, style));
    let instances = explanation.instances.iter().map(|explained| instance(explained, style));
    members.chain(instances).collect::<Vec<_>>().join("\n\n")
}

fn member(explained: &MemberExplained, style: Style) -> String {
    let MemberExplained { member, reason, .. } = explained;
    let (status, colour) = member_status(member.status);
    let status = style.paint(status, colour);
    let mut text = format!("member {} is {status}", member.name);
    let mut row = |name: &str, value: String| text += &format!("\n  {name:<9} {value}");
    row("why", reason.clone());
    if let Some(down_ms) = explained.down_ms {
        row("down for", age(down_ms));
    }
    if let Some(verdict) = &explained.verdict {
        row("told", format!("{} ago by {}", age(verdict.ago_ms), verdict.told_by));
    }
    if !explained.is_self {
        let never = || "never, by this agent".to_owned();
        row("heard", explained.heard.as_ref().map_or_else(never, |heard| by(heard, false)));
    }
    row("node id", format!("{}, epoch {}", member.node_id, member.epoch));
    let zone = if member.zone.is_empty() { "-" } else { &member.zone };
    row("address", format!("{}, datacenter {}, zone {zone}", member.address, member.datacenter));
    match &explained.records {
        None => row("records", "none have arrived".to_owned()),
        Some(records) => {
            let state =
                if records.behind { "behind: newer ones are on their way" } else { "complete" };
            let (version, epoch) = (records.version, records.epoch);
            row("records", format!("version {version} of epoch {epoch}, {state}"));
            row("instances", records.instances.to_string());
            if let Some(news) = &records.news {
                row("news", by(news, true));
            }
        }
    }
    text
}

fn instance(explained: &InstanceExplained, style: Style) -> String {
    let InstanceExplained { instance, offered, reason, origin, .. } = explained;
    let status = style.paint(status_word(instance.status), status_style(instance.status));
    let offer = if *offered { "offered" } else { "not offered" };
    let mut text = format!("instance {} of {} is {status}, {offer}", instance.id, instance.service);
    let mut row = |name: &str, value: String| text += &format!("\n  {name:<9} {value}");
    row("why", reason.clone());
    let check = match (&explained.output, explained.checked) {
        (_, false) => "none".to_owned(),
        (Some(output), true) => format!("{}: {output}", explained.health),
        (None, true) => explained.health.clone(),
    };
    row("check", check);
    row("endpoint", endpoint(&instance.address, instance.port));
    row("namespace", instance.namespace.clone());
    let health = explained.health_version;
    let health = health.map_or("never written".to_owned(), |version| format!("version {version}"));
    row("record", format!("version {}, its health {health}", explained.version));
    row("age", age(instance.age_ms));
    text + "\nregistered with " + &member(origin, style)
}

/// `3s ago by a digest`, and from whom when that is not the member itself.
fn by(heard: &HeardFrom, from: bool) -> String {
    let HeardFrom { ago_ms, from: teller, by } = heard;
    let by = match by.as_str() {
        "swim" => "a SWIM packet".to_owned(),
        "members" => "a comparison of members".to_owned(),
        "session" => "a sync session".to_owned(),
        other => format!("a {other}"),
    };
    let from = if from { format!(" from {teller}") } else { String::new() };
    format!("{} ago, by {by}{from}", age(*ago_ms))
}
