//! The table against its rules, its document, and the files that name metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

/// A file of the documentation.
fn doc(path: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    std::fs::read_to_string(format!("{folder}{path}")).expect("readable")
}

#[test]
fn names_keep_the_rules_of_prometheus() {
    let mut names = BTreeSet::new();
    for Metric { name, kind, help, .. } in table() {
        assert!(name.starts_with("hobnob_") || name.starts_with("process_"), "{name}");
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(is_legal), "{name}");
        assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
        assert!(!help.contains(['\n', '\\', '[']), "{name}: {help}");
        assert!(names.insert(name), "two metrics of one name");
    }
}

#[test]
fn the_document_is_that_of_the_code() {
    assert!(
        doc("METRICS.md") == markdown(),
        "docs/METRICS.md is not that of the code: `cargo run -- metrics > docs/METRICS.md`"
    );
}

/// The words of a text that look like metrics of this agent, without the suffixes of histograms.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("hobnob_") || word.starts_with("process_")).collect()
}

fn assert_known(text: &str) {
    let table = table();
    for word in metrics_in(text) {
        let known = |name: &str| table.iter().any(|metric| metric.name == name);
        let of_histogram = ["_bucket", "_sum", "_count"];
        let stem = of_histogram.iter().find_map(|suffix| word.strip_suffix(suffix));
        assert!(known(word) || stem.is_some_and(known), "{word} is no metric");
    }
}

#[test]
fn the_rules_name_metrics_that_there_are_and_say_what_to_do() {
    let alerts = doc("prometheus/alerts.yml");
    assert_known(&alerts);
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 15, "{}", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap_or_default();
        assert!(name.starts_with("Hobnob"), "{name}");
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let expr = rule.lines().find(|line| line.trim_start().starts_with("expr: "));
        let expr = expr.unwrap_or_default();
        // Prometheus itself makes that one.
        let is_up = expr.contains("up{job=");
        assert!(is_up || !metrics_in(expr).is_empty(), "{name} looks at no metric");
    }
}

#[test]
fn the_dashboard_names_metrics_that_there_are() {
    let dashboard = doc("prometheus/dashboard.json");
    assert_known(&dashboard);
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() >= 10, "{}", panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().expect("targets");
        for target in targets {
            let expr = target["expr"].as_str().expect("an expression");
            assert!(!metrics_in(expr).is_empty(), "{}: {expr}", panel["title"]);
        }
    }
}

#[test]
fn values_are_written_in_both_texts() {
    let mut readings = Readings::default();
    readings.set("hobnob_pings_sent_total", Value::Count(7));
    readings.level("hobnob_isolated", true);
    readings.set_for("hobnob_members", vec![("status", "a\"b".to_owned())], Value::Level(2.0));
    let durations = Histogram::new(&[1_000]);
    durations.observe(std::time::Duration::from_millis(2));
    readings.set("hobnob_pick_duration_seconds", Value::Durations(durations.distribution()));
    readings.set("hobnob_of_nobody", Value::Count(1));
    let readings = Arc::new(readings);
    let prometheus = readings.write(Exposition::Prometheus).expect("written");
    for line in [
        "# TYPE hobnob_isolated gauge",
        "hobnob_isolated 1.0",
        "hobnob_members{status=\"a\\\"b\"} 2.0",
        "# HELP hobnob_pings_sent_total Pings sent.",
        "# TYPE hobnob_pings_sent_total counter",
        "hobnob_pings_sent_total 7",
        "hobnob_pick_duration_seconds_bucket{le=\"0.001\"} 0",
        "hobnob_pick_duration_seconds_bucket{le=\"+Inf\"} 1",
        "hobnob_pick_duration_seconds_sum 0.002",
        "hobnob_pick_duration_seconds_count 1",
    ] {
        assert!(prometheus.lines().any(|written| written == line), "no {line} in:\n{prometheus}");
    }
    assert!(!prometheus.contains("# EOF") && !prometheus.contains("nobody"), "{prometheus}");
    let open = readings.write(Exposition::OpenMetrics).expect("written");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE hobnob_pings_sent counter\n"));
    assert!(open.contains("\nhobnob_pings_sent_total 7\n"), "{open}");
}

#[test]
fn a_scraper_gets_the_text_that_it_asks_for() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Exposition::accepted(prometheus), Exposition::OpenMetrics);
    for other in ["", "*/*", "text/plain"] {
        assert_eq!(Exposition::accepted(other), Exposition::Prometheus);
    }
}
