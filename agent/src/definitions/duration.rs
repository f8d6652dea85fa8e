//! Durations in text, as Go writes them: `500ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Nanoseconds of each unit. A longer unit stands before one that begins like it.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
];

/// Parses a duration with its units.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|at| *at > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let unit = UNITS.iter().filter(|(unit, _)| rest.starts_with(unit));
        let (unit, each) = unit.max_by_key(|(unit, _)| unit.len())?;
        nanos += number * each;
        rest = rest[unit.len()..].trim_start();
    }
    let is_given = !text.trim().is_empty() && nanos.is_finite() && nanos < 1e18;
    is_given.then(|| Duration::from_nanos(nanos as u64))
}

/// Parses a duration as Consul's files have it: a text, or a number of nanoseconds.
pub(super) fn of_json(value: &serde_json::Value) -> Option<Duration> {
    match value {
        serde_json::Value::String(text) => parse(text),
        value => value.as_u64().map(Duration::from_nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units() {
        let ms = Duration::from_millis;
        for (text, duration) in [
            ("10s", ms(10_000)),
            ("500ms", ms(500)),
            ("1m30s", ms(90_000)),
            ("1.5h", ms(5_400_000)),
            ("1m 30s", ms(90_000)),
            ("2d", ms(172_800_000)),
            ("0", ms(0)),
        ] {
            assert_eq!(parse(text), Some(duration), "{text}");
        }
        for wrong in ["", " ", "10", "s", "soon", "1x", "1..2s", "-1s", "1e99h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(of_json(&serde_json::json!(2_000_000_000)), Some(ms(2_000)));
        assert_eq!(of_json(&serde_json::json!(-1)), None);
    }
}
