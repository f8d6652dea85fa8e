//! The table of settings.

use comfy_table::Color;
use hobnob_api::{Origin, Setting};

use super::table::{Column, Style, cell, or_dash, render};

/// The table of `hobnob config show`.
pub(crate) fn settings(settings: &[Setting], style: Style) -> String {
    const COLUMNS: [Column; 3] =
        [Column::whole("KEY"), Column::kept("VALUE"), Column::kept("FROM")];
    let rows = settings.iter().map(|setting| {
        let from = match (setting.origin, &setting.place) {
            (Origin::Default | Origin::Found, _) | (_, None) => setting.origin.name(),
            (_, Some(place)) => place,
        };
        let from = match setting.origin {
            Origin::Default | Origin::Found => cell(from).fg(Color::DarkGrey),
            _ => cell(from),
        };
        vec![cell(&setting.key), cell(or_dash(setting.value.as_deref().unwrap_or_default())), from]
    });
    render(&COLUMNS, rows, style)
}
