//! The display on a terminal: a picture that is redrawn in place, and the keys.

use std::convert::Infallible;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue};
use tokio::sync::mpsc;

use super::view::{self, Status};
use crate::dev::sights::Snapshot;
use crate::output::{Style, colours_wanted};

/// The most keys that wait to be handled. Further keys are dropped.
const MAX_KEYS: usize = 16;
/// The period in which the thread that reads keys looks whether the display ends.
const KEY_PAUSE: Duration = Duration::from_millis(50);
/// The longest time that the end of the display waits for that thread. On a terminal that is gone, the thread never looks.
const KEYBOARD_WITHIN: Duration = Duration::from_millis(500);

/// A request that comes from a key, or from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dev) enum Key {
    /// End the demonstration.
    Quit,
    /// Stop or start a service.
    Toggle,
    /// Kill an agent.
    KillAgent,
    /// Kill a server.
    KillServer,
    /// Cut the link between the datacenters, or heal it.
    ToggleLink,
    /// Draw again, because the size of the terminal changed.
    Redraw,
}

/// A terminal that shows one picture. Dropping this restores the old content and mode of the terminal.
pub(in crate::dev) struct Screen {
    keys: mpsc::Receiver<Key>,
    /// Disconnected when the thread that reads keys has ended.
    keyboard: blocking::Receiver<Infallible>,
    closing: Arc<AtomicBool>,
    style: Style,
    shown: Option<((u16, u16), Vec<String>)>,
}

impl Screen {
    /// Takes over the terminal, if stdout is one that can be redrawn.
    pub(in crate::dev) fn open() -> Option<Self> {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if dumb || !io::stdout().is_terminal() || terminal::enable_raw_mode().is_err() {
            return None;
        }
        restore_on_panic();
        let (sender, keys) = mpsc::channel(MAX_KEYS);
        let closing = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closing);
        let (is_reading, keyboard) = blocking::channel();
        thread::spawn(move || {
            read_keys(&sender, &flag);
            drop(is_reading);
        });
        let style = Style { colours: colours_wanted(true), width: None };
        let screen = Self { keys, keyboard, closing, style, shown: None };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide).ok()?;
        Some(screen)
    }

    /// Draws the snapshot, unless it is shown already.
    ///
    /// # Errors
    /// The terminal is gone, or cannot be written.
    pub(in crate::dev) fn show(&mut self, snapshot: &Snapshot, status: &Status) -> io::Result<()> {
        if Self::is_gone() {
            return Err(io::Error::other("the terminal is gone"));
        }
        let size = terminal::size()?;
        let (columns, rows) = (usize::from(size.0), usize::from(size.1));
        let lines = view::lines(snapshot, status, self.style, (columns, rows));
        let picture = Some((size, lines));
        if self.shown != picture {
            self.shown = picture;
            self.draw()?;
        }
        Ok(())
    }

    /// Whether the terminal was closed. Not every process whose terminal is closed gets a signal.
    pub(in crate::dev) fn is_gone() -> bool {
        !io::stdout().is_terminal()
    }

    fn draw(&self) -> io::Result<()> {
        let Some(((columns, rows), lines)) = &self.shown else { return Ok(()) };
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        let mut row = 0u16;
        for line in lines {
            let taken = view::rows_of(line, usize::from(*columns));
            let next = row.saturating_add(u16::try_from(taken).unwrap_or(u16::MAX));
            for stale in row..next {
                queue!(out, cursor::MoveTo(0, stale), Clear(ClearType::CurrentLine))?;
            }
            queue!(out, cursor::MoveTo(0, row), Print(line))?;
            row = next;
        }
        if row < *rows {
            queue!(out, cursor::MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// The next key that has a meaning.
    pub(in crate::dev) async fn key(&mut self) -> Key {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Restores the terminal, and prints the line that says when the cluster was ready, and the last messages.
    pub(in crate::dev) fn close(self, status: &Status) -> io::Result<()> {
        drop(self);
        let ready = status.ready_line();
        let lines = ready.iter().map(String::as_str).chain(status.notices.last(usize::MAX));
        lines.into_iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // A thread that is still reading ends with the process.
        let _ = self.keyboard.recv_timeout(KEYBOARD_WITHIN);
        restore();
    }
}

/// Restores the terminal. A second call does no harm. An error is ignored, since it means that the terminal is gone.
fn restore() {
    let _ = execute!(io::stdout(), EndSynchronizedUpdate, cursor::Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

fn restore_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        tell(info);
    }));
}

fn read_keys(keys: &mpsc::Sender<Key>, closing: &AtomicBool) {
    while !closing.load(Ordering::Relaxed) {
        match event::poll(KEY_PAUSE) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => {
                    if let Some(key) = meaning(&event) {
                        let _ = keys.try_send(key);
                    }
                }
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => {
            match (code, modifiers.contains(KeyModifiers::CONTROL)) {
                (KeyCode::Char('c'), true) | (KeyCode::Char('q'), false) => Some(Key::Quit),
                (KeyCode::Char('s'), false) => Some(Key::Toggle),
                (KeyCode::Char('a'), false) => Some(Key::KillAgent),
                (KeyCode::Char('k'), false) => Some(Key::KillServer),
                (KeyCode::Char('c'), false) => Some(Key::ToggleLink),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        let press = |c, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        let plain = KeyModifiers::NONE;
        assert_eq!(meaning(&press('c', KeyModifiers::CONTROL)), Some(Key::Quit));
        assert_eq!(meaning(&press('q', plain)), Some(Key::Quit));
        assert_eq!(meaning(&press('s', plain)), Some(Key::Toggle));
        assert_eq!(meaning(&press('a', plain)), Some(Key::KillAgent));
        assert_eq!(meaning(&press('k', plain)), Some(Key::KillServer));
        assert_eq!(meaning(&press('c', plain)), Some(Key::ToggleLink));
        assert_eq!(meaning(&press('x', plain)), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Key::Redraw));
    }
}
