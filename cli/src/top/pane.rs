//! A pane with rows to choose from: its selection and its order.

use ratatui::widgets::TableState;

use crate::terminal::Key;

/// The selection and the order of the rows of a pane.
#[derive(Debug, Default)]
pub(super) struct Pane {
    /// The first row that is shown, and the one that is selected.
    pub(super) state: TableState,
    /// The column that rows are sorted by.
    pub(super) column: usize,
    pub(super) is_reversed: bool,
}

impl Pane {
    /// The selected row of so many; `None` without rows.
    pub(super) fn selected(&self, rows: usize) -> Option<usize> {
        let selected = self.state.selected().unwrap_or(0);
        rows.checked_sub(1).map(|last| selected.min(last))
    }

    /// Selects another row, if the key asks for that. Returns whether it does.
    pub(super) fn moves(&mut self, key: Key, rows: usize, page: usize) -> bool {
        let now = self.selected(rows).unwrap_or(0);
        let last = rows.saturating_sub(1);
        let next = match key {
            Key::Up | Key::Char('k') => now.saturating_sub(1),
            Key::Down | Key::Char('j') => now + 1,
            Key::PageUp => now.saturating_sub(page),
            Key::PageDown => now + page,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            _ => return false,
        };
        self.state.select(Some(next.min(last)));
        true
    }

    /// Sorts by the next of so many columns.
    pub(super) fn sort_by_next(&mut self, columns: usize) {
        self.column = (self.column + 1) % columns;
        self.is_reversed = false;
    }
}
