//! The display of the cluster: a picture on a terminal, or lines.

mod hints;
mod plain;
mod screen;
mod view;

use super::sights::Snapshot;
use plain::Plain;
use screen::Screen;

pub(super) use hints::commands;
pub(super) use screen::Key;
pub(super) use view::Status;

/// The display of the state of the cluster.
pub(super) enum Display {
    /// A terminal: a table that is redrawn in place.
    Screen(Screen),
    /// Anything else: a line when the state changes.
    Plain(Plain),
}

impl Display {
    pub(super) fn open() -> Self {
        Screen::open().map_or_else(|| Self::Plain(Plain::new()), Self::Screen)
    }

    pub(super) fn show(&mut self, snapshot: &Snapshot, status: &Status) -> std::io::Result<()> {
        match self {
            Self::Screen(screen) => screen.show(snapshot, status),
            Self::Plain(plain) => plain.show(snapshot, status),
        }
    }

    /// Whether the terminal was closed. That ends the demonstration as its signal, SIGHUP, does.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Screen(_)) && Screen::is_gone()
    }

    /// The next key that has a meaning.
    pub(super) async fn key(&mut self) -> Key {
        match self {
            Self::Screen(screen) => screen.key().await,
            Self::Plain(_) => std::future::pending().await,
        }
    }

    /// Restores the terminal, and prints the lines that are worth keeping.
    pub(super) fn close(self, status: &Status) -> std::io::Result<()> {
        match self {
            Self::Screen(screen) => screen.close(status),
            Self::Plain(_) => Ok(()),
        }
    }
}
