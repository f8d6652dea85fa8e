//! Orders to isolate a datacenter, and to end that, which an operator signs.

use hobnob_agent::DatacenterId;
use hobnob_api::client::Client;
use hobnob_api::{DatacenterStatus, Request, Response, Signed};
use hobnob_keys::Command;

use super::credential;
use crate::args::CredentialArgs;
use crate::commands::unexpected;

/// The request to isolate a datacenter, and to forget it, or to end that, signed if a credential is given.
pub(crate) async fn isolate(
    client: &mut Client,
    datacenter: &str,
    is_isolated: bool,
    forget: bool,
    signer: &CredentialArgs,
) -> anyhow::Result<Request> {
    let signed = sign(client, datacenter, is_isolated, signer).await?;
    let datacenter = datacenter.to_owned();
    Ok(if is_isolated {
        Request::Isolate { datacenter, forget, signed }
    } else {
        Request::Rejoin { datacenter, signed }
    })
}

async fn sign(
    client: &mut Client,
    datacenter: &str,
    is_isolated: bool,
    signer: &CredentialArgs,
) -> anyhow::Result<Option<Signed>> {
    let Some(credential) = credential::read(signer)? else { return Ok(None) };
    let list = match client.call(Request::Datacenters {}).await? {
        Response::Datacenters(list) => list,
        other => return Err(unexpected(&other)),
    };
    let own = list.datacenters.iter().find(|one| one.status == DatacenterStatus::Own);
    let other = list.datacenters.iter().find(|one| one.name == datacenter);
    let id = DatacenterId::named(datacenter).0;
    let forgotten = list.forgotten.iter().find(|one| one.id == format!("{id:016x}"));
    let orders = other.map(|one| one.isolation_orders);
    let orders = orders.or_else(|| forgotten.map(|one| one.isolation_orders));
    // The agent says what is wrong with a name that is unknown or its own.
    let (Some(own), Some(orders)) = (own, orders) else { return Ok(None) };
    let number = next(orders, is_isolated);
    let (home, datacenter) = (DatacenterId::named(&own.name).0, id);
    let signed = credential.sign(&Command::Isolate { home, datacenter, number })?;
    Ok(Some(Signed::new(signed.as_bytes())))
}

/// The number of an order after the last one. One that would change nothing is the last one again.
fn next(last: u64, is_isolated: bool) -> u64 {
    last + u64::from(last % 2 != u64::from(is_isolated))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn an_order_has_the_next_number_unless_it_changes_nothing() {
        let numbers = [(0, true), (1, true), (1, false), (2, false), (2, true)];
        assert_eq!(numbers.map(|(last, is_isolated)| next(last, is_isolated)), [1, 1, 2, 2, 3]);
    }
}
