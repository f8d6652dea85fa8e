//! `hobnob pick`.

use hobnob_agent::api::client::Client;
use hobnob_agent::api::{PickQuery, Request, Response};

use super::unexpected;
use crate::args::PickArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Prints one line for each pick.
pub(super) async fn run(client: &mut Client, args: &PickArgs) -> anyhow::Result<Exit> {
    let query = PickQuery::from(args);
    let service = query.service.clone();
    let picked = match client.call(Request::Pick(query)).await? {
        Response::Picked(picked) => picked,
        other => return Err(unexpected(&other)),
    };
    output::warn_if_isolated(picked.isolated);
    if picked.picks.is_empty() {
        eprintln!(
            "no instance of `{service}` can be offered: \
             `hobnob resolve {service} --all` lists what is known"
        );
        return Ok(Exit::NothingMatched);
    }
    let mut out = Output::new();
    for pick in &picked.picks {
        let instance = &pick.instance;
        if args.json {
            out.json(instance)?;
        } else {
            let endpoint = output::endpoint(&instance.address, instance.port);
            out.line(&format!("{endpoint}  {}", instance.id))?;
        }
    }
    Ok(Exit::Done)
}
