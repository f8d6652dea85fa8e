//! The arguments of `hobnob watch`.

use clap::{ArgGroup, Args};

use hobnob_api::{Consistency, DEFAULT_NAMESPACE, WatchAllQuery, WatchMembersQuery, WatchQuery};

use super::catalog::DatacenterArgs;
use super::choices;
use super::values::{self, Since};

const WATCH_HELP: &str = "\
Examples:
  hobnob watch web
  hobnob watch web --dc eu,us
  hobnob watch --all --retry
  hobnob watch --members
  hobnob watch web --json | jq -r '.[].instances[] | .status + \" \" + .instance'
  hobnob watch web --json --since 6f1d0c9a4b27e835:1796041926000017

Prints what is there now, then one line for each change: the instance as it is
then, or the member with what happened to it. Changes of the same few
milliseconds may be told as one. With --json each line is one event: an object
`instances` with all instances, or `changes` with the changed ones; with
--members it is `members` or `member_changes`. `time`, `run` and `revision` say
when the agent told it, and where another watch can go on from.
The status `gone` stands for an instance that was deregistered, or whose agent
left, was forced to leave, was replaced or was pruned.
When the agent cannot go on where the watch was, it tells everything again, and
says why: with --json in `reset`, and `vanished` has what is no longer there.
Ends with exit code 1 when the agent stops, unless --retry is given.";

/// `hobnob watch`.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
#[command(group(ArgGroup::new("subject").required(true).args(["service", "all", "members"])))]
pub(crate) struct WatchArgs {
    /// The name of the service
    service: Option<String>,

    /// Follow all services
    #[arg(long)]
    all: bool,

    /// Follow the members: who joins, goes down, comes back and leaves
    #[arg(long, conflicts_with_all = ["namespace", "strict"])]
    members: bool,

    /// The namespace of the service [default: default]; with --all, only services of this one
    #[arg(long)]
    namespace: Option<String>,

    #[command(flatten)]
    datacenters: DatacenterArgs,

    /// Show only healthy instances as offered, also when none is left
    #[arg(long)]
    strict: bool,

    /// A watch is eventual; a strong one is refused
    #[arg(long, hide = true, value_name = "LEVEL", default_value = "eventual", value_parser = choices::consistency())]
    consistency: Consistency,

    /// Go on after this revision, of an earlier event; with RUN: before it, a revision of another run is always recognised
    #[arg(long, value_name = "[RUN:]REVISION", value_parser = values::since)]
    since: Option<Since>,

    /// Connect again when the agent goes away, and go on where the watch was, or say that everything is told again
    #[arg(long)]
    pub(crate) retry: bool,

    /// Print each event as a JSON object on a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a watch follows.
pub(crate) enum Watched {
    Service(WatchQuery),
    All(WatchAllQuery),
    Members(WatchMembersQuery),
}

impl From<&WatchArgs> for Watched {
    fn from(args: &WatchArgs) -> Self {
        let since = args.since.as_ref().map(|since| since.revision);
        let run = args.since.as_ref().and_then(|since| since.run.clone());
        let (datacenter, strict) = ((&args.datacenters).into(), args.strict);
        if args.members {
            return Self::Members(WatchMembersQuery { since, run, datacenter });
        }
        let (namespace, consistency) = (args.namespace.clone(), args.consistency);
        match &args.service {
            None => {
                Self::All(WatchAllQuery { namespace, since, run, datacenter, strict, consistency })
            }
            Some(service) => {
                let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
                let service = service.clone();
                Self::Service(WatchQuery {
                    service,
                    namespace,
                    since,
                    run,
                    datacenter,
                    strict,
                    consistency,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn watched(line: &str) -> Result<Watched, clap::Error> {
        match Cli::try_parse_from(["hobnob", "watch"].into_iter().chain(line.split(' ')))?.command {
            Command::Watch(args) => Ok((&args).into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_watch_follows_one_service_or_all_or_the_members() {
        assert!(
            matches!(watched("web"), Ok(Watched::Service(query)) if query == WatchQuery::new("web"))
        );
        assert!(
            matches!(watched("--all"), Ok(Watched::All(query)) if query == WatchAllQuery::default())
        );
        let Ok(Watched::Members(query)) = watched("--members --since ab:12") else {
            panic!("members")
        };
        assert_eq!((query.since, query.run.as_deref()), (Some(12), Some("ab")));
        let Ok(Watched::Service(query)) = watched("web --since 12 --strict") else { panic!("web") };
        assert_eq!((query.since, query.run, query.strict), (Some(12), None, true));
        for wrong in ["web --all", "--all --members", "--members --strict", "web --since x"] {
            assert!(watched(wrong).is_err(), "{wrong}");
        }
        assert!(Cli::try_parse_from(["hobnob", "watch"]).is_err());
    }
}
