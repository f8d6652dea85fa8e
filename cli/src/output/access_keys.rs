//! The table of access keys.

use hobnob_agent::access_keys::AccessKey;

use super::table::{Column, Style, cell, render};

/// The table of `hobnob access-key list`.
pub(crate) fn access_keys(keys: &[AccessKey], style: Style) -> String {
    const COLUMNS: [Column; 3] =
        [Column::whole("ID"), Column::kept("CREATED"), Column::kept("NAME")];
    let rows = keys
        .iter()
        .map(|key| vec![cell(&key.id), cell(key.created()), cell(super::or_dash(&key.name))]);
    render(&COLUMNS, rows, style)
}
