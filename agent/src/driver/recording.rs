//! What the driver tells the history.

use hobnob_api::{EventKind, likely_cause};
use hobnob_membership::detector::LinkEnd;
use hobnob_membership::record::{Key, Value};
use hobnob_membership::view::{Member, MemberStatus};
use hobnob_membership::{Event as NodeEvent, MassLoss, NodeId, Time, is_probably_a_cut};

use super::losses::HeldLoss;
use super::{Driver, words};
use crate::history::{By, Event, History};

impl Driver {
    /// The same driver, which records events of the node in this history.
    pub(crate) fn recording(self, history: History) -> Self {
        Self { history, ..self }
    }

    /// Records an event of the node, unless [`record_member`](Self::record_member) or nobody does.
    pub(super) fn record_event(&mut self, event: &NodeEvent) {
        if let NodeEvent::Isolated = event {
            // No line of the log tells of them.
            self.losses.few().iter().for_each(|loss| self.record_member(loss));
        }
        self.note_lost(event);
        let of = |kind| Event::new(kind, By::agent());
        let record = |event: Event| self.history.record(event);
        match event {
            NodeEvent::Connected => {
                record(of(EventKind::Connected).why("in touch with the cluster"));
            }
            NodeEvent::Isolated if self.node.members().iter().any(is_lost) => {
                record(of(EventKind::Isolated).why("this agent hears no other member"));
            }
            NodeEvent::LostTogether { nodes, of: all, exited }
                if is_probably_a_cut(nodes.len(), *all) =>
            {
                let lost = nodes.len();
                let cause = likely_cause(lost, *exited);
                let why = format!("lost {lost} of {all} at once: {cause}");
                record(of(EventKind::MembersLost).to(&lost.to_string()).why(&why));
            }
            NodeEvent::BackTogether { loss, lost_for } if loss.is_over() => {
                let MassLoss { lost, back, .. } = loss;
                let seconds = lost_for.as_secs();
                let why = match loss.missing.len() {
                    0 => format!(
                        "{back} of {lost} that were lost at once are back after {seconds} s"
                    ),
                    missing => format!(
                        "{back} of {lost} that were lost at once are back after {seconds} s; {missing} still missing: {}",
                        words::names(&self.node, loss.missing.iter().copied())
                    ),
                };
                record(of(EventKind::MembersBack).to(&back.to_string()).why(&why));
            }
            NodeEvent::LinkBroken { node } => {
                let silent_for = self.node.link_broken_for(*node, self.clock.now());
                let why = words::broken_link(silent_for.unwrap_or_default());
                record(of(EventKind::LinkBroken).member(&self.name(*node)).why(&why));
            }
            NodeEvent::LinkEnded { node, end } => {
                let event = of(EventKind::LinkMended).member(&self.name(*node));
                record(match end {
                    LinkEnd::Answered(_) => event,
                    LinkEnd::Unwatched => {
                        event.why("watched no longer: the member is gone, or others watch it now")
                    }
                });
            }
            NodeEvent::ForceLeft { node, told_by } if !self.is_own(*told_by) => {
                let (name, by) = (self.name(*node), self.name(*told_by));
                record(Event::new(EventKind::MemberForceLeft, By::peer(&by)).member(&name));
            }
            NodeEvent::DatacenterUnreachable { name, .. } => {
                record(of(EventKind::DatacenterUnreachable).datacenter(name));
            }
            NodeEvent::DatacenterReachable { name, .. } => {
                record(of(EventKind::DatacenterReachable).datacenter(name));
            }
            NodeEvent::DatacenterIsolated { name, by, .. } if !self.is_own(*by) => {
                let by = By::peer(&self.name(*by));
                record(Event::new(EventKind::DatacenterIsolated, by).datacenter(name));
            }
            NodeEvent::DatacenterRejoined { name, by, .. } if !self.is_own(*by) => {
                let by = By::peer(&self.name(*by));
                record(Event::new(EventKind::DatacenterRejoined, by).datacenter(name));
            }
            NodeEvent::CutOff { lost, of: all } => {
                let why = format!(
                    "{} of {all} datacenters are out of reach at once: {}",
                    lost.len(),
                    lost.join(", ")
                );
                record(of(EventKind::CutOff).why(&why));
            }
            NodeEvent::Stalled(time) => {
                let why = format!(
                    "the process stood still, or the host was suspended, for {:.1} s",
                    time.as_secs_f64()
                );
                record(of(EventKind::Stalled).why(&why));
            }
            NodeEvent::DeclaredDown(verdict) => {
                let by = By::peer(&self.name(verdict.accuser));
                let why = format!("{}; refuted with a new epoch", verdict.cause);
                record(Event::new(EventKind::DeclaredDown, by).why(&why));
            }
            NodeEvent::DuplicateNodeId { address } => {
                record(of(EventKind::Duplicate).why(&format!("the other agent is at {address}")));
            }
            NodeEvent::GaveWay { to } => {
                record(of(EventKind::GaveWay).why(&format!("the other agent is at {to}")));
            }
            NodeEvent::Resumed => record(of(EventKind::Resumed)),
            NodeEvent::Revoked => {
                record(of(EventKind::Revoked).why("an operator revoked this agent"));
            }
            _ => {}
        }
    }

    /// Notes members whose loss is no event of its own, so that their return is one.
    fn note_lost(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::LostTogether { nodes, of, .. } if is_probably_a_cut(nodes.len(), *of) => {
                nodes.iter().for_each(|node| self.sights.lost(*node));
            }
            NodeEvent::Isolated => {
                let members = self.node.members();
                let lost = members.iter().filter(|member| is_lost(member));
                lost.for_each(|member| self.sights.lost(member.identity.node_id));
            }
            _ => {}
        }
    }

    /// Records that a member came or went, if that is an event: at the time at which it did, though its line was held back.
    pub(super) fn record_member(&mut self, HeldLoss { member, reason, at_ms }: &HeldLoss) {
        let (id, now) = (member.identity.node_id, self.clock.now());
        let Some(record) = &member.node else { return };
        if self.is_own(id) {
            return;
        }
        let is_far = self.node.is_elsewhere(id);
        let Some(kind) = self.sights.note(id, member.status, is_far, now) else { return };
        let event = Event::new(kind, By::agent()).member(&record.name).at(*at_ms);
        self.history.record(match kind {
            EventKind::MemberJoined => {
                event.why("seen for the first time since this agent started")
            }
            EventKind::MemberBack => event,
            // `record_event` records the order.
            EventKind::MemberForceLeft => return,
            _ => event.why(reason),
        });
    }

    /// Records members that came together.
    pub(super) fn record_due(&mut self, now: Time) {
        if let Some(more) = self.sights.came_together(now) {
            let event = Event::new(EventKind::MembersCame, By::agent()).to(&more.to_string());
            self.history.record(event.why(&format!("{more} more members came within 10 s")));
        }
    }

    /// Records the change of a check of an own instance.
    pub(super) fn record_check(&self, id: &str, check: &str, from: &str, to: &str, output: &str) {
        let own = self.node.catalog().origin(self.node.identity().node_id);
        let records = own.and_then(|origin| origin.current());
        let service = records.and_then(|records| match records.get(&Key::Service(id.into()))? {
            Value::Service(service) => Some(&*service.service),
            _ => None,
        });
        let event = Event::new(EventKind::CheckChanged, By::check()).instance(id).check(check);
        self.history.record(event.service(service).from(from).to(to).why(output));
    }

    /// Records that another generation is in use.
    pub(super) fn record_generation(&self, before: Option<u64>, now: Option<u64>) {
        if let (Some(before), Some(now)) = (before, now)
            && before != now
        {
            let event = Event::new(EventKind::KeysRotated, By::agent());
            let event = event.from(&before.to_string()).to(&now.to_string());
            self.history.record(event.why(&format!("generation {now} is in use")));
        }
    }

    fn is_own(&self, node: NodeId) -> bool {
        node == self.node.identity().node_id
    }

    fn name(&self, node: NodeId) -> String {
        words::name_of(&self.node, node)
    }
}

fn is_lost(member: &Member) -> bool {
    member.status == MemberStatus::Down
}
