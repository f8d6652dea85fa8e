//! Instances that files define: made at the start, and changed at a reload.

use hobnob_api::{ApiError, Reloaded};
use hobnob_membership::limits::MAX_REGISTRATIONS;

use super::check_ids::CheckIds;
use super::registrar::Registrar;
use crate::caller::Caller;
use crate::clock::wall_clock_ms;
use crate::definitions::{Definition, Plan, plan};
use crate::storage::{DataDir, StoredRegistrant, WriteError};

impl Registrar {
    /// Makes the instances of files those of these definitions. Everything is checked first: a problem changes nothing.
    pub(super) async fn define(
        &mut self,
        definitions: &[Definition],
    ) -> Result<Reloaded, ApiError> {
        let registrations = self.data_dir()?.registrations();
        let plan = match plan(registrations, definitions) {
            Ok(plan) => plan,
            Err(problems) => {
                let problems = problems.iter().map(ToString::to_string).collect();
                let kept = self.registrants.defined();
                return Ok(Reloaded { problems, kept, ..Reloaded::default() });
            }
        };
        let mut problems = self.problems(&plan, definitions).await?;
        if !problems.is_empty() {
            let kept = self.registrants.defined();
            return Ok(Reloaded { problems, kept, ..Reloaded::default() });
        }
        let report = plan.report();
        let caller = this_process();
        for id in &plan.removed {
            problems.extend(self.remove(id, caller).await.err().map(|error| error.message));
        }
        for registration in plan.changed.into_iter().chain(plan.added) {
            problems.extend(
                self.put(registration, caller, None).await.err().map(|error| error.message),
            );
        }
        Ok(Reloaded { problems, ..report })
    }

    /// What the catalog and the limits have against a plan.
    async fn problems(
        &self,
        plan: &Plan,
        definitions: &[Definition],
    ) -> Result<Vec<String>, ApiError> {
        let there = self.data_dir()?.registrations().count();
        let after = there + plan.added.len() - plan.removed.len();
        let mut problems = Vec::new();
        if !plan.added.is_empty() && after > MAX_REGISTRATIONS {
            problems.push(format!(
                "{after} registrations are more than one agent may have, which is {MAX_REGISTRATIONS}"
            ));
        }
        for registration in plan.changed.iter().chain(&plan.added) {
            let records = self.records_of(registration);
            if let Err(error) = self.check_write(&registration.id, records).await {
                let of = definitions
                    .iter()
                    .find(|one| one.registration.instance_id() == registration.id);
                let place = of.map(|one| format!("{}: ", one.place())).unwrap_or_default();
                problems.push(format!("{place}{}", error.message));
            }
        }
        Ok(problems)
    }
}

/// Makes the instances of files those of these definitions, before the agent starts. After a problem of the disk, the
/// changes before it stand, and the next reload makes the others.
pub(crate) fn define_at_start(data_dir: &mut DataDir, definitions: &[Definition]) -> Reloaded {
    let plan = match plan(data_dir.registrations(), definitions) {
        Ok(plan) => plan,
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect();
            return Reloaded { problems, ..Reloaded::default() };
        }
    };
    let made = make(data_dir, &plan);
    let problems = made.err().into_iter().map(|error| error.to_string()).collect();
    Reloaded { problems, ..plan.report() }
}

fn make(data_dir: &mut DataDir, plan: &Plan) -> Result<(), WriteError> {
    let Caller { uid, pid, .. } = this_process();
    let by = StoredRegistrant { uid, pid, at_ms: wall_clock_ms(), agent: None };
    for id in &plan.removed {
        data_dir.remove_registration(id)?;
    }
    let ids = CheckIds::of(data_dir.registrations());
    for registration in plan.changed.iter().chain(&plan.added) {
        let before = data_dir.registration(&registration.id);
        let registration = ids.known().assign(before, registration.clone());
        data_dir.put_registration(&registration, Some(by))?;
        ids.set(&registration);
    }
    Ok(())
}

fn this_process() -> Caller {
    let uid = rustix::process::geteuid().as_raw();
    let gid = Some(rustix::process::getegid().as_raw());
    Caller { uid, gid, pid: Some(std::process::id()), agent: None }
}
