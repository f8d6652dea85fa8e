//! A run as one HTML file with its charts, legible in light and in dark mode.

mod charts;
mod timeline;

use std::fmt::Write;

use crate::run::{Outcome, Recording};

/// A chart could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the report: {0}")]
pub struct ReportError(String);

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>>
    for ReportError
{
    fn from(error: plotters::drawing::DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// Colours are CSS variables. Charts are drawn with these placeholders, which are replaced afterwards.
const STAND_INS: &[(&str, &str)] = &[
    ("#010101", "var(--ink)"),
    ("#020202", "var(--grid)"),
    ("#030303", "var(--good)"),
    ("#040404", "var(--bad)"),
    ("#050505", "var(--bytes)"),
    ("#060606", "var(--faint)"),
];

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c1f24; --grid: #d9dde3; --faint: #8a929e;
  --good: #1a7f5a; --bad: #c8402f; --bytes: #2f62c8; --up: #dfe5ec; --down: #1c1f24; --fault: #7a55d8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e6e9ee; --grid: #333a45; --faint: #8f99a8;
  --good: #4cc796; --bad: #ff7b66; --bytes: #7ba6ff; --up: #2a313b; --down: #e6e9ee; --fault: #a98bff; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1120px; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin: 1.8rem 0 .3rem; }
p { margin: .3rem 0; } .faint { color: var(--faint); } .bad { color: var(--bad); } .good { color: var(--good); }
svg { width: 100%; height: auto; display: block; } svg text { font-family: system-ui, sans-serif; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; }
.key span { display: inline-block; width: .9rem; height: .9rem; margin: 0 .3rem 0 1rem; vertical-align: -.1rem; }
";

/// The report of a run.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn render(recording: &Recording, outcome: &Outcome) -> Result<String, ReportError> {
    let mut html = String::new();
    let title = escape(&recording.scenario);
    let (verdict, class) =
        if outcome.is_green() { ("all promises kept", "good") } else { ("broken", "bad") };
    let healed = outcome.healed_after_ms.map_or("never".to_owned(), |ms| format!("after {ms} ms"));
    // Writing to a string cannot fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title} <span class=\"{class}\">{verdict}</span></h1><p>{}</p>\
         <table><tr><td>nodes</td><td>{}</td><td>seed</td><td>{}</td><td>simulated</td><td>{:.0} s</td></tr>\
         <tr><td>healed</td><td>{healed}</td><td>sent</td><td>{:.0} B/s a node</td><td>false downs</td><td>{}</td></tr></table>\
         <p class=\"faint\">trace {}</p>",
        escape(&recording.about),
        outcome.nodes,
        outcome.seed,
        outcome.simulated_seconds,
        outcome.bytes_per_second_per_node,
        outcome.downs_of_live_agents,
        outcome.trace_hash,
    );
    for failure in &recording.failures {
        let _ = write!(html, "<p class=\"bad\">{}</p>", escape(failure));
    }
    let _ = write!(
        html,
        "<h2>Every host</h2><p class=\"faint key\">One row per host, by number.\
         <span style=\"background:var(--up)\"></span>runs<span style=\"background:var(--down)\"></span>does not run\
         <span style=\"background:var(--fault)\"></span>under a fault\
         <span style=\"background:var(--bad)\"></span>believed down by others; the stronger the colour, the more of them. Point at a bar for its name.</p>{}",
        timeline::draw(recording)
    );
    let pictures = [
        (
            "Convergence",
            "The share of the running agents that hold the same catalog.",
            charts::convergence(recording)?,
        ),
        (
            "Live agents believed down",
            "Live agents that some other agent believes down, each second.",
            charts::false_downs(recording)?,
        ),
        (
            "Bytes a second",
            "Sent by an agent: the median, and the busiest.",
            charts::bytes(recording)?,
        ),
        (
            "Packets a second",
            "Sent by an agent: the median, and the busiest.",
            charts::packets(recording)?,
        ),
        (
            "Picks",
            "The share of picks in five seconds that led to a live, registered instance.",
            charts::picks(recording)?,
        ),
    ];
    for (title, about, svg) in pictures {
        let svg = STAND_INS.iter().fold(svg, |svg, (stand_in, colour)| {
            svg.replace(&format!("\"{stand_in}\""), &format!("\"{colour}\""))
        });
        let _ = write!(html, "<h2>{title}</h2><p class=\"faint\">{about}</p>{svg}");
    }
    html.push_str("</body></html>\n");
    Ok(html)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
