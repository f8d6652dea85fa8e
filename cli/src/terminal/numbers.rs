//! Numbers and times as screens show them: short, and of the same width for a long time.

use std::time::{Duration, SystemTime};

/// A number of things: `950`, `1.2k`, `34k`, `5.6M`.
pub(crate) fn count(number: f64) -> String {
    scaled(number, 1_000.0, ["", "k", "M", "G"])
}

/// A number of things in a second: `0/s`, `1.2k/s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", count(per_second))
}

/// A number of bytes: `950 B`, `1.2 kB`.
pub(crate) fn bytes(number: f64) -> String {
    scaled(number, 1_000.0, [" B", " kB", " MB", " GB"])
}

fn scaled(number: f64, step: f64, units: [&str; 4]) -> String {
    let (mut number, mut unit) = (number, 0);
    while number.round() >= step && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let is_small = number < 10.0;
    // Whole numbers need no fraction, and numbers of two digits are exact enough.
    let decimals = usize::from(is_small && (unit > 0 || number.fract() > 0.049) && number > 0.0);
    format!("{number:.decimals$}{}", units[unit])
}

/// A duration in its largest unit: `12s`, `4m`, `3h`, `9d`.
pub(crate) fn short_age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A duration in whole milliseconds: `48 ms`; under ten, with a fraction.
pub(crate) fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// The time of day in UTC: `19:12:03`.
pub(crate) fn clock(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.get(11..19).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.4, "0.4"),
            (7.0, "7"),
            (950.0, "950"),
            (999.6, "1.0k"),
            (1_234.0, "1.2k"),
            (34_400.0, "34k"),
            (5_600_000.0, "5.6M"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(rate(1_234.0), "1.2k/s");
        assert_eq!(bytes(2_100.0), "2.1 kB");
        assert_eq!(bytes(12.0), "12 B");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(short_age(Duration::from_secs(59)), "59s");
        assert_eq!(short_age(Duration::from_secs(7_300)), "2h");
        assert_eq!(millis(Duration::from_micros(4_250)), "4.2 ms");
        assert_eq!(millis(Duration::from_millis(48)), "48 ms");
        assert_eq!(clock(SystemTime::UNIX_EPOCH + Duration::from_secs(3_661)), "01:01:01");
    }
}
