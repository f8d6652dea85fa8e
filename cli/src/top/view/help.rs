//! The help over the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use crate::terminal::Look;

const KEYS: [(&str, &str); 7] = [
    ("tab", "next pane, shift-tab the one before"),
    ("↑ ↓ j k", "move; page up, page down, home, end"),
    ("s  r", "sort by the next column; reverse"),
    ("/", "filter members and services; esc drops it"),
    ("a", "show members that are gone, or hide them"),
    ("?", "this help; any key closes it"),
    ("q", "quit"),
];

const WORDS: [(&str, &str); 5] = [
    ("link", "silent: this agent's own pings get no answer"),
    ("age", "time in this status; > at least, from the start"),
    ("offered", "what a pick may choose; see `hobnob resolve`"),
    ("lag", "changes of others known to be missing here"),
    ("rates", "of this agent alone, between two looks"),
];

/// Draws the help in the middle of the screen.
pub(super) fn draw(frame: &mut Frame, area: Rect, look: Look) {
    let line = |(key, what): (&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!(" {key:<9}"), look.accent()), Span::raw(what)])
    };
    let keys = KEYS.into_iter().map(line);
    let words = WORDS.into_iter().map(line);
    let lines: Vec<Line> = keys.chain([Line::raw("")]).chain(words).collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let place = area.centered(Constraint::Length(64), Constraint::Length(height));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(look.pane("Help", "", true)), place);
}
