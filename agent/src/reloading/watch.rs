//! Notices changes in the directory of service definitions.

use std::path::Path;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A directory is read when nothing has changed in it for this long. Whoever writes files rarely writes one alone.
const QUIET_FOR: Duration = Duration::from_millis(300);
/// It is read after this time at the latest.
const READ_AFTER: Duration = Duration::from_secs(3);

/// Watches a directory until it is dropped.
pub(super) struct Watch {
    _watcher: RecommendedWatcher,
    waiting: JoinHandle<()>,
}

impl Watch {
    /// Sends to `changed` after changes in the directory; one that waits there already is enough. `None`, and a warning if
    /// one is wanted, when the system does not watch it.
    pub(super) fn start(dir: &Path, changed: mpsc::Sender<()>, warns: bool) -> Option<Self> {
        let (seen, changes) = mpsc::channel(1);
        match watcher(dir, seen) {
            Ok(watcher) => {
                let waiting = tokio::spawn(wait(changes, changed));
                Some(Self { _watcher: watcher, waiting })
            }
            Err(error) => {
                if warns {
                    tracing::warn!(
                        dir = %dir.display(),
                        %error,
                        "the directory of service definitions is not watched: after a change, run `hobnob reload` or send SIGHUP"
                    );
                }
                None
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

fn watcher(dir: &Path, seen: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // To read a file is an access, too. After an error, such as a lost event, the files may have changed.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // Full means that one waits already.
            let _ = seen.try_send(());
        }
    })?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Passes changes on once it is quiet.
async fn wait(mut changes: mpsc::Receiver<()>, changed: mpsc::Sender<()>) {
    while changes.recv().await.is_some() {
        let latest = Instant::now() + READ_AFTER;
        loop {
            let quiet = latest.min(Instant::now() + QUIET_FOR);
            let is_quiet = timeout_at(quiet, changes.recv()).await.is_err();
            if is_quiet || Instant::now() >= latest {
                break;
            }
        }
        // Full means that a change waits to be read already.
        let _ = changed.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_passed_on_once_it_is_quiet() {
        let (seen, changes) = mpsc::channel(1);
        let (changed, mut passed) = mpsc::channel(1);
        let _waiting = tokio::spawn(wait(changes, changed));
        let began = Instant::now();
        for _ in 0..4 {
            seen.send(()).await.expect("taken");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        passed.recv().await.expect("a change");
        assert_eq!(began.elapsed(), Duration::from_millis(900), "300 ms after the last one");
        assert!(passed.try_recv().is_err(), "all of them are one");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_an_end_are_passed_on_all_the_same() {
        let (seen, changes) = mpsc::channel(1);
        let (changed, mut passed) = mpsc::channel(1);
        let _waiting = tokio::spawn(wait(changes, changed));
        let writing = tokio::spawn(async move {
            while seen.send(()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let began = Instant::now();
        passed.recv().await.expect("a change");
        assert!(began.elapsed() >= READ_AFTER && began.elapsed() < READ_AFTER + QUIET_FOR);
        writing.abort();
    }
}
