//! Strong writes: a change of a registration that is done when a majority of the voters has it on disk.

use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode};
use hobnob_membership::catalog::Slot;
use hobnob_membership::quorum::Failure;
use hobnob_membership::record::{Key, ServiceRecord, Text};
use hobnob_membership::{Node, Time};

use super::refusal;
use crate::driver::DriverHandle;

/// A strong write that was asked for.
pub(crate) struct Write {
    id: Text,
    /// The definition before it.
    formerly: Option<ServiceRecord>,
    within: Duration,
}

impl Write {
    /// Looks what there is before a change of an instance, if the change is strong, and then has so much time.
    ///
    /// # Errors
    /// There are no voters, so nothing is to be changed.
    pub(crate) async fn prepare(
        driver: &DriverHandle,
        id: &str,
        within: Option<Duration>,
    ) -> Result<Option<Self>, ApiError> {
        let Some(within) = within else { return Ok(None) };
        let id = Text::from(id);
        let look = {
            let id = id.clone();
            move |node: &Node, _: Time| {
                let Some(quorum) = node.strong() else {
                    return Err(refusal::no_part("`hobnob voters` says why"));
                };
                if quorum.chain().is_none() {
                    return Err(refusal::failed(node, &Failure::NoVoters));
                }
                let own = node.identity().node_id;
                Ok(node.instance(own, &id).map(|before| (*before.service).clone()))
            }
        };
        let formerly = driver.inspect(look).await??;
        Ok(Some(Self { id, formerly, within }))
    }
}

/// Waits until a majority of the voters has what the catalog now says of the instance, if the change is strong.
///
/// # Errors
/// It was not confirmed. The change stands.
pub(crate) async fn confirm(write: Option<Write>, driver: &DriverHandle) -> Result<(), ApiError> {
    let Some(Write { id, formerly, within }) = write else { return Ok(()) };
    let begin = move |node: &mut Node, now: Time| {
        Ok(node.register_strongly(&[(id, formerly)], within, now)?)
    };
    driver.strongly(begin).await.map(drop).map_err(|error| match error.code {
        ErrorCode::Unconfirmed => error,
        // It could not even be asked for. The change is made all the same.
        _ => refusal::unconfirmed_because(&error.message),
    })
}

/// Whether the catalog still knows that an instance of this agent was deregistered.
pub(crate) async fn is_deregistered(driver: &DriverHandle, id: &str) -> Result<bool, ApiError> {
    let key = Key::Service(id.into());
    let look = move |node: &Node, _: Time| {
        let own = node.catalog().origin(node.identity().node_id);
        let slot = own.and_then(|own| own.current()).and_then(|own| own.slot(&key));
        slot.is_some_and(Slot::is_tombstone)
    };
    Ok(driver.inspect(look).await?)
}
