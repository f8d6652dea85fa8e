//! A frame as plain text: for output that is no terminal, and for tests.

use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::{Frame, Terminal};

/// The lines of a frame of this size, without colours and without blanks at their ends.
pub(crate) fn plain(columns: u16, rows: u16, show: impl FnOnce(&mut Frame)) -> String {
    let mut lines = String::new();
    // The backend keeps the frame in memory, and has no errors.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(show);
    let buffer = terminal.backend().buffer();
    for row in 0..rows {
        let signs = (0..columns).filter_map(|column| buffer.cell((column, row)));
        let line: String = signs.map(Cell::symbol).collect();
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}
