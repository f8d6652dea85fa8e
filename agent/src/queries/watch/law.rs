//! The law of watches: whatever changes, whatever is lost and whatever is forgotten, the client's picture is the agent's once the
//! client has read everything.

use std::collections::BTreeMap;

use hobnob_api::{MemberStatus, WatchMembersQuery};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::time::timeout;

use super::*;
use crate::budget::MAX_CONNECTION_BYTES;
use crate::services::testing::{OTHER, OWN, instance, member, registry};
use crate::services::{KnownMember, Writer};

/// Longer than anything that a watch waits for by itself.
const LONG: Duration = Duration::from_secs(60);
/// Changes that the agent keeps.
const KEPT: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    /// An instance of a service becomes this.
    Change {
        id: u8,
        service: u8,
        status: u8,
    },
    /// A member becomes this, or is forgotten.
    Member {
        node: u8,
        status: u8,
    },
    Publish,
    /// The client reads so many parts, as far as there are any.
    Read(u8),
    /// The client loses its connection.
    Disconnect,
    /// The agent is replaced by one in another run, which knows the same.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5_u8, 0..3_u8, 0..4_u8)
            .prop_map(|(id, service, status)| Step::Change { id, service, status }),
        3 => (0..4_u8, 0..5_u8).prop_map(|(node, status)| Step::Member { node, status }),
        4 => Just(Step::Publish),
        3 => (1..6_u8).prop_map(Step::Read),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// The agent, and what it was told.
struct Agent {
    registry: Arc<Registry>,
    writer: Writer,
    instances: BTreeMap<u8, (u8, InstanceStatus)>,
    members: BTreeMap<u8, KnownMember>,
}

impl Agent {
    fn new() -> Self {
        let (registry, writer) = registry();
        registry.keep_changes(KEPT);
        Self { registry, writer, instances: BTreeMap::new(), members: BTreeMap::new() }
    }

    fn write(&mut self, id: u8, service: u8, status: InstanceStatus) {
        let origin = if id.is_multiple_of(2) { OWN } else { OTHER };
        let mut change = instance(origin, &format!("i{id}"), status);
        let mut written = (*change.instance).clone();
        Arc::make_mut(&mut written.service).service = format!("s{service}").as_str().into();
        change.instance = Arc::new(written);
        self.writer.apply(change);
    }

    fn change(&mut self, id: u8, service: u8, status: InstanceStatus) {
        // An instance that moves goes from the first service before it comes to the other, as the view tells it.
        if let Some((before, _)) = self.instances.remove(&id)
            && (before != service || status == InstanceStatus::Gone)
        {
            self.write(id, before, InstanceStatus::Gone);
        }
        if status != InstanceStatus::Gone {
            self.write(id, service, status);
            self.instances.insert(id, (service, status));
        }
    }

    fn member(&mut self, node: u8, status: u8) {
        let status = match status {
            0 => MemberStatus::Alive,
            1 => MemberStatus::Down,
            2 => MemberStatus::Unreachable,
            3 => MemberStatus::Left,
            _ => {
                self.members.remove(&node);
                let all =
                    self.members.iter().map(|(id, known)| (NodeId((*id).into()), known.clone()));
                return self.writer.reconcile_members(all.collect());
            }
        };
        let member = member(&format!("a{node}"), node.into(), status);
        let known = KnownMember { member, down_since: None, link_silent_since: None };
        self.writer.apply_member(NodeId(node.into()), known.clone());
        if status == MemberStatus::Left {
            self.members.remove(&node);
        } else {
            self.members.insert(node, known);
        }
    }

    fn restart(&mut self) {
        let before = std::mem::replace(self, Self::new());
        for (id, (service, status)) in before.instances {
            self.change(id, service, status);
        }
        for (node, known) in before.members {
            self.writer.apply_member(NodeId(node.into()), known.clone());
            self.members.insert(node, known);
        }
        self.writer.publish();
    }
}

/// A watch under test, as a client keeps it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Service,
    All,
    Strict,
    Members,
}

enum Connected {
    Instances(Box<Watch>),
    Members(Box<MembersWatch>),
}

struct Client {
    kind: Kind,
    watch: Option<Connected>,
    /// The revision and the run of the last whole event.
    at: Option<(u64, String)>,
    picture: BTreeMap<String, String>,
    /// Parts of an event that is not whole.
    parts: Vec<Event>,
}

impl Client {
    fn new(kind: Kind) -> Self {
        Self { kind, watch: None, at: None, picture: BTreeMap::new(), parts: Vec::new() }
    }

    fn disconnect(&mut self) {
        self.watch = None;
        self.parts.clear();
    }

    fn connect(&self, registry: &Arc<Registry>) -> Connected {
        let allowance = Budget::new(MAX_CONNECTION_BYTES);
        let (since, run) = match &self.at {
            Some((revision, run)) => (Some(*revision), Some(run.clone())),
            None => (None, None),
        };
        let registry = registry.clone();
        let watch = match self.kind {
            Kind::Members => {
                let query = WatchMembersQuery { since, run, ..WatchMembersQuery::default() };
                let watch = MembersWatch::new(registry, query, allowance).expect("room");
                return Connected::Members(Box::new(watch));
            }
            Kind::Service => {
                let query = WatchQuery { since, run, ..WatchQuery::new("s0") };
                Watch::new(registry, query, allowance)
            }
            Kind::All | Kind::Strict => {
                let strict = matches!(self.kind, Kind::Strict);
                let query = WatchAllQuery { since, run, strict, ..WatchAllQuery::default() };
                Watch::all(registry, query, allowance)
            }
        };
        let mut watch = watch.expect("room");
        // A part for each instance.
        watch.part_bytes = 1;
        Connected::Instances(Box::new(watch))
    }

    /// Reads one part. Returns whether there was one.
    async fn read(&mut self, registry: &Arc<Registry>) -> bool {
        let mut watch = self.watch.take().unwrap_or_else(|| self.connect(registry));
        let told = match &mut watch {
            Connected::Instances(watch) => timeout(LONG, watch.next()).await,
            Connected::Members(watch) => timeout(LONG, watch.next()).await,
        };
        self.watch = Some(watch);
        let Ok(told) = told else { return false };
        let Told { event, more, .. } = told.expect("room");
        self.parts.push(event);
        if !more {
            for event in std::mem::take(&mut self.parts) {
                let revision = self.take(event);
                self.at = Some((revision, registry.run().to_owned()));
            }
        }
        true
    }

    fn take(&mut self, event: Event) -> u64 {
        let (revision, instances) = match event {
            Event::Instances(all) => {
                self.picture.clear();
                (all.revision, all.instances)
            }
            Event::Changes(changes) => (changes.revision, changes.instances),
            Event::Members(all) => {
                self.picture =
                    all.members.into_iter().map(|one| (one.name.clone(), describe(&one))).collect();
                return all.revision;
            }
            Event::MemberChanges(changes) => {
                for change in changes.changes {
                    let (name, described) = (change.member.name.clone(), describe(&change.member));
                    match change.event.is_gone() {
                        true => self.picture.remove(&name),
                        false => self.picture.insert(name, described),
                    };
                }
                return changes.revision;
            }
        };
        for shown in instances {
            let id = shown.entry().id.to_string();
            match shown.entry().status == InstanceStatus::Gone {
                true => self.picture.remove(&id),
                false => self.picture.insert(id, looks(&shown)),
            };
        }
        revision
    }

    /// The picture of the agent.
    fn expected(&self, agent: &Agent) -> BTreeMap<String, String> {
        if matches!(self.kind, Kind::Members) {
            let members = agent.members.values().map(|known| &known.member);
            return members.map(|one| (one.name.clone(), describe(one))).collect();
        }
        let mut expected = BTreeMap::new();
        for (key, service) in agent.registry.services().iter() {
            if matches!(self.kind, Kind::Service) && key.service != "s0" {
                continue;
            }
            let (all, offered) = service.offer();
            let strict = matches!(self.kind, Kind::Strict);
            let offered = offered.filter(|offered| offered.is_healthy() || !strict);
            for entry in all.values() {
                let shown = agent.registry.show(entry, offered);
                expected.insert(entry.id.to_string(), looks(&shown));
            }
        }
        expected
    }
}

fn describe(member: &hobnob_api::Member) -> String {
    format!("{:?}", member.status)
}

fn looks(shown: &Shown) -> String {
    let instance = hobnob_api::Instance::from(shown);
    format!("{} {:?} {}", instance.service, instance.status, instance.offered)
}

async fn check(kind: Kind, steps: Vec<Step>) -> TestCaseResult {
    let (mut agent, mut client) = (Agent::new(), Client::new(kind));
    for step in steps {
        match step {
            Step::Change { id, service, status } => {
                let status = match status {
                    0 => InstanceStatus::Healthy,
                    1 => InstanceStatus::Unhealthy,
                    2 => InstanceStatus::Unknown,
                    _ => InstanceStatus::Gone,
                };
                agent.change(id, service, status);
            }
            Step::Member { node, status } => agent.member(node, status),
            Step::Publish => agent.writer.publish(),
            Step::Read(parts) => {
                for _ in 0..parts {
                    client.read(&agent.registry).await;
                }
            }
            Step::Disconnect => client.disconnect(),
            Step::Restart => {
                agent.restart();
                client.disconnect();
            }
        }
    }
    agent.writer.publish();
    while client.read(&agent.registry).await {}
    prop_assert_eq!(&client.picture, &client.expected(&agent));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_picture_of_a_client_is_that_of_the_agent(
        steps in steps(),
        kind in prop::sample::select(vec![Kind::Service, Kind::All, Kind::Strict, Kind::Members]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(check(kind, steps))?;
    }
}
