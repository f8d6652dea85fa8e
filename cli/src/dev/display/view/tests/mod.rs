//! The frames of a cluster.

use std::time::{Duration, Instant};

use super::*;
use crate::dev::cluster::Condition;
use crate::dev::display::hints::Hints;
use crate::dev::load::Share;
use crate::dev::sights::snapshot::tests::complete;
use crate::terminal::{Key, plain};

struct Shown {
    snapshot: Snapshot,
    status: Status,
    picks: Picks,
    board: Board,
}

impl Shown {
    fn of(agents: usize) -> Self {
        let started = Instant::now();
        let hints = Hints {
            commands: vec!["hobnob --socket /t/a1.sock members".to_owned()],
            export: "export HOBNOB_SOCKET=/t/a1.sock".to_owned(),
            short: vec!["hobnob members".to_owned(), "hobnob top".to_owned()],
        };
        let mut status = Status::new(started, hints);
        status.ready_after = Some(Duration::from_millis(840));
        status.ready_summary = complete(agents).summary();
        let share = |of_service| Share { per_second: 900.0 * of_service, of_service };
        let picks = Picks {
            shares: [("web-1", 0.75), ("web-2", 0.25)]
                .map(|(id, part)| (id.to_owned(), share(part)))
                .into(),
            per_second: 900.0,
            curve: vec![0, 400, 800, 900, 900],
        };
        Self { snapshot: complete(agents), status, picks, board: Board::new() }
    }

    /// The last agent is killed, and the others know.
    fn after_a_kill(agents: usize) -> Self {
        let mut shown = Self::of(agents);
        let killed = &mut shown.snapshot.agents[agents - 1];
        (killed.sight, killed.condition) = (None, Condition::Returns(Duration::from_millis(3_001)));
        for agent in shown.snapshot.agents.iter_mut().filter_map(|agent| agent.sight.as_mut()) {
            agent.members[agents - 1].status = MemberStatus::Down;
            agent.instances[1].status = hobnob_api::InstanceStatus::Unknown;
        }
        for (ms, text) in [
            (8_700, "agent a3 is killed, as with kill -9"),
            (8_800, "agent a3 killed: all 2 others know after 61 ms (first 48 ms)"),
            (9_800, "agent a3 killed: picks avoid web-2 after 63 ms (4 went there)"),
        ] {
            shown.status.notices.add_after(Duration::from_millis(ms), text);
        }
        shown
    }

    fn frame(&mut self, columns: u16, rows: u16) -> String {
        let look = Look { has_colours: false };
        let Self { snapshot, status, picks, board } = self;
        let picture = Picture { snapshot, status, picks, look };
        plain(columns, rows, |frame| picture.draw(frame, board))
    }
}

/// Compares a frame with a file. `UPDATE_FRAMES=1` writes the file.
fn assert_frame(shown: &str, name: &str, expected: &str) {
    if std::env::var_os("UPDATE_FRAMES").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dev/display/view/tests/");
        std::fs::write(format!("{folder}{name}"), shown).unwrap();
        return;
    }
    assert!(shown == expected, "{name} differs; UPDATE_FRAMES=1 writes it:\n{shown}");
}

#[test]
fn a_frame_fits_the_smallest_terminal() {
    let shown = Shown::after_a_kill(3).frame(80, 24);
    assert_frame(&shown, "80x24.txt", include_str!("80x24.txt"));
}

#[test]
fn a_frame_uses_the_room_of_a_large_terminal() {
    let shown = Shown::after_a_kill(3).frame(200, 50);
    assert_frame(&shown, "200x50.txt", include_str!("200x50.txt"));
}

#[test]
fn the_first_line_says_what_is_and_not_what_was() {
    let first =
        |shown: &mut Shown| shown.frame(100, 24).lines().next().unwrap_or_default().to_owned();
    let mut shown = Shown::of(3);
    let ready =
        " hobnob dev  ● ready after 0.8 s: 3 agents alive, 2 instances healthy on every agent";
    assert_eq!(first(&mut shown), ready);
    shown.snapshot.agents[0].sight = None;
    let counts = " hobnob dev  ▲ 2 of 3 agents answer, 2 of 2 instances healthy everywhere";
    assert_eq!(first(&mut shown), counts);
    shown.status.ready_after = None;
    assert_eq!(first(&mut shown), " hobnob dev  ▲ starting: a1 does not answer");
}

#[test]
fn the_key_for_the_link_is_shown_where_there_is_one() {
    let mut shown = Shown::of(3);
    assert!(!shown.frame(100, 24).contains("link"));
    shown.status.has_link = true;
    assert!(shown.frame(100, 24).contains("c cut or heal link"));
}

#[test]
fn a_small_terminal_keeps_the_selected_agent_and_the_events() {
    let mut shown = Shown::after_a_kill(16);
    let frame = shown.frame(80, 24);
    assert!(frame.contains("▌a16"), "{frame}");
    assert!(frame.contains("picks avoid web-2"), "{frame}");
    for _ in 0..15 {
        shown.board.press(Key::Up, &shown.snapshot);
    }
    assert!(shown.frame(80, 24).contains("▌a1 "), "the table scrolls");
}

#[test]
fn every_size_can_be_drawn() {
    for (columns, rows) in [(1, 1), (7, 24), (20, 5), (80, 24), (139, 29), (140, 30), (300, 100)] {
        for help in [false, true] {
            let mut shown = Shown::after_a_kill(16);
            shown.board.shows_help = help;
            let frame = shown.frame(columns, rows);
            assert!(frame.lines().all(|line| line.chars().count() <= usize::from(columns)));
        }
    }
}

#[test]
fn a_long_message_takes_several_lines() {
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("one", 2), ["o…"]);
}
