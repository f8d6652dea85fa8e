//! The look that all screens share: colours, panes, bars and the line of keys.

use hobnob_api::names::printable;
use ratatui::layout::Alignment;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType};

/// The styles of text. Without colours, bold and reversed text remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) has_colours: bool,
}

impl Look {
    fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is as it should be.
    pub(crate) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// What deserves a look.
    pub(crate) fn warn(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// What is broken.
    pub(crate) fn bad(self) -> Style {
        self.coloured(Color::LightRed).add_modifier(Modifier::BOLD)
    }

    /// What matters less than the rest.
    pub(crate) fn faint(self) -> Style {
        self.coloured(Color::DarkGray)
    }

    /// What the eye should find first.
    pub(crate) fn accent(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// Names and numbers of weight.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The head of a table.
    pub(crate) fn head(self) -> Style {
        self.faint().add_modifier(Modifier::BOLD)
    }

    /// The row that keys act on.
    pub(crate) fn selected(self) -> Style {
        if self.has_colours {
            Style::new().bg(Color::Indexed(237)).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// A pane with a title on its left, and a note on its right. The one with the focus stands out.
    pub(crate) fn pane<'t>(self, title: &'t str, note: &'t str, has_focus: bool) -> Block<'t> {
        let (border, name) = if has_focus {
            (self.accent(), self.accent().add_modifier(Modifier::BOLD))
        } else {
            (self.faint(), self.strong())
        };
        let title = Line::from(Span::styled(format!(" {title} "), name));
        let block = Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(border)
            .title_top(title);
        if note.is_empty() {
            return block;
        }
        let note = Line::from(Span::styled(format!(" {note} "), self.faint()));
        block.title_top(note.alignment(Alignment::Right))
    }
}

/// A bar of this many columns, filled to a share from 0 to 1 in eighths of a column.
pub(crate) fn bar(share: f64, columns: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

/// A text without control characters, cut to this many columns. A cut text ends with `…`.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = printable(text).to_string();
    if Line::raw(text.as_str()).width() <= columns {
        return text;
    }
    let mut cut = String::new();
    for sign in text.chars() {
        cut.push(sign);
        if Line::raw(cut.as_str()).width() >= columns {
            cut.pop();
            break;
        }
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// A line of keys and what they do. Those that do not fit in so many columns are left out from the end; the last one stays.
pub(crate) fn keys_line<'k>(look: Look, keys: &[(&'k str, &'k str)], columns: usize) -> Line<'k> {
    let width = |(key, what): &(&str, &str)| Line::raw(*key).width() + Line::raw(*what).width() + 3;
    let last = keys.last();
    let mut left = columns.saturating_sub(last.map_or(0, width));
    let mut shown: Vec<&(&str, &str)> = Vec::new();
    for key in keys.iter().take(keys.len().saturating_sub(1)) {
        if width(key) > left {
            break;
        }
        left -= width(key);
        shown.push(key);
    }
    let spans = shown.into_iter().chain(last).flat_map(|(key, what)| {
        let key = Span::styled(format!(" {key} "), look.accent().add_modifier(Modifier::BOLD));
        [key, Span::raw(format!("{what} "))]
    });
    Line::from(spans.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { has_colours: false };

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(1.5, 2), "██");
        assert_eq!(bar(0.28, 4), "█▏");
    }

    #[test]
    fn a_text_that_does_not_fit_is_cut_and_says_so() {
        assert_eq!(fit("web-1", 5), "web-1");
        assert_eq!(fit("web-10", 5), "web-…");
        assert_eq!(fit("x", 0), "");
        assert_eq!(fit("a\u{1b}b", 20), "a\\u{1b}b");
    }

    #[test]
    fn keys_that_do_not_fit_are_left_out_and_the_last_one_stays() {
        let keys = [("a", "one"), ("b", "two"), ("q", "quit")];
        let text = |columns| keys_line(PLAIN, &keys, columns).to_string();
        assert_eq!(text(80), " a one  b two  q quit ");
        assert_eq!(text(15), " a one  q quit ");
        assert_eq!(text(3), " q quit ");
    }
}
