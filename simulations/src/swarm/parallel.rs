//! Runs on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for each number in `jobs` threads. Passes each result to `done` as it comes.
pub fn in_parallel<T: Send>(
    numbers: &[u64],
    jobs: usize,
    work: impl Fn(u64) -> T + Sync,
    mut done: impl FnMut(u64, T) + Send,
) {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(&mut done);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(*number);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done(*number, result);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_each() {
        let numbers: Vec<u64> = (0..50).collect();
        let mut results = Vec::new();
        in_parallel(
            &numbers,
            2,
            |number| number * 2,
            |number, doubled| results.push((number, doubled)),
        );
        results.sort_unstable();
        assert_eq!(results, (0..50).map(|number| (number, number * 2)).collect::<Vec<_>>());
    }
}
