//! The tables of agents and of servers.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::TableState;

use super::{Picture, member_style};
use crate::dev::cluster::Condition;
use crate::dev::display::board::{Board, List};
use crate::dev::sights::snapshot::{AgentRow, InstanceRow};
use crate::output;
use crate::terminal::{Column, Grid, Look, bar, rate};

/// The columns of a bar, in a narrow pane and in a wide one.
const BARS: (usize, usize) = (10, 24);
/// The width from which a pane is a wide one.
const WIDE: u16 = 100;

type Cells = Vec<(String, Style)>;

/// Draws the agents.
pub(super) fn agents(frame: &mut Frame, area: Rect, picture: &Picture<'_>, board: &Board) {
    let has_focus = board.list == List::Agents;
    let look = picture.look;
    let block = look.pane("Agents", "each a process", has_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let grid = Grid {
        columns: vec![
            Column::text("AGENT", 0),
            Column::text("OTHERS SEE", 0),
            Column::text("PROCESS", 0),
            Column::text("SEES ALIVE", 1),
            Column::text("SEES HEALTHY", 2),
            Column::text("GOSSIP", 3),
        ],
        rows: picture.snapshot.agents.iter().map(|agent| agent_cells(agent, picture)).collect(),
        sorted: None,
    };
    let selected = board.agent(picture.snapshot);
    let mut state = TableState::new().with_selected(has_focus.then_some(selected));
    grid.draw(frame, inner, look, &mut state, has_focus);
}

fn agent_cells(agent: &AgentRow, picture: &Picture<'_>) -> Cells {
    let (snapshot, look) = (picture.snapshot, picture.look);
    let beliefs = snapshot.beliefs_of(&agent.name);
    let words: Vec<_> = beliefs.iter().map(|status| output::member_status(*status).0).collect();
    let style = match beliefs[..] {
        [status] => member_style(status, look),
        _ => look.warn(),
    };
    let seen = if words.is_empty() { "not seen".to_owned() } else { words.join("/") };
    let (alive, healthy) = match &agent.sight {
        Some(_) => (
            share(snapshot.alive_for(agent), snapshot.agents.len(), look),
            share(snapshot.healthy_for(agent), snapshot.instances.len(), look),
        ),
        None => (("no answer".to_owned(), look.bad()), (String::new(), Style::new())),
    };
    vec![
        (agent.name.clone(), look.strong()),
        (seen, style),
        process(agent, look),
        alive,
        healthy,
        (agent.gossip.to_string(), look.faint()),
    ]
}

/// Draws the servers, with the picks that each gets.
pub(super) fn servers(frame: &mut Frame, area: Rect, picture: &Picture<'_>, board: &Board) {
    let has_focus = board.list == List::Servers;
    let look = picture.look;
    let block = look.pane("Servers", "and who gets the picks", has_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let columns = if area.width >= WIDE { BARS.1 } else { BARS.0 };
    let grid = Grid {
        columns: vec![
            Column::text("INSTANCE", 0),
            Column::text("AGENT", 2),
            Column::text("HEALTH", 0),
            Column::text("PROCESS", 3),
            Column::text("PICKS", 0),
            Column::number("", 0),
            Column::number("", 1),
            Column::text("ADDRESS", 4),
        ],
        rows: picture
            .snapshot
            .instances
            .iter()
            .map(|instance| instance_cells(instance, picture, columns))
            .collect(),
        sorted: None,
    };
    let selected = board.server(picture.snapshot);
    let mut state = TableState::new().with_selected(has_focus.then_some(selected));
    grid.draw(frame, inner, look, &mut state, has_focus);
}

fn instance_cells(instance: &InstanceRow, picture: &Picture<'_>, columns: usize) -> Cells {
    let look = picture.look;
    let verdicts = picture.snapshot.verdicts_on(instance);
    let (text, style) = match verdicts[..] {
        [] => ("not known".to_owned(), look.warn()),
        [("healthy", _)] => ("healthy".to_owned(), look.good()),
        [("unknown", _)] => ("last known".to_owned(), look.warn()),
        [(word, _)] => (word.to_owned(), look.bad()),
        _ => {
            let parts: Vec<_> =
                verdicts.iter().map(|(word, count)| format!("{word} on {count}")).collect();
            (parts.join(", "), look.warn())
        }
    };
    let picks = picture.picks.shares.get(&instance.id);
    let share = picks.map_or(0.0, |share| share.of_service);
    let filled = bar(share, columns);
    let rest = columns.saturating_sub(filled.chars().count());
    let idle = if picks.is_some() { look.accent() } else { look.faint() };
    vec![
        (instance.id.clone(), look.strong()),
        (instance.agent.clone(), Style::new()),
        (text, style),
        condition(instance.condition, look),
        (format!("{filled}{}", "·".repeat(rest)), idle),
        (format!("{:.0} %", share * 100.0), Style::new()),
        (rate(picks.map_or(0.0, |share| share.per_second)), look.faint()),
        (instance.addr.to_string(), look.faint()),
    ]
}

/// What the process of an agent does, and whether the network around it is cut.
fn process(agent: &AgentRow, look: Look) -> (String, Style) {
    let (text, style) = condition(agent.condition, look);
    match (agent.is_cut_off, agent.condition) {
        (false, _) => (text, style),
        (true, Condition::Runs) => ("cut off".to_owned(), look.warn()),
        (true, _) => (format!("{text}, cut off"), style),
    }
}

fn condition(condition: Condition, look: Look) -> (String, Style) {
    match condition {
        Condition::Runs => ("runs".to_owned(), look.faint()),
        Condition::Paused => ("paused".to_owned(), look.warn()),
        Condition::Stopped => ("stopped".to_owned(), look.warn()),
        Condition::Returns(after) => (back_in(after), look.bad()),
    }
}

fn back_in(time: Duration) -> String {
    format!("back in {:.0} s", time.as_secs_f64().ceil())
}

fn share(part: usize, whole: usize, look: Look) -> (String, Style) {
    let style = if part == whole { look.good() } else { look.warn() };
    (format!("{part} of {whole}"), style)
}
