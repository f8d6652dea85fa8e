//! How an agent does, in one line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::driver::DriverHandle;
use crate::progress::{PartProgress, Progress};
use crate::services::Registry;

/// The longest wait for the driver.
const WITHIN: Duration = Duration::from_secs(2);

/// How an agent does, for a service manager. It may outlive the agent.
#[derive(Clone)]
pub struct Monitor {
    progress: Progress,
    registry: Arc<Registry>,
    driver: DriverHandle,
}

impl Monitor {
    pub(super) fn new(progress: Progress, registry: Arc<Registry>, driver: DriverHandle) -> Self {
        Self { progress, registry, driver }
    }

    /// The first part that makes no progress.
    #[must_use]
    pub fn stuck(&self) -> Option<PartProgress> {
        self.progress.stuck(Instant::now())
    }

    /// The state of the agent in one line, such as `3 members, 12 instances of 5 services`.
    pub async fn summary(&self) -> String {
        if let Some(stuck) = self.stuck() {
            let (part, age) = (stuck.part.name(), stuck.age.as_secs());
            return format!("stuck: {part} makes no progress for {age} s");
        }
        let asked = self.driver.inspect(|node, _| (node.active_members(), node.instances().len()));
        let Ok(Ok((members, instances))) = timeout(WITHIN, asked).await else {
            return "the driver does not answer".to_owned();
        };
        let services = self.registry.services().len();
        let isolated = if self.registry.is_isolated() { "isolated; " } else { "" };
        let (members, instances) = (counted(members, "member"), counted(instances, "instance"));
        format!("{isolated}{members}, {instances} of {}", counted(services, "service"))
    }
}

/// Such as `1 member` and `2 members`.
fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
