//! `hobnob members`, `hobnob datacenters`, `hobnob info`, `hobnob join`, `hobnob leave`, `hobnob force-leave` and `hobnob prune`.

use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{Info, MemberStatus, Request, Response};
use serde_json::json;

use super::{keys, unexpected};
use crate::advice;
use crate::args::{
    DatacentersArgs, DatacentersCommand, ForceLeaveArgs, InfoArgs, JoinArgs, LeaveArgs,
    MembersArgs, PruneArgs,
};
use crate::exit::Exit;
use crate::output::{self, Output};

/// Lists the members.
pub(super) async fn members(client: &mut Client, args: &MembersArgs) -> anyhow::Result<Exit> {
    let asked = args.datacenters();
    let members = match client.call(args.into()).await? {
        Response::Members(members) => members,
        other => return Err(unexpected(&other)),
    };
    // The agent itself is always alive, so it does not count.
    let alive = members.members.iter().filter(|member| member.status == MemberStatus::Alive);
    if alive.count() <= 1 {
        output::warn_if_alone(&*ask_info(client).await?);
    }
    output::warn_of_name_conflicts(&members.members);
    output::warn_of_losses(&members);
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&members)?;
    }
    // This agent is a member itself, so there are always some without a filter.
    if members.members.is_empty() {
        let known = advice::datacenters(client).await.unwrap_or_default();
        let meant = asked.names().find_map(|name| advice::nearest_of(name, &known));
        let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        output::say_error(
            &format!("no member of --dc {asked}"),
            &format!("{meant}`hobnob datacenters` lists the datacenters"),
        );
        return Ok(Exit::NothingMatched);
    }
    if !args.json {
        out.line(&output::members(&members.members, out.style()))?;
    }
    Ok(Exit::Done)
}

/// Lists the datacenters, or carries out an order about one.
pub(super) async fn datacenters(
    client: &mut Client,
    args: &DatacentersArgs,
) -> anyhow::Result<Exit> {
    match &args.command {
        Some(DatacentersCommand::Isolate(args)) => {
            let request =
                keys::isolate(client, &args.datacenter, true, args.forget, &args.signer).await?;
            return isolate(client, request, args.json).await;
        }
        Some(DatacentersCommand::Rejoin(args)) => {
            let request =
                keys::isolate(client, &args.datacenter, false, false, &args.signer).await?;
            return isolate(client, request, args.json).await;
        }
        None => {}
    }
    let list = match client.call(Request::Datacenters {}).await? {
        Response::Datacenters(list) => list,
        other => return Err(unexpected(&other)),
    };
    if list.isolated {
        output::warn_if_alone(&*ask_info(client).await?);
    }
    output::warn_of_datacenters(&list.datacenters);
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&list)?;
    } else {
        out.line(&output::datacenters(&list.datacenters, out.style()))?;
    }
    Ok(Exit::Done)
}

/// Isolates a datacenter, or ends that.
async fn isolate(client: &mut Client, request: Request, json: bool) -> anyhow::Result<Exit> {
    let forgets = matches!(request, Request::Isolate { forget: true, .. });
    let done = match client.call(request).await? {
        Response::Isolation(done) => done,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new();
    if json {
        out.json(&done)?;
        return Ok(Exit::Done);
    }
    let name = printable(&done.datacenter);
    out.line(&match (done.isolated, done.changed) {
        (true, true) if forgets => {
            format!("{name} is isolated from this datacenter, and forgotten")
        }
        (true, true) => format!("{name} is isolated from this datacenter"),
        (true, false) => format!("{name} was isolated before"),
        (false, true) => format!("{name} is isolated no more"),
        (false, false) => format!("{name} was not isolated"),
    })?;
    Ok(Exit::Done)
}

/// Describes this agent.
pub(super) async fn info(client: &mut Client, args: &InfoArgs) -> anyhow::Result<Exit> {
    let info = ask_info(client).await?;
    output::warn_if_alone(&info);
    let mut out = Output::new();
    if args.json {
        out.json(&info)?;
    } else {
        out.line(&output::info(&info, args.counters, out.style()))?;
    }
    Ok(Exit::Done)
}

async fn ask_info(client: &mut Client) -> anyhow::Result<Box<Info>> {
    match client.call(Request::Info {}).await? {
        Response::Info(info) => Ok(info),
        other => Err(unexpected(&other)),
    }
}

/// Joins a cluster, or other datacenters of it, through these addresses.
pub(super) async fn join(client: &mut Client, args: JoinArgs) -> anyhow::Result<Exit> {
    let JoinArgs { addresses, wan, json } = args;
    match client.call(Request::Join { addresses, wan }).await? {
        Response::Joined { gossip_address, unresolved } => {
            for reason in &unresolved {
                output::say(&format!("warning: {reason}"));
            }
            let mut out = Output::new();
            if json {
                out.json(&json!({ "gossip_address": gossip_address, "unresolved": unresolved }))?;
            } else {
                out.line(&format!("joined through {}", printable(&gossip_address)))?;
            }
        }
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

/// Forces a dead member to leave.
pub(super) async fn force_leave(
    client: &mut Client,
    args: &ForceLeaveArgs,
) -> anyhow::Result<Exit> {
    let request = keys::force_leave(client, args).await?;
    let gone = match client.call(request).await? {
        Response::ForceLeft(gone) => gone,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new();
    if args.json {
        out.json(&gone)?;
    } else {
        let instances = match (gone.left_ago_ms, gone.instances) {
            (Some(ms), _) => {
                format!("it left {} ago, and its instances went with it", output::age(ms))
            }
            (None, 0) => "it had no instances".to_owned(),
            (None, 1) => "its one instance is gone".to_owned(),
            (None, count) => format!("its {count} instances are gone"),
        };
        let name = printable(&gone.name);
        out.line(&format!("{name} ({}) was forced to leave: {instances}", gone.node_id))?;
    }
    // An isolated agent may be the one that is cut off. But the survivor of two agents is always isolated, so only
    // warn.
    output::warn_if_alone(&*ask_info(client).await?);
    Ok(Exit::Done)
}

/// Drops members that are down or gone from the memory of this agent.
pub(super) async fn prune(client: &mut Client, args: PruneArgs) -> anyhow::Result<Exit> {
    let json = args.json;
    let request = keys::prune(client, &args).await?;
    let pruned = match client.call(request).await? {
        Response::Pruned(pruned) => pruned,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new();
    if json {
        out.json(&pruned)?;
    } else {
        for member in &pruned.members {
            let name = printable(&member.name);
            let (status, _) = output::member_status(member.status);
            let ago = output::age(member.down_ago_ms.unwrap_or(0));
            out.line(&format!("dropped {name} ({}): {status}, {ago} ago", member.node_id))?;
        }
    }
    if pruned.kept > 0 {
        output::say(&format!(
            "{} kept: this agent hears no other member and cannot tell which are down, or it already remembers 8,192 dropped \
             members",
            pruned.kept
        ));
    }
    if pruned.members.is_empty() && pruned.kept == 0 {
        output::say_error(
            "nothing was dropped: no such member has been down or gone for long enough",
            "`hobnob members --all` says for how long; --older-than takes shorter times",
        );
    }
    Ok(if pruned.members.is_empty() { Exit::NothingMatched } else { Exit::Done })
}

/// Leaves the cluster.
pub(super) async fn leave(client: &mut Client, args: &LeaveArgs) -> anyhow::Result<Exit> {
    match client.call(Request::Leave {}).await? {
        Response::Leaving {} if args.json => Output::new().json(&json!({ "leaving": true }))?,
        Response::Leaving {} => Output::new().line("left the cluster: the agent is stopping")?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
