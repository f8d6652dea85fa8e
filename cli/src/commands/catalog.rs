//! `hobnob resolve` and `hobnob services`.

use std::collections::{BTreeMap, BTreeSet};

use hobnob_api::client::Client;
use hobnob_api::{
    DEFAULT_NAMESPACE, Datacenters, InstanceStatus, Instances, Query, Request, Response,
};

use super::unexpected;
use crate::args::{ResolveArgs, ServicesArgs};
use crate::exit::Exit;
use crate::output::{self, Output};

/// Lists the instances of a service.
pub(super) async fn resolve(client: &mut Client, args: &ResolveArgs) -> anyhow::Result<Exit> {
    let query = Query::from(args);
    let answer = ask(client, query.clone()).await?;
    if client.was_unchanged() {
        output::say(&format!(
            "`{}` has not changed within {:?}: this is the answer of now",
            query.service,
            args.waits_for()
        ));
    }
    output::warn_if_isolated(answer.isolated);
    output::warn_if_not_healthy(answer.instances.iter().filter(|one| one.offered));
    let mut out = Output::new();
    if args.json {
        out.json(&answer)?;
    }
    if answer.instances.is_empty() {
        output::say(&Nothing::of(client, &query).await?.describe(&query));
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

/// The counts of a service's instances, for the message when none was found.
pub(super) struct Nothing {
    /// All of its instances.
    instances: usize,
    /// The instances that match the query, whatever their status.
    matching: usize,
    /// The matching instances that may be offered.
    offered: usize,
    /// The matching instances that are healthy.
    healthy: usize,
}

impl Nothing {
    pub(super) async fn of(client: &mut Client, query: &Query) -> anyhow::Result<Self> {
        let all = Query { all: true, strict: false, max_age_ms: None, wait: None, ..query.clone() };
        let whole = Query {
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            selector: None,
            datacenter: Datacenters::All,
            ..all.clone()
        };
        let filtered = whole != all;
        let matching = ask(client, all).await?.instances;
        let instances =
            if filtered { ask(client, whole).await?.instances.len() } else { matching.len() };
        let healthy = matching.iter().filter(|one| one.status == InstanceStatus::Healthy).count();
        let offered = matching.iter().filter(|one| one.offered).count();
        Ok(Self { instances, matching: matching.len(), offered, healthy })
    }

    /// The message that says what is missing and what to type next.
    pub(super) fn describe(&self, query: &Query) -> String {
        let Query { service, namespace, .. } = query;
        let Self { instances, matching, offered, healthy } = *self;
        let filters = filters(query).join(" ");
        let list = if namespace == DEFAULT_NAMESPACE {
            format!("`hobnob resolve {service} --all`")
        } else {
            format!("`hobnob resolve {service} --namespace {namespace} --all`")
        };
        let which = if filters.is_empty() { "" } else { " that matches" };
        match (instances, matching, offered) {
            (0, ..) => format!(
                "no instance of `{service}` in namespace `{namespace}`: `hobnob services` lists the services"
            ),
            (1, 0, _) => {
                format!("the one instance of `{service}` does not match {filters}: {list} shows it")
            }
            (_, 0, _) => format!(
                "none of the {instances} instances of `{service}` matches {filters}: {list} lists them"
            ),
            _ if query.strict && healthy == 0 && offered > 0 => format!(
                "no instance of `{service}`{which} is known to be healthy: without --strict, {offered} of {matching} would be \
                 offered"
            ),
            (_, 1, 0) => format!(
                "the one instance of `{service}`{which} is not known to be healthy: {list} shows it"
            ),
            (_, _, 0) => format!(
                "none of the {matching} instances of `{service}`{which} is known to be healthy: {list} lists them"
            ),
            _ => format!(
                "no instance of `{service}`{which} may be called now: `hobnob explain` with the id of one says why"
            ),
        }
    }
}

/// The filters of a query, as they are typed on the command line.
fn filters(query: &Query) -> Vec<String> {
    let tags = query.tags.iter().map(|tag| format!("--tag {tag}"));
    let meta = query.meta.iter().map(|(key, value)| format!("--meta {key}={value}"));
    let selector = query.selector.iter().map(|selector| format!("--selector '{selector}'"));
    let datacenter = (!query.datacenter.is_all()).then(|| format!("--dc {}", query.datacenter));
    tags.chain(meta).chain(selector).chain(datacenter).collect()
}

/// Lists the services.
pub(super) async fn services(client: &mut Client, args: ServicesArgs) -> anyhow::Result<Exit> {
    let namespace = args.namespace.clone();
    let services = match client.call(Request::Services { namespace: args.namespace }).await? {
        Response::Services(services) => services,
        other => return Err(unexpected(&other)),
    };
    output::warn_if_isolated(services.isolated);
    let mut out = Output::new();
    if args.json {
        out.json(&services)?;
    }
    match namespace {
        Some(namespace) if services.services.is_empty() => {
            output::say(&format!(
                "no service in namespace `{namespace}`: `hobnob services` lists those of all namespaces"
            ));
            return Ok(Exit::NothingMatched);
        }
        _ if args.json => {}
        None if services.services.is_empty() => {
            output::say("no service is registered: `hobnob register --help` shows how");
        }
        _ => out.line(&output::services(&services.services, out.style()))?,
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_says_what_to_do_next() {
        let mut query = Query {
            service: "web".to_owned(),
            namespace: "default".to_owned(),
            all: false,
            strict: false,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            selector: None,
            datacenter: Datacenters::All,
            max_age_ms: None,
            wait: None,
        };
        let told = |query: &Query, instances, matching, healthy| {
            Nothing { instances, matching, offered: healthy, healthy }.describe(query)
        };
        assert!(told(&query, 0, 0, 0).contains("`hobnob services`"));
        assert!(told(&query, 1, 1, 0).contains("--all"));
        assert!(told(&query, 2, 2, 0).contains("none of the 2 instances"));
        assert!(told(&query, 2, 2, 1).contains("hobnob explain"));
        let lost = Nothing { instances: 3, matching: 3, offered: 2, healthy: 0 };
        let refused = lost.describe(&Query { strict: true, ..query.clone() });
        assert!(refused.contains("without --strict, 2 of 3 would be offered"), "{refused}");
        query.selector = Some("tier=gold".to_owned());
        query.datacenter = Datacenters::one("dc9");
        let filtered = told(&query, 2, 0, 0);
        assert!(filtered.contains("none of the 2"), "{filtered}");
        assert!(filtered.contains("--selector 'tier=gold' --dc dc9"), "{filtered}");
        assert!(told(&query, 2, 1, 0).contains("`web` that matches"));
    }
}
