//! The journal, the newest entry first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::terminal::{clock, fit};
use crate::top::app::{App, Focus};
use crate::top::journal::Tone;

/// The columns of the time before each entry.
const TIME: usize = 9;

/// Draws as many entries as fit.
pub(super) fn draw(frame: &mut Frame, area: Rect, app: &App) {
    let look = app.look;
    let has_focus = app.focus == Focus::Events;
    let note = match app.journal.len() {
        0 => String::new(),
        count => count.to_string(),
    };
    let block = look.pane("Events", &note, has_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if app.journal.len() == 0 {
        let text = "nothing has changed since this command started";
        return frame.render_widget(Paragraph::new(text).style(look.faint()), inner);
    }
    let room = usize::from(inner.width).saturating_sub(TIME);
    let entries = app.journal.latest().skip(app.scrolled).take(usize::from(inner.height));
    let lines: Vec<Line> = entries
        .map(|entry| {
            let style = match entry.tone {
                Tone::Good => look.good(),
                Tone::Plain => ratatui::style::Style::new(),
                Tone::Warn => look.warn(),
                Tone::Bad => look.bad(),
            };
            Line::from(vec![
                Span::styled(format!("{} ", clock(entry.at)), look.faint()),
                Span::styled(fit(&entry.text, room), style),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}
