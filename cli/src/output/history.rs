//! The table of `hobnob history`.

use comfy_table::Color;
use hobnob_api::{ByKind, EventBy, EventKind, HistoryEvent};

use super::table::{Column, Style, cell, or_dash, render};

/// A line for each event, oldest first.
pub(crate) fn history(events: &[HistoryEvent], style: Style) -> String {
    let rows = events.iter().map(|event| {
        let subject = event.instance.as_ref().or(event.member.as_ref());
        let subject = subject.or(event.datacenter.as_ref()).map_or("", String::as_str);
        let what = cell(event.what.word());
        vec![
            cell(&event.at),
            match colour(event.what) {
                Some(colour) => what.fg(colour),
                None => what,
            },
            cell(or_dash(subject)),
            cell(or_dash(event.service.as_deref().unwrap_or_default())),
            cell(by(&event.by)),
            cell(or_dash(&details(event))),
        ]
    });
    const COLUMNS: [Column; 6] = [
        Column::whole("WHEN"),
        Column::whole("WHAT"),
        Column::whole("SUBJECT"),
        Column::hidden("SERVICE", 1),
        // Long details are cut before the actor is hidden.
        Column::kept("BY"),
        Column::kept("DETAILS"),
    ];
    render(&COLUMNS, rows, style)
}

fn colour(what: EventKind) -> Option<Color> {
    use EventKind as Kind;
    match what {
        Kind::MemberDown
        | Kind::MembersLost
        | Kind::DatacenterUnreachable
        | Kind::CutOff
        | Kind::LinkBroken
        | Kind::DeclaredDown
        | Kind::Isolated
        | Kind::Duplicate
        | Kind::GaveWay
        | Kind::ReloadFailed => Some(Color::Red),
        Kind::MaintenanceOn | Kind::DrainBegun | Kind::Drained | Kind::Stalled => {
            Some(Color::Yellow)
        }
        Kind::Connected
        | Kind::MemberBack
        | Kind::MembersBack
        | Kind::LinkMended
        | Kind::DatacenterReachable => Some(Color::Green),
        _ => None,
    }
}

/// The actor of an event, such as `uid 1000, pid 42 (deploy)`.
fn by(by: &EventBy) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    match by.kind {
        ByKind::Agent => "agent".to_owned(),
        ByKind::Check => "check".to_owned(),
        ByKind::File => format!("file {}", name(&by.file)),
        ByKind::Peer => format!("peer {}", name(&by.member)),
        ByKind::Client => {
            let uid = by.uid.map(|uid| format!("uid {uid}"));
            let pid = by.pid.map(|pid| match &by.program {
                Some(program) => format!("pid {pid} ({program})"),
                None => format!("pid {pid}"),
            });
            let agent = by.agent.map(|agent| format!("on the host of {agent}"));
            uid.into_iter().chain(pid).chain(agent).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The rest of an event, such as `check http: passing -> critical: connection refused`.
fn details(event: &HistoryEvent) -> String {
    // The only check of an instance may have no name of its own.
    let named = event.check.as_ref().filter(|check| *check != "check");
    let check = named.map(|check| format!("check {check}"));
    let states = match (&event.from, &event.to) {
        (Some(from), Some(to)) => Some(format!("{from} -> {to}")),
        (None, Some(to)) if event.why.is_none() => Some(to.clone()),
        _ => None,
    };
    let all = check.into_iter().chain(states).chain(event.why.clone());
    let mut text = all.collect::<Vec<_>>().join(": ");
    if let Some(last_at) = &event.last_at {
        let count = event.count;
        text.push_str(&format!(" ({count} times, the last at {last_at})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: EventKind) -> HistoryEvent {
        HistoryEvent {
            number: 1,
            at: "2026-11-29T03:00:00.007Z".to_owned(),
            what,
            by: EventBy::default(),
            instance: None,
            service: None,
            check: None,
            member: None,
            datacenter: None,
            from: None,
            to: None,
            why: None,
            count: 1,
            last_at: None,
        }
    }

    #[test]
    fn a_line_says_what_happened_to_what_by_whom_and_why() {
        let by = EventBy { kind: ByKind::Check, ..EventBy::default() };
        let text = |text: &str| Some(text.to_owned());
        let flapping = HistoryEvent {
            by,
            instance: text("web-1"),
            service: text("web"),
            check: text("http"),
            from: text("passing"),
            to: text("critical"),
            why: text("connection refused"),
            count: 540,
            last_at: text("2026-11-29T03:10:00.000Z"),
            ..event(EventKind::CheckChanged)
        };
        let table = history(&[flapping, event(EventKind::Connected)], Style::PLAIN);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].contains("check_changed"), "{table}");
        let details = "check http: passing -> critical: connection refused (540 times, the last at 2026-11-29T03:10:00.000Z)";
        assert!(lines[1].ends_with(details), "{table}");
        assert!(lines[2].ends_with(" agent  -"), "{table}");
    }

    #[test]
    fn eighty_columns_say_who_did_it() {
        let client = EventBy {
            kind: ByKind::Client,
            uid: Some(1_000),
            pid: Some(4_242),
            program: Some("deploy".to_owned()),
            ..EventBy::default()
        };
        let text = |text: &str| Some(text.to_owned());
        let taken_out = HistoryEvent {
            by: client,
            instance: text("web-1"),
            service: text("web"),
            why: text("a new disk, and then a longer story of why that took the whole night"),
            ..event(EventKind::MaintenanceOn)
        };
        let style = Style { colours: false, width: Some(80) };
        let table = history(&[taken_out], style);
        let mut lines = table.lines();
        let header = lines.next().unwrap();
        assert!(header.contains(" BY ") && header.contains("DETAILS"), "{table}");
        let line = lines.next().unwrap();
        assert!(line.contains("uid 1000") && line.contains("a new"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }

    #[test]
    fn a_client_is_named_by_user_process_and_program() {
        let client = EventBy {
            kind: ByKind::Client,
            uid: Some(1_000),
            pid: Some(42),
            program: Some("deploy".to_owned()),
            ..EventBy::default()
        };
        assert_eq!(by(&client), "uid 1000, pid 42 (deploy)");
    }
}
