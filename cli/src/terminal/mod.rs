//! The terminal of the live screens: it is taken over, drawn on, and given back however the process ends.

mod grid;
mod keyboard;
mod look;
mod numbers;
mod picture;

use std::env;
use std::io::{self, IsTerminal, Stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::Once;

use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

use keyboard::Keyboard;

pub(crate) use grid::{Column, Grid};
pub(crate) use keyboard::{Input, Key};
pub(crate) use look::{Look, bar, fit, keys_line};
pub(crate) use numbers::{bytes, clock, millis, rate, short_age};
pub(crate) use picture::plain;

/// A terminal that shows frames. Dropping this restores the old content and mode of the terminal.
pub(crate) struct Screen {
    /// Never dropped: the end of it writes to stderr when the terminal is gone, and that panics.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    keyboard: Keyboard,
}

impl Screen {
    /// Takes over the terminal. None, if stdout is none that can be redrawn.
    pub(crate) fn open() -> Option<Self> {
        if !is_usable() || terminal::enable_raw_mode().is_err() {
            return None;
        }
        restore_on_panic();
        let entered = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide);
        let opened = entered.and_then(|()| {
            let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
            Ok(Self { terminal: ManuallyDrop::new(terminal), keyboard: Keyboard::start()? })
        });
        opened.inspect_err(|_| restore()).ok()
    }

    /// Draws a frame. Writes only cells that changed.
    ///
    /// # Errors
    /// The terminal is gone, or cannot be written.
    pub(crate) fn draw(&mut self, show: impl FnOnce(&mut Frame)) -> io::Result<()> {
        if Self::is_gone() {
            return Err(io::Error::other("the terminal is gone"));
        }
        self.terminal.draw(show).map(|_| ())
    }

    /// Whether the terminal was closed. Not every process whose terminal is closed gets a signal.
    pub(crate) fn is_gone() -> bool {
        !io::stdout().is_terminal()
    }

    /// The next key, or a new size of the terminal. Cancelling the wait loses none.
    pub(crate) async fn input(&mut self) -> Input {
        self.keyboard.next().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.keyboard.stop();
        restore();
    }
}

/// Whether stdout is a terminal that can be redrawn.
fn is_usable() -> bool {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && io::stdout().is_terminal()
}

/// Restores the terminal. A second call does no harm. An error is ignored, since it means that the terminal is gone.
fn restore() {
    let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            tell(info);
        }));
    });
}
