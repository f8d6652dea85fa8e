//! What services report on themselves, and instances that are critical for too long.

use hobnob_api::{ApiError, ErrorCode, EventKind};

use super::{Registrar, lost};
use crate::checks::{CheckId, Checker, SelfReport};
use crate::history::{By, Event};

impl Registrar {
    /// Deregisters an instance whose check was critical for too long, unless it was registered again since. One that operators took
    /// out stays: its check tells again after the same time.
    pub(super) async fn expire(&mut self, expired: &CheckId) {
        let id = &*expired.instance;
        if self.is_kept_up(id) {
            return;
        }
        let checkers = self.checkers.get(id);
        let Some(check) = checkers.and_then(|all| all.iter().find(|one| one.id() == expired))
        else {
            return;
        };
        let check = check.name().to_owned();
        let service = self.service_of(id);
        let owned = id.to_owned();
        let removed = self.with_data_dir(move |data_dir| data_dir.remove_registration(&owned));
        let removed = match removed.await {
            Ok(_) => self.withdraw(id).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => {
                let event = Event::new(EventKind::Deregistered, By::check()).instance(id);
                let event = event.service(service.as_deref()).check(&check);
                self.history.record(event.why("its check was critical for too long"));
                tracing::warn!(id, check, "deregistered: its check was critical for too long");
            }
            // It is tried again after the same time.
            Err(error) => {
                tracing::error!(id, check, %error, "an instance whose check was critical for too long cannot be deregistered");
            }
        }
    }

    /// Hands the report of a service on itself to the check that it is for. Returns the name of the check.
    pub(super) async fn report(
        &mut self,
        id: &str,
        check: Option<&str>,
        report: SelfReport,
    ) -> Result<String, ApiError> {
        if let Some((name, hear)) = self.hearings.find(id, check) {
            hear.send(report).await.map_err(|_| lost())?;
            return Ok(name.to_string());
        }
        let is_known = self.data_dir.as_ref().is_some_and(|dir| dir.registration(id).is_some());
        if !is_known {
            return Err(self.not_found(id));
        }
        let checkers = self.checkers.get(id).into_iter().flatten();
        let hearing = checkers.filter(|one| one.hearing().is_some());
        Err(no_such_check(id, check, &hearing.map(Checker::name).collect::<Vec<_>>()))
    }
}

/// A report names no check that takes it. `hearing` are those that would.
fn no_such_check(id: &str, check: Option<&str>, hearing: &[&str]) -> ApiError {
    let names: Vec<String> = hearing.iter().map(|name| format!("`{name}`")).collect();
    let message = match (check, names.is_empty()) {
        (_, true) => {
            format!("`{id}` has no check by reports: register it with one of the kind ttl")
        }
        (None, false) => {
            format!("`{id}` has several checks by reports: name one of {}", names.join(", "))
        }
        (Some(check), false) => {
            format!(
                "`{id}` has no check by reports of the name `{check}`: it has {}",
                names.join(", ")
            )
        }
    };
    ApiError::new(ErrorCode::CheckNotFound, message)
}
