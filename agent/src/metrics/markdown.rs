//! The table of metrics as a document.

use std::fmt::Write;

use super::table::{Metric, table};

const ABOUT: &str = "\
# Metrics

`hobnob agent --http 127.0.0.1:9746` answers `/metrics` in the text of Prometheus, and in OpenMetrics where the scraper asks for it.
[Operating agents](OPERATIONS.md#metrics) says how to scrape it. [prometheus/alerts.yml](prometheus/alerts.yml) has rules for what the last
column says, and [prometheus/dashboard.json](prometheus/dashboard.json) a dashboard for Grafana.

The counters are those of `hobnob info`: `datagrams_sent` there is `hobnob_datagrams_sent_total` here. They count from the start of the
agent.

`hobnob metrics > docs/METRICS.md` writes this file from the code. A test compares the two.

";

/// Every metric, as `docs/METRICS.md` lists it.
#[must_use]
pub fn markdown() -> String {
    let all = table();
    let (protocol, own): (Vec<_>, Vec<_>) = all.into_iter().partition(Metric::is_of_protocol);
    let (process, own): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|metric| metric.name.starts_with("process_"));
    let mut text = ABOUT.to_owned();
    for (title, metrics) in
        [("The agent", own), ("The process", process), ("The protocol", protocol)]
    {
        let _ = write!(
            text,
            "## {title}\n\n| metric | kind | meaning | alert on |\n|---|---|---|---|\n"
        );
        for metric in metrics {
            text.push_str(&line(&metric));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn line(metric: &Metric) -> String {
    let Metric { name, kind, labels, help, alert } = metric;
    let labels = match labels {
        [] => String::new(),
        labels => format!(
            " by {}",
            labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    let kind = kind.name();
    format!(
        "| `{name}`{labels} | {kind} | {} | {} |\n",
        help.replace('|', "\\|"),
        alert.replace('|', "\\|")
    )
}
