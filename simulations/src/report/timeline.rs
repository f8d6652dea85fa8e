//! The timeline: a row for each host, with bars for faults and for what others believed about it.

use std::fmt::Write;

use crate::run::Recording;

/// Width of the names on the left.
const LEFT: f64 = 46.0;
/// Margin on the right, for half of the last time label.
const RIGHT: f64 = 18.0;
const WIDTH: f64 = 1_100.0;
const AXIS: f64 = 22.0;
/// The largest height of all rows together.
const MOST: f64 = 1_500.0;

/// The timeline as an SVG element.
pub(super) fn draw(recording: &Recording) -> String {
    let hosts = recording.seconds.first().map_or(0, |second| second.hosts.len());
    let row = (MOST / hosts.max(1) as f64).clamp(4.0, 22.0);
    let height = row * hosts as f64 + AXIS;
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / recording.end.max(1.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">");
    let mut bar = |from: f64,
                   to: f64,
                   top: f64,
                   high: f64,
                   fill: &str,
                   opacity: f64,
                   title: &str| {
        let wide = (x(to) - x(from)).max(0.8);
        let title =
            if title.is_empty() { String::new() } else { format!("<title>{title}</title>") };
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"var(--{fill})\" opacity=\"{opacity:.2}\">{title}</rect>",
            x(from)
        );
    };
    for host in 0..hosts {
        let top = row * host as f64;
        let high = row * 0.86;
        for (from, to, up) in spells(recording, host, |sample| sample.up) {
            let fill = if up { "up" } else { "down" };
            let what = if up { "runs" } else { "does not run" };
            bar(
                from,
                to,
                top,
                high,
                fill,
                1.0,
                &format!("n{host} {what} from {from:.0} s to {to:.0} s"),
            );
        }
        for suffered in recording.suffered.iter().filter(|suffered| suffered.host == host) {
            let from = suffered.from.as_micros() as f64 / 1e6;
            let to = suffered.to.map_or(recording.end, |to| to.as_micros() as f64 / 1e6);
            let title = format!("n{host} under {} from {from:.1} s to {to:.1} s", suffered.fault);
            bar(from, to, top, high * 0.32, "fault", 0.95, &title);
        }
        // Twelve shades are enough to see, and let equal seconds merge into long bars.
        let shade = |sample: &crate::run::Sample| (sample.believed_down * 12.0).ceil() as u32;
        for (from, to, shade) in spells(recording, host, shade) {
            if shade > 0 {
                let share = f64::from(shade) / 12.0;
                let title =
                    format!("n{host} believed down by up to {:.0} % of the others", share * 100.0);
                bar(from, to, top + high * 0.45, high * 0.55, "bad", 0.25 + 0.75 * share, &title);
            }
        }
    }
    for host in (0..hosts).step_by((14.0 / row).ceil() as usize) {
        let size = row.clamp(9.0, 12.0);
        let y = (row * host as f64 + row.min(14.0) * 0.75).max(size * 0.8);
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{y:.1}\" font-size=\"{size:.0}\" text-anchor=\"end\" fill=\"var(--ink)\">n{host}</text>",
            LEFT - 6.0
        );
    }
    let healed = x(recording.faults_end);
    let _ = write!(
        svg,
        "<line x1=\"{healed:.1}\" x2=\"{healed:.1}\" y1=\"0\" y2=\"{:.0}\" stroke=\"var(--good)\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\"><title>the last heal</title></line>",
        height - AXIS
    );
    let step =
        [1.0, 5.0, 10.0, 30.0, 60.0, 300.0].into_iter().find(|step| recording.end / step <= 16.0);
    let step = step.unwrap_or(600.0);
    let mut at = 0.0;
    while at <= recording.end {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" font-size=\"12\" text-anchor=\"middle\" fill=\"var(--faint)\">{at:.0} s</text>",
            x(at),
            height - 6.0
        );
        at += step;
    }
    svg.push_str("</svg>");
    svg
}

/// Stretches of time in which `of` gives the same value. A sample holds until the next one; the first also holds
/// before.
fn spells<T: PartialEq + Copy>(
    recording: &Recording,
    host: usize,
    of: impl Fn(&crate::run::Sample) -> T,
) -> Vec<(f64, f64, T)> {
    let mut spells: Vec<(f64, f64, T)> = Vec::new();
    for second in &recording.seconds {
        let Some(sample) = second.hosts.get(host) else { continue };
        let value = of(sample);
        if spells.last().is_some_and(|(_, _, current)| *current == value) {
            continue;
        }
        let from = if let Some((_, to, _)) = spells.last_mut() {
            *to = second.at;
            second.at
        } else {
            0.0
        };
        spells.push((from, recording.end, value));
    }
    spells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Sample, Second};

    #[test]
    fn seconds_that_are_alike_become_one_bar() {
        let seconds = [true, true, false, true].iter().enumerate().map(|(at, up)| Second {
            at: at as f64 + 1.0,
            hosts: vec![Sample { up: *up, ..Sample::default() }],
            ..Second::default()
        });
        let mut recording = Recording::default();
        recording.seconds = seconds.collect();
        recording.end = 5.0;
        let spells = spells(&recording, 0, |sample| sample.up);
        assert_eq!(spells, [(0.0, 3.0, true), (3.0, 4.0, false), (4.0, 5.0, true)]);
    }
}
