//! A running agent: everything started in order, and stopped in the opposite one.

mod error;
mod monitor;
mod reminder;
mod start;
mod task;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::EventKind;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::AgentConfig;
use crate::doors::threads::DoorThreads;
use crate::driver::{DriverHandle, Ended};
use crate::history::{By, Event, History};
use crate::info::AgentInfo;
use crate::progress::Progress;
use crate::reloading::Reloader;
use crate::services::Registry;
use task::Task;

pub use error::StartError;
pub use monitor::Monitor;
pub use task::PartEnded;

/// A node that leaves needs some 300 ms to tell everybody; it is not waited for longer than this. One that keeps its records
/// in the cluster stops at once.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The longest wait for the disk to take the end of the history.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// A running agent. Dropping it stops it at once, as a crash would; [`Agent::shutdown`] leaves the cluster first.
pub struct Agent {
    info: AgentInfo,
    socket: PathBuf,
    query_socket: Option<PathBuf>,
    keep_on_exit: bool,
    driver: DriverHandle,
    driving: Task<Ended>,
    server: Task<()>,
    http: Option<(SocketAddr, Task<()>)>,
    dns: Option<Task<()>>,
    progress: Progress,
    registry: Arc<Registry>,
    /// Ends after the server.
    doors: DoorThreads,
    registrar: Task<()>,
    reloading: Task<()>,
    reloader: Reloader,
    history: History,
    keeping: Task<()>,
    seeding: Task<()>,
    answering: Task<()>,
    timing: Task<()>,
    leave: mpsc::Receiver<()>,
    reminding: Task<()>,
}

impl Agent {
    /// Starts an agent. When this returns, its sockets are bound, its registrations restored and its API answers.
    ///
    /// # Errors
    /// When a part of the configuration is wrong or in use; see [`StartError`].
    pub async fn start(config: AgentConfig) -> Result<Self, StartError> {
        start::start(config).await
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The address that takes gossip.
    #[must_use]
    pub fn gossip_addr(&self) -> SocketAddr {
        self.info.gossip_addr
    }

    /// The address that takes sync streams.
    #[must_use]
    pub fn sync_addr(&self) -> SocketAddr {
        self.info.sync_addr
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its query socket, if it has one.
    #[must_use]
    pub fn query_socket(&self) -> Option<&Path> {
        self.query_socket.as_deref()
    }

    /// Asks it to read its configuration again.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The address that answers HTTP, if there is one.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(addr, _)| *addr)
    }

    /// How this agent does, for a service manager.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.progress.clone(), self.registry.clone(), self.driver.clone())
    }

    /// Resolves when the agent should stop because a client asked it to leave. [`Agent::shutdown`] does the rest.
    ///
    /// # Errors
    /// A part of the agent ended by itself. The rest of it must not go on alone: drop the agent, and start it again.
    pub async fn stopped(&mut self) -> Result<(), PartEnded> {
        tokio::select! {
            Some(()) = self.leave.recv() => {
                self.keep_on_exit = false;
                Ok(())
            }
            ended = self.driving.ended() => Err(ended),
            ended = self.server.ended() => Err(ended),
            ended = http_ended(&mut self.http) => Err(ended),
            ended = dns_ended(&mut self.dns) => Err(ended),
            ended = self.registrar.ended() => Err(ended),
            ended = self.reloading.ended() => Err(ended),
            ended = self.keeping.ended() => Err(ended),
            ended = self.timing.ended() => Err(ended),
            ended = self.reminding.ended() => Err(ended),
            failed = self.seeding.failed() => Err(failed),
            failed = self.answering.failed() => Err(failed),
        }
    }

    /// Stops the agent: leaves the cluster unless it was told to keep its records there, and removes its sockets.
    pub async fn shutdown(self) {
        let Self {
            keep_on_exit,
            driver,
            driving,
            server,
            http,
            dns,
            progress,
            registrar,
            reloading,
            reloader,
            seeding,
            answering,
            timing,
            doors,
            reminding,
            history,
            keeping,
            ..
        } = self;
        progress.begin_leaving();
        drop(reloader);
        reloading.stop().await;
        reminding.stop().await;
        timing.stop().await;
        seeding.stop().await;
        if keep_on_exit {
            // Fails only when the driver has ended already.
            let _ = driver.stop().await;
            if !driving.ends_within(LEAVE_WITHIN).await {
                tracing::warn!(
                    "the monitors of this agent could not be told in time that it stops as planned"
                );
            }
        } else {
            // Fails only when the driver has ended already.
            let _ = driver.leave().await;
            if !driving.ends_within(LEAVE_WITHIN).await {
                tracing::warn!("the cluster could not be told in time that this agent leaves");
            }
        }
        server.stop().await;
        if let Some((_, http)) = http {
            http.stop().await;
        }
        if let Some(dns) = dns {
            dns.stop().await;
        }
        answering.stop().await;
        drop(doors);
        if !registrar.ends_within(LEAVE_WITHIN).await {
            tracing::warn!("the data directory did not come to rest in time");
        }
        let why = if keep_on_exit {
            "its records stay in the cluster"
        } else {
            "it leaves the cluster, and its instances with it"
        };
        let stopped = Event::new(EventKind::AgentStopped, By::agent());
        history.record(stopped.to(env!("CARGO_PKG_VERSION")).why(why));
        if timeout(REST_WITHIN, history.rest()).await.is_err() {
            tracing::warn!("the end of the history could not be written in time");
        }
        keeping.stop().await;
    }
}

/// Resolves when the DNS door ends by itself; never if there is none.
async fn dns_ended(dns: &mut Option<Task<()>>) -> PartEnded {
    match dns {
        Some(server) => server.ended().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the HTTP door ends by itself; never if there is none.
async fn http_ended(http: &mut Option<(SocketAddr, Task<()>)>) -> PartEnded {
    match http {
        Some((_, server)) => server.ended().await,
        None => std::future::pending().await,
    }
}
