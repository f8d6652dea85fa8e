//! The known name that somebody may have meant, for an error about a name that nothing has.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hobnob_agent::nearest;
use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Datacenters, ErrorCode, Query, Request, Response};
use tokio::time::timeout;

use crate::args::{Command, DatacentersCommand};

/// The longest wait for the known names. They are a courtesy.
const WAIT: Duration = Duration::from_secs(1);
/// The names that are compared, at most.
const MAX_NAMES: usize = 10_000;
/// The services whose instances are asked for, at most: those with names most like the id.
const MAX_SERVICES: usize = 16;

/// An error about a name that nothing has, with the known name that is most like it.
#[derive(Debug)]
pub(crate) struct Misnamed {
    error: anyhow::Error,
    /// The known name.
    pub(super) meant: String,
}

impl fmt::Display for Misnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Misnamed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// The names that a command was given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// That of a member or an instance.
    subject: Option<String>,
    /// That of a datacenter.
    datacenter: Option<String>,
}

impl Given {
    /// Those of a command.
    pub(crate) fn to(command: &Command) -> Self {
        let subject = |name: &String| Self { subject: Some(name.clone()), datacenter: None };
        match command {
            Command::Deregister(args) => {
                Self { datacenter: args.datacenter.clone(), ..subject(&args.id) }
            }
            Command::Register(args) => Self { subject: None, datacenter: args.datacenter.clone() },
            Command::Check(args) => subject(&args.id),
            Command::Maintenance(args) => args.id.as_ref().map(subject).unwrap_or_default(),
            Command::Drain(args) => subject(&args.id),
            Command::Explain(args) => subject(&args.subject),
            Command::ForceLeave(args) => subject(&args.member),
            Command::Prune(args) => args.members.first().map(subject).unwrap_or_default(),
            Command::Revoke(args) => args.node.as_ref().map(subject).unwrap_or_default(),
            Command::Datacenters(args) => {
                let datacenter = args.command.as_ref().map(|command| match command {
                    DatacentersCommand::Isolate(args) => args.datacenter.clone(),
                    DatacentersCommand::Rejoin(args) => args.datacenter.clone(),
                });
                Self { subject: None, datacenter }
            }
            _ => Self::default(),
        }
    }

    /// The same error, with the known name that may have been meant. The agent behind `socket` tells the names.
    pub(crate) async fn explain(self, error: anyhow::Error, socket: PathBuf) -> anyhow::Error {
        let code = error.chain().find_map(|cause| match cause.downcast_ref() {
            Some(ClientError::Api(refusal)) => Some(refusal.code),
            _ => None,
        });
        let Some(code) = code else { return error };
        let meant = async {
            let mut client = Client::connect(socket).await.ok()?.answer_within(WAIT);
            let (name, known) = match code {
                ErrorCode::MemberNotFound => (self.subject?, members(&mut client).await?),
                ErrorCode::DatacenterNotFound => {
                    (self.datacenter?, datacenters(&mut client).await?)
                }
                ErrorCode::InstanceNotFound => {
                    let name = self.subject?;
                    let known = instances(&mut client, &name, self.datacenter.as_deref()).await?;
                    (name, known)
                }
                ErrorCode::SubjectNotFound => {
                    let name = self.subject?;
                    let mut known = members(&mut client).await?;
                    known.extend(instances(&mut client, &name, Some("*")).await?);
                    // No services: the command refuses them.
                    (name, known)
                }
                _ => return None,
            };
            nearest_of(&name, &known)
        };
        match timeout(WAIT, meant).await {
            Ok(Some(meant)) => Misnamed { error, meant }.into(),
            _ => error,
        }
    }
}

/// The known name that is most like this one, if one is.
pub(crate) fn nearest_of(name: &str, known: &[String]) -> Option<String> {
    let known = known.iter().take(MAX_NAMES).map(String::as_str);
    nearest(name, known.filter(|known| *known != name)).map(str::to_owned)
}

/// The names of the known services, each with its namespace.
pub(crate) async fn services(client: &mut Client) -> Option<Vec<(String, String)>> {
    match client.call(Request::Services { namespace: None }).await.ok()? {
        Response::Services(list) => {
            let services = list.services.into_iter().take(MAX_NAMES);
            Some(services.map(|one| (one.namespace, one.service)).collect())
        }
        _ => None,
    }
}

/// The names of the known datacenters.
pub(crate) async fn datacenters(client: &mut Client) -> Option<Vec<String>> {
    match client.call(Request::Datacenters {}).await.ok()? {
        Response::Datacenters(list) => {
            Some(list.datacenters.into_iter().map(|one| one.name).collect())
        }
        _ => None,
    }
}

async fn members(client: &mut Client) -> Option<Vec<String>> {
    let request = Request::Members { all: true, datacenter: Datacenters::All };
    match client.call(request).await.ok()? {
        Response::Members(list) => Some(list.members.into_iter().map(|one| one.name).collect()),
        _ => None,
    }
}

/// The ids of instances of the services with names like `id`: those of a datacenter, of all (`*`), or without one those of this
/// agent.
async fn instances(client: &mut Client, id: &str, of: Option<&str>) -> Option<Vec<String>> {
    let mut services = services(client).await?;
    services.sort_by_cached_key(|(_, service)| {
        let common = id.bytes().zip(service.bytes()).take_while(|(one, other)| one == other);
        std::cmp::Reverse(common.count())
    });
    let own = match of {
        Some(_) => None,
        None => match client.call(Request::Info {}).await.ok()? {
            Response::Info(info) => Some(info.node_id),
            _ => return None,
        },
    };
    let mut ids = Vec::new();
    for (namespace, service) in services.into_iter().take(MAX_SERVICES) {
        let datacenter = of.and_then(|name| name.parse().ok()).unwrap_or_default();
        let query = Query { namespace, all: true, datacenter, ..Query::new(service) };
        if let Response::Instances(found) = client.call(Request::Resolve(query)).await.ok()? {
            let is_meant = |node_id| own.is_none_or(|own| own == node_id);
            let found = found.instances.into_iter().filter(|one| is_meant(one.node_id));
            ids.extend(found.map(|one| one.id));
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, describe};
    use hobnob_api::ApiError;

    #[test]
    fn an_error_about_a_name_stays_what_it_is() {
        let refusal = ApiError::new(ErrorCode::MemberNotFound, "no member is called `a9`");
        let error = anyhow::Error::from(ClientError::Api(refusal)).context("asking");
        let told = describe(&error);
        let error = anyhow::Error::from(Misnamed { error, meant: "a1".to_owned() });
        assert_eq!((describe(&error), Exit::of(&error)), (told, Exit::NothingMatched));
        let advice = super::super::of(&error).unwrap();
        assert_eq!(advice, "did you mean `a1`? `hobnob members --all` lists the members");
    }

    #[test]
    fn the_nearest_name_is_another_one() {
        let known = ["web-1", "web-2", "db"].map(str::to_owned);
        assert_eq!(nearest_of("wbe-1", &known).as_deref(), Some("web-1"));
        assert_eq!(nearest_of("cache", &known), None);
        assert_eq!(nearest_of("db", &known), None, "it is there");
    }
}
