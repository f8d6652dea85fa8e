//! What definitions change in the registrations of an agent.

use std::collections::BTreeMap;

use hobnob_api::Reloaded;

use super::Definition;
use crate::config::Problem;
use crate::storage::StoredRegistration;

/// The changes that make the registrations equal to what files define. Registrations over the socket stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The ids to remove.
    pub(crate) removed: Vec<String>,
    /// Definitions of ids that are not there.
    pub(crate) added: Vec<StoredRegistration>,
    /// Definitions that take the place of others.
    pub(crate) changed: Vec<StoredRegistration>,
    /// The number of definitions that are there already.
    pub(crate) kept: usize,
}

impl Plan {
    /// The plan as a report.
    pub(crate) fn report(&self) -> Reloaded {
        let ids = |of: &[StoredRegistration]| of.iter().map(|one| one.id.clone()).collect();
        Reloaded {
            added: ids(&self.added),
            changed: ids(&self.changed),
            removed: self.removed.clone(),
            kept: self.kept,
            ..Reloaded::default()
        }
    }
}

/// The changes that these definitions, each with an id of its own, make.
///
/// # Errors
/// A problem for each id that is registered over the socket.
pub(crate) fn plan<'a>(
    stored: impl Iterator<Item = &'a StoredRegistration>,
    definitions: &[Definition],
) -> Result<Plan, Vec<Problem>> {
    let mut stored: BTreeMap<&str, &StoredRegistration> =
        stored.map(|registration| (registration.id.as_str(), registration)).collect();
    let mut plan = Plan::default();
    let mut problems = Vec::new();
    for definition in definitions {
        let wanted = StoredRegistration {
            source: Some(definition.source()),
            ..StoredRegistration::from(&definition.registration)
        };
        match stored.remove(wanted.id.as_str()) {
            None => plan.added.push(wanted),
            Some(there) if there.source.is_none() => problems.push(Problem::of(
                &definition.file,
                definition.line,
                format!(
                    "the instance `{id}` of the service `{}` is registered over the socket already: give this one another `id`, or run \
                     `hobnob deregister {id}` first",
                    there.service,
                    id = wanted.id,
                ),
            )),
            // A file does not name the ids of checks.
            Some(there) if *there == with_ids_of(&wanted, there) => plan.kept += 1,
            Some(_) => plan.changed.push(wanted),
        }
    }
    let from_files = stored.into_values().filter(|registration| registration.source.is_some());
    plan.removed = from_files.map(|registration| registration.id.clone()).collect();
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

fn with_ids_of(wanted: &StoredRegistration, there: &StoredRegistration) -> StoredRegistration {
    StoredRegistration { check_ids: there.check_ids.clone(), ..wanted.clone() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hobnob_api::Registration;

    use super::*;

    fn defined(service: &str, port: u16) -> Definition {
        Definition::new(Path::new("/d/a.toml"), Some(1), Registration::new(service, port))
    }

    fn stored(service: &str, port: u16, source: Option<&str>) -> StoredRegistration {
        StoredRegistration {
            source: source.map(str::to_owned),
            ..StoredRegistration::from(&Registration::new(service, port))
        }
    }

    #[test]
    fn files_add_change_remove_and_keep_and_leave_others_alone() {
        let there = [
            stored("kept", 1, Some("a.toml")),
            stored("changed", 1, Some("a.toml")),
            stored("moved", 1, Some("b.toml")),
            stored("removed", 1, Some("gone.toml")),
            stored("by-hand", 1, None),
        ];
        let wanted =
            [defined("kept", 1), defined("changed", 2), defined("moved", 1), defined("new", 1)];
        let Reloaded { added, changed, removed, kept, .. } =
            plan(there.iter(), &wanted).expect("a plan").report();
        assert_eq!(
            (&added[..], &removed[..]),
            (&["new".to_owned()][..], &["removed".to_owned()][..])
        );
        assert_eq!((changed, kept), (vec!["changed".to_owned(), "moved".to_owned()], 1));
    }

    #[test]
    fn an_id_of_the_socket_is_never_taken() {
        let there = [stored("web", 1, None)];
        let problems = plan(there.iter(), &[defined("web", 1)]).expect_err("a problem");
        let told = problems[0].to_string();
        assert!(
            told.starts_with("/d/a.toml:1: the instance `web` of the service `web` is"),
            "{told}"
        );
        assert_eq!(plan(there.iter(), &[]), Ok(Plan::default()));
    }
}
