//! The links of this agent that are known to be broken, and members that were lost together: the grades of the instances
//! behind broken links, and the lines of both in the log.

use std::time::Duration;

use hobnob_membership::detector::LinkEnd;
use hobnob_membership::view::{Change, InstanceStatus};
use hobnob_membership::{MassLoss, NodeId, Time};

use super::{Driver, words};
use crate::translate;

impl Driver {
    /// Applies again the healthy instances of each member that stopped answering this agent, or answers again, since the
    /// last call.
    pub(super) fn show_unanswered(&mut self, now: Time) {
        for origin in self.writer.set_unanswered(self.node.unanswered(now).collect()) {
            for instance in self.node.instances_of(origin) {
                if instance.status == InstanceStatus::Healthy {
                    self.writer.apply(Change { instance: instance.clone() });
                }
            }
        }
    }

    /// Shows the mass losses that are not over.
    pub(super) fn show_mass_losses(&self) {
        self.writer.set_mass_losses(translate::mass_losses(&self.node));
    }

    /// Shows a member whose link broke or ended.
    pub(super) fn show_link(&self, node: NodeId) {
        let members = self.node.members();
        let member = members.iter().find(|member| member.identity.node_id == node);
        if let Some(member) = member.filter(|member| !member.status.is_gone()) {
            self.show_member(member);
        }
    }

    /// When a member last answered this agent, while the agent's own link to it is broken.
    pub(super) fn link_silent_since(&self, node: NodeId) -> Option<Time> {
        let now = self.clock.now();
        let silent_for = self.node.link_broken_for(node, now)?;
        let silent_for = Time::from(silent_for);
        Some(Time::from_micros(now.as_micros().saturating_sub(silent_for.as_micros())))
    }

    /// Logs that the own link to a member broke.
    pub(super) fn log_broken_link(&self, node: NodeId) {
        let now = self.clock.now();
        let silent_for = self.node.link_broken_for(node, now).unwrap_or_default();
        tracing::warn!(
            name = words::name_of(&self.node, node),
            node_id = %node,
            silent_for_ms = crate::clock::millis(silent_for),
            "{}",
            words::broken_link(silent_for)
        );
    }

    /// Logs that a broken link ended.
    pub(super) fn log_end_of_link(&self, node: NodeId, end: LinkEnd) {
        let name = words::name_of(&self.node, node);
        match end {
            LinkEnd::Answered(silent_for) => tracing::info!(
                name,
                node_id = %node,
                silent_for_ms = crate::clock::millis(silent_for),
                "the broken link of this agent to a member is mended: the member answers"
            ),
            LinkEnd::Unwatched => tracing::info!(
                name,
                node_id = %node,
                "the broken link of this agent to a member is watched no longer: the member is gone, or others watch it now"
            ),
        }
    }

    /// Logs how many members of a mass loss are back, and which are not when it is over.
    pub(super) fn log_returns(&self, loss: &MassLoss, lost_for: Duration) {
        let MassLoss { lost, of, back, .. } = loss;
        let seconds = lost_for.as_secs();
        let missing = words::names(&self.node, loss.missing.iter().copied());
        if loss.missing.is_empty() {
            tracing::info!(
                "{back} of {lost} that were lost at once {seconds} s ago, of {of}, are back"
            );
        } else {
            tracing::info!(
                missing,
                "{back} of {lost} that were lost at once {seconds} s ago, of {of}, are back"
            );
        }
    }
}
