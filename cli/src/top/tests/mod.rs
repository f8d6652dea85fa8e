//! The state after events, and the frames that are drawn of it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::app::{App, Event, Focus};
use super::feed::{Reading, ServiceName};
use super::view;
use crate::terminal::{Input, Key, Look, plain};

/// A member, as the agent answers.
fn member(number: u64, status: &str) -> Value {
    json!({
        "name": format!("a{number}"), "node_id": format!("{number:016x}"),
        "gossip_address": format!("10.0.0.{number}:7946"), "status": status,
        "datacenter": "eu", "zone": format!("z{}", number % 3), "epoch": 7,
    })
}

fn service(name: &str, healthy: usize, instances: usize, tags: &[&str]) -> Value {
    json!({
        "service": name, "namespace": "default", "instances": instances, "healthy": healthy,
        "tags": tags, "efficiency": null, "fairness": null,
    })
}

fn instance(id: &str, status: &str, basis: &str, offered: bool) -> Value {
    json!({
        "service": "web", "id": id, "node": "a1", "node_id": "0000000000000001", "datacenter": "eu",
        "zone": "z1", "address": "10.0.0.1", "port": 8001, "tags": [], "meta": {}, "weight": 1,
        "namespace": "default", "status": status, "offered": offered, "basis": basis, "age_ms": 1_200,
    })
}

/// The agent `a1` after so many picks.
fn info(picks: u64) -> Value {
    json!({
        "api": 1, "revision": 40 + picks / 100, "isolated": false, "name": "a1", "cluster": "prod",
        "node_id": "0000000000000001", "epoch": 7, "version": "0.1.0", "datacenter": "eu", "zone": "z1",
        "gossip_address": "10.0.0.1:7946", "sync_address": "10.0.0.1:7947", "pid": 42,
        "uptime_ms": 7_500_000, "last_contact_ago_ms": 20, "duplicate": null, "takes_tcp_probes": true,
        "udp_blocked": false, "active_members": 3, "instances": 5, "catalog_digest": "0",
        "counters": {
            "picks": picks, "api_calls": picks / 4, "datagram_bytes_received": picks * 2,
            "frame_bytes_received": 0, "datagram_bytes_sent": picks, "frame_bytes_sent": picks,
            "gaps_now": 0, "gaps_closed": picks / 400, "gaps_closed_ms": picks / 10,
        },
        "protocol": {},
    })
}

struct Session {
    app: App,
    began: Instant,
}

impl Session {
    fn new() -> Self {
        let began = Instant::now();
        Self { app: App::new(Look { has_colours: false }, began), began }
    }

    fn read(&mut self, at_ms: u64, info: Value, members: Value, services: Value) {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(43_200_000 + at_ms);
        let web = ServiceName { service: "web".to_owned(), namespace: "default".to_owned() };
        let instances = vec![
            instance("web-1", "healthy", "current", true),
            instance("web-2", "unknown", "last_known", false),
        ];
        let reading = Reading {
            at: self.began + Duration::from_millis(at_ms),
            wall,
            info: serde_json::from_value(info).unwrap(),
            members: serde_json::from_value(members).unwrap(),
            services: serde_json::from_value(services).unwrap(),
            instances: Some((web, serde_json::from_value(instances.into()).unwrap())),
        };
        self.app.update(Event::Read(Box::new(reading)));
    }

    /// Three members, and then one of them is down, with half of a service.
    fn after_a_death() -> Self {
        let mut session = Self::new();
        let members = json!([member(1, "alive"), member(2, "alive"), member(10, "alive")]);
        let services = |healthy| {
            json!([
                service("api", 2, 2, &["stable"]),
                service("web", healthy, 3, &["canary", "stable"])
            ])
        };
        session.read(0, info(0), members.clone(), services(3));
        session.read(1_000, info(1_200), members, services(3));
        let mut dead = member(10, "down");
        dead["down_ago_ms"] = 400.into();
        let mut silent = member(2, "alive");
        silent["link_silent_ms"] = 9_000.into();
        session.read(2_000, info(3_600), json!([member(1, "alive"), silent, dead]), services(2));
        session
    }

    fn press(&mut self, keys: &[Key]) {
        for key in keys {
            self.app.update(Event::Input(Input::Key(*key)));
        }
    }

    fn write(&mut self, text: &str) {
        let keys: Vec<Key> = text.chars().map(Key::Char).collect();
        self.press(&keys);
    }

    fn frame(&mut self, columns: u16, rows: u16) -> String {
        plain(columns, rows, |frame| view::draw(frame, &mut self.app))
    }

    fn members(&self) -> Vec<String> {
        self.app.shown_members().iter().map(|member| member.name.clone()).collect()
    }

    fn events(&self) -> Vec<String> {
        self.app.journal.latest().map(|entry| entry.text.clone()).collect()
    }
}

/// Compares a frame with a file. `UPDATE_FRAMES=1` writes the file.
fn assert_frame(shown: &str, name: &str, expected: &str) {
    if std::env::var_os("UPDATE_FRAMES").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/top/tests/");
        std::fs::write(format!("{folder}{name}"), shown).unwrap();
        return;
    }
    assert!(shown == expected, "{name} differs; UPDATE_FRAMES=1 writes it:\n{shown}");
}

#[test]
fn a_frame_fits_the_smallest_terminal() {
    let shown = Session::after_a_death().frame(80, 24);
    assert_frame(&shown, "80x24.txt", include_str!("80x24.txt"));
}

#[test]
fn a_frame_uses_the_room_of_a_large_terminal() {
    let mut session = Session::after_a_death();
    session.press(&[Key::Tab, Key::Down]);
    let shown = session.frame(200, 50);
    assert_frame(&shown, "200x50.txt", include_str!("200x50.txt"));
}

#[test]
fn a_single_frame_names_no_keys() {
    let mut session = Session::after_a_death();
    assert!(session.frame(80, 24).contains("quit"));
    session.app = session.app.for_one_frame();
    let shown = session.frame(80, 24);
    assert!(!shown.contains("quit") && shown.contains("a10"), "{shown}");
}

#[test]
fn every_size_and_every_state_can_be_drawn() {
    for (columns, rows) in [(1, 1), (10, 3), (40, 12), (80, 24), (139, 29), (140, 30), (300, 100)] {
        Session::new().frame(columns, rows);
        let mut session = Session::after_a_death();
        session.frame(columns, rows);
        session.press(&[Key::Char('?')]);
        session.frame(columns, rows);
        session.press(&[Key::Escape, Key::Tab]);
        session.write("/nothing has this");
        let frame = session.frame(columns, rows);
        assert!(frame.lines().all(|line| line.chars().count() <= usize::from(columns)));
    }
}

#[test]
fn changes_between_two_looks_are_events() {
    assert_eq!(
        Session::after_a_death().events(),
        ["service web: 2 of 3 healthy, was 3 of 3", "a10 is down, was alive"]
    );
}

#[test]
fn members_are_sorted_reversed_and_filtered() {
    let mut session = Session::after_a_death();
    assert_eq!(session.members(), ["a1", "a2", "a10"], "numbers count as such");
    session.press(&[Key::Char('r')]);
    assert_eq!(session.members(), ["a10", "a2", "a1"]);
    session.press(&[Key::Char('s')]);
    assert_eq!(session.members(), ["a10", "a1", "a2"], "what is down is first");
    session.write("/DOWN");
    assert_eq!(session.members(), ["a10"]);
    session.press(&[Key::Enter, Key::Escape]);
    assert_eq!(session.members().len(), 3);
    assert!(!session.app.is_over(), "keys of a filter do nothing else");
}

#[test]
fn members_that_are_gone_are_shown_when_asked_for() {
    let mut session = Session::new();
    session.read(0, info(0), json!([member(1, "alive"), member(2, "left")]), json!([]));
    assert_eq!(session.members(), ["a1"]);
    session.press(&[Key::Char('a')]);
    assert_eq!(session.members(), ["a1", "a2"]);
}

#[test]
fn the_selection_stays_within_the_rows_and_names_the_service() {
    let mut session = Session::after_a_death();
    let chosen = |session: &Session| session.app.chosen().map(|chosen| chosen.service);
    assert_eq!(chosen(&session).as_deref(), Some("api"));
    session.press(&[Key::Tab, Key::PageDown, Key::Down]);
    assert_eq!(session.app.focus, Focus::Services);
    assert_eq!(chosen(&session).as_deref(), Some("web"));
    assert_eq!(session.app.instances().map(<[_]>::len), Some(2));
    session.read(3_000, info(4_000), json!([member(1, "alive")]), json!([]));
    assert_eq!(chosen(&session), None);
    session.press(&[Key::Tab, Key::Tab, Key::BackTab]);
    assert_eq!(session.app.focus, Focus::Events);
}

#[test]
fn an_agent_that_restarts_is_told_and_its_rates_begin_anew() {
    let mut session = Session::after_a_death();
    let lost = || Event::Lost("no agent answers".to_owned(), Instant::now());
    session.app.update(lost());
    session.app.update(lost());
    assert!(session.frame(80, 24).contains("● no answer for 0s, trying again: no agent answers"));
    let mut other = info(10);
    other["pid"] = 43.into();
    session.read(9_000, other, json!([member(1, "alive")]), json!([]));
    let events = session.events();
    let told = |text: &str| events.iter().filter(|event| event.contains(text)).count();
    assert_eq!(told("the agent does not answer: no agent answers"), 1, "{events:?}");
    assert_eq!(told("the agent answers again"), 1);
    assert_eq!(told("agent a1 restarted (pid 43)"), 1);
    // The counter fell, and that is no rate.
    assert!(session.frame(80, 24).contains("2.4k/s"), "{}", session.frame(80, 24));
}

#[test]
fn q_and_control_c_end_it_and_control_c_does_so_always() {
    for keys in [
        &[Key::Char('q')][..],
        &[Key::Char('?'), Key::Interrupt],
        &[Key::Char('/'), Key::Interrupt],
    ] {
        let mut session = Session::after_a_death();
        session.press(keys);
        assert!(session.app.is_over(), "{keys:?}");
    }
    let mut session = Session::after_a_death();
    session.press(&[Key::Char('?'), Key::Char('q')]);
    assert!(!session.app.is_over(), "any key closes the help alone");
}

#[test]
fn instances_of_another_choice_come_without_a_look_at_everything() {
    let mut session = Session::after_a_death();
    session.press(&[Key::Tab]);
    assert_eq!(session.app.instances(), None, "those of another service are known");
    let told = session.events();
    let api = ServiceName { service: "api".to_owned(), namespace: "default".to_owned() };
    session.app.update(Event::Instances((api, vec![])));
    assert_eq!(session.app.instances(), Some(&[][..]));
    assert_eq!(session.events(), told);
}
