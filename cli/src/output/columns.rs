//! Tables that fit the terminal: aligned, without borders, so that people can read them, and `cut` and `awk` can split them.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal};

use comfy_table::{Color, Table, presets};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use hobnob_api::names::printable;

use super::colour::Style;

/// The space between two columns.
const GAP: u16 = 2;
/// The width of a terminal that does not tell it.
const USUAL_WIDTH: usize = 80;
/// The least that is left of a cell that is cut.
const LEAST_WIDTH: usize = 8;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    place: Place,
}

/// The room that a column has a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is always shown, and no cell of it is cut.
    Whole,
    /// It is hidden when the terminal is too narrow, those with the highest number first. The last resort is to cut its cells.
    Hidden(u8),
}

impl Column {
    /// A column that is always shown whole: the name, id or address that somebody may copy.
    pub(super) const fn whole(name: &'static str) -> Self {
        Self { name, place: Place::Whole }
    }

    /// A column that is always shown, and whose long cells are cut when nothing else is left to hide.
    pub(super) const fn kept(name: &'static str) -> Self {
        Self { name, place: Place::Hidden(0) }
    }

    /// A column that is hidden when the terminal is too narrow: one without any values first, then one with a higher number
    /// before one with a lower.
    pub(super) const fn hidden(name: &'static str, order: u8) -> Self {
        Self { name, place: Place::Hidden(order) }
    }
}

/// Names of columns that are whole, wherever they stand.
const WHOLE: [&str; 7] = ["ADDRESS", "DATACENTER", "ID", "INSTANCE", "KEY", "MEMBER", "SERVICE"];

impl From<&'static str> for Column {
    fn from(name: &'static str) -> Self {
        if WHOLE.contains(&name) { Self::whole(name) } else { Self::kept(name) }
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    colour: Option<Color>,
}

impl Cell {
    /// The cell in a colour.
    pub(super) fn fg(self, colour: Color) -> Self {
        Self { colour: Some(colour), ..self }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

impl From<Cell> for comfy_table::Cell {
    fn from(Cell { text, colour }: Cell) -> Self {
        match colour {
            Some(colour) => Self::new(text).fg(colour),
            None => Self::new(text),
        }
    }
}

/// A cell with its text escaped, since the text may come from another agent.
pub(super) fn cell(text: impl Display) -> Cell {
    Cell { text: printable(&text.to_string()).into_owned(), colour: None }
}

/// The width that tables on stdout have to fit: that of its terminal, else `COLUMNS`, else 80; `None` when it is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let of_terminal = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col.into());
    let of_variable = || env::var("COLUMNS").ok()?.parse().ok();
    let told = of_terminal.filter(|columns| *columns > 0).or_else(of_variable);
    Some(told.filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH))
}

/// A table of these rows, within the width of the style. The last line names what is hidden.
pub(super) fn render<C: Into<Column> + Copy>(
    columns: &[C],
    rows: impl IntoIterator<Item = Vec<Cell>>,
    style: Style,
) -> String {
    let columns: Vec<Column> = columns.iter().map(|column| (*column).into()).collect();
    let columns = &columns[..];
    let mut rows: Vec<Vec<Cell>> = rows.into_iter().collect();
    let (shown, hidden) = fit(columns, &mut rows, style.width);
    let header: Vec<&str> = shown.iter().map(|index| columns[*index].name).collect();
    let is_shown = |index: &usize| columns.is_empty() || shown.contains(index);
    let rows = rows.into_iter().map(|row| {
        let cells = row.into_iter().enumerate().filter(|(index, _)| is_shown(index));
        cells.map(|(_, cell)| cell.into()).collect()
    });
    let text = unfitted(&header, rows, style);
    match footer(&hidden) {
        Some(footer) => format!("{text}\n{}", style.paint(&footer, Color::DarkGrey)),
        None => text,
    }
}

/// A table of these rows, as wide as they are. No line ends in white space.
pub(crate) fn unfitted(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<comfy_table::Cell>>,
    style: Style,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if style.colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if !header.is_empty() {
        table.set_header(header);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}

/// Chooses the columns that are shown, by their indices, and cuts cells if that is not enough. Returns the names of the others.
fn fit(
    columns: &[Column],
    rows: &mut [Vec<Cell>],
    width: Option<usize>,
) -> (Vec<usize>, Vec<&'static str>) {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = width else { return (shown, vec![]) };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| widest(column.name, rows, index))
        .collect();
    let gap = usize::from(GAP);
    let taken = |shown: &[usize]| {
        shown.iter().map(|index| widths[*index] + gap).sum::<usize>().saturating_sub(gap)
    };
    let is_empty =
        |index: usize| rows.iter().all(|row| row.get(index).is_none_or(|cell| cell.text == "-"));
    let mut order: Vec<(bool, u8, usize)> = (0..columns.len())
        .filter_map(|index| match columns[index].place {
            Place::Whole | Place::Hidden(0) => None,
            Place::Hidden(order) => Some((is_empty(index), order, index)),
        })
        .collect();
    order.sort_unstable();
    while taken(&shown) > width
        && let Some((.., index)) = order.pop()
    {
        shown.retain(|one| *one != index);
    }
    let over = taken(&shown).saturating_sub(width);
    cut(columns, rows, &shown, &widths, over);
    let hidden = (0..columns.len()).filter(|index| !shown.contains(index));
    let hidden = hidden.map(|index| columns[index].name).collect();
    (shown, hidden)
}

/// Cuts cells until the table is narrower by `over`, the widest column first, as far as columns may be cut.
fn cut(columns: &[Column], rows: &mut [Vec<Cell>], shown: &[usize], widths: &[usize], over: usize) {
    let mut limits = widths.to_vec();
    for _ in 0..over {
        let may = shown.iter().copied().filter(|index| {
            let least = LEAST_WIDTH.max(columns[*index].name.width());
            columns[*index].place != Place::Whole && limits[*index] > least
        });
        let Some(widest) = may.max_by_key(|index| limits[*index]) else { break };
        limits[widest] -= 1;
    }
    for row in rows {
        for (index, cell) in row.iter_mut().enumerate() {
            if limits.get(index).is_some_and(|limit| cell.width() > *limit) {
                cell.text = shortened(&cell.text, limits[index]);
            }
        }
    }
}

/// The beginning of a text and an ellipsis, within `width` columns.
fn shortened(text: &str, width: usize) -> String {
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

fn widest(name: &str, rows: &[Vec<Cell>], index: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(index)).map(Cell::width);
    cells.fold(name.width(), usize::max)
}

/// The line that names the hidden columns.
fn footer(hidden: &[&str]) -> Option<String> {
    let names = hidden.join(", ");
    match hidden.len() {
        0 => None,
        1 => Some(format!("1 column hidden ({names}): --wide shows it")),
        count => Some(format!("{count} columns hidden ({names}): --wide shows them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::whole("ID"),
        Column::kept("WHY"),
        Column::hidden("ZONE", 1),
        Column::hidden("META", 2),
    ];

    fn table(width: Option<usize>) -> String {
        let row = ["web-1000", "no healthy one is left", "z1", "key=value"].map(cell).to_vec();
        render(&COLUMNS, [row], Style { colours: false, width })
    }

    #[test]
    fn a_wide_terminal_and_a_pipe_show_all() {
        let whole = "ID        WHY                     ZONE  META\n\
                     web-1000  no healthy one is left  z1    key=value";
        for width in [None, Some(200), Some(49)] {
            assert_eq!(table(width), whole, "{width:?}");
        }
    }

    #[test]
    fn a_narrow_one_hides_columns_by_their_order_and_says_which() {
        assert_eq!(
            table(Some(48)),
            "ID        WHY                     ZONE\n\
             web-1000  no healthy one is left  z1\n\
             1 column hidden (META): --wide shows it"
        );
        assert_eq!(
            table(Some(37)),
            "ID        WHY\n\
             web-1000  no healthy one is left\n\
             2 columns hidden (ZONE, META): --wide shows them"
        );
    }

    #[test]
    fn a_column_without_values_goes_first() {
        let row = ["web-1", "down", "-", "key=value"].map(cell).to_vec();
        let text = render(&COLUMNS, [row], Style { colours: false, width: Some(25) });
        assert!(text.starts_with("ID     WHY   META\n"), "{text}");
    }

    #[test]
    fn cells_are_cut_last_and_ids_never() {
        let narrow = table(Some(22));
        assert!(narrow.starts_with("ID        WHY\nweb-1000  no healthy …\n"), "{narrow}");
        let narrowest = table(Some(1));
        assert!(narrowest.contains("\nweb-1000  no heal…\n"), "{narrowest}");
    }

    #[test]
    fn wide_characters_count_twice() {
        let row = || vec![cell("数据库"), cell("一二三四五六七八九十")];
        let columns = [Column::whole("ID"), Column::kept("WHY")];
        let text = render(&columns, [row()], Style { colours: false, width: Some(20) });
        assert_eq!(text, "ID      WHY\n数据库  一二三四五…");
        assert!(text.lines().all(|line| line.width() <= 20), "{text}");
    }

    #[test]
    fn fields_without_a_header_are_never_hidden() {
        let row = vec![cell("name"), cell("a value that is longer than the terminal is wide")];
        let text = render::<Column>(&[], [row], Style { colours: false, width: Some(10) });
        assert_eq!(text, "name  a value that is longer than the terminal is wide");
    }
}
