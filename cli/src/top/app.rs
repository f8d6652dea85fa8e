//! The state of the screen: what was read, what is selected, and what keys do to it. It draws nothing.

use std::cmp::Ordering;
use std::time::Instant;

use hobnob_api::{Instance, Member, MemberStatus, ServiceSummary};

use super::feed::{Chosen, Reading, ServiceName};
use super::journal::{Journal, Tone};
use super::pane::Pane;
use super::rates::Rates;
use super::since::{Age, Since};
use crate::output;
use crate::terminal::{Input, Key, Look};

/// The rows that a page key moves by.
const PAGE: usize = 10;
/// The most characters of a filter.
const MAX_FILTER: usize = 64;

/// Something that changes the state.
#[derive(Debug)]
pub(super) enum Event {
    /// The agent answered.
    Read(Box<Reading>),
    /// The agent told the instances of the service that is chosen now.
    Instances(Chosen),
    /// The agent does not answer, for this reason, as of this time.
    Lost(String, Instant),
    /// A key, or a new size.
    Input(Input),
    /// Time went on.
    Tick(Instant),
}

/// A pane that keys act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Members,
    Services,
    Events,
}

impl Focus {
    fn next(self) -> Self {
        match self {
            Self::Members => Self::Services,
            Self::Services => Self::Events,
            Self::Events => Self::Members,
        }
    }
}

/// The columns that members are sorted by.
pub(super) const MEMBER_COLUMNS: [&str; 7] =
    ["MEMBER", "STATUS", "DC", "ZONE", "ADDRESS", "LINK", "STATUS FOR"];
/// The columns that services are sorted by.
pub(super) const SERVICE_COLUMNS: [&str; 4] = ["SERVICE", "NAMESPACE", "HEALTHY", "TAGS"];

/// The state.
#[derive(Debug)]
pub(super) struct App {
    pub(super) look: Look,
    pub(super) now: Instant,
    pub(super) reading: Option<Reading>,
    /// Why the agent does not answer, and since when.
    pub(super) lost: Option<(String, Instant)>,
    pub(super) rates: Rates,
    pub(super) journal: Journal,
    since: Since,
    pub(super) focus: Focus,
    pub(super) members: Pane,
    pub(super) services: Pane,
    /// The newest entries of the journal that are scrolled away.
    pub(super) scrolled: usize,
    pub(super) shows_gone: bool,
    pub(super) filter: String,
    /// Whether keys go to the filter.
    pub(super) is_filtering: bool,
    pub(super) shows_help: bool,
    /// Whether somebody may press keys; not for a single frame.
    pub(super) takes_keys: bool,
    is_over: bool,
}

impl App {
    pub(super) fn new(look: Look, now: Instant) -> Self {
        Self {
            look,
            now,
            reading: None,
            lost: None,
            rates: Rates::default(),
            journal: Journal::default(),
            since: Since::default(),
            focus: Focus::Members,
            members: Pane::default(),
            services: Pane::default(),
            scrolled: 0,
            shows_gone: false,
            filter: String::new(),
            is_filtering: false,
            shows_help: false,
            takes_keys: true,
            is_over: false,
        }
    }

    /// The same for a single frame, which takes no keys and names none.
    pub(super) fn for_one_frame(self) -> Self {
        Self { takes_keys: false, ..self }
    }

    /// Takes an event.
    pub(super) fn update(&mut self, event: Event) {
        match event {
            Event::Read(reading) => self.take(*reading),
            Event::Lost(reason, at) => {
                self.now = at;
                if self.lost.is_none() {
                    let wall = super::now().1;
                    self.journal.add(
                        wall,
                        Tone::Bad,
                        format!("the agent does not answer: {reason}"),
                    );
                    self.lost = Some((reason, at));
                }
            }
            Event::Instances(instances) => {
                if let Some(reading) = &mut self.reading {
                    reading.instances = Some(instances);
                }
            }
            Event::Tick(at) => self.now = at,
            Event::Input(Input::Key(key)) => self.press(key),
            Event::Input(Input::Resized) => {}
        }
    }

    fn take(&mut self, reading: Reading) {
        self.now = reading.at;
        if self.lost.take().is_some() {
            self.journal.add(reading.wall, Tone::Good, "the agent answers again");
        }
        if let Some(before) = &self.reading {
            let at = reading.wall;
            self.journal.compare_agent(&before.info, &reading.info, at);
            self.journal.compare_members(&before.members, &reading.members, at);
            self.journal.compare_services(&before.services, &reading.services, at);
        }
        self.since.look(&reading.members, reading.at);
        self.rates.add(&reading.info, reading.at);
        self.reading = Some(reading);
    }

    fn press(&mut self, key: Key) {
        if key == Key::Interrupt {
            self.is_over = true;
        } else if self.is_filtering {
            self.edit_filter(key);
        } else if self.shows_help {
            self.shows_help = false;
        } else {
            self.command(key);
        }
    }

    fn edit_filter(&mut self, key: Key) {
        match key {
            Key::Char(sign) if self.filter.chars().count() < MAX_FILTER => self.filter.push(sign),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.is_filtering = false,
            Key::Escape => {
                self.is_filtering = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn command(&mut self, key: Key) {
        let (members, services) = (self.shown_members().len(), self.shown_services().len());
        let moved = match self.focus {
            Focus::Members => self.members.moves(key, members, PAGE),
            Focus::Services => self.services.moves(key, services, PAGE),
            Focus::Events => self.scroll(key),
        };
        if moved {
            return;
        }
        match key {
            Key::Char('q') => self.is_over = true,
            Key::Char('?' | 'h') => self.shows_help = true,
            Key::Char('/') => self.is_filtering = true,
            Key::Escape => self.filter.clear(),
            Key::Char('a') => self.shows_gone = !self.shows_gone,
            Key::Tab => self.focus = self.focus.next(),
            Key::BackTab => self.focus = self.focus.next().next(),
            Key::Char('s') => match self.focus {
                Focus::Members => self.members.sort_by_next(MEMBER_COLUMNS.len()),
                Focus::Services => self.services.sort_by_next(SERVICE_COLUMNS.len()),
                Focus::Events => {}
            },
            Key::Char('r') => match self.focus {
                Focus::Members => self.members.is_reversed = !self.members.is_reversed,
                Focus::Services => self.services.is_reversed = !self.services.is_reversed,
                Focus::Events => {}
            },
            _ => {}
        }
    }

    fn scroll(&mut self, key: Key) -> bool {
        let last = self.journal.len().saturating_sub(1);
        self.scrolled = match key {
            Key::Up | Key::Char('k') => self.scrolled.saturating_sub(1),
            Key::Down | Key::Char('j') => self.scrolled + 1,
            Key::PageUp => self.scrolled.saturating_sub(PAGE),
            Key::PageDown => self.scrolled + PAGE,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            _ => return false,
        }
        .min(last);
        true
    }

    /// Whether a key has ended the command.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The service whose instances are to be shown.
    pub(super) fn chosen(&self) -> Option<ServiceName> {
        let shown = self.shown_services();
        let chosen = shown.get(self.services.selected(shown.len())?)?;
        Some(ServiceName { service: chosen.service.clone(), namespace: chosen.namespace.clone() })
    }

    /// The members that pass the filter, in order.
    pub(super) fn shown_members(&self) -> Vec<&Member> {
        let all = self.reading.iter().flat_map(|reading| &reading.members);
        let mut shown: Vec<&Member> = all
            .filter(|member| self.shows_gone || !is_gone(member.status))
            .filter(|member| {
                let status = output::member_status(member.status).0;
                let Member { name, datacenter, zone, gossip_address, .. } = member;
                self.passes(&[name, status, datacenter, zone, gossip_address])
            })
            .collect();
        let text = |a: &str, b: &str| a.cmp(b);
        shown.sort_by(|a, b| {
            let order = match self.members.column {
                1 => rank(a.status).cmp(&rank(b.status)),
                2 => text(&a.datacenter, &b.datacenter),
                3 => text(&a.zone, &b.zone),
                4 => text(&a.gossip_address, &b.gossip_address),
                5 => b.link_silent_ms.cmp(&a.link_silent_ms),
                6 => self.age(a).map(|age| age.time).cmp(&self.age(b).map(|age| age.time)),
                _ => Ordering::Equal,
            };
            let order = if self.members.is_reversed && self.members.column > 0 {
                order.reverse()
            } else {
                order
            };
            let names = (natural(&a.name), a.node_id).cmp(&(natural(&b.name), b.node_id));
            let is_last = self.members.is_reversed && self.members.column == 0;
            order.then(if is_last { names.reverse() } else { names })
        });
        shown
    }

    /// The services that pass the filter, in order.
    pub(super) fn shown_services(&self) -> Vec<&ServiceSummary> {
        let all = self.reading.iter().flat_map(|reading| &reading.services);
        let mut shown: Vec<&ServiceSummary> = all
            .filter(|one| {
                let tags = one.tags.iter().map(String::as_str);
                let texts: Vec<&str> =
                    [&*one.service, &*one.namespace].into_iter().chain(tags).collect();
                self.passes(&texts)
            })
            .collect();
        let share = |one: &ServiceSummary| one.healthy as f64 / one.instances.max(1) as f64;
        shown.sort_by(|a, b| {
            let order = match self.services.column {
                1 => a.namespace.cmp(&b.namespace),
                2 => share(a).total_cmp(&share(b)),
                3 => a.tags.cmp(&b.tags),
                _ => Ordering::Equal,
            };
            let order =
                order.then_with(|| (&a.service, &a.namespace).cmp(&(&b.service, &b.namespace)));
            if self.services.is_reversed { order.reverse() } else { order }
        });
        shown
    }

    /// The instances of the chosen service, if they have been read.
    pub(super) fn instances(&self) -> Option<&[Instance]> {
        let (of, instances) = self.reading.as_ref()?.instances.as_ref()?;
        (self.chosen().as_ref() == Some(of)).then_some(instances)
    }

    /// How long a member has had its status.
    pub(super) fn age(&self, member: &Member) -> Option<Age> {
        self.since.age(member, self.now)
    }

    fn passes(&self, texts: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }
}

/// Whether a member is gone for good.
pub(super) fn is_gone(status: MemberStatus) -> bool {
    matches!(status, MemberStatus::Left | MemberStatus::ForceLeft | MemberStatus::Replaced)
}

/// What needs a look comes first.
fn rank(status: MemberStatus) -> u8 {
    match status {
        MemberStatus::Down => 0,
        MemberStatus::Suspect => 1,
        MemberStatus::Unreachable => 2,
        MemberStatus::Unknown => 3,
        MemberStatus::Alive => 4,
        MemberStatus::Left | MemberStatus::ForceLeft | MemberStatus::Replaced => 5,
    }
}

/// A name with the number at its end apart, so that `a2` comes before `a10`.
fn natural(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|sign: char| sign.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}
