//! The link between the datacenters, which a key cuts and heals: an operator's orders to isolate the last datacenter and the others
//! from each other.

use std::path::PathBuf;

use anyhow::anyhow;
use hobnob_api::client::Client;
use hobnob_api::{Request, Response};
use tokio::task::JoinHandle;

use super::cluster::DevAgent;
use crate::exit;

/// The link of the last datacenter to all others.
#[derive(Debug, Default)]
pub(super) struct Link {
    is_cut: bool,
    under_way: Option<JoinHandle<anyhow::Result<()>>>,
}

/// An agent, as far as orders concern it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ordered {
    /// The number of its datacenter, from 1 on.
    datacenter: usize,
    is_running: bool,
    socket: PathBuf,
}

/// An order to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    socket: PathBuf,
    /// The name of the datacenter that is to be isolated from its own, or to rejoin.
    datacenter: String,
}

impl Link {
    /// Cuts the link, or heals it if it is cut. Returns a message, unless [`Link::done`] will tell.
    pub(super) fn toggle(&mut self, agents: &[DevAgent]) -> Option<String> {
        if self.under_way.is_some() {
            return None;
        }
        let agents: Vec<Ordered> = agents
            .iter()
            .map(|agent| Ordered {
                datacenter: agent.datacenter(),
                is_running: agent.is_running(),
                socket: agent.socket.clone(),
            })
            .collect();
        match orders(&agents) {
            Ok(orders) => {
                let is_cut = !self.is_cut;
                self.under_way = Some(tokio::spawn(give(orders, is_cut)));
                None
            }
            Err(reason) => Some(reason),
        }
    }

    /// Waits until the link is cut or healed, and returns a message. Cancelling the wait loses nothing.
    pub(super) async fn done(&mut self) -> String {
        let Some(under_way) = &mut self.under_way else { return std::future::pending().await };
        let outcome = under_way.await;
        self.under_way = None;
        match outcome.map_err(anyhow::Error::from).flatten() {
            Ok(()) => {
                self.is_cut = !self.is_cut;
                told(self.is_cut).to_owned()
            }
            Err(error) => {
                let verb = if self.is_cut { "healed" } else { "cut" };
                format!(
                    "the link is {verb} in part at most: {}; c tries again",
                    exit::describe(&error)
                )
            }
        }
    }
}

/// What the change of the link means, and what shows it.
fn told(is_cut: bool) -> &'static str {
    if is_cut {
        "the link is cut: each side goes on alone and keeps what it knew of the other as unknown; \
         see `datacenters` and `resolve web --all`, and kill or stop something; c heals it"
    } else {
        "the link is healed: each side gets what the other changed meanwhile; see `datacenters` and `resolve web`"
    }
}

/// One agent of the last datacenter isolates each of the others, and one of each of the others isolates the last.
fn orders(agents: &[Ordered]) -> Result<Vec<Order>, String> {
    let last = agents.iter().map(|agent| agent.datacenter).max().unwrap_or(0);
    if last < 2 {
        return Err(
            "there is no link to cut: `hobnob dev --datacenters 2` has two datacenters".to_owned()
        );
    }
    let of = |datacenter: usize| {
        let mut running =
            agents.iter().filter(|agent| agent.datacenter == datacenter && agent.is_running);
        let agent = running.next();
        agent.ok_or_else(|| format!("the link stays as it is: no agent of dc{datacenter} runs"))
    };
    let ends = (1..last).flat_map(|other| [(last, other), (other, last)]);
    let orders = ends.map(|(at, datacenter)| {
        Ok(Order { socket: of(at)?.socket.clone(), datacenter: format!("dc{datacenter}") })
    });
    orders.collect()
}

async fn give(orders: Vec<Order>, is_cut: bool) -> anyhow::Result<()> {
    for Order { socket, datacenter } in orders {
        let request = match is_cut {
            true => Request::Isolate { datacenter, forget: false, signed: None },
            false => Request::Rejoin { datacenter, signed: None },
        };
        match Client::connect(&socket).await?.call(request).await? {
            Response::Isolation(_) => {}
            other => return Err(anyhow!("the agent answered {other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agents of these datacenters; a negative number is that of one that does not run.
    fn agents(datacenters: &[i8]) -> Vec<Ordered> {
        let agents = datacenters.iter().enumerate();
        let agent = |(n, datacenter): (usize, &i8)| Ordered {
            datacenter: usize::from(datacenter.unsigned_abs()),
            is_running: *datacenter > 0,
            socket: format!("a{n}").into(),
        };
        agents.map(agent).collect()
    }

    fn given(datacenters: &[i8]) -> Result<Vec<(String, String)>, String> {
        let text = |order: Order| (order.socket.display().to_string(), order.datacenter);
        orders(&agents(datacenters)).map(|orders| orders.into_iter().map(text).collect())
    }

    #[test]
    fn one_running_agent_of_each_side_isolates_the_other() {
        let expected = [("a3", "dc1"), ("a1", "dc2")];
        let expected = expected.map(|(agent, other)| (agent.to_owned(), other.to_owned()));
        assert_eq!(given(&[-1, 1, -2, 2, 2]), Ok(expected.to_vec()));
    }

    #[test]
    fn the_last_of_several_datacenters_is_cut_off() {
        let orders = given(&[1, 2, 3]).unwrap();
        let at: Vec<&str> = orders.iter().map(|(agent, _)| agent.as_str()).collect();
        assert_eq!(at, ["a2", "a0", "a2", "a1"]);
    }

    #[test]
    fn without_a_link_or_without_an_agent_at_an_end_nothing_is_done() {
        assert!(given(&[1, 1]).unwrap_err().contains("--datacenters 2"));
        assert!(given(&[1, -2]).unwrap_err().contains("no agent of dc2 runs"));
    }

    #[tokio::test]
    async fn an_order_that_fails_is_told_and_can_be_given_again() {
        let orders = vec![Order { socket: "/nowhere/a1.sock".into(), datacenter: "dc2".into() }];
        let mut link = Link { is_cut: false, under_way: Some(tokio::spawn(give(orders, true))) };
        let told = link.done().await;
        assert!(told.starts_with("the link is cut in part at most: "), "{told}");
        assert!(!link.is_cut && link.under_way.is_none());
    }
}
