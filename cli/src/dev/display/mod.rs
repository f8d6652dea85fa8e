//! The display of the cluster: a picture on a terminal, or lines.

mod board;
mod hints;
mod plain;
mod status;
mod view;

use std::io::{self, Write};

use super::load::Picks;
use super::sights::Snapshot;
use crate::output;
use crate::terminal::{Input, Look, Screen};
use plain::Plain;

pub(super) use board::{Board, Order};
pub(super) use hints::hints;
pub(super) use status::Status;
pub(super) use view::Picture;

/// The display of the state of the cluster.
pub(super) enum Display {
    /// A terminal: a picture that is redrawn in place.
    Screen(Box<Screen>, Look),
    /// Anything else: a line when the state changes.
    Plain(Plain),
}

impl Display {
    pub(super) fn open() -> Self {
        let look = Look { has_colours: output::colours_wanted(true) };
        match Screen::open() {
            Some(screen) => Self::Screen(Box::new(screen), look),
            None => Self::Plain(Plain::new()),
        }
    }

    pub(super) fn show(
        &mut self,
        snapshot: &Snapshot,
        status: &Status,
        picks: &Picks,
        board: &mut Board,
    ) -> io::Result<()> {
        match self {
            Self::Screen(screen, look) => {
                let picture = Picture { snapshot, status, picks, look: *look };
                screen.draw(|frame| picture.draw(frame, board))
            }
            Self::Plain(plain) => plain.show(snapshot, status),
        }
    }

    /// Whether the terminal was closed. That ends the demonstration as its signal, SIGHUP, does.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Screen(..)) && Screen::is_gone()
    }

    /// The next input.
    pub(super) async fn input(&mut self) -> Input {
        match self {
            Self::Screen(screen, _) => screen.input().await,
            Self::Plain(_) => std::future::pending().await,
        }
    }

    /// Restores the terminal, and prints the line that says when the cluster was ready, and the messages.
    pub(super) fn close(self, status: &Status) -> io::Result<()> {
        let Self::Screen(screen, _) = self else { return Ok(()) };
        drop(screen);
        let ready = status.ready_line();
        let messages = status.notices.last(usize::MAX).map(|notice| notice.text.as_str());
        let mut lines = ready.iter().map(String::as_str).chain(messages);
        lines.try_for_each(|line| writeln!(io::stdout(), "{line}"))
    }
}
