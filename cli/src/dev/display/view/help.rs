//! The help over the picture, and the commands for another terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::Picture;
use crate::dev::cluster::BACK_AFTER;
use crate::terminal::fit;

/// The columns of the help.
const COLUMNS: u16 = 76;

/// Draws the help in the middle.
pub(super) fn draw(frame: &mut Frame, area: Rect, picture: &Picture<'_>) {
    let look = picture.look;
    let back = format!("kill it, as with kill -9; it is back in {} s", BACK_AFTER.as_secs());
    let keys = [
        ("↑ ↓ tab", "select an agent or a server"),
        ("k", &*back),
        ("p", "pause it, as with kill -STOP, or let it go on"),
        ("r", "restart it: it stops as planned, and starts at once"),
        ("s", "stop it, or start it again"),
        ("x", "cut an agent off from the others, or bring it back"),
        ("c", "cut the link between the datacenters, or heal it"),
        ("q", "quit: everything ends, and the folder is removed"),
    ];
    let keys = keys.into_iter().filter(|(key, _)| *key != "c" || picture.status.has_link);
    let mut lines: Vec<Line> = keys
        .map(|(key, what)| {
            let key = Span::styled(format!(" {key:<9}"), look.accent());
            Line::from(vec![key, Span::raw(what.to_owned())])
        })
        .collect();
    lines.push(Line::raw(""));
    for text in [
        " Times count from just before the signal until the watches of all agents",
        " have told it, and until the last pick went to what was lost.",
        "",
        " In another terminal:",
    ] {
        lines.push(Line::styled(text, look.faint()));
    }
    lines.push(Line::styled(format!("   {}", picture.status.hints.export), look.strong()));
    lines.push(Line::raw("   hobnob top     hobnob members     hobnob watch web"));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let place = area.centered(Constraint::Length(COLUMNS), Constraint::Length(rows));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(look.pane("Help", "", true)), place);
}

/// Draws the commands for another terminal.
pub(super) fn hints(frame: &mut Frame, area: Rect, picture: &Picture<'_>) {
    let look = picture.look;
    let block = look.pane("In another terminal", "", false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let room = usize::from(inner.width);
    let hints = &picture.status.hints;
    let line = |text: &str| Line::raw(fit(&format!(" {text}"), room));
    let lines: Vec<Line> =
        [&hints.export].into_iter().chain(&hints.short).map(|text| line(text)).collect();
    frame.render_widget(Paragraph::new(lines), inner);
}
