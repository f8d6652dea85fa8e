//! The picture of the cluster, in as much room as there is.

mod help;
mod tables;
#[cfg(test)]
mod tests;

use hobnob_api::MemberStatus;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::board::{Board, List};
use super::status::Status;
use crate::dev::load::Picks;
use crate::dev::sights::Snapshot;
use crate::dev::sights::snapshot::InstanceRow;
use crate::terminal::{Look, fit, keys_line, rate};

/// From this size on, panes stand side by side.
const WIDE: (u16, u16) = (140, 30);
/// The rows of a pane that are no rows of its table: the border, and the head.
const FRAME_ROWS: usize = 3;
/// The fewest rows of the pane of events, with its border.
const LEAST_EVENTS: u16 = 5;
/// The rows of the pane of picks, with its border.
const TRAFFIC: u16 = 10;
/// The columns of the time before each event.
const TIME: usize = 9;

/// What a picture shows.
pub(in crate::dev) struct Picture<'p> {
    pub(in crate::dev) snapshot: &'p Snapshot,
    pub(in crate::dev) status: &'p Status,
    pub(in crate::dev) picks: &'p Picks,
    pub(in crate::dev) look: Look,
}

impl Picture<'_> {
    /// Draws it.
    pub(in crate::dev) fn draw(&self, frame: &mut Frame, board: &mut Board) {
        let area = frame.area();
        let [head, panes, keys] =
            Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)])
                .areas(area);
        self.head(frame, head);
        if area.width >= WIDE.0 && area.height >= WIDE.1 {
            self.wide(frame, panes, board);
        } else {
            self.narrow(frame, panes, board);
        }
        self.keys(frame, keys, board);
        if board.shows_help {
            help::draw(frame, area, self);
        }
    }

    /// Agents, servers and events, one below the other.
    fn narrow(&self, frame: &mut Frame, area: Rect, board: &Board) {
        let (agents, servers) = self.wanted();
        let events = LEAST_EVENTS.min(area.height / 3);
        let events = events.max(area.height.saturating_sub(agents.saturating_add(servers)));
        let [tables, events] =
            Layout::vertical([Constraint::Min(0), Constraint::Length(events)]).areas(area);
        let servers = servers.min(tables.height.saturating_sub(agents).max(tables.height / 2));
        let [agents, servers] =
            Layout::vertical([Constraint::Min(0), Constraint::Length(servers)]).areas(tables);
        tables::agents(frame, agents, self, board);
        tables::servers(frame, servers, self, board);
        self.events(frame, events);
    }

    /// Agents, servers and traffic on the left; events and commands on the right.
    fn wide(&self, frame: &mut Frame, area: Rect, board: &Board) {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(55), Constraint::Min(0)]).areas(area);
        let (_, servers) = self.wanted();
        let traffic = TRAFFIC.min(left.height / 3);
        let [agents, servers, traffic] = Layout::vertical([
            Constraint::Min(0),
            Constraint::Length(servers),
            Constraint::Length(traffic),
        ])
        .areas(left);
        tables::agents(frame, agents, self, board);
        tables::servers(frame, servers, self, board);
        self.traffic(frame, traffic);
        let hints = u16::try_from(self.status.hints.commands.len()).unwrap_or(0).saturating_add(3);
        let [events, hints] =
            Layout::vertical([Constraint::Min(0), Constraint::Length(hints)]).areas(right);
        self.events(frame, events);
        help::hints(frame, hints, self);
    }

    /// The rows that the tables of agents and of servers would take.
    fn wanted(&self) -> (u16, u16) {
        let rows = |of: usize| u16::try_from(of + FRAME_ROWS).unwrap_or(u16::MAX);
        (rows(self.snapshot.agents.len()), rows(self.snapshot.instances.len()))
    }

    /// Two lines: the state of all, and how to look from another terminal.
    fn head(&self, frame: &mut Frame, area: Rect) {
        let look = self.look;
        let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        let is_well = self.snapshot.is_complete();
        let state = match self.status.ready_line() {
            Some(line) if self.snapshot.summary() == self.status.ready_summary => line,
            Some(_) if is_well => self.snapshot.summary(),
            Some(_) => self.counts(),
            None => format!("starting: {}", self.snapshot.summary()),
        };
        let (sign, style) = if is_well { ("●", look.good()) } else { ("▲", look.warn()) };
        let name = Span::styled(" hobnob dev  ", look.accent().add_modifier(Modifier::BOLD));
        let room = usize::from(first.width).saturating_sub(name.width() + 3);
        let state = Span::styled(fit(&state, room), style);
        frame.render_widget(
            Line::from(vec![name, Span::styled(format!("{sign} "), style), state]),
            first,
        );
        let export = format!(" {}", self.status.hints.export);
        let traffic = format!("{} picks ", rate(self.picks.per_second));
        let left = usize::from(second.width).saturating_sub(traffic.len() + 1);
        frame.render_widget(Line::styled(fit(&export, left), look.faint()), second);
        frame.render_widget(
            Line::styled(traffic, look.strong()).alignment(Alignment::Right),
            second,
        );
    }

    /// How many agents answer, and how many instances are healthy on all of them.
    fn counts(&self) -> String {
        let Snapshot { agents, instances } = self.snapshot;
        let answering = agents.iter().filter(|agent| agent.sight.is_some()).count();
        let is_healthy = |instance: &&InstanceRow| {
            matches!(self.snapshot.verdicts_on(instance)[..], [("healthy", _)])
        };
        let healthy = instances.iter().filter(is_healthy).count();
        let (all, of) = (agents.len(), instances.len());
        format!(
            "{answering} of {all} agents answer, {healthy} of {of} instances healthy everywhere"
        )
    }

    /// The picks of the whole load over time.
    fn traffic(&self, frame: &mut Frame, area: Rect) {
        let note = rate(self.picks.per_second);
        let block = self.look.pane("Picks", &note, false);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let room = usize::from(inner.width);
        let skipped = self.picks.curve.len().saturating_sub(room);
        let data = &self.picks.curve[skipped..];
        let used = u16::try_from(data.len()).unwrap_or(inner.width).min(inner.width);
        let right = Rect { x: inner.right() - used, width: used, ..inner };
        frame.render_widget(Sparkline::default().data(data).style(self.look.accent()), right);
    }

    /// The messages, the newest first. Long ones take several lines.
    fn events(&self, frame: &mut Frame, area: Rect) {
        let look = self.look;
        let block = look.pane("Events", "newest first", false);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let room = usize::from(inner.width).saturating_sub(TIME);
        let mut lines = Vec::new();
        for notice in self.status.notices.last(usize::MAX).rev() {
            if lines.len() >= usize::from(inner.height) {
                break;
            }
            let style = style_of(&notice.text, look);
            let time = format!("{:>6.1} s ", notice.after.as_secs_f64());
            for (n, part) in wrapped(&notice.text, room).into_iter().enumerate() {
                let time = if n == 0 { time.clone() } else { " ".repeat(TIME) };
                lines.push(Line::from(vec![
                    Span::styled(time, look.faint()),
                    Span::styled(part, style),
                ]));
            }
        }
        if lines.is_empty() {
            let text = "  press k to kill the selected agent, and see how fast the others notice";
            lines.push(Line::styled(text, look.faint()));
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn keys(&self, frame: &mut Frame, area: Rect, board: &Board) {
        let stop = match board.list {
            List::Agents => "stop agent",
            List::Servers => "stop server",
        };
        let mut keys = vec![("↑↓", "select"), ("k", "kill"), ("p", "pause")];
        if board.list == List::Agents {
            keys.push(("x", "cut"));
        }
        keys.extend([("r", "restart"), ("s", stop)]);
        if self.status.has_link {
            keys.push(("c", "cut or heal link"));
        }
        keys.extend([("?", "help"), ("q", "quit")]);
        frame.render_widget(keys_line(self.look, &keys, usize::from(area.width)), area);
    }
}

/// Measured times stand out, and so does what went wrong.
fn style_of(text: &str, look: Look) -> Style {
    if text.contains(" know after ")
        || text.contains(" offers it after ")
        || text.contains(" knows after ")
        || text.contains("picks avoid")
        || text.contains("no pick went")
    {
        look.good()
    } else if text.contains(" killed") || text.contains("ended: ") || text.contains("cannot start")
    {
        look.bad()
    } else if text.contains(" again") || text.contains("is healed") || text.contains("goes on") {
        Style::new()
    } else {
        look.warn()
    }
}

/// A text in lines of so many columns, broken at spaces where there are some.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter().map(|line| fit(&line, columns)).collect()
}

/// The style of a status in which an agent is seen.
fn member_style(status: MemberStatus, look: Look) -> Style {
    match status {
        MemberStatus::Alive => look.good(),
        MemberStatus::Suspect | MemberStatus::Unreachable => look.warn(),
        MemberStatus::Down => look.bad(),
        _ => look.faint(),
    }
}
