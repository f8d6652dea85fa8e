//! The keyboard, read on a thread of its own.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

/// The most inputs that wait to be handled. Further ones are dropped.
const MAX_INPUTS: usize = 64;
/// The period in which the thread looks whether the screen ends.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest wait for the end of the thread. On a terminal that is gone, the thread never looks.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// An input of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size.
    Resized,
}

/// A key, as far as screens tell keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A letter or another sign.
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C, which a terminal in raw mode passes on as a key.
    Interrupt,
}

/// The thread that reads the keyboard.
pub(super) struct Keyboard {
    inputs: mpsc::Receiver<Input>,
    /// Disconnected when the thread has ended.
    ended: blocking::Receiver<Infallible>,
    stops: Arc<AtomicBool>,
}

impl Keyboard {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, inputs) = mpsc::channel(MAX_INPUTS);
        let stops = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stops);
        let (is_reading, ended) = blocking::channel();
        thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
            read(&sender, &flag);
            drop(is_reading);
        })?;
        Ok(Self { inputs, ended, stops })
    }

    pub(super) async fn next(&mut self) -> Input {
        match self.inputs.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        }
    }

    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
        // A thread that is still reading ends with the process.
        let _ = self.ended.recv_timeout(ENDS_WITHIN);
    }
}

fn read(inputs: &mpsc::Sender<Input>, stops: &AtomicBool) {
    while !stops.load(Ordering::Relaxed) {
        match event::poll(PAUSE) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => {
                    if let Some(input) = meaning(&event) {
                        // Ignore the error: keys that find no room are dropped.
                        let _ = inputs.try_send(input);
                    }
                }
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

/// The input that an event of the terminal stands for.
fn meaning(event: &Event) -> Option<Input> {
    let (code, modifiers) = match event {
        Event::Resize(..) => return Some(Input::Resized),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => {
            (*code, *modifiers)
        }
        _ => return None,
    };
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(Input::Key(match code {
        KeyCode::Char('c') if is_control => Key::Interrupt,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(sign) => Key::Char(sign),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        let press = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let plain = KeyModifiers::NONE;
        for (event, expected) in [
            (press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt)),
            (press(KeyCode::Char('c'), plain), Some(Key::Char('c'))),
            (press(KeyCode::Char('x'), KeyModifiers::CONTROL), None),
            (press(KeyCode::Esc, plain), Some(Key::Escape)),
            (press(KeyCode::F(1), plain), None),
        ] {
            assert_eq!(meaning(&event), expected.map(Input::Key), "{event:?}");
        }
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Input::Resized));
    }
}
