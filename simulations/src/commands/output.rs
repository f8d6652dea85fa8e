//! Output that subcommands share.

use std::io::{self, Write};

use anyhow::Context;
use comfy_table::{Table, presets};
use hobnob_simulations::bench::{Goal, Row};
use hobnob_simulations::checkers::MeasuredLimit;
use hobnob_simulations::run::Outcome;

/// A run in one line.
pub(super) fn summary(outcome: &Outcome, seconds: Option<f64>) -> String {
    let verdict = if outcome.is_green() { "ok    " } else { "BROKEN" };
    let healed = outcome.healed_after_ms.map_or("never".into(), |ms| format!("{ms} ms"));
    let took = seconds.map_or(String::new(), |seconds| format!(" in {seconds:.1} s"));
    format!(
        "{verdict} {:24} {:4} nodes seed {:<5} {:6.1} s simulated{took}, healed after {healed}, {:.0} B/s a node, {}, trace {}\n",
        outcome.scenario,
        outcome.nodes,
        outcome.seed,
        outcome.simulated_seconds,
        outcome.bytes_per_second_per_node,
        false_downs(outcome),
        outcome.trace_hash,
    )
}

/// Each limit of a run, beside what was measured for it.
pub(super) fn limits(outcome: &Outcome) -> String {
    let line = |limit: &MeasuredLimit| {
        let measured = limit.measured.map_or("not measured".to_owned(), |it| it.to_string());
        format!("  {:17} {measured} (limit {})\n", limit.name.key(), limit.limit)
    };
    outcome.limits.iter().map(line).collect()
}

/// A number with about three digits.
pub(super) fn rounded(number: f64) -> String {
    if number.fract() == 0.0 || number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

/// How often live agents were declared down, and the excuses.
fn false_downs(outcome: &Outcome) -> String {
    let excused: u64 = outcome.excused_downs.values().sum();
    let unexcused = outcome.downs_of_live_agents - excused;
    if excused == 0 {
        return format!("{unexcused} false downs");
    }
    let excuses = outcome.excused_downs.iter().map(|(excuse, downs)| format!("{downs} {excuse}"));
    let excuses: Vec<String> = excuses.collect();
    format!("{unexcused} false downs ({excused} excused: {})", excuses.join(", "))
}

/// Writes to standard output. A reader that closed the pipe is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// The failures of a run, and the command that repeats it.
pub(super) fn tell_failures(outcome: &Outcome, repeat: &str) -> String {
    let shown = outcome.failures.iter().take(5).map(|failure| format!("  {failure}\n"));
    let more = outcome.failures.len().saturating_sub(5);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!("{}{more}  again: {repeat}\n", shown.collect::<String>())
}

/// The command line that repeats a run.
pub(super) fn repeat(arguments: &str) -> String {
    format!("cargo run --release -p hobnob-simulations -- {arguments}")
}

/// Numbers of real agents, as a table.
pub(super) fn rows_table(title: &str, rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([title, "goal", "measured", "", "remarks"]);
    for row in rows {
        let goal = match row.goal {
            Some(Goal::AtMost(limit)) => format!("<= {} {}", rounded(limit), row.unit),
            Some(Goal::AtLeast(limit)) => format!(">= {} {}", rounded(limit), row.unit),
            None => String::new(),
        };
        let met = row.is_met().map_or("", |met| if met { "met" } else { "**missed**" });
        let measured = format!("{} {}", rounded(row.measured), row.unit);
        table.add_row([&row.what, &goal, &measured, met, &row.note]);
    }
    table
}
