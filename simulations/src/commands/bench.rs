//! `bench`.

use anyhow::bail;
use clap::Args;
use comfy_table::{Table, presets};
use hobnob_simulations::bench::{Effort, FocaCluster, HobnobCluster, Row, measure, session_bytes};
use serde_json::json;

use super::progress::Progress;
use super::{Verdict, print, processes};

/// What `bench` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    real: processes::Arguments,
    /// How many agents.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    nodes: Vec<usize>,
    /// Loss in percent.
    #[arg(long, value_delimiter = ',', default_value = "0,5,25")]
    loss: Vec<f64>,
    /// Changes that are followed [default: 20, or 100 with --processes]
    #[arg(long)]
    changes: Option<u16>,
    /// Crashes that are followed.
    #[arg(long, default_value_t = 5)]
    crashes: usize,
    /// Minutes in which false downs are counted.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Origins that differ in a measured session.
const DIFFERING: [usize; 4] = [1, 10, 50, 90];

pub(super) fn bench(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if let Some(agents) = arguments.real.processes {
        let (changes, kills) = (arguments.changes.unwrap_or(100), arguments.crashes);
        return processes::bench(&arguments.real, agents, changes.into(), kills, arguments.json);
    }
    if arguments.nodes.iter().any(|nodes| *nodes < 10) || arguments.crashes == 0 {
        bail!("--nodes must be at least 10 and --crashes at least 1");
    }
    let effort = Effort {
        changes: arguments.changes.unwrap_or(20),
        crashes: arguments.crashes,
        minutes: arguments.minutes,
        seed: arguments.seed,
    };
    let mut progress = Progress::new();
    let mut rows = Vec::new();
    for nodes in &arguments.nodes {
        for loss in &arguments.loss {
            let mut told = |protocol: &str, what: &str| {
                progress.tell(|| format!("{protocol}, {nodes} agents, {loss} % loss: {what}"));
            };
            let share = loss / 100.0;
            rows.push(measure::<HobnobCluster>(*nodes, share, effort, |w| told("hobnob", w)));
            rows.push(measure::<FocaCluster>(*nodes, share, effort, |w| told("plain foca", w)));
        }
    }
    let mut sessions = Vec::new();
    for nodes in &arguments.nodes {
        for differing in DIFFERING.into_iter().filter(|differing| differing < nodes) {
            sessions.push((*nodes, differing, session_bytes(*nodes, differing, arguments.seed)));
        }
    }
    progress.done();
    if arguments.json {
        let sessions: Vec<_> = sessions
            .iter()
            .map(|(nodes, differing, bytes)| json!({ "nodes": nodes, "differing": differing, "bytes": bytes }))
            .collect();
        let all = json!({ "rows": rows, "sessions": sessions });
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        print(&format!("{}\n\n{}\n", table(&rows, arguments.minutes), session_table(&sessions)))?;
    }
    Ok(Verdict::Green)
}

fn table(rows: &[Row], minutes: u64) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let downs = format!("false downs in {minutes} min");
    let slow = "with 5 % slow";
    table.set_header([
        "protocol",
        "agents",
        "loss %",
        "join s",
        "change 50 % ms",
        "99 % ms",
        "all ms",
        "all, worst",
        "intervals",
        "lost",
        "copies",
        "crash first s",
        "half s",
        "all s",
        &downs,
        slow,
        "B/s at rest",
        "heal s",
    ]);
    let ms = |time: Option<u64>| time.map_or("never".to_owned(), |ms| ms.to_string());
    let s =
        |time: Option<u64>| time.map_or("never".to_owned(), |ms| format!("{:.1}", ms as f64 / 1e3));
    for row in rows {
        table.add_row([
            row.protocol.clone(),
            row.nodes.to_string(),
            format!("{:.0}", row.loss * 100.0),
            s(row.join_ms),
            ms(row.change_half_ms),
            ms(row.change_99_ms),
            ms(row.change_all_ms),
            ms(row.change_all_worst_ms),
            row.change_all_intervals.map_or("never".into(), |intervals| format!("{intervals:.2}")),
            row.changes_lost.to_string(),
            format!("{:.1}", row.copies),
            s(row.crash_first_ms),
            s(row.crash_half_ms),
            s(row.crash_all_ms),
            row.false_downs.to_string(),
            row.false_downs_slow.to_string(),
            format!("{:.0}", row.rest_bytes_per_second),
            s(row.heal_ms),
        ]);
    }
    table.to_string()
}

fn session_table(sessions: &[(usize, usize, u64)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["agents", "origins that differ", "bytes of the session"]);
    for (nodes, differing, bytes) in sessions {
        table.add_row([nodes.to_string(), differing.to_string(), bytes.to_string()]);
    }
    table.to_string()
}
