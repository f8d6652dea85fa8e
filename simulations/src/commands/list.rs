//! `list`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use hobnob_simulations::checkers::Checkers;
use hobnob_simulations::scenario::builtins;
use serde_json::json;

use super::CommandResult;
use super::output::print;

/// The width of the tables.
const WIDTH: u16 = 120;

/// The arguments of `list`.
#[derive(Args)]
pub(crate) struct ListArguments {
    /// Show the lists as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<CommandResult> {
    let scenarios: Vec<_> = builtins()
        .iter()
        .map(hobnob_simulations::scenario::Builtin::load)
        .collect::<Result<_, _>>()?;
    if arguments.json {
        let scenarios: Vec<_> = scenarios
            .iter()
            .map(|scenario| json!({ "name": scenario.name, "nodes": scenario.nodes, "about": scenario.about }))
            .collect();
        let checkers: Vec<_> = Checkers::catalogue()
            .into_iter()
            .map(|(name, explanation)| json!({ "name": name, "explanation": explanation }))
            .collect();
        let all = json!({ "scenarios": scenarios, "checkers": checkers });
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(CommandResult::Green);
    }
    let mut table = new_table();
    table.set_header(["SCENARIO", "NODES", "ABOUT"]);
    for scenario in &scenarios {
        table.add_row([&scenario.name, &scenario.nodes.to_string(), &scenario.about]);
    }
    let mut checkers = new_table();
    checkers.set_header(["CHECKER", "WHAT MUST HOLD"]);
    for (name, explanation) in Checkers::catalogue() {
        checkers.add_row([name, explanation]);
    }
    print(&format!("{}\n\n{}\n", aligned(table), aligned(checkers)))?;
    Ok(CommandResult::Green)
}

/// Renders a table without margin and trailing white space.
fn aligned(mut table: Table) -> String {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table
}
