//! The tables of the commands that list something.

use comfy_table::Color;

use hobnob_api::{Basis, Instance, Member, ServiceSummary};

pub(super) use super::colour::{Style, member_status, status_style};
pub(super) use super::columns::{Cell, Column, cell, render};
use super::format::why;
use super::{age, endpoint, status_word};

/// The table of `hobnob resolve`, ordered by id.
pub(crate) fn instances(instances: &[Instance], style: Style) -> String {
    const COLUMNS: [Column; 11] = [
        Column::whole("INSTANCE"),
        Column::whole("ADDRESS"),
        Column::kept("STATUS"),
        Column::kept("OFFERED"),
        Column::hidden("MEMBER", 1),
        Column::hidden("DC", 2),
        Column::hidden("ZONE", 5),
        Column::hidden("WEIGHT", 6),
        Column::hidden("TAGS", 4),
        Column::hidden("META", 7),
        Column::hidden("AGE", 3),
    ];
    let mut sorted: Vec<_> = instances.iter().collect();
    sorted.sort_by_key(|instance| (&instance.id, &instance.node));
    let rows = sorted.into_iter().map(|instance| {
        let tags: Vec<_> = instance.tags.iter().map(String::as_str).collect();
        let meta: Vec<_> = instance.meta.iter().map(|(k, v)| format!("{k}={v}")).collect();
        vec![
            cell(&instance.id),
            cell(endpoint(&instance.address, instance.port)),
            cell(status_text(instance)).fg(status_style(instance.status)),
            cell(offer_word(instance)),
            cell(&instance.node),
            cell(&instance.datacenter),
            cell(or_dash(&instance.zone)),
            cell(instance.weight),
            cell(or_dash(&tags.join(","))),
            cell(or_dash(&meta.join(","))),
            cell(age(instance.age_ms)),
        ]
    });
    render(&COLUMNS, rows, style)
}

/// The status of an instance, and whether it warns, drains or was taken out.
fn status_text(instance: &Instance) -> String {
    let status = status_word(instance.status);
    why(instance).map_or(status.to_owned(), |why| format!("{status}, {why}"))
}

/// Whether an instance is offered, and what that rests on when it is not healthy.
pub(crate) fn offer_word(instance: &Instance) -> &'static str {
    match (instance.offered, instance.basis) {
        (false, _) => "no",
        (true, Basis::Unanswered) => "unanswered",
        (true, Basis::LastKnown) => "last known",
        // Its checks may have run, and decided nothing: a first failure is no verdict where three are asked for.
        (true, Basis::NotYetChecked) => "no verdict",
        (true, Basis::Current | Basis::Nothing | Basis::Maintenance | Basis::Drained) => "yes",
    }
}

/// The table of `hobnob members`.
pub(crate) fn members(members: &[Member], style: Style) -> String {
    const COLUMNS: [Column; 8] = [
        Column::whole("MEMBER"),
        Column::kept("STATUS"),
        Column::whole("ADDRESS"),
        Column::hidden("DC", 2),
        Column::hidden("ZONE", 4),
        Column::hidden("NODE ID", 3),
        Column::hidden("EPOCH", 5),
        Column::hidden("DOWN FOR", 1),
    ];
    let rows = members.iter().map(|member| {
        let (status, colour) = member_status(member.status);
        vec![
            cell(&member.name),
            member_status_cell(member, status, colour),
            cell(or_dash(&member.gossip_address)),
            cell(or_dash(&member.datacenter)),
            cell(or_dash(&member.zone)),
            cell(member.node_id),
            cell(member.epoch),
            cell(member.down_ago_ms.map_or_else(|| "-".to_owned(), age)),
        ]
    });
    render(&COLUMNS, rows, style)
}

/// The status of a member. One behind a broken link lives by the word of others.
fn member_status_cell(member: &Member, status: &str, colour: Color) -> Cell {
    match member.link_silent_ms {
        Some(ms) => cell(format!("{status}, link broken {}", age(ms))).fg(Color::Yellow),
        None => cell(status).fg(colour),
    }
}

/// The table of `hobnob services`, with how even the picks of this agent were if that is asked for.
pub(crate) fn services(services: &[ServiceSummary], picks: bool, style: Style) -> String {
    const COLUMNS: [Column; 7] = [
        Column::whole("SERVICE"),
        Column::hidden("NAMESPACE", 1),
        Column::kept("INSTANCES"),
        Column::kept("HEALTHY"),
        Column::hidden("TAGS", 2),
        Column::kept("EFFICIENCY"),
        Column::kept("FAIRNESS"),
    ];
    let shown = if picks { COLUMNS.len() } else { COLUMNS.len() - 2 };
    let rows = services.iter().map(|service| {
        let tags: Vec<_> = service.tags.iter().map(String::as_str).collect();
        let colour = match service.healthy {
            0 => Color::Red,
            healthy if healthy < service.instances => Color::Yellow,
            _ => Color::Green,
        };
        let mut row = vec![
            cell(&service.service),
            cell(&service.namespace),
            cell(service.instances),
            cell(service.healthy).fg(colour),
            cell(or_dash(&tags.join(","))),
            cell(ratio(service.efficiency)),
            cell(ratio(service.fairness)),
        ];
        row.truncate(shown);
        row
    });
    render(&COLUMNS[..shown], rows, style)
}

/// The table of `hobnob pick --summary`: the instances, with the number and the share of picks of each.
pub(crate) fn spread<'a>(
    counts: impl Iterator<Item = (&'a Instance, u64)>,
    all: u64,
    style: Style,
) -> String {
    const COLUMNS: [Column; 6] = [
        Column::whole("INSTANCE"),
        Column::hidden("MEMBER", 1),
        Column::whole("ADDRESS"),
        Column::hidden("WEIGHT", 2),
        Column::kept("PICKS"),
        Column::kept("SHARE"),
    ];
    let rows = counts.map(|(instance, picks)| {
        vec![
            cell(&instance.id),
            cell(&instance.node),
            cell(endpoint(&instance.address, instance.port)),
            cell(instance.weight),
            cell(picks),
            cell(format!("{:.2}%", 100.0 * picks as f64 / all as f64)),
        ]
    });
    render(&COLUMNS, rows, style)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// A table of fields and their values.
pub(crate) fn fields(
    fields: impl IntoIterator<Item = (&'static str, String)>,
    style: Style,
) -> String {
    let rows = fields.into_iter().map(|(name, value)| vec![cell(name), cell(value)]);
    render::<Column>(&[], rows, style)
}

pub(crate) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use hobnob_api::{InstanceStatus, MemberStatus, NodeId};
    use std::collections::{BTreeMap, BTreeSet};

    const PLAIN: Style = Style::PLAIN;

    pub(in crate::output) fn instance(id: &str) -> Instance {
        Instance {
            service: "web".to_owned(),
            id: id.to_owned(),
            node: "a1".to_owned(),
            node_id: NodeId(0xab),
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            address: "127.0.0.1".to_owned(),
            port: 8001,
            tags: BTreeSet::from(["v1".to_owned(), "eu".to_owned()]),
            meta: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            weight: 2,
            namespace: "default".to_owned(),
            status: InstanceStatus::Healthy,
            offered: true,
            basis: Basis::Current,
            age_ms: 120,
            scope: hobnob_api::InstanceScope::Global,
            check: None,
            draining: false,
        }
    }

    pub(in crate::output) fn member(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            node_id: NodeId(0xab),
            gossip_address: "127.0.0.1:7946".to_owned(),
            status: MemberStatus::Alive,
            datacenter: "dc1".to_owned(),
            zone: "z1".to_owned(),
            epoch: 7,
            down_ago_ms: None,
            name_conflict: false,
            link_silent_ms: None,
        }
    }

    pub(in crate::output) fn summary() -> ServiceSummary {
        ServiceSummary {
            service: "web".to_owned(),
            namespace: "default".to_owned(),
            instances: 3,
            healthy: 2,
            tags: BTreeSet::new(),
            efficiency: None,
            fairness: None,
        }
    }

    #[test]
    fn columns_are_aligned_and_nothing_is_empty() {
        let lost = Instance {
            status: InstanceStatus::Unknown,
            basis: Basis::LastKnown,
            ..instance("web-1")
        };
        let table = instances(&[instance("web-1000"), lost], PLAIN);
        assert_eq!(
            table,
            "\
INSTANCE  ADDRESS         STATUS   OFFERED     MEMBER  DC   ZONE  WEIGHT  TAGS   META  AGE
web-1     127.0.0.1:8001  unknown  last known  a1      dc1  -     2       eu,v1  k=v   120ms
web-1000  127.0.0.1:8001  healthy  yes         a1      dc1  -     2       eu,v1  k=v   120ms"
        );
    }

    #[test]
    fn usual_answers_fit_a_terminal_of_80_columns_without_losing_what_matters() {
        let long = Instance {
            address: "255.255.255.255".to_owned(),
            meta: BTreeMap::from([("version".to_owned(), "1.4.2-rc1+build.7".to_owned())]),
            ..instance("checkout-gateway-1000")
        };
        let style = Style { width: Some(80), ..PLAIN };
        for text in [instances(&[long], style), members(&[member("web-1000")], style)] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(text.contains(" STATUS "), "{text}");
            assert!(!text.contains('…'), "{text}");
        }
    }

    #[test]
    fn members_show_their_status() {
        let status = MemberStatus::Left;
        let left = Member { status, down_ago_ms: Some(7_500_000), ..member("a2") };
        let table = members(&[member("a1"), left], PLAIN);
        assert_eq!(
            table,
            "\
MEMBER  STATUS  ADDRESS         DC   ZONE  NODE ID           EPOCH  DOWN FOR
a1      alive   127.0.0.1:7946  dc1  z1    00000000000000ab  7      -
a2      left    127.0.0.1:7946  dc1  z1    00000000000000ab  7      2h 5m"
        );
    }

    #[test]
    fn colours_appear_only_where_they_are_wanted() {
        let rows = [instance("web-1")];
        assert!(!instances(&rows, PLAIN).contains('\u{1b}'));
        assert!(instances(&rows, Style::COLOURED).contains('\u{1b}'));
    }

    #[test]
    fn names_from_others_do_not_command_the_terminal() {
        let loud = Instance { node: "a\u{1b}[2J\n1".to_owned(), ..instance("web\u{7}") };
        let table = instances(&[loud], Style::COLOURED);
        assert_eq!(table.lines().count(), 2, "{table:?}");
        assert!(table.contains(r"web\u{7}") && table.contains(r"a\u{1b}[2J\n1"), "{table:?}");
        assert!(!table.contains("\u{1b}[2J") && !table.contains('\u{7}'), "{table:?}");
    }

    #[test]
    fn services_are_summed_up() {
        assert_eq!(
            services(&[summary()], false, PLAIN),
            "SERVICE  NAMESPACE  INSTANCES  HEALTHY  TAGS\n\
             web      default    3          2        -"
        );
        assert_eq!(
            services(&[summary()], true, PLAIN),
            "SERVICE  NAMESPACE  INSTANCES  HEALTHY  TAGS  EFFICIENCY  FAIRNESS\n\
             web      default    3          2        -     -           -"
        );
    }
}
