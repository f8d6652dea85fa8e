//! The curves of a report.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ReportError;
use crate::run::{Recording, Sample, Second};

const SIZE: (u32, u32) = (1_100, 220);
/// Placeholder colours; see [`super::STAND_INS`].
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const GOOD: RGBColor = RGBColor(3, 3, 3);
const BAD: RGBColor = RGBColor(4, 4, 4);
const BYTES: RGBColor = RGBColor(5, 5, 5);
const FAINT: RGBColor = RGBColor(6, 6, 6);
/// Seconds of picks in one point.
const PICKS_TOGETHER: usize = 5;

struct Curve {
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    name: &'static str,
}

pub(super) fn convergence(recording: &Recording) -> Result<String, ReportError> {
    let points = each(recording, |second| second.in_agreement * 100.0);
    draw(recording, 100.0, "%", &[Curve { points, colour: GOOD, name: "in agreement" }])
}

pub(super) fn false_downs(recording: &Recording) -> Result<String, ReportError> {
    let points = each(recording, |second| second.false_downs as f64);
    let most = points.iter().map(|(_, count)| *count).fold(1.0, f64::max);
    draw(recording, most, "", &[Curve { points, colour: BAD, name: "live, believed down" }])
}

pub(super) fn bytes(recording: &Recording) -> Result<String, ReportError> {
    rates(recording, |sample| sample.bytes)
}

pub(super) fn packets(recording: &Recording) -> Result<String, ReportError> {
    rates(recording, |sample| sample.packets)
}

pub(super) fn picks(recording: &Recording) -> Result<String, ReportError> {
    let right = |seconds: &[Second]| {
        let right: u64 = seconds.iter().map(|second| second.picks_right).sum();
        let wrong: u64 = seconds.iter().map(|second| second.picks_wrong).sum();
        (right + wrong > 0).then(|| right as f64 * 100.0 / (right + wrong) as f64)
    };
    let chunks = recording.seconds.chunks(PICKS_TOGETHER);
    let points = chunks.filter_map(|seconds| Some((seconds.last()?.at, right(seconds)?)));
    draw(recording, 100.0, "%", &[Curve { points: points.collect(), colour: GOOD, name: "right" }])
}

/// Curves of the median host and the busiest one.
fn rates(recording: &Recording, of: impl Fn(&Sample) -> u64) -> Result<String, ReportError> {
    let sorted = |second: &Second| {
        let running = second.hosts.iter().filter(|sample| sample.up);
        let mut values: Vec<u64> = running.map(&of).collect();
        values.sort_unstable();
        values
    };
    let median = each(recording, |second| {
        let values = sorted(second);
        values.get(values.len() / 2).copied().unwrap_or(0) as f64
    });
    let most = each(recording, |second| sorted(second).last().copied().unwrap_or(0) as f64);
    let highest = most.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let curves = [
        Curve { points: most, colour: FAINT, name: "the busiest" },
        Curve { points: median, colour: BYTES, name: "the median" },
    ];
    draw(recording, highest, "", &curves)
}

fn each(recording: &Recording, of: impl Fn(&Second) -> f64) -> Vec<(f64, f64)> {
    recording.seconds.iter().map(|second| (second.at, of(second))).collect()
}

fn draw(
    recording: &Recording,
    highest: f64,
    unit: &str,
    curves: &[Curve],
) -> Result<String, ReportError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let top = highest * 1.05;
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_top(24)
            .margin_right(16)
            .x_label_area_size(24)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..recording.end.max(1.0), 0.0..top)?;
        let labels = ("sans-serif", 13).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(labels.clone())
            .x_label_formatter(&|at| format!("{at:.0} s"))
            .y_label_formatter(&|value| format!("{} {unit}", short(*value)))
            .y_labels(5)
            .draw()?;
        let healed = [(recording.faults_end, 0.0), (recording.faults_end, top)];
        chart.draw_series(DashedLineSeries::new(healed, 4, 4, ShapeStyle::from(GOOD)))?;
        for curve in curves {
            let style = ShapeStyle::from(curve.colour).stroke_width(2);
            chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
        }
        for (number, curve) in curves.iter().enumerate() {
            let anchor = Pos::new(HPos::Right, VPos::Top);
            let style = ("sans-serif", 13).into_font().color(&curve.colour).pos(anchor);
            let at = (SIZE.0 as i32 - 24 - 110 * number as i32, 4);
            area.draw(&Text::new(curve.name, at, style))?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// A number in few characters.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{:.1} M", number / 1e6),
        number if number >= 1e4 => format!("{:.0} k", number / 1e3),
        number => format!("{number:.0}"),
    }
}
