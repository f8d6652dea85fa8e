//! The handle by which the rest of the agent calls the driver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hobnob_api::{Alias, ApiError, CheckExplained};
use hobnob_keys::SignedCommand;
use hobnob_membership::quorum::OpId;
use hobnob_membership::registering::RecordChanges;
use hobnob_membership::{Confirmers, Node, NodeId, RequestId, Time};
use tokio::sync::mpsc;

use super::commands::{Command, Confirmed, Ordered, Refused, Report};
use super::kept::KeysKept;
use super::own_checks::OwnChange;
use super::requesting::Answered;
use super::strong::{Done, NotBegun};
use crate::actor::{Reply, Stopping, ask, tell};
use crate::checks::{CheckReport, Followed};

/// The most commands that wait for the driver. When the queue is full, senders wait.
const MAX_WAITING_COMMANDS: usize = 256;
/// The most verdicts of checks that wait for the driver. When the queue is full, checkers wait.
const MAX_WAITING_REPORTS: usize = 1_024;

/// A handle to the driver. It is cheap to clone. The driver ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct DriverHandle {
    commands: mpsc::Sender<Command>,
    reports: mpsc::Sender<CheckReport>,
    disk_stalls: Arc<AtomicU64>,
    unkept_keys: Arc<AtomicU64>,
    keys_kept: Arc<KeysKept>,
}

/// The queues of messages from handles and checkers to the driver.
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) reports: mpsc::Receiver<CheckReport>,
    /// The times that the disk did not answer. The registrar counts them, and the driver reports them.
    pub(super) disk_stalls: Arc<AtomicU64>,
    /// The times that the disk refused the keys of a sealed cluster.
    pub(super) unkept_keys: Arc<AtomicU64>,
    pub(super) keys_kept: Arc<KeysKept>,
}

impl DriverHandle {
    /// A handle, and the inbox for everything that the handle and its clones send.
    pub(super) fn channel() -> (Self, Inbox) {
        let (commands, commands_received) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (reports, reports_received) = mpsc::channel(MAX_WAITING_REPORTS);
        let (disk_stalls, unkept_keys) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let keys_kept = Arc::<KeysKept>::default();
        let inbox = Inbox {
            commands: commands_received,
            reports: reports_received,
            disk_stalls: disk_stalls.clone(),
            unkept_keys: unkept_keys.clone(),
            keys_kept: keys_kept.clone(),
        };
        (Self { commands, reports, disk_stalls, unkept_keys, keys_kept }, inbox)
    }

    /// Counts that the disk does not answer.
    pub(crate) fn count_disk_stall(&self) {
        self.disk_stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts that the disk refused the keys of a sealed cluster.
    pub(crate) fn count_unkept_keys(&self) {
        self.unkept_keys.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the disk has the keys of a sealed cluster.
    pub(crate) fn keys_kept(&self) -> &KeysKept {
        &self.keys_kept
    }

    /// The queue for verdicts of checks. Verdicts pass everything that may wait for the disk.
    pub(crate) fn reports(&self) -> mpsc::Sender<CheckReport> {
        self.reports.clone()
    }

    /// A handle without a driver, for tests that need none.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self::channel().0
    }

    /// A handle of a driver that answers nothing, for tests. It stops when the other value is dropped.
    #[cfg(test)]
    pub(crate) fn silent() -> (Self, impl Send) {
        Self::channel()
    }

    /// Checks that [`DriverHandle::write`] would take these records, and that this agent is not silent.
    pub(crate) async fn check_write(&self, records: RecordChanges) -> Result<(), Refused> {
        ask(&self.commands, |reply| Command::Check { records, reply }).await?
    }

    /// Writes records of our own. They are visible here when this returns. None of them is when the node refuses them.
    pub(crate) async fn write(&self, records: RecordChanges) -> Result<(), Refused> {
        let change = None;
        ask(&self.commands, |reply| Command::Write { records, change, reply }).await?
    }

    /// Like [`DriverHandle::write`]. In the same step, what decides the health of the instance changes, and its health is
    /// written, unless the instance is no longer there.
    pub(crate) async fn write_with_checks(
        &self,
        records: RecordChanges,
        instance: Arc<str>,
        change: OwnChange,
    ) -> Result<(), Refused> {
        let change = Some(Box::new((instance, change)));
        ask(&self.commands, |reply| Command::Write { records, change, reply }).await?
    }

    /// The checks of an instance of this agent, and their latest verdicts.
    pub(crate) async fn checks(&self, instance: String) -> Result<Vec<CheckExplained>, Stopping> {
        ask(&self.commands, |reply| Command::ExplainChecks { instance, reply }).await
    }

    /// The checks of all instances of this agent.
    pub(crate) async fn all_checks(
        &self,
    ) -> Result<BTreeMap<Arc<str>, Vec<CheckExplained>>, Stopping> {
        ask(&self.commands, |reply| Command::ExplainAllChecks { reply }).await
    }

    /// What an alias of the instance `follower` follows.
    pub(super) async fn follow(
        &self,
        alias: Alias,
        follower: Arc<str>,
    ) -> Result<Followed, Stopping> {
        ask(&self.commands, |reply| Command::Follow { alias, follower, reply }).await
    }

    /// Joins at these gossip addresses. Returns the first address that answers.
    /// With `wan`, they are of members of other datacenters.
    pub(crate) async fn join(
        &self,
        addresses: Vec<SocketAddr>,
        wan: bool,
    ) -> Result<SocketAddr, Refused> {
        ask(&self.commands, |reply| Command::Join { addresses, wan, reply }).await?
    }

    /// Like [`DriverHandle::join`], without waiting for the answer.
    pub(crate) async fn begin_join(
        &self,
        addresses: Vec<SocketAddr>,
        wan: bool,
    ) -> Result<(), Stopping> {
        tell(&self.commands, Command::Join { addresses, wan, reply: Reply::unread() }).await
    }

    /// Tells the driver that an address to join at is the agent's own.
    pub(crate) async fn expect_nobody_at(&self, address: String) -> Result<(), Stopping> {
        tell(&self.commands, Command::ExpectNobodyAt { address }).await
    }

    /// Leaves the cluster. The driver ends when that is done.
    pub(crate) async fn leave(&self) -> Result<(), Stopping> {
        tell(&self.commands, Command::Leave).await
    }

    /// Stops without leaving: the members that hold a connection to this one are told that it stops as planned. The driver
    /// ends when that is done.
    pub(crate) async fn stop(&self) -> Result<(), Stopping> {
        tell(&self.commands, Command::Stop).await
    }

    /// Drops what the node remembers of these members, each with the order that a sealed cluster needs. Returns those that it
    /// dropped; none of them is active.
    pub(crate) async fn prune(
        &self,
        members: Vec<(NodeId, Option<SignedCommand>)>,
    ) -> Result<Vec<NodeId>, Stopping> {
        ask(&self.commands, |reply| Command::Prune { members, reply }).await
    }

    /// Waits until members have applied what this one has written so far, for so long at most.
    ///
    /// # Errors
    /// Nobody is asked, or this agent is stopping.
    pub(crate) async fn confirm(
        &self,
        by: Confirmers,
        within: Duration,
    ) -> Result<Confirmed, Refused> {
        ask(&self.commands, |reply| Command::Confirm { by, within, reply }).await?
    }

    /// Asks the agent of a living member, and waits for its answer, for so long at most.
    pub(crate) async fn request(
        &self,
        to: NodeId,
        bytes: Vec<u8>,
        within: Duration,
    ) -> Result<Answered, Stopping> {
        ask(&self.commands, |reply| Command::Request { to, bytes, within, reply }).await
    }

    /// Pings members of the own pool for echoes. Returns those that were pinged.
    pub(crate) async fn ask_for_echoes(&self, of: Vec<NodeId>) -> Result<Vec<NodeId>, Stopping> {
        ask(&self.commands, |reply| Command::AskForEchoes { of, reply }).await
    }

    /// Answers the request of another agent, if that still waits.
    pub(crate) async fn answer(&self, request: RequestId, bytes: Vec<u8>) -> Result<(), Stopping> {
        tell(&self.commands, Command::Answer { request, bytes }).await
    }

    /// Begins a strong read or write, and waits for its end. The operation has a time limit of its own.
    ///
    /// # Errors
    /// The operation was not begun, or did not end as it should; or this agent is stopping.
    pub(crate) async fn strongly(
        &self,
        begin: impl FnOnce(&mut Node, Time) -> Result<OpId, NotBegun> + Send + 'static,
    ) -> Result<Done, ApiError> {
        let (begin, is_change) = (Box::new(begin), false);
        ask(&self.commands, |reply| Command::Strong { begin, is_change, reply }).await?
    }

    /// The same for a change of voters.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn change_voters(
        &self,
        begin: impl FnOnce(&mut Node, Time) -> Result<OpId, NotBegun> + Send + 'static,
    ) -> Result<Done, ApiError> {
        let (begin, is_change) = (Box::new(begin), true);
        ask(&self.commands, |reply| Command::Strong { begin, is_change, reply }).await?
    }

    /// Takes an operator's word that what this agent keeps as a voter is all that it wrote. Returns whether there was something to
    /// vouch for.
    pub(crate) async fn vouch(&self) -> Result<bool, Stopping> {
        ask(&self.commands, |reply| Command::Vouch { reply }).await
    }

    /// Begins to ask the members of a sealed cluster which keys they hold.
    pub(crate) async fn survey(&self) -> Result<(), Stopping> {
        ask(&self.commands, |reply| Command::Survey { reply }).await
    }

    /// Decides on an order by the node, and hands it to the node in the same step. Its effect is visible here when this returns.
    /// Everything else waits meanwhile, so `decide` must not block.
    ///
    /// # Errors
    /// `decide` refuses, or this agent is stopping.
    pub(crate) async fn order<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&Node, Time) -> Result<Ordered<T>, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (answered, answer) = Reply::channel();
        let decide = Box::new(move |node: &Node, now: Time| match decide(node, now) {
            Ok(Ordered { inputs, answer }) => {
                let told: Box<dyn FnOnce() + Send> = Box::new(move || answered.send(Ok(answer)));
                (inputs, told)
            }
            Err(refusal) => {
                let told: Box<dyn FnOnce() + Send> = Box::new(move || answered.send(Err(refusal)));
                (Vec::new(), told)
            }
        });
        tell(&self.commands, Command::Order(decide)).await?;
        answer.await.map_err(|_| Stopping)?
    }

    /// Reads the node between two of its inputs. Everything else waits meanwhile, so `read` must not block.
    pub(crate) async fn inspect<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Node, Time) -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        ask(&self.commands, |reply| {
            Command::Inspect(Box::new(move |node, now| reply.send(read(node, now))))
        })
        .await
    }

    /// The counters of the node and of the tasks around it, and the state of TCP probes.
    pub(crate) async fn report(&self) -> Result<Report, Stopping> {
        ask(&self.commands, |reply| Command::Report { reply }).await
    }
}
