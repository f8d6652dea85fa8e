//! Threads of their own for clients, so that no call keeps the driver, checks or timers waiting.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// The most threads that answer clients.
const MAX_THREADS: usize = 8;
/// Their name, as `top -H` shows it.
const NAME: &str = "hobnob-doors";

/// The threads that serve all doors. Dropping them ends every connection.
#[derive(Debug)]
pub(crate) struct DoorThreads {
    handle: Handle,
    /// `None` at the end.
    runtime: Option<Runtime>,
}

impl DoorThreads {
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let count = available_parallelism().map_or(1, usize::from).clamp(1, MAX_THREADS);
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(count).thread_name(NAME).enable_all();
        let runtime = runtime.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// The handle by which a door spawns its tasks.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for DoorThreads {
    fn drop(&mut self) {
        // A plain drop would wait, which the task of the agent must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
