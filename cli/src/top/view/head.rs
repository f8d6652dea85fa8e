//! The head of the screen: which agent this is, how it is, and its rates.

use std::time::Duration;

use hobnob_api::MemberStatus;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Sparkline;

use crate::output;
use crate::terminal::{bytes, clock, fit, rate, short_age};
use crate::top::app::{App, is_gone};
use crate::top::rates::Rate;

/// The factor by which a rate is drawn, so that small ones differ.
const SPARK_SCALE: f64 = 100.0;

/// Draws two lines: the agent, and the sum of all.
pub(super) fn draw(frame: &mut Frame, area: Rect, app: &App) {
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let look = app.look;
    let mut name = vec![Span::styled(
        " hobnob top ",
        look.accent().add_modifier(ratatui::style::Modifier::BOLD),
    )];
    let mut right = String::new();
    if let Some(reading) = &app.reading {
        let info = &reading.info;
        name.push(Span::styled(format!(" {}", fit(&info.name, 32)), look.strong()));
        let parts = [&info.cluster, &info.datacenter, &info.version];
        let parts = parts.map(|part| fit(part, 20));
        name.push(Span::styled(
            format!("  {}  {}  {}", parts[0], parts[1], parts[2]),
            look.faint(),
        ));
        let up = output::age(info.uptime_ms);
        right = format!("up {up}  {} UTC ", clock(reading.wall));
    }
    frame.render_widget(Line::from(name), first);
    let width = u16::try_from(right.len()).unwrap_or(0).min(first.width);
    let corner = Rect { x: first.right() - width, width, ..first };
    frame.render_widget(Line::styled(right, look.faint()).alignment(Alignment::Right), corner);
    frame.render_widget(status(app), second);
}

/// The line that says whether all is well.
fn status(app: &App) -> Line<'static> {
    let look = app.look;
    if let Some((reason, since)) = &app.lost {
        let age = short_age(app.now.duration_since(*since));
        let text = format!(" ● no answer for {age}, trying again: {reason}");
        return Line::styled(text, look.bad());
    }
    let Some(reading) = &app.reading else { return Line::raw(" …") };
    let known = reading.members.iter().filter(|member| !is_gone(member.status));
    let (alive, others): (Vec<_>, Vec<_>) =
        known.partition(|member| member.status == MemberStatus::Alive);
    let healthy: usize = reading.services.iter().map(|one| one.healthy).sum();
    let instances: usize = reading.services.iter().map(|one| one.instances).sum();
    let broken = reading.members.iter().filter(|member| member.link_silent_ms.is_some()).count();
    let dot = |is_well: bool| {
        let style = if is_well { look.good() } else { look.warn() };
        Span::styled(if is_well { " ● " } else { " ▲ " }, style)
    };
    let mut spans = vec![
        dot(others.is_empty()),
        Span::raw(format!("{} of {} members alive ", alive.len(), alive.len() + others.len())),
        dot(healthy == instances),
        Span::raw(format!("{healthy} of {instances} instances healthy ")),
    ];
    let warnings = [
        (reading.info.isolated, "hears no other member".to_owned()),
        (reading.info.maintenance.is_some(), "in maintenance".to_owned()),
        (!reading.info.file_problems.is_empty(), "config broken".to_owned()),
        (reading.info.udp_blocked, "UDP is blocked".to_owned()),
        (reading.info.duplicate.is_some(), "node id used twice".to_owned()),
        (!reading.info.name_conflicts.is_empty(), "name used twice".to_owned()),
        (broken == 1, "1 link broken".to_owned()),
        (broken > 1, format!("{broken} links broken")),
    ];
    for (_, text) in warnings.into_iter().filter(|(holds, _)| *holds) {
        spans.push(Span::styled(format!(" ▲ {text} "), look.bad()));
    }
    Line::from(spans)
}

/// Draws the rates: a name, a value, and a curve of each, and the lag behind other agents.
pub(super) fn draw_rates(frame: &mut Frame, area: Rect, app: &App) {
    let columns = [Constraint::Fill(1); Rate::ALL.len() + 1];
    let tiles: [Rect; Rate::ALL.len() + 1] =
        Layout::horizontal(columns).horizontal_margin(1).spacing(1).areas(area);
    for (rate, tile) in Rate::ALL.into_iter().zip(tiles) {
        draw_rate(frame, tile, app, rate);
    }
    draw_lag(frame, tiles[Rate::ALL.len()], app);
}

fn draw_rate(frame: &mut Frame, area: Rect, app: &App, of: Rate) {
    let [head, value, curve] = tile(area);
    let text = match (app.rates.now(of), of) {
        (None, _) => "-".to_owned(),
        (Some(now), Rate::BytesIn | Rate::BytesOut) => format!("{}/s", bytes(now)),
        (Some(now), _) => rate(now),
    };
    frame.render_widget(Line::styled(of.name(), app.look.faint()), head);
    frame.render_widget(Line::styled(text, app.look.strong()), value);
    let values = app.rates.curve(of);
    let room = usize::from(curve.width);
    let skipped = values.len().saturating_sub(room);
    let data: Vec<u64> =
        values.iter().skip(skipped).map(|value| (value * SPARK_SCALE) as u64).collect();
    let used = u16::try_from(data.len()).unwrap_or(curve.width).min(curve.width);
    let right = Rect { x: curve.right() - used, width: used, ..curve };
    frame.render_widget(Sparkline::default().data(data).style(app.look.accent()), right);
}

/// The lag of this agent: changes of others that are known to be missing here and how long they were, else how old changes are
/// when they come.
fn draw_lag(frame: &mut Frame, area: Rect, app: &App) {
    let [head, value, note] = tile(area);
    frame.render_widget(Line::styled("lag", app.look.faint()), head);
    let Some(lag) = app.rates.lag() else {
        return frame.render_widget(Line::raw("-"), value);
    };
    let (text, style) = match lag.open {
        0 => ("up to date".to_owned(), app.look.good()),
        1 => ("1 behind".to_owned(), app.look.warn()),
        open => (format!("{open} behind"), app.look.warn()),
    };
    frame.render_widget(Line::styled(text, style), value);
    let gaps = lag.gap_ms.map(|mean| ("gaps", mean));
    let text = match gaps.or_else(|| lag.convergence_ms.map(|mean| ("news", mean))) {
        Some((what, mean)) => {
            let mean = Duration::from_secs_f64(mean / 1e3);
            if mean < Duration::from_millis(1) {
                format!("{what} <1 ms")
            } else {
                format!("{what} ~{}", crate::terminal::millis(mean))
            }
        }
        None => "no gaps".to_owned(),
    };
    let last = Rect { y: note.bottom().saturating_sub(1), height: note.height.min(1), ..note };
    frame.render_widget(Line::styled(fit(&text, usize::from(note.width)), app.look.faint()), last);
}

fn tile(area: Rect) -> [Rect; 3] {
    Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area)
}
