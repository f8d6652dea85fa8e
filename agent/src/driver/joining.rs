//! Joining: the addresses to join at, the callers that wait for an answer there, and the warning when nobody answers.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_api::address::GossipAddress;
use tokio::time::Instant;

use super::Driver;
use super::commands::Refused;
use crate::actor::Reply;

/// The most former peers that a warning names.
const MAX_PEERS_NAMED: usize = 5;
/// The time from the start to the first warning that nobody answers.
const WARN_ALONE_AFTER: Duration = Duration::from_secs(3);
/// The time from one such warning to the next.
const WARN_ALONE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Addresses to join at, and the caller that waits for the first answer.
struct Join {
    addresses: Vec<SocketAddr>,
    /// Whether they are of members of other datacenters.
    is_wan: bool,
    reply: Reply<Result<SocketAddr, Refused>>,
}

/// The addresses to join at, and the callers that wait.
pub(crate) struct Joining {
    waiting: Vec<Join>,
    /// The addresses to join at, as they were given, without the agent's own.
    seeds: Vec<String>,
    /// The addresses of some former peers, without the agent's own.
    former_peers: Vec<String>,
    cluster: String,
    /// The time of the next warning that nobody answers at these addresses.
    pub(super) warn_at: Option<Instant>,
}

impl Joining {
    /// The state for an agent that is to join at these addresses, or that had these peers before its restart.
    pub(crate) fn at(join: &[String], peers: &[SocketAddr], cluster: &str) -> Self {
        let mut joining = Self {
            waiting: Vec::new(),
            seeds: join.to_vec(),
            former_peers: peers.iter().take(MAX_PEERS_NAMED).map(ToString::to_string).collect(),
            cluster: cluster.to_owned(),
            warn_at: None,
        };
        if joining.expects_company() {
            joining.warn_at = Some(Instant::now() + WARN_ALONE_AFTER);
        }
        joining
    }

    /// Whether a member should answer at some address.
    pub(crate) fn expects_company(&self) -> bool {
        !self.expected_at().is_empty()
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Keeps a reply until one of the addresses answers.
    pub(super) fn wait(
        &mut self,
        addresses: Vec<SocketAddr>,
        is_wan: bool,
        reply: Reply<Result<SocketAddr, Refused>>,
    ) {
        self.waiting.retain(|join| !join.reply.is_unread());
        self.waiting.push(Join { addresses, is_wan, reply });
    }

    /// Answers the callers that wait for this address.
    pub(super) fn answered(&mut self, by: SocketAddr) {
        let of_others = |join: &Join| !join.is_wan && join.addresses.contains(&by);
        for join in self.waiting.extract_if(.., |join| of_others(join)) {
            join.reply.send(Ok(by));
        }
    }

    /// Refuses the callers that wait for this address alone, in whichever of the two ways of joining. The others go on waiting for the
    /// other addresses.
    pub(super) fn met_other(&mut self, address: SocketAddr, is_wan: bool, reason: &str) {
        for join in self.waiting.iter_mut().filter(|join| join.is_wan == is_wan) {
            if join.addresses.len() > 1 {
                join.addresses.retain(|waited| *waited != address);
            }
        }
        let is_refused = |join: &mut Join| join.is_wan == is_wan && join.addresses == [address];
        for join in self.waiting.extract_if(.., is_refused) {
            join.reply.send(Err(Refused::WrongDatacenter(reason.to_owned())));
        }
    }

    /// Stops the warnings: the agent has found a member.
    pub(super) fn connected(&mut self) {
        self.warn_at = None;
    }

    /// The addresses that should answer: those to join at, else those of former peers.
    fn expected_at(&self) -> &[String] {
        if self.seeds.is_empty() { &self.former_peers } else { &self.seeds }
    }

    /// Warns of silence also if nobody is expected anywhere: the agent is to be let in by somebody.
    pub(super) fn warn_in_any_case(&mut self) {
        self.warn_at.get_or_insert(Instant::now() + WARN_ALONE_AFTER);
    }

    /// Warns that nobody answers, or that nobody lets this agent in, if it is time. A member that refused it did answer, and the
    /// log tells the reason.
    pub(super) fn warn_if_due(&mut self, now: Instant, is_outside: bool, is_refused: bool) {
        if self.warn_at.is_none_or(|at| at > now) {
            return;
        }
        self.warn_at = Some(now + WARN_ALONE_AGAIN_AFTER);
        if is_refused {
            return;
        }
        if is_outside && !self.expects_company() {
            return tracing::warn!(
                cluster = self.cluster,
                "this agent is not in its cluster yet, and knows nobody to join at: name a member with --join or `hobnob \
                 join`. Only the first agent of a cluster starts it, with the token that `hobnob init` printed, while that \
                 is valid"
            );
        }
        if is_outside {
            return tracing::warn!(
                at = self.expected_at().join(", "),
                cluster = self.cluster,
                "no member has let this agent in yet: does one run there, and do UDP and TCP reach its gossip address \
                 (--bind) and UDP its sync address? The agent goes on trying"
            );
        }
        tracing::warn!(
            at = self.expected_at().join(", "),
            cluster = self.cluster,
            "nobody answers there yet: is it the gossip address (--bind) of a running agent of the same cluster, and \
             does UDP reach it? The agent goes on trying"
        );
    }
}

impl Driver {
    /// Forgets an address to join at that belongs to another datacenter. An agent without other addresses is the first one of its
    /// datacenter, and not isolated.
    pub(super) fn expect_elsewhere(&mut self, address: SocketAddr) {
        let leads_there = |seed: &String| {
            seed.parse::<GossipAddress>().is_ok_and(|seed| seed.socket_addr() == Some(address))
        };
        let joining = &mut self.joining;
        joining.seeds.retain(|seed| !leads_there(seed));
        joining.former_peers.retain(|peer| !leads_there(peer));
        if !joining.expects_company() && joining.warn_at.take().is_some() {
            self.writer.set_isolated(false);
        }
    }

    /// Forgets an address to join at that is the agent's own. An agent without other addresses is not isolated, like an
    /// agent that was told to join nobody.
    pub(super) fn expect_nobody_at(&mut self, address: &str) {
        let joining = &mut self.joining;
        joining.seeds.retain(|seed| seed != address);
        joining.former_peers.retain(|peer| peer != address);
        if !joining.expects_company() && joining.warn_at.take().is_some() {
            // The founder of a sealed cluster has its own address among the seeds of its token, and tells that it founds it.
            if self.entering.found_at().is_none() {
                tracing::warn!(
                    address,
                    "the address to join at is this agent's own: it starts a cluster of its own. Let the others join it, or \
                     name one of them with --join"
                );
            }
            self.writer.set_isolated(false);
        }
    }
}
