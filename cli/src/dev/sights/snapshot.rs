//! Snapshots: the agents and instances of the demonstration as each agent sees them, and what is still missing.

use std::net::SocketAddr;

use hobnob_api::{Instance, InstanceStatus, Member, MemberStatus};

use crate::dev::cluster::Condition;
use crate::dev::counted::counted;
use crate::output;

/// The state of the cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dev) struct Snapshot {
    pub(in crate::dev) agents: Vec<AgentRow>,
    pub(in crate::dev) instances: Vec<InstanceRow>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dev) struct AgentRow {
    pub(in crate::dev) name: String,
    pub(in crate::dev) gossip: SocketAddr,
    /// Its answers; `None` while it does not answer.
    pub(in crate::dev) sight: Option<Sight>,
    /// What its process does.
    pub(in crate::dev) condition: Condition,
    /// Whether a key has cut it off from the others.
    pub(in crate::dev) is_cut_off: bool,
}

/// The answers of one agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::dev) struct Sight {
    pub(in crate::dev) members: Vec<Member>,
    pub(in crate::dev) instances: Vec<Instance>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dev) struct InstanceRow {
    pub(in crate::dev) service: String,
    pub(in crate::dev) id: String,
    pub(in crate::dev) agent: String,
    pub(in crate::dev) addr: SocketAddr,
    /// Whether it runs; keys can kill and stop it.
    pub(in crate::dev) is_running: bool,
    /// What its process does.
    pub(in crate::dev) condition: Condition,
}

impl AgentRow {
    /// The status of another agent in these answers.
    pub(in crate::dev) fn status_of_member(&self, name: &str) -> Option<MemberStatus> {
        let members = &self.sight.as_ref()?.members;
        members.iter().find(|member| member.name == name).map(|member| member.status)
    }

    /// The status of an instance in these answers.
    pub(in crate::dev) fn status_of_instance(
        &self,
        instance: &InstanceRow,
    ) -> Option<InstanceStatus> {
        let seen = &self.sight.as_ref()?.instances;
        seen.iter()
            .find(|seen| seen.id == instance.id && seen.node == instance.agent)
            .map(|seen| seen.status)
    }
}

impl Snapshot {
    /// The number of agents that this agent sees alive.
    pub(in crate::dev) fn alive_for(&self, agent: &AgentRow) -> usize {
        let alive = |name: &str| agent.status_of_member(name) == Some(MemberStatus::Alive);
        self.agents.iter().filter(|other| alive(&other.name)).count()
    }

    /// The number of instances that this agent sees healthy.
    pub(in crate::dev) fn healthy_for(&self, agent: &AgentRow) -> usize {
        let healthy = |instance: &&InstanceRow| {
            agent.status_of_instance(instance) == Some(InstanceStatus::Healthy)
        };
        self.instances.iter().filter(healthy).count()
    }

    /// Each status that the other agents show of an agent, once. If there are no other agents, its own answer counts.
    pub(in crate::dev) fn beliefs_of(&self, name: &str) -> Vec<MemberStatus> {
        let alone = self.agents.len() == 1;
        let others = self.agents.iter().filter(|agent| alone || agent.name != name);
        let mut beliefs = Vec::new();
        for status in others.filter_map(|agent| agent.status_of_member(name)) {
            if !beliefs.contains(&status) {
                beliefs.push(status);
            }
        }
        beliefs
    }

    /// Each status that the agents show of an instance, with the number of agents that show it.
    pub(in crate::dev) fn verdicts_on(&self, instance: &InstanceRow) -> Vec<(&'static str, usize)> {
        let mut verdicts: Vec<(&str, usize)> = Vec::new();
        for agent in self.agents.iter().filter(|agent| agent.sight.is_some()) {
            let word = agent.status_of_instance(instance).map_or("not known", output::status_word);
            match verdicts.iter_mut().find(|(said, _)| *said == word) {
                Some((_, count)) => *count += 1,
                None => verdicts.push((word, 1)),
            }
        }
        verdicts
    }

    /// Whether every agent sees all agents alive and exactly the running instances healthy.
    pub(in crate::dev) fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// Everything that keeps the cluster from being complete, one sentence for each.
    pub(in crate::dev) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for agent in &self.agents {
            if agent.sight.is_none() {
                missing.push(format!("{} does not answer", agent.name));
            }
        }
        let answering = || self.agents.iter().filter(|agent| agent.sight.is_some());
        for agent in answering() {
            let not_alive = self.agents.iter().map(|other| other.name.as_str());
            let not_alive: Vec<_> = not_alive
                .filter(|other| agent.status_of_member(other) != Some(MemberStatus::Alive))
                .collect();
            if !not_alive.is_empty() {
                missing.push(format!("{} does not see {} alive", agent.name, list(&not_alive)));
            }
        }
        for instance in &self.instances {
            let is_healthy = |agent: &AgentRow| {
                agent.status_of_instance(instance) == Some(InstanceStatus::Healthy)
            };
            let (id, running) = (&instance.id, instance.is_running);
            let wrong: Vec<_> = answering()
                .filter(|agent| is_healthy(agent) != running)
                .map(|agent| agent.name.as_str())
                .collect();
            match (wrong.as_slice(), running) {
                ([], _) => {}
                (wrong, true) => missing.push(format!("{id} is not healthy on {}", list(wrong))),
                (wrong, false) => {
                    missing.push(format!("{id} is stopped, and still healthy on {}", list(wrong)));
                }
            }
        }
        missing
    }

    /// The whole state in one line.
    pub(in crate::dev) fn summary(&self) -> String {
        const SHOWN: usize = 3;
        let missing = self.missing();
        if missing.is_empty() {
            let agents = counted(self.agents.len(), "agent");
            let running = self.instances.iter().filter(|instance| instance.is_running).count();
            let instances = counted(running, "instance");
            return format!("{agents} alive, {instances} healthy on every agent");
        }
        let more = missing.len().saturating_sub(SHOWN);
        let shown = missing.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ");
        if more == 0 { shown } else { format!("{shown}; and {more} more") }
    }
}

fn list(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

#[cfg(test)]
pub(in crate::dev) mod tests {
    use super::*;
    use hobnob_api::{Basis, NodeId};
    use std::collections::{BTreeMap, BTreeSet};

    fn member(name: &str, status: MemberStatus) -> Member {
        Member {
            name: name.to_owned(),
            node_id: NodeId(1),
            gossip_address: "127.0.0.1:1".to_owned(),
            status,
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            epoch: 1,
            down_ago_ms: None,
            name_conflict: false,
            link_silent_ms: None,
        }
    }

    fn instance(row: &InstanceRow, status: InstanceStatus) -> Instance {
        Instance {
            service: row.service.clone(),
            id: row.id.clone(),
            node: row.agent.clone(),
            node_id: NodeId(1),
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            address: row.addr.ip().to_string(),
            port: row.addr.port(),
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            weight: 1,
            namespace: "default".to_owned(),
            status,
            offered: true,
            basis: Basis::Current,
            age_ms: 0,
            scope: hobnob_api::InstanceScope::Global,
            check: None,
            draining: false,
        }
    }

    /// A complete snapshot: all agents see each other alive, and two instances healthy, on the first and on the last
    /// agent.
    pub(in crate::dev) fn complete(agents: usize) -> Snapshot {
        let names: Vec<_> = (1..=agents).map(|number| format!("a{number}")).collect();
        let row = |id: &str, agent: &str| InstanceRow {
            service: "web".to_owned(),
            id: id.to_owned(),
            agent: agent.to_owned(),
            addr: SocketAddr::from(([127, 0, 0, 1], 8001)),
            is_running: true,
            condition: Condition::Runs,
        };
        let instances = vec![row("web-1", &names[0]), row("web-2", &names[agents - 1])];
        let sight = Sight {
            members: names.iter().map(|name| member(name, MemberStatus::Alive)).collect(),
            instances: instances.iter().map(|row| instance(row, InstanceStatus::Healthy)).collect(),
        };
        let agent = |name: &String| AgentRow {
            name: name.clone(),
            gossip: SocketAddr::from(([127, 0, 0, 1], 7946)),
            sight: Some(sight.clone()),
            condition: Condition::Runs,
            is_cut_off: false,
        };
        Snapshot { agents: names.iter().map(agent).collect(), instances }
    }

    fn sight(snapshot: &mut Snapshot, agent: usize) -> &mut Sight {
        snapshot.agents[agent].sight.as_mut().unwrap()
    }

    #[test]
    fn everything_seen_everywhere_is_complete() {
        let snapshot = complete(3);
        assert!(snapshot.is_complete());
        assert_eq!(snapshot.summary(), "3 agents alive, 2 instances healthy on every agent");
        assert_eq!(complete(1).summary(), "1 agent alive, 2 instances healthy on every agent");
    }

    #[test]
    fn a_member_that_one_agent_misses_is_named() {
        let mut snapshot = complete(3);
        sight(&mut snapshot, 1).members.remove(2);
        assert_eq!(snapshot.missing(), ["a2 does not see a3 alive"]);
        sight(&mut snapshot, 0).members[2].status = MemberStatus::Down;
        assert_eq!(snapshot.beliefs_of("a3"), [MemberStatus::Down]);
        assert_eq!(snapshot.alive_for(&snapshot.agents[0]), 2);
    }

    #[test]
    fn a_long_list_is_cut() {
        let mut snapshot = complete(16);
        sight(&mut snapshot, 0).members.drain(5..);
        assert_eq!(snapshot.missing(), ["a1 does not see a6, a7, a8, a9 and 7 more alive"]);
    }

    #[test]
    fn an_instance_that_is_not_healthy_is_named_with_where() {
        let mut snapshot = complete(3);
        sight(&mut snapshot, 0).instances[1].status = InstanceStatus::Unhealthy;
        sight(&mut snapshot, 2).instances.clear();
        let missing = snapshot.missing();
        assert_eq!(missing, ["web-1 is not healthy on a3", "web-2 is not healthy on a1, a3"]);
        let verdicts = snapshot.verdicts_on(&snapshot.instances[1]);
        assert_eq!(verdicts, [("unhealthy", 1), ("healthy", 1), ("not known", 1)]);
    }

    #[test]
    fn an_instance_stopped_on_purpose_is_not_missed() {
        let mut snapshot = complete(2);
        sight(&mut snapshot, 0).instances[1].status = InstanceStatus::Unhealthy;
        snapshot.instances[1].is_running = false;
        assert_eq!(snapshot.missing(), ["web-2 is stopped, and still healthy on a2"]);
        sight(&mut snapshot, 1).instances[1].status = InstanceStatus::Unhealthy;
        assert!(snapshot.is_complete());
        assert_eq!(snapshot.summary(), "2 agents alive, 1 instance healthy on every agent");
    }

    #[test]
    fn a_silent_agent_is_named_and_a_summary_is_short() {
        let mut snapshot = complete(9);
        for agent in &mut snapshot.agents {
            agent.sight = None;
        }
        assert_eq!(
            snapshot.summary(),
            "a1 does not answer; a2 does not answer; a3 does not answer; and 6 more"
        );
    }
}
