//! The board: what is selected, and what keys ask for.

use crate::dev::cluster::Part;
use crate::dev::sights::Snapshot;
use crate::terminal::Key;

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dev) enum Order {
    /// End the demonstration.
    Quit,
    /// Kill a process.
    Kill(Part),
    /// Let a process stand still, or go on.
    PauseOrResume(Part),
    /// Stop a process, and start it again at once.
    Restart(Part),
    /// Stop a process, or start it again.
    StopOrStart(Part),
    /// Cut an agent off from the others, or bring it back to them.
    CutOrHeal(String),
    /// Cut the link between the datacenters, or heal it.
    ToggleLink,
}

/// The list that keys act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dev) enum List {
    Agents,
    Servers,
}

/// What is selected.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Board {
    pub(in crate::dev) list: List,
    /// The selected agent; the last one before any key.
    agent: Option<usize>,
    server: usize,
    pub(in crate::dev) shows_help: bool,
}

impl Board {
    pub(in crate::dev) fn new() -> Self {
        Self { list: List::Agents, agent: None, server: 0, shows_help: false }
    }

    /// The number of the selected agent.
    pub(in crate::dev) fn agent(&self, snapshot: &Snapshot) -> usize {
        let last = snapshot.agents.len().saturating_sub(1);
        self.agent.unwrap_or(last).min(last)
    }

    /// The number of the selected server.
    pub(in crate::dev) fn server(&self, snapshot: &Snapshot) -> usize {
        self.server.min(snapshot.instances.len().saturating_sub(1))
    }

    fn selected(&self, snapshot: &Snapshot) -> Option<Part> {
        match self.list {
            List::Agents => {
                let agent = snapshot.agents.get(self.agent(snapshot))?;
                Some(Part::Agent(agent.name.clone()))
            }
            List::Servers => {
                let server = snapshot.instances.get(self.server(snapshot))?;
                Some(Part::Server(server.id.clone()))
            }
        }
    }

    /// Takes a key. Returns what is to be done beyond the board.
    pub(in crate::dev) fn press(&mut self, key: Key, snapshot: &Snapshot) -> Option<Order> {
        if key != Key::Interrupt && std::mem::take(&mut self.shows_help) {
            return None;
        }
        match key {
            Key::Interrupt | Key::Char('q') => return Some(Order::Quit),
            Key::Char('?' | 'h') => self.shows_help = true,
            Key::Char('c') => return Some(Order::ToggleLink),
            Key::Tab | Key::BackTab => {
                self.list = match self.list {
                    List::Agents => List::Servers,
                    List::Servers => List::Agents,
                }
            }
            Key::Up => self.step(snapshot, -1),
            Key::Down => self.step(snapshot, 1),
            Key::Char('x') => {
                return match self.selected(snapshot)? {
                    Part::Agent(name) => Some(Order::CutOrHeal(name)),
                    Part::Server(_) => None,
                };
            }
            Key::Char('k') => return self.selected(snapshot).map(Order::Kill),
            Key::Char('p') => return self.selected(snapshot).map(Order::PauseOrResume),
            Key::Char('r') => return self.selected(snapshot).map(Order::Restart),
            Key::Char('s') => return self.selected(snapshot).map(Order::StopOrStart),
            _ => {}
        }
        None
    }

    /// Selects the row above or below. Below the last agent is the first server.
    fn step(&mut self, snapshot: &Snapshot, by: isize) {
        let agents = snapshot.agents.len();
        let now = match self.list {
            List::Agents => self.agent(snapshot),
            List::Servers => agents + self.server(snapshot),
        };
        let last = (agents + snapshot.instances.len()).saturating_sub(1);
        let next = now.saturating_add_signed(by).min(last);
        if next < agents {
            (self.list, self.agent) = (List::Agents, Some(next));
        } else {
            (self.list, self.server) = (List::Servers, next - agents);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::sights::snapshot::tests::complete;

    fn agent(name: &str) -> Part {
        Part::Agent(name.to_owned())
    }

    #[test]
    fn keys_act_on_what_is_selected_and_the_last_agent_is_first() {
        let snapshot = complete(3);
        let mut board = Board::new();
        let kill = Key::Char('k');
        assert_eq!(board.press(kill, &snapshot), Some(Order::Kill(agent("a3"))));
        assert_eq!(board.press(Key::Up, &snapshot), None);
        let pause = board.press(Key::Char('p'), &snapshot);
        assert_eq!(pause, Some(Order::PauseOrResume(agent("a2"))));
        let cut = Key::Char('x');
        assert_eq!(board.press(cut, &snapshot), Some(Order::CutOrHeal("a2".to_owned())));
        for _ in 0..3 {
            board.press(Key::Down, &snapshot);
        }
        assert_eq!(board.press(cut, &snapshot), None, "a server is not cut off");
        let part = Part::Server("web-2".to_owned());
        assert_eq!(board.press(Key::Char('s'), &snapshot), Some(Order::StopOrStart(part.clone())));
        board.press(Key::Down, &snapshot);
        assert_eq!(board.press(Key::Char('r'), &snapshot), Some(Order::Restart(part)));
        board.press(Key::Tab, &snapshot);
        assert_eq!(board.press(kill, &snapshot), Some(Order::Kill(agent("a3"))));
        assert_eq!(board.press(Key::Char('c'), &snapshot), Some(Order::ToggleLink));
        assert_eq!(board.press(Key::Char('q'), &snapshot), Some(Order::Quit));
    }

    #[test]
    fn any_key_closes_the_help_and_does_nothing_else() {
        let snapshot = complete(2);
        let mut board = Board::new();
        board.press(Key::Char('?'), &snapshot);
        assert!(board.shows_help);
        assert_eq!(board.press(Key::Char('k'), &snapshot), None);
        assert!(!board.shows_help);
        board.press(Key::Char('?'), &snapshot);
        assert_eq!(board.press(Key::Interrupt, &snapshot), Some(Order::Quit));
    }
}
