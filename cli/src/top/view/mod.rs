//! The picture of the state: a head, rates, and panes in as much room as there is.

mod events;
mod head;
mod help;
mod tables;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::app::{App, Focus};
use crate::terminal::keys_line;

/// From this size on, panes stand side by side.
const WIDE: (u16, u16) = (140, 30);
/// The rows of a pane that are no rows of its table: the border, and the head.
const FRAME_ROWS: u16 = 3;
/// The fewest rows of a pane.
const LEAST_ROWS: u16 = 4;

/// Draws the state.
pub(super) fn draw(frame: &mut Frame, app: &mut App) {
    let area = frame.area();
    let [head, tiles, panes, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(if area.height >= WIDE.1 { 6 } else { 3 }),
        Constraint::Min(0),
        Constraint::Length(u16::from(app.takes_keys)),
    ])
    .areas(area);
    head::draw(frame, head, app);
    head::draw_rates(frame, tiles, app);
    if area.width >= WIDE.0 && area.height >= WIDE.1 {
        draw_wide(frame, panes, app);
    } else {
        draw_narrow(frame, panes, app);
    }
    draw_keys(frame, keys, app);
    if app.shows_help {
        help::draw(frame, area, app.look);
    }
}

/// All panes: what there is on the left, and what happens on the right.
fn draw_wide(frame: &mut Frame, area: Rect, app: &mut App) {
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(58), Constraint::Percentage(42)]).areas(area);
    let (members, services) = wanted(app);
    let [upper, lower] = split(left, members, services, app.focus == Focus::Services);
    tables::members(frame, upper, app);
    tables::services(frame, lower, app);
    let instances = rows(app.instances().map_or(0, <[_]>::len));
    let instances = instances.clamp(LEAST_ROWS + 2, right.height / 2);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(instances), Constraint::Min(0)]).areas(right);
    tables::instances(frame, upper, app);
    events::draw(frame, lower, app);
}

/// Members, services, and below them the events, or the instances of the service that is selected.
fn draw_narrow(frame: &mut Frame, area: Rect, app: &mut App) {
    let (members, services) = wanted(app);
    let least = (area.height / 3).min(LEAST_ROWS + u16::from(app.focus == Focus::Services) * 2 + 1);
    let taken = members.saturating_add(services);
    let last = least.max(area.height.saturating_sub(taken)).min(area.height);
    let [tables, last] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(last)]).areas(area);
    let [upper, lower] = split(tables, members, services, app.focus == Focus::Services);
    tables::members(frame, upper, app);
    tables::services(frame, lower, app);
    match app.focus {
        Focus::Services => tables::instances(frame, last, app),
        Focus::Members | Focus::Events => events::draw(frame, last, app),
    }
}

/// The rows that the tables of members and of services would take.
fn wanted(app: &App) -> (u16, u16) {
    (rows(app.shown_members().len()), rows(app.shown_services().len()))
}

fn rows(of: usize) -> u16 {
    u16::try_from(of).unwrap_or(u16::MAX).max(1).saturating_add(FRAME_ROWS)
}

/// Two panes, one above the other. If both do not fit, the smaller one keeps its rows up to a third, or half if it has the focus.
fn split(area: Rect, upper: u16, lower: u16, lower_has_focus: bool) -> [Rect; 2] {
    let all = area.height;
    let share = if lower_has_focus { all / 2 } else { all / 5 * 2 };
    let lower = if u32::from(upper) + u32::from(lower) <= u32::from(all) {
        // What is left belongs to the pane with more rows.
        if lower > upper { all - upper } else { lower }
    } else if upper < all - share.min(all) {
        all - upper
    } else {
        lower.min(share.max(LEAST_ROWS)).min(all)
    };
    Layout::vertical([Constraint::Min(0), Constraint::Length(lower)]).areas(area)
}

fn draw_keys(frame: &mut Frame, area: Rect, app: &App) {
    let keys: &[(&str, &str)] = if app.is_filtering {
        &[("enter", "keep the filter"), ("esc", "drop it")]
    } else {
        &[
            ("tab", "pane"),
            ("↑↓", "move"),
            ("s", "sort"),
            ("r", "reverse"),
            ("/", "filter"),
            ("a", "gone members"),
            ("?", "help"),
            ("q", "quit"),
        ]
    };
    frame.render_widget(keys_line(app.look, keys, usize::from(area.width)), area);
}
