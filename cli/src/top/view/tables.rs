//! The tables: members, services, and the instances of one service.

use hobnob_api::{Basis, Instance, InstanceStatus, Member, MemberStatus, ServiceSummary};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Paragraph, TableState};

use crate::output;
use crate::terminal::{Column, Grid, Look, bar, short_age};
use crate::top::app::{App, Focus, MEMBER_COLUMNS, SERVICE_COLUMNS};
use crate::top::since::Age;

/// The columns of a bar.
const BAR: usize = 10;

type Cells = Vec<(String, Style)>;

/// Draws the members.
pub(super) fn members(frame: &mut Frame, area: Rect, app: &mut App) {
    let shown = app.shown_members();
    let of = app.reading.as_ref().map_or(0, |reading| reading.members.len());
    let own = app.reading.as_ref().map(|reading| reading.info.node_id);
    let rows: Vec<Cells> = shown
        .iter()
        .map(|member| member_cells(member, app.age(member), own == Some(member.node_id), app.look))
        .collect();
    let grid = Grid {
        columns: vec![
            Column::text("MEMBER", 0),
            Column::text("STATUS", 0),
            Column::text("DC", 4),
            Column::text("ZONE", 5),
            Column::text("ADDRESS", 1),
            Column::text("LINK", 2),
            Column::number("STATUS FOR", 3),
        ],
        rows,
        sorted: Some((MEMBER_COLUMNS[app.members.column], app.members.is_reversed)),
    };
    let note = note(app, grid.rows.len(), of);
    let has_focus = app.focus == Focus::Members;
    let block = app.look.pane("Members", &note, has_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let selected = app.members.selected(grid.rows.len());
    app.members.state.select(selected);
    grid.draw(frame, inner, app.look, &mut app.members.state, has_focus);
}

fn member_cells(member: &Member, age: Option<Age>, is_self: bool, look: Look) -> Cells {
    let plain = Style::new();
    let status = output::member_status(member.status).0;
    let link = match (member.link_silent_ms, is_self, member.status) {
        (Some(ms), _, _) => {
            let silent = short_age(std::time::Duration::from_millis(ms));
            (format!("silent {silent}"), look.bad())
        }
        (None, true, _) => ("this agent".to_owned(), look.accent()),
        (None, false, MemberStatus::Alive) => ("ok".to_owned(), look.faint()),
        (None, false, _) => ("-".to_owned(), look.faint()),
    };
    let age = age.map_or_else(String::new, |age| {
        format!("{}{}", if age.is_at_least { ">" } else { "" }, short_age(age.time))
    });
    let name = if member.name_conflict { look.bad() } else { look.strong() };
    vec![
        (member.name.clone(), name),
        (status.to_owned(), member_style(member.status, look)),
        (or_dash(&member.datacenter), plain),
        (or_dash(&member.zone), plain),
        (or_dash(&member.gossip_address), look.faint()),
        link,
        (age, look.faint()),
    ]
}

fn member_style(status: MemberStatus, look: Look) -> Style {
    match status {
        MemberStatus::Alive => look.good(),
        MemberStatus::Suspect | MemberStatus::Unreachable => look.warn(),
        MemberStatus::Down => look.bad(),
        _ => look.faint(),
    }
}

/// Draws the services.
pub(super) fn services(frame: &mut Frame, area: Rect, app: &mut App) {
    let of = app.reading.as_ref().map_or(0, |reading| reading.services.len());
    let shown = app.shown_services();
    let rows: Vec<Cells> = shown.iter().map(|one| service_cells(one, app.look)).collect();
    let grid = Grid {
        columns: vec![
            Column::text("SERVICE", 0),
            Column::text("NAMESPACE", 2),
            Column::number("HEALTHY", 0),
            Column::text("", 1),
            Column::text("TAGS", 3),
        ],
        rows,
        sorted: Some((SERVICE_COLUMNS[app.services.column], app.services.is_reversed)),
    };
    let note = note(app, grid.rows.len(), of);
    let has_focus = app.focus == Focus::Services;
    let block = app.look.pane("Services", &note, has_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if grid.rows.is_empty() && app.filter.is_empty() {
        let text = "no service yet: `hobnob register web --port 8001` registers one here";
        return frame.render_widget(Paragraph::new(text).style(app.look.faint()), inner);
    }
    let selected = app.services.selected(grid.rows.len());
    app.services.state.select(selected);
    grid.draw(frame, inner, app.look, &mut app.services.state, has_focus);
}

fn service_cells(one: &ServiceSummary, look: Look) -> Cells {
    let style = match one.healthy {
        0 => look.bad(),
        healthy if healthy < one.instances => look.warn(),
        _ => look.good(),
    };
    let share = one.healthy as f64 / one.instances.max(1) as f64;
    let filled = bar(share, BAR);
    let rest = BAR.saturating_sub(filled.chars().count());
    let tags: Vec<_> = one.tags.iter().map(String::as_str).collect();
    vec![
        (one.service.clone(), look.strong()),
        (one.namespace.clone(), look.faint()),
        (format!("{} of {}", one.healthy, one.instances), style),
        (format!("{filled}{}", "·".repeat(rest)), style),
        (or_dash(&tags.join(" ")), look.faint()),
    ]
}

/// Draws the instances of the selected service.
pub(super) fn instances(frame: &mut Frame, area: Rect, app: &App) {
    let look = app.look;
    let service = app.chosen().map(|chosen| chosen.service).unwrap_or_default();
    let title =
        if service.is_empty() { "Instances".to_owned() } else { format!("Instances of {service}") };
    let instances = app.instances().unwrap_or_default();
    let offered = instances.iter().filter(|instance| instance.offered).count();
    let note = if service.is_empty() { String::new() } else { format!("{offered} offered") };
    let block = look.pane(&title, &note, false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut sorted: Vec<&Instance> = instances.iter().collect();
    sorted.sort_by_key(|instance| (&instance.id, &instance.node));
    let grid = Grid {
        columns: vec![
            Column::text("INSTANCE", 0),
            Column::text("STATUS", 0),
            Column::text("OFFERED", 1),
            Column::text("ADDRESS", 2),
            Column::text("MEMBER", 3),
            Column::number("WEIGHT", 4),
            Column::number("AGE", 5),
        ],
        rows: sorted.into_iter().map(|instance| instance_cells(instance, look)).collect(),
        sorted: None,
    };
    grid.draw(frame, inner, look, &mut TableState::new(), false);
}

fn instance_cells(instance: &Instance, look: Look) -> Cells {
    let status = match instance.status {
        InstanceStatus::Healthy => look.good(),
        InstanceStatus::Unhealthy => look.bad(),
        InstanceStatus::Unknown => look.warn(),
        InstanceStatus::Gone => look.faint(),
    };
    let offered = match (instance.offered, instance.basis) {
        (true, Basis::Current) => look.good(),
        (true, _) => look.warn(),
        (false, _) => look.faint(),
    };
    let age = short_age(std::time::Duration::from_millis(instance.age_ms));
    vec![
        (instance.id.clone(), look.strong()),
        (output::status_word(instance.status).to_owned(), status),
        (output::offer_word(instance).to_owned(), offered),
        (output::endpoint(&instance.address, instance.port), look.faint()),
        (instance.node.clone(), Style::new()),
        (instance.weight.to_string(), Style::new()),
        (age, look.faint()),
    ]
}

/// How many rows of how many are shown, and by which filter.
fn note(app: &App, shown: usize, of: usize) -> String {
    let cursor = if app.is_filtering { "▏" } else { "" };
    match (app.filter.is_empty() && !app.is_filtering, shown == of) {
        (true, true) => format!("{of}"),
        (true, false) => format!("{shown} of {of}"),
        (false, _) => format!("/{}{cursor}  {shown} of {of}", app.filter),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
