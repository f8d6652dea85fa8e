//! The addresses to join at. Names are looked up in parallel, until they resolve, and again from then on: a name may lead
//! elsewhere tomorrow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hobnob_api::address::{GossipAddress, is_of_one_host};
use rand::RngExt;
use tokio::time::sleep;

use crate::actor::Stopping;
use crate::driver::DriverHandle;
use crate::info::AgentInfo;
use crate::services::Registry;

/// The time from one lookup of a name to the next while it does not resolve, or while the agent is alone.
const RESOLVE_WHILE_ALONE: Duration = Duration::from_secs(5);
/// The same once the agent has found members.
const RESOLVE_NOW_AND_THEN: Duration = Duration::from_secs(120);

/// A name to join at leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the address `{address}` cannot be resolved: {reason}")]
pub(crate) struct Unresolvable {
    address: GossipAddress,
    reason: String,
}

/// The socket addresses behind an address to join at. IPv4 addresses in IPv6 form are IPv4 addresses here.
pub(crate) async fn resolve(address: GossipAddress) -> Result<Vec<SocketAddr>, Unresolvable> {
    if let Some(found) = address.socket_addr() {
        return Ok(vec![found]);
    }
    match tokio::net::lookup_host(address.to_string()).await {
        Ok(found) => of_one_host_each(address, &found.map(canonical).collect::<Vec<_>>()),
        Err(error) => Err(Unresolvable { address, reason: error.to_string() }),
    }
}

/// The addresses to which gossip can be sent, of all that a name has.
fn of_one_host_each(
    address: GossipAddress,
    found: &[SocketAddr],
) -> Result<Vec<SocketAddr>, Unresolvable> {
    let usable: Vec<_> = found.iter().copied().filter(|found| is_of_one_host(found.ip())).collect();
    if usable.is_empty() {
        let reason = match found.first() {
            Some(first) => {
                format!("it leads to {}, which is not the address of one host", first.ip())
            }
            None => "the name has no address".to_owned(),
        };
        return Err(Unresolvable { address, reason });
    }
    Ok(usable)
}

fn canonical(found: SocketAddr) -> SocketAddr {
    SocketAddr::new(found.ip().to_canonical(), found.port())
}

/// The parts of the agent and of the system that seeding needs.
pub(crate) trait Surroundings: Sync {
    /// The socket addresses behind a name.
    fn resolve(
        &self,
        address: GossipAddress,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, Unresolvable>> + Send;

    /// Whether gossip to this address comes back to the agent itself.
    fn is_own(&self, address: SocketAddr) -> bool;

    /// Whether the agent hears no other member.
    fn is_alone(&self) -> bool;

    /// Says hello at these addresses.
    fn join(&self, addresses: Vec<SocketAddr>)
    -> impl Future<Output = Result<(), Stopping>> + Send;

    /// Takes note that an address to join at is the agent's own.
    fn expect_nobody_at(
        &self,
        address: String,
    ) -> impl Future<Output = Result<(), Stopping>> + Send;
}

/// The agent, and the resolver of the system.
pub(crate) struct Live {
    pub(crate) info: AgentInfo,
    pub(crate) registry: Arc<Registry>,
    pub(crate) driver: DriverHandle,
    /// Whether the addresses are of members of other datacenters.
    pub(crate) wan: bool,
}

impl Surroundings for Live {
    async fn resolve(&self, address: GossipAddress) -> Result<Vec<SocketAddr>, Unresolvable> {
        resolve(address).await
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.info.is_own(address)
    }

    fn is_alone(&self) -> bool {
        // The node itself asks again at an address until its datacenter is known.
        !self.wan && self.registry.is_isolated()
    }

    async fn join(&self, addresses: Vec<SocketAddr>) -> Result<(), Stopping> {
        self.driver.begin_join(addresses, self.wan).await
    }

    async fn expect_nobody_at(&self, address: String) -> Result<(), Stopping> {
        match self.wan {
            true => Ok(()),
            false => self.driver.expect_nobody_at(address).await,
        }
    }
}

/// Joins at the addresses that an agent was started with and at its former peers: those that need no lookup at once, names
/// as they resolve. Ends when the agent stops, or when there is no name.
pub(crate) async fn seed(
    addresses: Vec<String>,
    former_peers: Vec<SocketAddr>,
    around: impl Surroundings,
) {
    let mut known = Vec::new();
    let mut names = Vec::new();
    for text in addresses {
        // The configuration was checked.
        let Ok(address) = text.parse::<GossipAddress>() else { continue };
        match address.socket_addr() {
            Some(found) => known.push((text, found)),
            None => names.push((text, address)),
        }
    }
    known.extend(former_peers.into_iter().map(|peer| (peer.to_string(), canonical(peer))));
    let (own, others): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|(_, found)| around.is_own(*found));
    let others: Vec<_> = others.into_iter().map(|(_, found)| found).collect();
    if !others.is_empty() && around.join(others).await.is_err() {
        return;
    }
    for (text, _) in own {
        if around.expect_nobody_at(text).await.is_err() {
            return;
        }
    }
    join_all(names.into_iter().map(|(text, address)| follow(text, address, &around))).await;
}

/// Looks a name up again and again, and joins wherever it leads anew.
async fn follow(text: String, address: GossipAddress, around: &impl Surroundings) {
    let mut led_to: Option<Vec<SocketAddr>> = None;
    let mut has_failed = false;
    loop {
        match around.resolve(address.clone()).await {
            Ok(mut found) => {
                found.sort_unstable();
                if led_to.as_ref() != Some(&found) {
                    let elsewhere: Vec<_> =
                        found.iter().copied().filter(|found| !around.is_own(*found)).collect();
                    let told = if elsewhere.is_empty() {
                        around.expect_nobody_at(text.clone()).await
                    } else {
                        around.join(elsewhere).await
                    };
                    if told.is_err() {
                        return;
                    }
                }
                (led_to, has_failed) = (Some(found), false);
            }
            Err(error) => {
                // Once for each time that the name ceases to resolve.
                if !has_failed {
                    tracing::warn!(%error, "an address to join at is tried again until it resolves");
                }
                has_failed = true;
            }
        }
        let pause = match has_failed || around.is_alone() {
            true => RESOLVE_WHILE_ALONE,
            false => RESOLVE_NOW_AND_THEN,
        };
        // Agents that started together do not go on asking together.
        let stretch = 0.75 + rand::rng().random::<f64>() / 2.0;
        sleep(pause.mul_f64(stretch)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::pending;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::timeout;

    use super::*;

    /// A resolver that answers what it is told to, and nothing for a name that it is told nothing of.
    #[derive(Default)]
    struct Fake {
        names: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
        joined: Mutex<Vec<SocketAddr>>,
        own: Mutex<Vec<String>>,
        alone: AtomicBool,
    }

    impl Surroundings for Arc<Fake> {
        async fn resolve(&self, address: GossipAddress) -> Result<Vec<SocketAddr>, Unresolvable> {
            let name = address.to_string();
            let found = self.names.lock().expect("no panic").get(&name).cloned();
            match found {
                Some(found) if found.is_empty() => {
                    Err(Unresolvable { address, reason: "no such name".to_owned() })
                }
                Some(found) => Ok(found),
                None => pending().await,
            }
        }

        fn is_own(&self, address: SocketAddr) -> bool {
            address.port() == 1
        }

        fn is_alone(&self) -> bool {
            self.alone.load(Ordering::Relaxed)
        }

        async fn join(&self, addresses: Vec<SocketAddr>) -> Result<(), Stopping> {
            self.joined.lock().expect("no panic").extend(addresses);
            Ok(())
        }

        async fn expect_nobody_at(&self, address: String) -> Result<(), Stopping> {
            self.own.lock().expect("no panic").push(address);
            Ok(())
        }
    }

    impl Fake {
        fn lead(&self, name: &str, to: &[&str]) {
            let to = to.iter().map(|to| addr(to)).collect();
            self.names.lock().expect("no panic").insert(name.to_owned(), to);
        }

        fn joined(&self) -> Vec<String> {
            let mut joined = self.joined.lock().expect("no panic");
            joined.drain(..).map(|address| address.to_string()).collect()
        }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    async fn run_for(seconds: u64, seeding: &mut (impl Future<Output = ()> + Unpin)) {
        assert!(timeout(Duration::from_secs(seconds), seeding).await.is_err(), "it goes on");
    }

    fn texts(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_answers_for_delays_neither_addresses_nor_peers_nor_names() {
        let fake = Arc::new(Fake::default());
        fake.lead("good:7946", &["10.0.0.3:7946"]);
        let join = texts(&["slow", "10.0.0.7", "[::ffff:10.0.0.8]:7946", "good"]);
        let seeding = seed(join, vec![addr("10.0.0.9:7946")], fake.clone());
        run_for(0, &mut Box::pin(seeding)).await;
        assert_eq!(
            fake.joined(),
            ["10.0.0.7:7946", "10.0.0.8:7946", "10.0.0.9:7946", "10.0.0.3:7946"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_soon_while_alone_and_now_and_then_after() {
        let fake = Arc::new(Fake::default());
        fake.lead("seed:7946", &["10.0.0.1:7946"]);
        fake.alone.store(true, Ordering::Relaxed);
        let mut seeding = Box::pin(seed(texts(&["seed"]), Vec::new(), fake.clone()));
        run_for(60, &mut seeding).await;
        assert_eq!(fake.joined(), ["10.0.0.1:7946"], "once, for as long as it leads there");
        fake.lead("seed:7946", &["10.0.0.2:7946"]);
        run_for(7, &mut seeding).await;
        assert_eq!(fake.joined(), ["10.0.0.2:7946"]);
        fake.alone.store(false, Ordering::Relaxed);
        run_for(7, &mut seeding).await;
        fake.lead("seed:7946", &["10.0.0.3:7946"]);
        run_for(60, &mut seeding).await;
        assert_eq!(fake.joined(), Vec::<String>::new());
        run_for(150, &mut seeding).await;
        assert_eq!(fake.joined(), ["10.0.0.3:7946"]);
        fake.lead("seed:7946", &[]);
        run_for(300, &mut seeding).await;
        fake.lead("seed:7946", &["10.0.0.4:7946"]);
        run_for(7, &mut seeding).await;
        assert_eq!(fake.joined(), ["10.0.0.4:7946"], "soon after it failed");
    }

    #[test]
    fn addresses_that_lead_to_no_host_or_to_many_are_left_out() {
        let seed = || "seed:7946".parse().expect("an address");
        let blocked = of_one_host_each(seed(), &[addr("0.0.0.0:7946"), addr("[ff02::1]:7946")]);
        let error = blocked.expect_err("nobody is there").to_string();
        assert!(error.contains("`seed:7946`") && error.contains("0.0.0.0"), "{error}");
        let found = of_one_host_each(seed(), &[addr("[::]:7946"), addr("10.0.0.2:7946")]);
        assert_eq!(found.expect("one"), [addr("10.0.0.2:7946")]);
        assert!(of_one_host_each(seed(), &[]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_expected_at_an_address_of_our_own() {
        let fake = Arc::new(Fake::default());
        fake.lead("me:1", &["10.0.0.1:1"]);
        fake.lead("both:7946", &["10.0.0.1:1", "10.0.0.2:7946"]);
        let join = texts(&["me:1", "both", "10.0.0.9:1"]);
        run_for(60, &mut Box::pin(seed(join, Vec::new(), fake.clone()))).await;
        assert_eq!(fake.joined(), ["10.0.0.2:7946"]);
        assert_eq!(*fake.own.lock().expect("no panic"), ["10.0.0.9:1", "me:1"]);
    }
}
