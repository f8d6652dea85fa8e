//! The table of the members' keys.

use comfy_table::Color;
use hobnob_api::KeyHolder;

use super::age;
use super::table::{Column, Style, cell, member_status, or_dash, render};

/// The table of `hobnob keys status`.
pub(crate) fn key_holders<'a>(
    holders: impl Iterator<Item = &'a KeyHolder>,
    style: Style,
) -> String {
    const COLUMNS: [Column; 8] = [
        Column::whole("MEMBER"),
        Column::kept("STATUS"),
        Column::hidden("GENERATION", 1),
        Column::kept("NEWEST"),
        Column::kept("REVOCATIONS"),
        Column::hidden("SHOWN", 2),
        Column::hidden("TOKEN", 4),
        Column::hidden("NODE ID", 3),
    ];
    let held = |has, shown: Option<u64>| match (has, shown) {
        (_, None) => cell("?").fg(Color::Yellow),
        (true, _) => cell("yes").fg(Color::Green),
        (false, _) => cell("no").fg(Color::Red),
    };
    let rows = holders.map(|holder| {
        let (status, colour) = member_status(holder.status);
        let shown = holder.shown_ago_ms;
        vec![
            cell(&holder.name),
            cell(status).fg(colour),
            cell(holder.generation.map_or_else(|| "-".to_owned(), |number| number.to_string())),
            held(holder.has_newest, shown),
            held(holder.has_revocations, shown),
            cell(shown.map_or_else(|| "-".to_owned(), |ms| format!("{} ago", age(ms)))),
            cell(or_dash(holder.token.as_deref().unwrap_or_default())),
            cell(holder.node_id),
        ]
    });
    render(&COLUMNS, rows, style)
}
