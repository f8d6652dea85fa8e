//! `hobnob resolve` and `hobnob services`.

use std::collections::{BTreeMap, BTreeSet};

use hobnob_api::client::Client;
use hobnob_api::{
    Consistency, DEFAULT_NAMESPACE, Datacenters, InstanceStatus, Instances, Query, Registrations,
    Request, Response, Services,
};
use serde_json::Value;

use super::unexpected;
use crate::advice;
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
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&answer)?;
    }
    if answer.instances.is_empty() {
        Nothing::of(client, &query).await?.say(&query);
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
    /// The known service that may have been meant, with its namespace unless that is the one that was asked for.
    meant: Option<String>,
}

impl Nothing {
    pub(super) async fn of(client: &mut Client, query: &Query) -> anyhow::Result<Self> {
        let all = Query {
            all: true,
            strict: false,
            max_age_ms: None,
            wait: None,
            consistency: Consistency::Eventual,
            consistency_timeout_ms: None,
            ..query.clone()
        };
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
        let meant = if instances == 0 { meant(client, query).await } else { None };
        Ok(Self { instances, matching: matching.len(), offered, healthy, meant })
    }

    /// Says what is missing, and what to type next.
    pub(super) fn say(&self, query: &Query) {
        let (error, help) = self.describe(query);
        output::say_error(&error, &help);
    }

    #[cfg(test)]
    fn told(&self, query: &Query) -> String {
        let (error, help) = self.describe(query);
        format!("error: {error}\nhelp: {help}")
    }

    fn describe(&self, query: &Query) -> (String, String) {
        let Query { service, namespace, .. } = query;
        let Self { instances, matching, offered, healthy, .. } = *self;
        let meant = self.meant.as_ref().map(|meant| format!("did you mean {meant}? "));
        let meant = meant.unwrap_or_default();
        let filters = filters(query).join(" ");
        let list = if namespace == DEFAULT_NAMESPACE {
            format!("`hobnob resolve {service} --all`")
        } else {
            format!("`hobnob resolve {service} --namespace {namespace} --all`")
        };
        let which = if filters.is_empty() { "" } else { " that matches" };
        match (instances, matching, offered) {
            (0, ..) => (
                format!("no instance of `{service}` in namespace `{namespace}`"),
                format!("{meant}`hobnob services` lists the services"),
            ),
            (1, 0, _) => (
                format!("the one instance of `{service}` does not match {filters}"),
                format!("{list} shows it"),
            ),
            (_, 0, _) => (
                format!("none of the {instances} instances of `{service}` matches {filters}"),
                format!("{list} lists them"),
            ),
            _ if query.strict && healthy == 0 && offered > 0 => (
                format!("no instance of `{service}`{which} is known to be healthy"),
                format!("without --strict, {offered} of {matching} would be offered"),
            ),
            (_, 1, 0) => (
                format!("the one instance of `{service}`{which} is not known to be healthy"),
                format!("{list} shows it"),
            ),
            (_, _, 0) => (
                format!(
                    "none of the {matching} instances of `{service}`{which} is known to be healthy"
                ),
                format!("{list} lists them"),
            ),
            _ => (
                format!("no instance of `{service}`{which} may be called now"),
                "`hobnob explain` with the id of one says why".to_owned(),
            ),
        }
    }
}

/// The service that may have been meant: one of this name in another namespace, else the one with the name most like it.
async fn meant(client: &mut Client, query: &Query) -> Option<String> {
    let Query { service, namespace, .. } = query;
    let known = advice::services(client).await?;
    if let Some((other, _)) = known.iter().find(|(_, name)| name == service) {
        return Some(format!("`--namespace {other}`"));
    }
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|one| one.0 == *namespace);
    let names = |known: &[(String, String)]| -> Vec<String> {
        known.iter().map(|(_, name)| name.clone()).collect()
    };
    if let Some(name) = advice::nearest_of(service, &names(&here)) {
        return Some(format!("`{name}`"));
    }
    let name = advice::nearest_of(service, &names(&elsewhere))?;
    let (other, _) = elsewhere.iter().find(|one| one.1 == name)?;
    Some(format!("`{name} --namespace {other}`"))
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
    if args.local {
        return local(client, args).await;
    }
    let namespace = args.namespace.clone();
    let services = match client.call(Request::Services { namespace: args.namespace }).await? {
        Response::Services(services) => services,
        other => return Err(unexpected(&other)),
    };
    output::warn_if_isolated(services.isolated);
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&told(&services, args.picks)?)?;
    }
    match namespace {
        Some(namespace) if services.services.is_empty() => {
            let known = advice::services(client).await.unwrap_or_default();
            let known: Vec<String> = known.into_iter().map(|(namespace, _)| namespace).collect();
            let meant = advice::nearest_of(&namespace, &known);
            let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
            output::say_error(
                &format!("no service in namespace `{namespace}`"),
                &format!("{meant}`hobnob services` lists those of all namespaces"),
            );
            return Ok(Exit::NothingMatched);
        }
        _ if args.json => {}
        None if services.services.is_empty() => {
            output::say("no service is registered: `hobnob register --help` shows how");
        }
        _ => out.line(&output::services(&services.services, args.picks, out.style()))?,
    }
    Ok(Exit::Done)
}

/// Lists what is registered with the agent.
async fn local(client: &mut Client, args: ServicesArgs) -> anyhow::Result<Exit> {
    let mut all = registrations(client, args.namespace.clone(), None).await?;
    while all.more {
        let after = all.registrations.last().map(|last| last.instance.id.clone());
        let next = registrations(client, args.namespace.clone(), after).await?;
        all.more = next.more && !next.registrations.is_empty();
        all.registrations.extend(next.registrations);
    }
    output::warn_if_isolated(all.isolated);
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&all)?;
    } else {
        if let Some(maintenance) = &all.maintenance {
            output::say(&output::agent_maintenance(&all.member, maintenance));
        }
        if !all.registrations.is_empty() {
            out.line(&output::registrations(&all.registrations, out.style()))?;
        }
    }
    if all.registrations.is_empty() {
        let member = &all.member;
        let Some(namespace) = &args.namespace else {
            output::say(&format!(
                "nothing is registered with `{member}`: `hobnob services` lists what others have"
            ));
            return Ok(Exit::Done);
        };
        output::say_error(
            &format!("nothing is registered with `{member}` in namespace `{namespace}`"),
            "`hobnob services --local` lists what is registered in all namespaces",
        );
        return Ok(Exit::NothingMatched);
    }
    Ok(Exit::Done)
}

async fn registrations(
    client: &mut Client,
    namespace: Option<String>,
    after: Option<String>,
) -> anyhow::Result<Registrations> {
    match client.call(Request::Registrations { namespace, after }).await? {
        Response::Registrations(registrations) => Ok(*registrations),
        other => Err(unexpected(&other)),
    }
}

/// The answer as JSON, with how even the picks of this agent were if that is asked for.
fn told(services: &Services, picks: bool) -> serde_json::Result<Value> {
    let mut told = serde_json::to_value(services)?;
    if !picks && let Some(services) = told["services"].as_array_mut() {
        for service in services.iter_mut().filter_map(Value::as_object_mut) {
            service.remove("efficiency");
            service.remove("fairness");
        }
    }
    Ok(told)
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
            consistency: Consistency::Eventual,
            consistency_timeout_ms: None,
        };
        let told = |query: &Query, instances, matching, healthy| {
            let meant = Some("`web`".to_owned());
            Nothing { instances, matching, offered: healthy, healthy, meant }.told(query)
        };
        assert!(told(&query, 0, 0, 0).contains("help: did you mean `web`? `hobnob services`"));
        assert!(told(&query, 1, 1, 0).contains("--all"));
        assert!(told(&query, 2, 2, 0).contains("none of the 2 instances"));
        assert!(told(&query, 2, 2, 1).contains("hobnob explain"));
        let lost = Nothing { instances: 3, matching: 3, offered: 2, healthy: 0, meant: None };
        let refused = lost.told(&Query { strict: true, ..query.clone() });
        assert!(refused.contains("without --strict, 2 of 3 would be offered"), "{refused}");
        query.selector = Some("tier=gold".to_owned());
        query.datacenter = Datacenters::one("dc9");
        let filtered = told(&query, 2, 0, 0);
        assert!(filtered.contains("none of the 2"), "{filtered}");
        assert!(filtered.contains("--selector 'tier=gold' --dc dc9"), "{filtered}");
        assert!(told(&query, 2, 1, 0).contains("`web` that matches"));
    }
}
