//! The checks of an instance: those that begin, go on and end with a change of its registration.

use std::sync::Arc;

use hobnob_api::{ApiError, Check, ErrorCode, RegisterOutcome};
use hobnob_membership::registering::RecordChanges;

use super::super::restore::{Running, running_checks};
use super::super::{records, rules};
use super::{Registrar, not_written};
use crate::caller::Caller;
use crate::checks::{CheckId, Checker, Start, Subject, initial};
use crate::driver::{OwnChange, OwnCheck, OwnInstance};
use crate::storage::{StoredCheck, StoredRegistration};

impl Registrar {
    /// Adds a check to an instance, or replaces the one that has its name as an id. The other checks go on.
    pub(super) async fn put_check(
        &mut self,
        id: &str,
        check: &Check,
        caller: Caller,
    ) -> Result<RegisterOutcome, ApiError> {
        self.check_undefined(id)?;
        let before = self.data_dir()?.registration(id).cloned();
        let mut after = before.ok_or_else(|| self.not_found(id))?;
        let check_id = check.name.clone();
        let known = self.check_ids.known();
        let name = match known.find(&after.namespace, &check_id) {
            Some(holder) if *holder.instance != *id => {
                let message = format!(
                    "the id `{check_id}` is that of a check of `{}`: give the check of `{id}` another one",
                    holder.instance
                );
                return Err(ApiError::new(ErrorCode::CheckInvalid, message));
            }
            Some(own) => own.check.to_string(),
            None => check_id.clone(),
        };
        let stored = StoredCheck { name: name.clone(), ..StoredCheck::from(check) };
        let what = match after.checks.iter_mut().find(|known| known.name == name) {
            Some(known) => {
                *known = stored;
                "the check was registered in another way"
            }
            None => {
                after.checks.push(stored);
                rules::check_number(id, after.checks.len())?;
                "the check was added"
            }
        };
        after.check_ids.insert(check_id, name.clone());
        self.check_write(id, self.records_of(&after)).await?;
        let (outcome, _) = self.put(after, caller, Some((&name, what))).await?;
        Ok(outcome)
    }

    /// Takes the check with this id away from its instance. The other checks go on.
    pub(super) async fn remove_check(
        &mut self,
        namespace: &str,
        check_id: &str,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let found = self.check_ids.known().find(namespace, check_id).cloned();
        let of = found.ok_or_else(|| unknown_check(check_id))?;
        self.check_undefined(&of.instance)?;
        let before = self.data_dir()?.registration(&of.instance).cloned();
        let mut after = before.ok_or_else(|| self.not_found(&of.instance))?;
        after.checks.retain(|check| *check.name != *of.check);
        self.check_write(&of.instance, self.records_of(&after)).await?;
        self.put(after, caller, Some((&of.check, "the check was taken away"))).await?;
        Ok(())
    }

    /// Writes a registration and, in the same step, gives the right to speak for its instance to its checks: to those that go on as they
    /// were `before`, and to those that begin with it.
    pub(super) async fn write_with_checks(
        &mut self,
        records: RecordChanges,
        before: Option<&StoredRegistration>,
        registration: &StoredRegistration,
    ) -> Result<(), ApiError> {
        let (_, is_out) = self.definition(registration);
        let instance: Arc<str> = registration.id.as_str().into();
        let going_on = self.end_other_checks(&instance, before, registration);
        let Running { checks, has_unknown } = running_checks(registration);
        let (mut own, mut new) = (Vec::new(), Vec::new());
        for check in checks {
            let running = going_on.iter().find(|id| id.0 == check.name).map(|(_, id)| id.clone());
            let id = running.unwrap_or_else(|| {
                let id = CheckId { instance: instance.clone(), number: self.next_check };
                self.next_check += 1;
                new.push((id.clone(), check.clone()));
                id
            });
            let health = initial(&check);
            own.push(OwnCheck::new(id, check, health));
        }
        let change = OwnChange::Checks(Some(OwnInstance::new(own, has_unknown, is_out)));
        let written = self.driver.write_with_checks(records, instance, change).await;
        written.map_err(|refused| not_written(&registration.id, refused))?;
        for (id, check) in new {
            let subject = records::subject(registration, &check, &self.default_address);
            self.start_check(id, check, Start::New, subject);
        }
        Ok(())
    }

    pub(super) fn start_check(
        &mut self,
        id: CheckId,
        check: Check,
        start: Start,
        subject: Subject,
    ) {
        let instance = id.instance.clone();
        let checker = Checker::spawn(id, check, start, subject, &self.context);
        let checkers = self.checkers.entry(instance.clone()).or_default();
        checkers.push(checker);
        self.hearings.set(&instance, checkers);
    }

    pub(super) fn end_checks(&mut self, instance: &Arc<str>) {
        self.checkers.remove(instance);
        self.hearings.set(instance, &[]);
    }

    /// Ends the checks of an instance but those that go on. Returns the names and the ids of these.
    fn end_other_checks(
        &mut self,
        instance: &Arc<str>,
        before: Option<&StoredRegistration>,
        after: &StoredRegistration,
    ) -> Vec<(String, CheckId)> {
        let mut checkers = self.checkers.remove(instance).unwrap_or_default();
        checkers.retain(|one| before.is_some_and(|before| goes_on(before, after, one.name())));
        let ids = |one: &Checker| (one.name().to_owned(), one.id().clone());
        let going_on = checkers.iter().map(ids).collect();
        self.hearings.set(instance, &checkers);
        if !checkers.is_empty() {
            self.checkers.insert(instance.clone(), checkers);
        }
        going_on
    }
}

/// Whether all verdicts on one registration hold for the other.
pub(super) fn is_checked_alike(before: &StoredRegistration, after: &StoredRegistration) -> bool {
    before.checks == after.checks && is_at_one_place(before, after)
}

/// Whether the verdict of a check on one registration holds for the other.
fn goes_on(before: &StoredRegistration, after: &StoredRegistration, check: &str) -> bool {
    let named = |of: &StoredRegistration| of.checks.iter().find(|one| one.name == check).cloned();
    let had = named(before);
    had.is_some() && had == named(after) && is_at_one_place(before, after)
}

fn is_at_one_place(before: &StoredRegistration, after: &StoredRegistration) -> bool {
    before.address == after.address && before.port == after.port
}

fn unknown_check(check_id: &str) -> ApiError {
    let message = format!("no check of this agent has the id `{check_id}`");
    ApiError::new(ErrorCode::CheckNotFound, message)
}
