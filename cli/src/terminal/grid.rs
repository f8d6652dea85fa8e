//! Tables on screens: as many columns as fit, each as wide as its widest cell.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, HighlightSpacing, Row, Table, TableState};

use super::look::{Look, fit};

/// Columns between two columns.
const GAP: usize = 2;
/// The least width to which a column is cut.
const LEAST: usize = 6;
/// The width of the mark of the selected row.
const MARK: usize = 1;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    /// The columns with the highest rank go first when there is no room. Those of rank 0 stay.
    rank: u8,
    is_right: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(title: &'static str, rank: u8) -> Self {
        Self { title, rank, is_right: false }
    }

    /// A column of numbers.
    pub(crate) const fn number(title: &'static str, rank: u8) -> Self {
        Self { title, rank, is_right: true }
    }
}

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    pub(crate) columns: Vec<Column>,
    /// The cells of each row, one for each column.
    pub(crate) rows: Vec<Vec<(String, Style)>>,
    /// The title of the column that the rows are sorted by, and whether they are in reverse.
    pub(crate) sorted: Option<(&'static str, bool)>,
}

impl Grid {
    /// Draws the rows around the selected one. `mark` is the style of the mark before it; without one, no row is selected.
    pub(crate) fn draw(
        &self,
        frame: &mut Frame,
        area: Rect,
        look: Look,
        state: &mut TableState,
        has_focus: bool,
    ) {
        let shown = self.shown(usize::from(area.width).saturating_sub(MARK));
        let head = shown.iter().map(|(n, width)| {
            let title = fit(&self.title(*n), *width);
            Cell::from(aligned(title, self.columns[*n].is_right))
        });
        let rows = self.rows.iter().map(|cells| {
            Row::new(shown.iter().map(|(n, width)| {
                let (text, style) = &cells[*n];
                Cell::from(aligned(fit(text, *width), self.columns[*n].is_right)).style(*style)
            }))
        });
        let widths = shown
            .iter()
            .map(|(_, width)| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
        let (selected, mark) = match has_focus {
            true => (look.selected(), look.accent()),
            false => (Style::new(), look.faint()),
        };
        let table = Table::new(rows, widths)
            .header(Row::new(head).style(look.head()))
            .column_spacing(GAP as u16)
            .row_highlight_style(selected)
            .highlight_symbol(Text::from(Line::styled("▌", mark)))
            .highlight_spacing(HighlightSpacing::Always);
        frame.render_stateful_widget(table, area, state);
    }

    fn title(&self, column: usize) -> String {
        let title = self.columns[column].title;
        match self.sorted {
            Some((sorted, is_reversed)) if sorted == title => {
                format!("{title}{}", if is_reversed { '▾' } else { '▴' })
            }
            _ => title.to_owned(),
        }
    }

    /// The columns that fit, with their widths.
    fn shown(&self, columns: usize) -> Vec<(usize, usize)> {
        let natural = |n: usize| {
            let cells = self.rows.iter().map(|row| Line::raw(row[n].0.as_str()).width());
            cells.chain([Line::raw(self.title(n)).width()]).max().unwrap_or(0)
        };
        let mut shown: Vec<(usize, usize)> =
            (0..self.columns.len()).map(|n| (n, natural(n))).collect();
        loop {
            let gaps = GAP * shown.len().saturating_sub(1);
            let taken: usize = shown.iter().map(|(_, width)| width).sum::<usize>() + gaps;
            let Some(excess) = taken.checked_sub(columns).filter(|excess| *excess > 0) else {
                return shown;
            };
            // A column that is much wider than all others is cut before any is dropped.
            let widest = shown.iter_mut().max_by_key(|(_, width)| *width);
            let Some((_, width)) = widest else { return shown };
            if *width >= excess + 24 {
                *width -= excess;
                return shown;
            }
            let last = shown
                .iter()
                .enumerate()
                .max_by_key(|(place, (n, _))| (self.columns[*n].rank, *place));
            match last.filter(|(_, (n, _))| self.columns[*n].rank > 0) {
                Some((place, _)) => drop(shown.remove(place)),
                None => {
                    let widest = shown.iter_mut().max_by_key(|(_, width)| *width);
                    match widest.filter(|(_, width)| *width > LEAST) {
                        Some((_, width)) => *width = width.saturating_sub(excess).max(LEAST),
                        None => return shown,
                    }
                }
            }
        }
    }
}

fn aligned(text: String, is_right: bool) -> Line<'static> {
    Line::from(text).alignment(if is_right { Alignment::Right } else { Alignment::Left })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(name: &str) -> Grid {
        let row = [name, "alive", "eu", "10.0.0.1:7946"];
        Grid {
            columns: vec![
                Column::text("NAME", 0),
                Column::text("STATUS", 0),
                Column::text("DC", 2),
                Column::text("ADDRESS", 1),
            ],
            rows: vec![row.map(|text| (text.to_owned(), Style::new())).to_vec()],
            sorted: Some(("DC", true)),
        }
    }

    fn shown(name: &str, columns: usize) -> Vec<(usize, usize)> {
        grid(name).shown(columns)
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_the_last_ranks_go_first() {
        assert_eq!(shown("a1", 80), [(0, 4), (1, 6), (2, 3), (3, 13)]);
        assert_eq!(shown("a1", 28), [(0, 4), (1, 6), (3, 13)]);
        assert_eq!(shown("a1", 20), [(0, 4), (1, 6)]);
        assert_eq!(shown("a-long-name", 16), [(0, 8), (1, 6)]);
        assert_eq!(shown("a1", 1), [(0, 4), (1, 6)], "a terminal that is too small cuts");
    }

    #[test]
    fn a_very_wide_column_is_cut_before_others_are_dropped() {
        let name = "x".repeat(70);
        assert_eq!(shown(&name, 80), [(0, 52), (1, 6), (2, 3), (3, 13)]);
    }
}
