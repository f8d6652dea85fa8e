//! A driver in a sealed cluster, by itself.

use std::time::Duration;

use hobnob_keys::{OperatorCredential, Roles};
use hobnob_membership::testing::sealed::{SealedCluster, node_key};
use hobnob_membership::{Input, Node, Sealing, Time};
use tokio::time::{Instant, sleep};

use super::super::{Entering, Persist};
use crate::testing::IdleDriver;

/// Node 1 with a token of the founder, and its credential.
fn founder() -> (Sealing, OperatorCredential) {
    let cluster = SealedCluster::default();
    let certificate = cluster.certificate(&cluster.token(3, Roles::FOUNDER), 1);
    let sealing = Sealing::new(cluster.trust(), certificate.clone()).expect("it counts");
    let credential = OperatorCredential::new(node_key(1), certificate, &cluster.trust());
    (sealing, credential.expect("a founder"))
}

fn generation(node: &Node, now: Time) -> Option<u64> {
    node.generations(now)
        .iter()
        .find_map(|(generation, in_use)| in_use.then(|| generation.id().number))
}

/// When a driver that joins at these addresses holds a generation, within a minute.
async fn founded_after(join: &[String], credential: bool) -> Option<Duration> {
    let (sealing, founder) = founder();
    let IdleDriver { driver, handle, .. } = IdleDriver::sealed(sealing, join).await;
    let driver = driver.entering(Entering::sealed(credential.then_some(founder)));
    let (began, _task) = (Instant::now(), tokio::spawn(driver.run()));
    while began.elapsed() < Duration::from_secs(60) {
        if handle.inspect(generation).await.expect("it runs") == Some(1) {
            return Some(began.elapsed());
        }
        sleep(Duration::from_millis(10)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_founder_without_company_founds_at_once_and_with_company_after_a_while() {
    let seeds = ["seed:7946".to_owned()];
    let alone = founded_after(&[], true).await.expect("founded");
    let patient = founded_after(&seeds, true).await.expect("founded");
    assert!(
        alone < Duration::from_secs(1) && patient > Duration::from_secs(2),
        "{alone:?} {patient:?}"
    );
    assert_eq!(founded_after(&[], false).await, None, "it has no credential");
}

#[tokio::test(start_paused = true)]
async fn a_founder_whose_only_address_to_join_at_is_its_own_founds_at_once() {
    let (sealing, founder) = founder();
    let seed = "seed:7946".to_owned();
    let IdleDriver { driver, handle, .. } =
        IdleDriver::sealed(sealing, std::slice::from_ref(&seed)).await;
    let task = tokio::spawn(driver.entering(Entering::sealed(Some(founder))).run());
    assert_eq!(handle.inspect(generation).await, Ok(None), "somebody may be there");
    handle.expect_nobody_at(seed).await.expect("it runs");
    handle.report().await.expect("it runs");
    tokio::task::yield_now().await;
    assert_eq!(handle.inspect(generation).await, Ok(Some(1)));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_founder_that_was_refused_founds_nothing_and_says_why() {
    let (sealing, founder) = founder();
    let IdleDriver { driver, handle, .. } =
        IdleDriver::sealed(sealing, &["seed:7946".to_owned()]).await;
    let mut driver = driver.entering(Entering::sealed(Some(founder)));
    driver.note_refusal("expired".to_owned());
    let _task = tokio::spawn(driver.run());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(handle.inspect(generation).await, Ok(None));
    assert_eq!(handle.report().await.expect("it runs").refusal.as_deref(), Some("expired"));
    sleep(Duration::from_secs(90)).await;
    assert_eq!(handle.report().await.expect("it runs").refusal, None, "nobody repeats it");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_refused_says_so_although_it_holds_a_generation() {
    let cluster = SealedCluster::default();
    let sealing = cluster.sealing(1).with_generation(cluster.generation(1, 1), true);
    let IdleDriver { driver, handle, .. } = IdleDriver::sealed(sealing, &[]).await;
    let mut driver = driver.entering(Entering::sealed(None));
    driver.note_refusal("revoked".to_owned());
    let _task = tokio::spawn(driver.run());
    assert_eq!(handle.inspect(generation).await, Ok(Some(1)));
    assert_eq!(handle.report().await.expect("it runs").refusal.as_deref(), Some("revoked"));
}

#[tokio::test(start_paused = true)]
async fn changes_of_the_keys_are_kept_in_groups_and_again_if_nobody_took_them() {
    let cluster = SealedCluster::default();
    let sealing = cluster.sealing(1).with_generation(cluster.generation(1, 1), true);
    let IdleDriver { mut driver, mut persisted, clock, .. } =
        IdleDriver::sealed(sealing, &[]).await;
    let mut kept = Vec::new();
    let began = Instant::now();
    for number in 2..200 {
        let generation = cluster.generation(number, 1);
        driver.node.handle(Input::Rotate(generation), clock.now());
        driver.drain();
        driver.save_keys_if_due(Instant::now());
        while let Ok(Persist::Keys(keys, _)) = persisted.try_recv() {
            kept.push(keys);
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(
        began.elapsed() > Duration::from_secs(9) && (15..=25).contains(&kept.len()),
        "{}",
        kept.len()
    );
    // The queue has room for one: the next one waits, and is not lost.
    for number in [200, 201] {
        driver.node.handle(Input::Rotate(cluster.generation(number, 1)), clock.now());
        driver.drain();
        sleep(Duration::from_secs(3)).await;
        driver.save_keys_if_due(Instant::now());
    }
    assert!(driver.key_saving.due_at().is_some(), "it is tried again");
    persisted.recv().await.expect("the first one");
    sleep(Duration::from_secs(3)).await;
    driver.save_keys_if_due(Instant::now());
    let Some(Persist::Keys(keys, _)) = persisted.recv().await else { panic!("no keys") };
    assert!(keys.generations.iter().any(|(generation, _)| generation.id().number == 201));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_agent_says_nothing_more_and_still_answers() {
    let cluster = SealedCluster::default();
    let sealing = |n| cluster.sealing(n).with_generation(cluster.generation(1, 1), true);
    let other = IdleDriver::sealed(sealing(2), &[]).await;
    let _other_task = tokio::spawn(other.driver.entering(Entering::sealed(None)).run());
    let join = async |sealing| {
        let IdleDriver { driver, handle, .. } = IdleDriver::sealed(sealing, &[]).await;
        let task = tokio::spawn(driver.entering(Entering::sealed(None)).run());
        handle.begin_join(vec![other.addr], false).await.expect("it runs");
        sleep(Duration::from_secs(10)).await;
        task.abort();
        let counters = other.handle.report().await.expect("it runs").counters;
        (counters["datagrams_received"], counters["quic_connections_accepted"])
    };
    let revoked = sealing(1).with_revocations([cluster.revoke(1)]);
    assert_eq!(join(revoked).await, (0, 0), "it says nothing");
    assert!(join(sealing(1)).await.0 > 0, "another one does");
    let revoked = sealing(1).with_revocations([cluster.revoke(1)]);
    let IdleDriver { driver, handle, registry, .. } = IdleDriver::sealed(revoked, &[]).await;
    let _task = tokio::spawn(driver.entering(Entering::sealed(None)).run());
    let about = |node: &Node, _| (node.is_revoked(node.identity().node_id), node.active_members());
    assert_eq!(handle.inspect(about).await, Ok((true, 1)), "it answers");
    assert!(registry.is_isolated());
}
