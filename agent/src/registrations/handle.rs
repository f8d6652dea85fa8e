//! The rest of the agent's side of the registrar.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_api::{
    ApiError, Check, CheckExplained, Dropped, RegisterOutcome, Registration, Reloaded,
};
use tokio::sync::mpsc;

use super::check_ids::{CheckIds, KnownIds};
use super::hearings::Hearings;
use super::registrants::Registrants;
use super::registrar::upkeep::Maintained;
use super::rules;
use crate::actor::{Reply, ask};
use crate::caller::Caller;
use crate::checks::{LatestOutcomes, SelfReport};
use crate::clock::millis;
use crate::definitions::Definition;
use crate::storage::{StoredMaintenance, StoredRegistrant, StoredUpkeep};

/// Commands that wait for the registrar; further ones wait with their sender.
const MAX_WAITING_COMMANDS: usize = 256;

/// The most problems with files that are kept for those who ask.
const MAX_FILE_PROBLEMS: usize = 100;

/// Asks the registrar. Cheap to clone; the registrar ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationsHandle {
    commands: mpsc::Sender<Command>,
    registrants: Arc<Registrants>,
    hearings: Arc<Hearings>,
    check_ids: Arc<CheckIds>,
    upkeep: Arc<ArcSwap<StoredUpkeep>>,
    /// What was wrong with the files of definitions when they were read last.
    file_problems: Arc<ArcSwap<Vec<String>>>,
    latest: Arc<LatestOutcomes>,
    /// Whether checks may be scripts.
    script_checks: bool,
}

/// A command of the registrar.
#[derive(Debug)]
pub(super) enum Command {
    Register {
        registration: Box<Registration>,
        caller: Caller,
        reply: Reply<Result<(RegisterOutcome, Option<Dropped>), ApiError>>,
    },
    Deregister {
        id: String,
        caller: Caller,
        reply: Reply<Result<(), ApiError>>,
    },
    PutCheck {
        /// The instance.
        id: String,
        check: Box<Check>,
        caller: Caller,
        reply: Reply<Result<RegisterOutcome, ApiError>>,
    },
    RemoveCheck {
        namespace: String,
        check_id: String,
        caller: Caller,
        reply: Reply<Result<(), ApiError>>,
    },
    Define {
        definitions: Vec<Definition>,
        reply: Reply<Result<Reloaded, ApiError>>,
    },
    Maintain {
        id: Option<String>,
        /// Why it begins; `None` when it ends.
        reason: Option<String>,
        caller: Caller,
        reply: Reply<Result<Maintained, ApiError>>,
    },
    Drain {
        id: String,
        /// `None` stops it.
        over: Option<Duration>,
        caller: Caller,
        reply: Reply<Result<(), ApiError>>,
    },
    AwaitDrained {
        id: String,
        reply: Reply<Result<(), ApiError>>,
    },
    Report {
        id: String,
        check: Option<String>,
        report: SelfReport,
        reply: Reply<Result<String, ApiError>>,
    },
}

impl RegistrationsHandle {
    /// A handle, and the commands that it and its clones send.
    pub(super) fn channel(
        registrants: Arc<Registrants>,
        hearings: Arc<Hearings>,
        check_ids: Arc<CheckIds>,
        upkeep: Arc<ArcSwap<StoredUpkeep>>,
        latest: Arc<LatestOutcomes>,
        script_checks: bool,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(MAX_WAITING_COMMANDS);
        let file_problems = Arc::default();
        let this = Self {
            commands,
            registrants,
            hearings,
            check_ids,
            upkeep,
            file_problems,
            latest,
            script_checks,
        };
        (this, received)
    }

    /// A handle without a registrar, to test what needs none.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        let none = (Arc::default(), Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self::channel(none.0, none.1, none.2, none.3, none.4, false).0
    }

    /// Registers an instance, or replaces the one with its id. It is durable and visible here when this returns. The answer tells what
    /// the earlier one lost.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        caller: Caller,
    ) -> Result<(RegisterOutcome, Option<Dropped>), ApiError> {
        // Before it waits for others, so that nothing waits that is larger than a registration may be.
        // A host of another datacenter does not say which programs run on this one, nor which files it opens.
        let script_checks = self.script_checks && caller.agent.is_none();
        rules::validate(&registration, script_checks)?;
        if caller.agent.is_some() {
            rules::validate_from_elsewhere(&registration)?;
        }
        let registration = Box::new(registration);
        ask(&self.commands, |reply| Command::Register { registration, caller, reply }).await?
    }

    /// Removes the instance with this id. That is durable and visible here when this returns.
    pub(crate) async fn deregister(&self, id: String, caller: Caller) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::Deregister { id, caller, reply }).await?
    }

    /// Adds a check to an instance, or replaces the one that has its name as an [id](KnownIds). Its other checks go on with their
    /// statuses. It is durable and visible here when this returns.
    pub(crate) async fn put_check(
        &self,
        id: String,
        check: Check,
        caller: Caller,
    ) -> Result<RegisterOutcome, ApiError> {
        rules::validate_check(&id, &check, self.script_checks && caller.agent.is_none())?;
        let check = Box::new(check);
        ask(&self.commands, |reply| Command::PutCheck { id, check, caller, reply }).await?
    }

    /// Takes the check with this [id](KnownIds) away from its instance, whose other checks go on. That is durable and visible here when
    /// this returns.
    pub(crate) async fn remove_check(
        &self,
        namespace: String,
        check_id: String,
        caller: Caller,
    ) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::RemoveCheck { namespace, check_id, caller, reply })
            .await?
    }

    /// The ids of the checks of this agent's instances for clients of Consul's API. Waits for nothing.
    pub(crate) fn check_ids(&self) -> Arc<KnownIds> {
        self.check_ids.known()
    }

    /// Makes the instances that files define those of these definitions, each with an id of its own. With a problem in one of
    /// them, nothing is changed.
    pub(crate) async fn define(&self, definitions: Vec<Definition>) -> Result<Reloaded, ApiError> {
        ask(&self.commands, |reply| Command::Define { definitions, reply }).await?
    }

    /// Hands the report of a service on itself to its check by reports; `check` names it where there are several. Returns the
    /// name of the check. A report waits for no disk.
    pub(crate) async fn report(
        &self,
        id: String,
        check: Option<String>,
        report: SelfReport,
    ) -> Result<String, ApiError> {
        if let Some((name, hear)) = self.hearings.find(&id, check.as_deref())
            && hear.send(report.clone()).await.is_ok()
        {
            return Ok(name.to_string());
        }
        // There is none now, or it has just ended. The registrar knows, and says what is wrong.
        ask(&self.commands, |reply| Command::Report { id, check, report, reply }).await?
    }

    /// Puts an instance in maintenance for a reason, or all of this agent without an id; without a reason, ends that. It is durable and visible here when this returns.
    pub(crate) async fn maintain(
        &self,
        id: Option<String>,
        reason: Option<String>,
        caller: Caller,
    ) -> Result<Maintained, ApiError> {
        ask(&self.commands, |reply| Command::Maintain { id, reason, caller, reply }).await?
    }

    /// Begins to drain an instance over a time, or stops that without a time. It is durable and visible here when this returns.
    pub(crate) async fn drain(
        &self,
        id: String,
        over: Option<Duration>,
        caller: Caller,
    ) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::Drain { id, over, caller, reply }).await?
    }

    /// Waits until an instance is drained.
    pub(crate) async fn drained(&self, id: String) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::AwaitDrained { id, reply }).await?
    }

    /// The process that registered the instance with this id last, if one of that id is registered with this agent and the
    /// process is known. Waits for nothing.
    pub(crate) fn registrant(&self, id: &str) -> Option<StoredRegistrant> {
        self.registrants.get(id)
    }

    /// Whether the instance with this id is as it was when this agent started. Waits for nothing.
    pub(crate) fn is_restored(&self, id: &str) -> bool {
        self.registrants.is_restored(id)
    }

    /// What operators did to the instances, as the disk has it. Waits for nothing.
    pub(crate) fn upkeep(&self) -> Arc<StoredUpkeep> {
        self.upkeep.load_full()
    }

    /// Why an instance of this agent is not offered although nothing is wrong with it: a maintenance or a drain. Waits for nothing.
    pub(crate) fn withheld(&self, id: &str) -> Option<String> {
        let upkeep = self.upkeep.load();
        let because = |of: &StoredMaintenance| match of.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        if let Some(agent) = &upkeep.agent {
            return Some(format!("this agent is in maintenance{}", because(agent)));
        }
        let own = upkeep.instances.get(id)?;
        match (&own.maintenance, &own.drain) {
            (Some(maintenance), _) => Some(format!("it is in maintenance{}", because(maintenance))),
            (None, Some(_)) => Some("it is drained".to_owned()),
            (None, None) => None,
        }
    }

    /// Keeps what was wrong with the files of definitions when they were read last. Nothing, if all of them were in order.
    pub(crate) fn set_file_problems(&self, problems: &[String]) {
        let kept = problems.iter().take(MAX_FILE_PROBLEMS).cloned().collect();
        self.file_problems.store(Arc::new(kept));
    }

    /// What was wrong with the files of definitions when they were read last. Waits for nothing.
    pub(crate) fn file_problems(&self) -> Arc<Vec<String>> {
        self.file_problems.load_full()
    }

    /// The number of instances that files define. Waits for nothing.
    pub(crate) fn defined(&self) -> usize {
        self.registrants.defined()
    }

    /// Adds to checks of an instance of this agent what their latest probes gave. Waits for nothing.
    pub(crate) fn add_latest(&self, id: &str, checks: &mut [CheckExplained]) {
        for check in checks {
            if let Some(latest) = self.latest.get(id, &check.name) {
                check.latest_output = Some(latest.output);
                check.latest_ago_ms = Some(millis(latest.at.elapsed()));
            }
        }
    }

    /// The name of the file that defines the instance with this id, if one does. Waits for nothing.
    pub(crate) fn source(&self, id: &str) -> Option<Arc<str>> {
        self.registrants.source(id)
    }
}

#[cfg(test)]
mod tests {
    use hobnob_api::ErrorCode;
    use hobnob_membership::NodeId;

    use super::*;

    #[tokio::test]
    async fn a_registration_from_elsewhere_names_no_ca_file() {
        let text = r#"{"service":"web","port":80,"checks":[{"probe":{"http":{"url":"https://h/","tls":{"ca_file":"/ca.pem"}}}}]}"#;
        let registration: Registration = serde_json::from_str(text).expect("a registration");
        let stopped = RegistrationsHandle::stopped();
        for (agent, code) in
            [(None, ErrorCode::AgentStopping), (Some(NodeId(7)), ErrorCode::CheckInvalid)]
        {
            let caller = Caller { uid: 1, gid: None, pid: None, agent };
            let refused = stopped.register(registration.clone(), caller).await;
            assert_eq!(refused.expect_err("refused").code, code, "{agent:?}");
        }
    }
}
