//! The picture of a snapshot: tables, cut to the size of a terminal.

use std::time::{Duration, Instant};

use comfy_table::{Cell, Color};

use crate::dev::cluster::BACK_AFTER;
use crate::dev::notices::Notices;
use crate::dev::sights::Snapshot;
use crate::output::{Style, member_status, unfitted};

/// The most messages in a picture. Fewer are shown where they do not fit. The table of agents gives way to one.
const MAX_SHOWN_NOTICES: usize = 4;
/// The rows of the table of agents that are shown in any case: its header, an agent, the number of those that are hidden.
const LEAST_AGENT_ROWS: usize = 3;

/// The state of the display beyond the snapshot.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Status {
    /// The time at which the command was started.
    pub(in crate::dev) started: Instant,
    /// The time from the start to the first complete snapshot.
    pub(in crate::dev) ready_after: Option<Duration>,
    /// Messages about keys, and about processes that ended.
    pub(in crate::dev) notices: Notices,
    /// Commands to paste in another terminal.
    pub(in crate::dev) hints: Vec<String>,
    /// The summary of the snapshot that was complete first.
    pub(in crate::dev) ready_summary: String,
    /// Whether there are several datacenters, with a link that a key cuts.
    pub(in crate::dev) has_link: bool,
}

impl Status {
    pub(in crate::dev) fn new(started: Instant, hints: Vec<String>) -> Self {
        Self {
            started,
            ready_after: None,
            notices: Notices::default(),
            hints,
            ready_summary: String::new(),
            has_link: false,
        }
    }

    /// Notes the first complete snapshot.
    pub(in crate::dev) fn observe(&mut self, snapshot: &Snapshot) {
        if self.ready_after.is_none() && snapshot.is_complete() {
            self.ready_after = Some(self.started.elapsed());
            self.ready_summary = snapshot.summary();
        }
    }

    /// The line that says when the cluster was ready.
    pub(in crate::dev) fn ready_line(&self) -> Option<String> {
        let after = self.ready_after?.as_secs_f64();
        Some(format!("ready after {after:.1} s: {}", self.ready_summary))
    }
}

/// The lines that show a snapshot in a terminal of this many columns and rows.
pub(in crate::dev) fn lines(
    snapshot: &Snapshot,
    status: &Status,
    style: Style,
    (columns, rows): (usize, usize),
) -> Vec<String> {
    let summary = snapshot.summary();
    let colour = if snapshot.is_complete() { Color::Green } else { Color::Yellow };
    let state = match status.ready_line() {
        Some(line) if summary == status.ready_summary => line,
        Some(_) => format!("now: {summary}"),
        None => format!("starting: {summary}"),
    };
    let state = style.paint(&state, colour);
    let mut foot = vec![String::new(), style.bold("In another terminal:")];
    foot.extend(status.hints.iter().map(|hint| format!("  {hint}")));
    foot.push(String::new());
    foot.push(keys(status.has_link));

    let mut head = vec![format!("{}  {state}", style.bold("hobnob dev")), String::new()];
    let mut agents = agents(snapshot, style);
    let mut instances = vec![String::new()];
    instances.extend(self::instances(snapshot, style));

    let height = |parts: &[&Vec<String>]| -> usize {
        parts.iter().copied().flatten().map(|line| rows_of(line, columns)).sum()
    };
    let taken = height(&[&head, &instances, &foot]) + LEAST_AGENT_ROWS.max(agents.len());
    let shown = rows.saturating_sub(taken).clamp(1, MAX_SHOWN_NOTICES);
    foot.extend(status.notices.last(shown).map(|notice| style.paint(notice, Color::Yellow)));
    let left = rows.saturating_sub(height(&[&head, &instances, &foot]));
    shorten(&mut agents, left.max(LEAST_AGENT_ROWS), "agents");
    head.append(&mut agents);
    head.append(&mut instances);
    head.append(&mut foot);
    cut(head, (columns, rows))
}

fn agents(snapshot: &Snapshot, style: Style) -> Vec<String> {
    let header = ["AGENT", "STATUS", "GOSSIP", "SEES ALIVE", "SEES HEALTHY"];
    let rows = snapshot.agents.iter().map(|agent| {
        let beliefs = snapshot.beliefs_of(&agent.name);
        let words: Vec<_> = beliefs.iter().map(|status| member_status(*status).0).collect();
        let colour = match beliefs[..] {
            [status] => member_status(status).1,
            _ => Color::Yellow,
        };
        let status = if words.is_empty() { "not seen".to_owned() } else { words.join("/") };
        let (members, instances) = (snapshot.agents.len(), snapshot.instances.len());
        let (alive, healthy) = (snapshot.alive_for(agent), snapshot.healthy_for(agent));
        let mut row =
            vec![Cell::new(&agent.name), Cell::new(status).fg(colour), Cell::new(agent.gossip)];
        if agent.sight.is_some() {
            row.push(share(alive, members));
            row.push(share(healthy, instances));
        } else {
            let away = agent.back_in.map_or_else(|| "no answer".to_owned(), back_in);
            row.push(Cell::new(away).fg(Color::Red));
        }
        row
    });
    table(&header, rows, style)
}

fn instances(snapshot: &Snapshot, style: Style) -> Vec<String> {
    let header = ["INSTANCE", "SERVICE", "ADDRESS", "AGENT", "STATUS"];
    let rows = snapshot.instances.iter().map(|instance| {
        let verdicts = snapshot.verdicts_on(instance);
        let (text, colour) = match verdicts[..] {
            [] => ("not known".to_owned(), Color::Yellow),
            [("healthy", _)] => ("healthy on every agent".to_owned(), Color::Green),
            [(word, _)] => (format!("{word} on every agent"), Color::Red),
            _ => {
                let parts: Vec<_> =
                    verdicts.iter().map(|(word, count)| format!("{word} on {count}")).collect();
                (parts.join(", "), Color::Yellow)
            }
        };
        vec![
            Cell::new(&instance.id),
            Cell::new(&instance.service),
            Cell::new(instance.addr),
            Cell::new(&instance.agent),
            Cell::new(match instance.back_in {
                Some(time) => format!("{text}, {}", back_in(time)),
                None => text,
            })
            .fg(colour),
        ]
    });
    table(&header, rows, style)
}

fn keys(has_link: bool) -> String {
    let back_after = BACK_AFTER.as_secs();
    let link = if has_link { "c cuts or heals the link, " } else { "" };
    format!(
        "a kills an agent, k a server (back in {back_after} s), s stops or starts web-2, {link}q quits"
    )
}

fn back_in(time: Duration) -> String {
    format!("back in {:.0} s", time.as_secs_f64().ceil())
}

fn share(part: usize, whole: usize) -> Cell {
    let colour = if part == whole { Color::Green } else { Color::Yellow };
    Cell::new(format!("{part} of {whole}")).fg(colour)
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>, style: Style) -> Vec<String> {
    unfitted(header, rows, style).lines().map(str::to_owned).collect()
}

/// Cuts a table to `rows` rows. Its last row then says how many were dropped.
fn shorten(table: &mut Vec<String>, rows: usize, noun: &str) {
    if table.len() > rows {
        let hidden = table.len() - (rows - 1);
        table.truncate(rows - 1);
        table.push(format!("… and {hidden} more {noun}"));
    }
}

/// The first lines, as many as fit.
fn cut(lines: Vec<String>, (columns, rows): (usize, usize)) -> Vec<String> {
    let mut left = rows;
    let fits = |line: &String| {
        let taken = rows_of(line, columns);
        let fits = taken <= left;
        left = left.saturating_sub(taken);
        fits
    };
    lines.into_iter().take_while(fits).collect()
}

/// The number of terminal rows that a line takes when it is wrapped.
pub(in crate::dev) fn rows_of(line: &str, columns: usize) -> usize {
    visible_width(line).div_ceil(columns.max(1)).max(1)
}

/// The number of columns that a line takes: its characters without escape sequences. No shown character is wider than
/// one column.
fn visible_width(line: &str) -> usize {
    let (mut width, mut in_escape) = (0, false);
    for c in line.chars() {
        match c {
            '\u{1b}' => in_escape = true,
            'm' if in_escape => in_escape = false,
            _ if in_escape => {}
            _ => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::sights::snapshot::tests::complete;

    const PLAIN: Style = Style::PLAIN;

    fn status(ready: bool) -> Status {
        let mut status = Status::new(Instant::now(), vec!["hobnob --socket S members".to_owned()]);
        if ready {
            status.ready_after = Some(Duration::from_millis(840));
            status.ready_summary = complete(3).summary();
        }
        status
    }

    #[test]
    fn a_picture_has_agents_instances_and_commands() {
        let lines = lines(&complete(3), &status(true), PLAIN, (100, 40));
        assert_eq!(
            lines.join("\n"),
            "\
hobnob dev  ready after 0.8 s: 3 agents alive, 2 instances healthy on every agent

AGENT  STATUS  GOSSIP          SEES ALIVE  SEES HEALTHY
a1     alive   127.0.0.1:7946  3 of 3      2 of 2
a2     alive   127.0.0.1:7946  3 of 3      2 of 2
a3     alive   127.0.0.1:7946  3 of 3      2 of 2

INSTANCE  SERVICE  ADDRESS         AGENT  STATUS
web-1     web      127.0.0.1:8001  a1     healthy on every agent
web-2     web      127.0.0.1:8001  a3     healthy on every agent

In another terminal:
  hobnob --socket S members

a kills an agent, k a server (back in 5 s), s stops or starts web-2, q quits"
        );
    }

    #[test]
    fn the_key_for_the_link_is_shown_where_there_is_one() {
        let last = |has_link| {
            let status = Status { has_link, ..status(true) };
            lines(&complete(3), &status, PLAIN, (100, 40)).pop().unwrap()
        };
        assert!(last(true).contains("c cuts or heals the link"), "{}", last(true));
        assert!(!last(false).contains("link"), "{}", last(false));
    }

    #[test]
    fn a_killed_process_is_shown_with_the_time_of_its_return() {
        let mut snapshot = complete(3);
        snapshot.agents[2].sight = None;
        snapshot.agents[2].back_in = Some(Duration::from_millis(3_001));
        snapshot.instances[0].back_in = Some(Duration::from_millis(900));
        let picture = lines(&snapshot, &status(true), PLAIN, (100, 40)).join("\n");
        assert!(picture.contains("127.0.0.1:7946  back in 4 s\n"), "{picture}");
        assert!(picture.contains("  healthy on every agent, back in 1 s\n"), "{picture}");
    }

    #[test]
    fn as_many_messages_are_shown_as_fit() {
        let mut status = status(true);
        status.notices.extend((1..=9).map(|number| format!("message {number}")));
        let shown = |rows| {
            let lines = lines(&complete(3), &status, PLAIN, (100, rows));
            lines.into_iter().filter(|line| line.starts_with("message")).collect::<Vec<_>>()
        };
        assert_eq!(shown(40), ["message 6", "message 7", "message 8", "message 9"]);
        assert_eq!(shown(17), ["message 8", "message 9"]);
        assert_eq!(shown(15), ["message 9"]);
    }

    #[test]
    fn the_first_line_says_what_is_and_not_what_was() {
        let mut snapshot = complete(3);
        snapshot.agents[0].sight = None;
        let first = |ready| lines(&snapshot, &status(ready), PLAIN, (100, 40)).swap_remove(0);
        assert_eq!(first(false), "hobnob dev  starting: a1 does not answer");
        assert_eq!(first(true), "hobnob dev  now: a1 does not answer");
    }

    #[test]
    fn a_small_terminal_keeps_the_commands_and_hides_agents() {
        let lines = lines(&complete(16), &status(true), PLAIN, (100, 20));
        assert!(lines.len() <= 20);
        assert!(lines.iter().any(|line| line == "… and 9 more agents"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("--socket S")));
    }

    #[test]
    fn no_picture_is_higher_than_its_terminal() {
        for (columns, rows) in [(20, 5), (7, 24), (1, 1), (80, 24), (0, 0)] {
            let lines = lines(&complete(16), &status(false), Style::COLOURED, (columns, rows));
            let taken: usize = lines.iter().map(|line| rows_of(line, columns)).sum();
            assert!(taken <= rows, "{taken} rows in {columns}x{rows}");
        }
    }

    #[test]
    fn a_line_is_ready_once() {
        let mut status = status(false);
        assert_eq!(status.ready_line(), None);
        status.observe(&complete(2));
        let line = status.ready_line().unwrap();
        assert!(line.starts_with("ready after 0."), "{line}");
        assert!(line.ends_with(" s: 2 agents alive, 2 instances healthy on every agent"), "{line}");
    }

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(visible_width("\u{1b}[32mok\u{1b}[0m"), 2);
        assert_eq!(visible_width(&Style::COLOURED.bold("ok")), 2);
    }
}
