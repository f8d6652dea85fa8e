//! The table of access keys.

use hobnob_agent::access_keys::{AccessKey, AccessRights};

use super::table::{Column, Style, cell, render};

/// The table of `hobnob access-key list`.
pub(crate) fn access_keys(keys: &[AccessKey], style: Style) -> String {
    const COLUMNS: [Column; 4] = [
        Column::whole("ID"),
        Column::kept("RIGHTS"),
        Column::kept("CREATED"),
        Column::kept("NAME"),
    ];
    let rows = keys.iter().map(|key| {
        let rights = match key.rights {
            AccessRights::Read => "read",
            AccessRights::Write => "write",
        };
        let name = super::or_dash(&key.name);
        vec![cell(&key.id), cell(rights), cell(key.created()), cell(name)]
    });
    render(&COLUMNS, rows, style)
}
