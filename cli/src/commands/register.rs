//! `hobnob register` and `hobnob deregister`.

use hobnob_api::DEFAULT_NAMESPACE;
use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{
    Acknowledged, Consistency, Dropped, RegisterOutcome, Registration, Request, Response,
};
use serde::Serialize;
use serde_json::json;

use super::unexpected;
use crate::args::{CheckReportArgs, DeregisterArgs, RegisterArgs};
use crate::exit::Exit;
use crate::output::{self, Output};

/// The most names of agents that a message lists.
const MAX_NAMED: usize = 10;

/// Registers an instance with this agent.
pub(super) async fn register(client: &mut Client, args: RegisterArgs) -> anyhow::Result<Exit> {
    let json = args.json;
    let registration = Registration::from(args);
    let id = registration.instance_id().to_owned();
    match client.call(Request::Register(registration.into())).await? {
        Response::Registered {
            outcome,
            ack,
            node,
            also_at,
            dropped,
            not_offered,
            consistency,
            ..
        } => {
            let with = node.as_ref().map(|node| format!(" with the agent {}", printable(node)));
            let with = with.unwrap_or_default();
            let done = match outcome {
                RegisterOutcome::Added => format!("registered {id}{with}"),
                RegisterOutcome::Replaced => format!("replaced {id}{with}"),
                RegisterOutcome::Unchanged => format!("{id} is registered so already{with}"),
            };
            let told = Told {
                instance: &id,
                outcome: Some(outcome),
                member: node.as_deref(),
                ack: ack.as_ref(),
                also_at: &also_at,
                dropped: dropped.as_ref(),
                not_offered: not_offered.as_deref(),
                consistency,
                ..Told::default()
            };
            let exit = tell(&done, &told, json, Exit::Failed);
            if let Some(dropped) = &dropped {
                output::say(&loss(&id, dropped));
            }
            if let Some(reason) = &not_offered {
                let reason = printable(reason);
                output::say(&format!("warning: `{id}` is registered, and not offered: {reason}"));
            }
            warn_of_others(&id, &also_at);
            exit
        }
        other => Err(unexpected(&other)),
    }
}

/// Removes an instance of this agent.
pub(super) async fn deregister(
    client: &mut Client,
    DeregisterArgs { id, datacenter, ack, consistency, json }: DeregisterArgs,
) -> anyhow::Result<Exit> {
    let request = Request::Deregister {
        id: id.clone(),
        ack: ack.to_ack(),
        datacenter,
        consistency: consistency.consistency,
        consistency_timeout_ms: consistency.timeout_ms(),
    };
    match client.call(request).await? {
        Response::Deregistered { ack, node, also_at, consistency, .. } => {
            let from = node.as_ref().map(|node| format!(" from the agent {}", printable(node)));
            let done = format!("deregistered {id}{}", from.unwrap_or_default());
            let told = Told {
                instance: &id,
                member: node.as_deref(),
                ack: ack.as_ref(),
                also_at: &also_at,
                consistency,
                ..Told::default()
            };
            let exit = tell(&done, &told, json, Exit::Failed)?;
            warn_of_others(&id, &also_at);
            Ok(if also_at.is_empty() { exit } else { Exit::Failed })
        }
        other => Err(unexpected(&other)),
    }
}

/// Reports how a service is.
pub(super) async fn check(client: &mut Client, args: CheckReportArgs) -> anyhow::Result<Exit> {
    let status = args.status();
    let CheckReportArgs { id, check, note, json, .. } = args;
    match client.call(Request::Check { id: id.clone(), check, status, note }).await? {
        Response::Checked { check } => {
            let status = status.name();
            if json {
                let told = json!({ "instance": id, "check": check, "status": status });
                Output::new().json(&told)?;
                return Ok(Exit::Done);
            }
            Output::new().line(&format!("the check {check} of {id} is {status}"))?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

/// A change of an instance, as JSON has it.
#[derive(Default, Serialize)]
pub(super) struct Told<'a> {
    pub(super) instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<RegisterOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) draining: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack: Option<&'a Acknowledged>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) also_at: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<&'a Dropped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_offered: Option<&'a str>,
    #[serde(skip_serializing_if = "is_eventual")]
    pub(super) consistency: Consistency,
}

fn is_eventual(consistency: &Consistency) -> bool {
    *consistency == Consistency::Eventual
}

/// Tells what was done here, and which other agents have applied it. The command ends with `short` if they are too few.
pub(super) fn tell(done: &str, told: &Told<'_>, json: bool, short: Exit) -> anyhow::Result<Exit> {
    let mut out = Output::new();
    match told.ack {
        _ if json => out.json(told)?,
        None => out.line(done)?,
        Some(ack) => {
            out.line(&format!("{done}: {} other agents have applied it", ack.confirmed))?;
        }
    }
    let Some(ack) = told.ack else { return Ok(Exit::Done) };
    if ack.complete {
        return Ok(Exit::Done);
    }
    let (error, help) = shortage(ack);
    output::say_error(&error, help);
    Ok(short)
}

/// The warning about what an instance lost that was replaced.
fn loss(id: &str, Dropped { service, namespace, checks }: &Dropped) -> String {
    let checks: Vec<_> = checks.iter().map(|name| format!("`{}`", printable(name))).collect();
    let checks = match checks.len() {
        0 => None,
        1 => Some(format!("its check {} is gone", checks.join(", "))),
        _ => Some(format!("its checks {} are gone", checks.join(", "))),
    };
    let Some(service) = service else {
        return format!("warning: {}", checks.unwrap_or_default());
    };
    let of = match namespace == DEFAULT_NAMESPACE {
        true => printable(service).into_owned(),
        false => format!("{} in the namespace {}", printable(service), printable(namespace)),
    };
    let checks = checks.map(|checks| format!(", and {checks}")).unwrap_or_default();
    format!(
        "warning: `{id}` was an instance of the service `{of}`, which has it no more{checks}: an id is unique on its agent, so choose \
         another with --id to keep both"
    )
}

/// Warns of agents elsewhere that have the instance, too.
fn warn_of_others(id: &str, also_at: &[String]) {
    for name in also_at {
        output::say(&format!(
            "warning: the agent `{}` has `{id}`, too, and did not remove it: it offers the instance while it is alive, so repeat this \
             command when it answers",
            printable(name)
        ));
    }
}

fn shortage(ack: &Acknowledged) -> (String, &'static str) {
    let Acknowledged { confirmed, wanted, missing, .. } = ack;
    if *wanted == 0 {
        return (
            "no other living agent of those that were asked for is there to apply it".to_owned(),
            "the change stands, and others get it as soon as they can; `hobnob members` lists the agents and their datacenters",
        );
    }
    let mut names: Vec<_> =
        missing.iter().take(MAX_NAMED).map(|name| printable(name).into_owned()).collect();
    if missing.len() > MAX_NAMED {
        names.push(format!("and {} more", missing.len() - MAX_NAMED));
    }
    let who = match names.is_empty() {
        true => "no more agents are alive".to_owned(),
        false => format!("missing: {}", names.join(", ")),
    };
    (
        format!("{confirmed} of {wanted} agents have applied it in time: {who}"),
        "the change stands, and they get it as soon as they can",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(confirmed: usize, wanted: usize, missing: &[&str]) -> Acknowledged {
        let missing: Vec<String> = missing.iter().map(|name| (*name).to_owned()).collect();
        Acknowledged { confirmed, wanted, complete: false, missing }
    }

    #[test]
    fn what_a_replaced_instance_lost_is_told() {
        let told = |service: Option<&str>, checks: &[&str]| {
            let service = service.map(str::to_owned);
            let checks = checks.iter().map(|name| (*name).to_owned()).collect();
            loss("x", &Dropped { service, namespace: DEFAULT_NAMESPACE.to_owned(), checks })
        };
        assert_eq!(told(None, &["http"]), "warning: its check `http` is gone");
        assert_eq!(
            told(Some("web"), &["http", "lease"]),
            "warning: `x` was an instance of the service `web`, which has it no more, and its checks `http`, `lease` are gone: an \
             id is unique on its agent, so choose another with --id to keep both"
        );
    }

    #[test]
    fn a_shortage_names_who_is_missing() {
        let told = |ack: Acknowledged| shortage(&ack).0;
        assert_eq!(
            told(ack(1, 3, &["a2", "a\u{7}3"])),
            "1 of 3 agents have applied it in time: missing: a2, a\\u{7}3"
        );
        assert!(told(ack(1, 3, &[])).contains("no more agents are alive"));
        assert!(told(ack(0, 0, &[])).contains("no other living agent"));
        let many: Vec<&str> = vec!["a"; 13];
        assert!(told(ack(0, 13, &many)).ends_with("a, and 3 more"));
    }
}
