//! Answers calls: each becomes a query, or a command to the driver or the registrar.

use std::sync::Arc;

use hobnob_api::{
    ApiError, CallReport, ErrorCode, EventKind, Info, Request, Response, ServiceCalls, Settings,
    Signed,
};
use tokio::sync::mpsc;

use super::changing::Wanted;
use super::door::Door;
use crate::actor::Stopping;
use crate::budget::Budget;
use crate::caller::Caller;
use crate::checks::SelfReport;
use crate::clock::Clock;
use crate::consistency::voters::{set_voters, voters, vouch};
use crate::doors::dns::DnsCounters;
use crate::doors::http::HttpCounters;
use crate::driver::DriverHandle;
use crate::history::{By, Event, History};
use crate::info::AgentInfo;
use crate::log_filter::LogLevels;
use crate::metrics::{CallMetrics, Readings};
use crate::orders::revoke::{Subject, revoke};
use crate::orders::rotate::rotate;
use crate::orders::status::keys;
use crate::orders::trust::trust;
use crate::progress::Progress;
use crate::queries::asked::{check, check_datacenters};
use crate::queries::datacenters::{IsolationOrder, datacenters, isolate};
use crate::queries::drain::{check_reason, drain};
use crate::queries::echoes::echoes;
use crate::queries::explain::explain;
use crate::queries::force_leave::force_leave;
use crate::queries::history::history;
use crate::queries::info::info;
use crate::queries::join::join;
use crate::queries::members::members;
use crate::queries::metrics::readings;
use crate::queries::pick::{MAX_PICKS, Picks};
use crate::queries::prune::prune;
use crate::queries::registrations::registrations;
use crate::queries::resolve::services;
use crate::registrations::{Maintained, RegistrationsHandle};
use crate::reloading::Reloader;
use crate::security::OwnCredential;
use crate::services::{Registry, Shown};

/// Answers calls. Shared by all connections of all sockets.
pub(crate) struct Handler {
    pub(crate) info: AgentInfo,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    pub(crate) driver: DriverHandle,
    pub(crate) registrations: RegistrationsHandle,
    pub(crate) reloader: Reloader,
    /// The configuration that the agent was started with.
    pub(crate) settings: Settings,
    pub(crate) leave: mpsc::Sender<()>,
    /// The credential with which this agent signs orders.
    pub(crate) credential: OwnCredential,
    /// The sockets, as `info` reports them.
    pub(crate) doors: Vec<Arc<Door>>,
    /// The budget of all connections.
    pub(crate) budget: Arc<Budget>,
    /// The counters of the HTTP door, if there is one.
    pub(crate) http: Option<Arc<HttpCounters>>,
    /// The counters of the DNS door, if there is one.
    pub(crate) dns: Option<Arc<DnsCounters>>,
    pub(crate) calls: CallMetrics,
    pub(crate) progress: Progress,
    pub(crate) log: LogLevels,
    pub(crate) history: History,
}

impl Handler {
    /// Makes the agent leave the cluster and stop.
    pub(crate) fn leave(&self) {
        // Full means that it was asked before.
        let _ = self.leave.try_send(());
    }

    /// Whether the agent has lost touch with all other members.
    pub(crate) fn is_isolated(&self) -> bool {
        self.registry.is_isolated()
    }

    /// The values of all metrics now.
    pub(crate) async fn readings(&self) -> Result<Readings, Stopping> {
        let info = self.describe().await?;
        let own = self.info.node_id;
        readings(&info, &self.registry, &self.driver, &self.calls, &self.progress, own).await
    }

    /// This agent, with the counters of everything in it.
    async fn describe(&self) -> Result<Info, Stopping> {
        let (registry, registrations) = (&self.registry, &self.registrations);
        let mut info = info(&self.info, &self.clock, registry, registrations, &self.driver).await?;
        info.counters.extend(self.doors.iter().flat_map(|door| door.report()));
        info.counters.extend(self.history.report());
        info.counters.extend(self.http.iter().flat_map(|http| http.report()));
        info.counters.extend(self.dns.iter().flat_map(|dns| dns.report()));
        info.counters.extend([
            ("client_bytes".to_owned(), self.budget.held() as u64),
            ("client_bytes_refused".to_owned(), self.budget.refused()),
            ("picks".to_owned(), self.calls.picked()),
        ]);
        Ok(info)
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Answers any call but a watch, in one reply.
    pub(crate) async fn try_answer(
        &self,
        request: Request,
        caller: Caller,
        picks: &mut Picks,
    ) -> Result<Response<Shown>, ApiError> {
        let (registry, driver) = (&*self.registry, &self.driver);
        let Caller { uid, pid, .. } = caller;
        let by = |kind| Event::new(kind, By::client(caller));
        Ok(match request {
            Request::Register(registration) => self.register(*registration, caller).await?,
            Request::Deregister { id, ack, datacenter, consistency, consistency_timeout_ms } => {
                let wanted = Wanted { ack, consistency, timeout_ms: consistency_timeout_ms };
                self.deregister(id, datacenter, wanted, caller).await?
            }
            Request::Maintenance { on, id, reason } => {
                id.iter().try_for_each(|id| check("instance id", id))?;
                check_reason(&reason)?;
                let reason = on.then_some(reason);
                let Maintained { instances, still_out, unchanged } =
                    self.registrations.maintain(id, reason, caller).await?;
                Response::Maintained { instances, still_out, unchanged }
            }
            Request::Drain(request) => {
                let id = request.id.clone();
                let ack = drain(driver, &self.registrations, request, caller).await?;
                Response::Drained { id, ack }
            }
            Request::Check { id, check: name, status, note } => {
                check("instance id", &id)?;
                name.iter().try_for_each(|name| check("check", name))?;
                let report = SelfReport { status, note };
                Response::Checked { check: self.registrations.report(id, name, report).await? }
            }
            Request::Resolve(query) => {
                Response::Instances(self.resolve(&query, false, caller).await?)
            }
            Request::Pick(query) => Response::Picked(self.pick(query, picks, caller).await?),
            Request::Report { reports, calls } => self.report(&reports, calls, picks)?,
            Request::Services { namespace } => {
                Response::Services(services(registry, namespace.as_deref()))
            }
            Request::Members { all, datacenter } => {
                check_datacenters(&datacenter)?;
                Response::Members(members(registry, driver, all, datacenter).await?)
            }
            Request::Datacenters {} => Response::Datacenters(datacenters(registry, driver).await?),
            Request::Isolate { datacenter, forget, signed } => {
                let wanted = if forget { IsolationOrder::Forget } else { IsolationOrder::Isolate };
                self.isolate(datacenter, wanted, signed, caller).await?
            }
            Request::Rejoin { datacenter, signed } => {
                self.isolate(datacenter, IsolationOrder::Rejoin, signed, caller).await?
            }
            Request::Watch(_) | Request::WatchAll(_) | Request::WatchMembers(_) => {
                let message = "a watch has many answers";
                return Err(ApiError::new(ErrorCode::RequestMalformed, message));
            }
            Request::Join { addresses, wan } => {
                let joined = join(&self.info, driver, &addresses, wan).await;
                match &joined {
                    Ok(joined) => {
                        let why = format!("{} answered", joined.by);
                        self.history.record(by(EventKind::JoinOrdered).why(&why));
                        tracing::info!(uid, pid, member = %joined.by, "joined, as a client asked");
                    }
                    Err(error) if error.code == ErrorCode::JoinUnanswered => {
                        tracing::info!(uid, pid, %error, "a client asked to join, and nobody has answered yet");
                    }
                    Err(_) => {}
                }
                let joined = joined?;
                let (gossip_address, unresolved) = (joined.by.to_string(), joined.unresolved);
                Response::Joined { gossip_address, unresolved }
            }
            // The connection calls `leave` when the answer is written.
            Request::Leave {} => {
                self.history.record(by(EventKind::LeaveOrdered));
                tracing::info!(uid, pid, "a client asked this agent to leave");
                Response::Leaving {}
            }
            Request::ForceLeave { member, signed } => {
                check("member", &member)?;
                let left = force_leave(driver, &self.credential, member, signed).await?;
                self.history.record(by(EventKind::MemberForceLeft).member(&left.name));
                tracing::info!(uid, pid, member = left.name, node_id = %left.node_id, "a client forced a member to leave");
                Response::ForceLeft(left)
            }
            Request::Prune { members, older_than_ms, signed } => {
                let own = &self.credential;
                let pruned = prune(driver, own, members, older_than_ms, &signed).await?;
                let count = pruned.members.len().to_string();
                self.history.record(by(EventKind::MembersPruned).to(&count));
                tracing::info!(
                    uid,
                    pid,
                    members = pruned.members.len(),
                    "a client had members pruned"
                );
                Response::Pruned(pruned)
            }
            Request::Keys {} => {
                let keys = keys(driver, &self.credential, registry.is_isolated()).await?;
                Response::Keys(Box::new(keys))
            }
            Request::Rotate { generation, again } => {
                let signed = generation.is_some();
                let rotated = rotate(driver, &self.credential, generation, again).await?;
                if rotated.begun {
                    let why = format!("generation {} is on its way", rotated.number);
                    self.history.record(by(EventKind::RotationOrdered).why(&why));
                    tracing::warn!(
                        uid,
                        pid,
                        signed,
                        generation = rotated.number,
                        "a client had the cluster rotate"
                    );
                }
                Response::Rotated(rotated)
            }
            Request::Trust { succession } => {
                let trusted = trust(driver, succession).await?;
                if trusted.new {
                    self.history.record(by(EventKind::CaTrusted));
                    tracing::warn!(uid, pid, authorities = ?trusted.authorities, "a client had the cluster trust a second CA key");
                }
                Response::Trusted(trusted)
            }
            Request::Revoke { member, token, signed, myself } => {
                member.iter().chain(&token).try_for_each(|name| check("subject", name))?;
                let subject = Subject::of(member, token, signed)?;
                let signed = subject.is_signed();
                let revoked = revoke(driver, &self.credential, subject, myself).await?;
                if let Some(rotated) = &revoked.rotated {
                    let (what, generation) = (&revoked.revocation, rotated.number);
                    let why = format!("{:?} {}", what.kind, what.fingerprint).to_lowercase();
                    let event = by(EventKind::Revoked).why(&why);
                    self.history.record(match what.members.first() {
                        Some(member) => event.member(member),
                        None => event,
                    });
                    tracing::warn!(uid, pid, signed, kind = ?what.kind, fingerprint = what.fingerprint, members = ?what.members, generation,
                        "a client had a node or a token revoked, and the cluster rotate");
                }
                Response::Revoked(revoked)
            }
            Request::Explain { subject } => {
                check("subject", &subject)?;
                let explained = explain(registry, driver, &self.registrations, subject).await?;
                Response::Explained(Box::new(explained))
            }
            Request::Echoes { members } => {
                Response::Echoes(Box::new(echoes(registry, driver, members).await?))
            }
            Request::Settings {} => Response::Settings(Box::new(self.settings.clone())),
            Request::Reload {} => {
                tracing::info!(
                    uid,
                    pid,
                    "a client asked this agent to read its configuration again"
                );
                Response::Reloaded(Box::new(self.reloader.reload("hobnob reload").await?))
            }
            Request::Info {} => Response::Info(Box::new(self.describe().await?)),
            Request::LogLevel { filter, for_ms } => {
                let told = || {
                    tracing::info!(uid, pid, filter, for_ms, "a client sets the filter of the log");
                };
                let level = self.log.ask(filter.as_deref(), for_ms, &told)?;
                if filter.is_some() {
                    self.history.record(by(EventKind::LogLevelSet).to(&level.filter));
                }
                Response::LogLevel(level)
            }
            Request::Registrations { namespace, after } => {
                let (own, asked) = (&self.registrations, (namespace, after));
                let all = registrations(registry, driver, own, &self.info.name, asked).await?;
                Response::Registrations(Box::new(all))
            }
            Request::Voters {} => {
                Response::Voters(Box::new(voters(driver, &self.info.datacenter).await?))
            }
            Request::SetVoters { voters, first, timeout_ms, signed } => {
                let own = &self.credential;
                let set =
                    set_voters(driver, &self.info, own, voters, first, timeout_ms, signed).await?;
                let names: Vec<_> = set.voters.iter().map(|voter| voter.name.as_str()).collect();
                let names = names.join(", ");
                self.history.record(by(EventKind::VotersSet).to(&names));
                tracing::warn!(
                    uid,
                    pid,
                    voters = names,
                    number = set.configuration,
                    first,
                    "a client set the voters"
                );
                Response::Voters(Box::new(set))
            }
            Request::VouchForVoter {} => {
                let vouched = vouch(driver, &self.info).await?;
                self.history.record(by(EventKind::VoterVouchedFor));
                tracing::warn!(uid, pid, "a client vouched for what this agent keeps as a voter");
                Response::Voters(Box::new(vouched))
            }
            Request::History(query) => {
                let events = history(registry, &self.history, &self.info.name, query).await?;
                Response::History(Box::new(events))
            }
        })
    }

    /// Isolates a datacenter, or ends that.
    async fn isolate(
        &self,
        datacenter: String,
        wanted: IsolationOrder,
        signed: Option<Signed>,
        caller: Caller,
    ) -> Result<Response<Shown>, ApiError> {
        check("datacenter", &datacenter)?;
        let done = isolate(&self.driver, &self.credential, datacenter, wanted, signed).await?;
        let (datacenter, Caller { uid, pid, .. }) = (&done.datacenter, caller);
        let kind = match wanted {
            IsolationOrder::Rejoin => EventKind::DatacenterRejoined,
            IsolationOrder::Isolate | IsolationOrder::Forget => EventKind::DatacenterIsolated,
        };
        let event = Event::new(kind, By::client(caller)).datacenter(datacenter);
        let is_forgotten = matches!(wanted, IsolationOrder::Forget);
        self.history.record(if is_forgotten { event.why("and forgotten") } else { event });
        tracing::info!(
            uid,
            pid,
            datacenter,
            ?wanted,
            "a client ordered whether a datacenter is isolated"
        );
        Ok(Response::Isolation(done))
    }

    fn report(
        &self,
        reports: &[CallReport],
        calls: Vec<ServiceCalls>,
        picks: &mut Picks,
    ) -> Result<Response<Shown>, ApiError> {
        if reports.len() > MAX_PICKS as usize {
            let message = format!("{} reports in one call: at most {MAX_PICKS}", reports.len());
            return Err(ApiError::new(ErrorCode::OutOfRange, message));
        }
        let observed = picks.observations().take(&self.registry, calls)?;
        Ok(Response::Reported { known: self.registry.close_calls(reports) + observed })
    }
}
