//! The instances that `hobnob call` called.

use std::time::Duration;

use comfy_table::Color;
use serde::Serialize;

use super::columns::{Column, cell, render};
use super::format::endpoint;
use super::{Style, or_dash};

/// An instance that was called, and what was learnt of it.
#[derive(Debug, Serialize)]
pub(crate) struct CalledInstance {
    pub(crate) instance: String,
    pub(crate) member: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) answer_count: u64,
    pub(crate) try_count: u64,
    pub(crate) failed_count: u64,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) circuit: String,
    /// Until the trial of an open circuit, or until that of a half-open one counts as lost.
    pub(crate) circuit_for_ms: Option<f64>,
    pub(crate) ejected_for_ms: Option<f64>,
}

/// The table of `hobnob call`.
pub(crate) fn called(instances: &[CalledInstance], style: Style) -> String {
    const COLUMNS: [Column; 9] = [
        Column::whole("INSTANCE"),
        Column::hidden("MEMBER", 1),
        Column::whole("ADDRESS"),
        Column::kept("ANSWERS"),
        Column::kept("TRIES"),
        Column::kept("FAILED"),
        Column::hidden("LATENCY", 3),
        Column::kept("CIRCUIT"),
        Column::hidden("EJECTED FOR", 2),
    ];
    let rows = instances.iter().map(|one| {
        let time = |ms: f64| latency(Duration::from_secs_f64(ms / 1e3));
        let colour = match one.circuit.as_str() {
            "closed" => Color::Green,
            "open" => Color::Red,
            _ => Color::Yellow,
        };
        let circuit = match one.circuit_for_ms {
            Some(ms) => format!("{} for {}", one.circuit, time(ms)),
            None => one.circuit.clone(),
        };
        vec![
            cell(&one.instance),
            cell(&one.member),
            cell(endpoint(&one.address, one.port)),
            cell(one.answer_count),
            cell(one.try_count),
            cell(one.failed_count),
            cell(or_dash(&one.latency_ms.map(time).unwrap_or_default())),
            cell(circuit).fg(colour),
            cell(or_dash(&one.ejected_for_ms.map(time).unwrap_or_default())),
        ]
    });
    render(&COLUMNS, rows, style)
}

/// The time of a call, to three digits or so: `870us`, `1.2ms`, `34ms`, `2.1s`.
pub(crate) fn latency(latency: Duration) -> String {
    let us = latency.as_micros();
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.1}ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{}ms", us / 1_000),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_the_unit_that_fits() {
        let texts = [870, 1_234, 34_567, 2_100_000].map(|us| latency(Duration::from_micros(us)));
        assert_eq!(texts, ["870us", "1.2ms", "34ms", "2.1s"]);
    }
}
