//! `hobnob resolve` and `hobnob services`.

use hobnob_agent::api::client::Client;
use hobnob_agent::api::{Instances, Query, Request, Response};

use super::unexpected;
use crate::args::{ResolveArgs, ServicesArgs};
use crate::exit::Exit;
use crate::output::{self, Output};

/// Lists the instances of a service.
pub(super) async fn resolve(client: &mut Client, args: &ResolveArgs) -> anyhow::Result<Exit> {
    let query = Query::from(args);
    let answer = ask(client, query.clone()).await?;
    output::warn_if_isolated(answer.isolated);
    let mut out = Output::new();
    if args.json {
        out.json(&answer.instances)?;
    }
    if answer.instances.is_empty() {
        let known = if query.all {
            0
        } else {
            ask(client, Query { all: true, ..query.clone() }).await?.instances.len()
        };
        eprintln!("{}", nothing_matched(&query, known));
        return Ok(Exit::NothingMatched);
    }
    if !args.json {
        out.line(&output::instances(&answer.instances, out.style()))?;
    }
    Ok(Exit::Done)
}

async fn ask(client: &mut Client, query: Query) -> anyhow::Result<Instances> {
    match client.call(Request::Resolve(query)).await? {
        Response::Instances(instances) => Ok(instances),
        other => Err(unexpected(&other)),
    }
}

fn nothing_matched(query: &Query, known: usize) -> String {
    let Query { service, namespace, .. } = query;
    let which = if query.tags.is_empty() && query.meta.is_empty() { "" } else { " that matches" };
    match known {
        0 => format!(
            "no instance of `{service}`{which} in namespace `{namespace}`: \
             `hobnob services` lists what there is"
        ),
        1 => format!(
            "the one instance of `{service}`{which} is not known to be healthy: --all shows it"
        ),
        _ => format!(
            "none of the {known} instances of `{service}`{which} is known to be healthy: --all shows them"
        ),
    }
}

/// Lists the services.
pub(super) async fn services(client: &mut Client, args: ServicesArgs) -> anyhow::Result<Exit> {
    let services = match client.call(Request::Services { namespace: args.namespace }).await? {
        Response::Services(services) => services,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new();
    if args.json {
        out.json(&services)?;
    } else if services.is_empty() {
        eprintln!("no service is registered: `hobnob register --help` shows how");
    } else {
        out.line(&output::services(&services, out.style()))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn an_empty_answer_says_what_to_do_next() {
        let mut query = Query {
            service: "web".to_owned(),
            namespace: "default".to_owned(),
            all: false,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            selector: None,
            datacenter: None,
        };
        assert!(nothing_matched(&query, 0).contains("`hobnob services`"));
        assert!(nothing_matched(&query, 1).contains("--all"));
        assert!(nothing_matched(&query, 2).contains("none of the 2 instances"));
        query.tags.insert("v1".to_owned());
        assert!(nothing_matched(&query, 0).contains("`web` that matches"));
    }
}
