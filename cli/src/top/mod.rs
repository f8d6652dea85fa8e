//! `hobnob top`: what one agent knows and does, live.

mod app;
mod feed;
mod journal;
mod pane;
mod rates;
mod since;
#[cfg(test)]
mod tests;
mod view;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::TopArgs;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::signals::{Hangup, StopSignals, end_despite_a_stuck_terminal};
use crate::terminal::{Look, Screen, plain};

use app::{App, Event};
use feed::{Feed, ask};

/// The period in which ages on the screen go on, and in which the end of the terminal is noticed.
const TICK: Duration = Duration::from_millis(500);
/// The size of a frame of `--once` without a terminal.
const PLAIN_SIZE: (u16, u16) = (80, 24);

/// There is no terminal to draw on.
#[derive(Debug, thiserror::Error)]
#[error("the live view needs a terminal")]
pub(crate) struct NoTerminal;

/// Shows the agent behind `socket` until a key, a signal or the end of the terminal.
pub(crate) async fn run(args: &TopArgs, socket: PathBuf, within: Duration) -> anyhow::Result<Exit> {
    if args.json {
        return json(args, &socket, within).await;
    }
    if args.once {
        return once(args, &socket, within).await;
    }
    let mut signals = StopSignals::new(Hangup::Stops)?;
    // The first answer comes before the screen, so that a wrong socket is an error like that of any command.
    let first = ask(&socket, within, None).await?;
    let mut screen = Screen::open().ok_or(NoTerminal)?;
    end_despite_a_stuck_terminal()?;
    let look = Look { has_colours: output::colours_wanted(true) };
    let mut app = App::new(look, Instant::now());
    app.update(Event::Read(Box::new(first)));
    let mut feed = Feed::start(socket, within, args.interval);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        feed.choose(app.chosen());
        if let Err(error) = screen.draw(|frame| view::draw(frame, &mut app)) {
            if Screen::is_gone() {
                return Ok(Exit::Done);
            }
            return Err(error).context("cannot draw on the terminal");
        }
        let event = tokio::select! {
            _ = signals.next() => return Ok(Exit::Done),
            event = feed.next() => event,
            input = screen.input() => Event::Input(input),
            _ = ticks.tick() => Event::Tick(Instant::now()),
        };
        app.update(event);
        if app.is_over() {
            return Ok(Exit::Done);
        }
    }
}

/// Prints what one look shows, with the rates between it and another, a second apart at most.
async fn json(args: &TopArgs, socket: &std::path::Path, within: Duration) -> anyhow::Result<Exit> {
    let mut app = App::new(Look { has_colours: false }, Instant::now()).for_one_frame();
    app.update(Event::Read(Box::new(ask(socket, within, None).await?)));
    tokio::time::sleep(args.interval.min(Duration::from_secs(1))).await;
    app.update(Event::Read(Box::new(ask(socket, within, None).await?)));
    let Some(reading) = &app.reading else { return Ok(Exit::Failed) };
    let rates = rates::Rate::ALL.map(|rate| (rate.key(), app.rates.now(rate)));
    let rates: std::collections::BTreeMap<_, _> = rates.into();
    Output::new().json(&serde_json::json!({
        "revision": reading.info.revision,
        "isolated": reading.info.isolated,
        "info": reading.info,
        "members": reading.members,
        "services": reading.services,
        "rates": rates,
    }))?;
    Ok(Exit::Done)
}

/// Prints one frame. Two looks, a second apart at most, give its rates.
async fn once(args: &TopArgs, socket: &std::path::Path, within: Duration) -> anyhow::Result<Exit> {
    let mut app = App::new(Look { has_colours: false }, Instant::now()).for_one_frame();
    app.update(Event::Read(Box::new(ask(socket, within, None).await?)));
    tokio::time::sleep(args.interval.min(Duration::from_secs(1))).await;
    app.update(Event::Read(Box::new(ask(socket, within, app.chosen()).await?)));
    let terminal =
        crossterm::terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0);
    let (columns, rows) = terminal.unwrap_or(PLAIN_SIZE);
    let size = (args.columns.unwrap_or(columns), args.rows.unwrap_or(rows));
    let text = plain(size.0, size.1, |frame| view::draw(frame, &mut app));
    Output::new().line(text.trim_end())?;
    Ok(Exit::Done)
}

/// The time now, in both forms that the screen needs.
fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}
