//! The places for connections of a socket: how many there are, which calls the last of them answer, and for how long one may be idle.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, Request};
use tokio::time::{Instant, sleep_until};

/// Connections at the same time, as far as the limit of open files allows. A further one is closed and counted.
pub(super) const MAX_CONNECTIONS: usize = 1_024;
/// The last places, a quarter of all at most. They answer the calls of an operator and no others, and only one call after
/// the other.
const OPERATOR_PLACES: usize = 16;

/// A connection without a watch ends when it was idle for this long.
const IDLE: Duration = Duration::from_secs(300);
/// The same while there are many connections.
const IDLE_WHEN_CROWDED: Duration = Duration::from_secs(10);
/// The same for the places of operators.
const IDLE_OF_OPERATOR: Duration = Duration::from_secs(2);

/// All places of a socket.
#[derive(Debug)]
pub(crate) struct Places {
    /// The socket.
    path: PathBuf,
    most: usize,
    taken: AtomicUsize,
    /// Whether the log said that they are running out.
    told: AtomicBool,
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    is_for_operator: bool,
}

impl Places {
    /// As many places as the limit of open files leaves, and [`MAX_CONNECTIONS`] at most.
    pub(crate) fn new(path: PathBuf, descriptors: usize) -> Self {
        Self {
            path,
            most: descriptors.min(MAX_CONNECTIONS),
            taken: AtomicUsize::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// Takes a place; `None` when all are taken. The log says once that places run out.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let is_for_operator = taken.is_ok_and(|taken| taken >= self.most - self.operators());
        if (is_for_operator || taken.is_err()) && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                socket = %self.path.display(),
                most = self.most,
                "nearly all connections that the socket allows are open: new ones answer calls of an operator, such as `info` and \
                 `members`, and no longer register, pick, report or watch. Find the client that opens so many, as with `ss -xp`"
            );
        }
        taken.ok().map(|_| Place { places: self.clone(), is_for_operator })
    }

    /// The number of places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The number of places that are kept for operators.
    fn operators(&self) -> usize {
        OPERATOR_PLACES.min(self.most / 4)
    }

    /// Whether three quarters of the places are taken, so that idle connections end soon.
    fn is_crowded(&self) -> bool {
        self.taken() >= self.most - self.most / 4
    }
}

impl Place {
    /// Whether a call may be made from this place.
    ///
    /// # Errors
    /// The place is one of the last, and an operator does without this call.
    pub(super) fn check(&self, request: &Request) -> Result<(), ApiError> {
        let is_ordinary = matches!(
            request,
            Request::Register(_)
                | Request::Pick(_)
                | Request::Report { .. }
                | Request::Watch(_)
                | Request::WatchAll(_)
                | Request::WatchMembers(_)
        ) || matches!(request, Request::Resolve(query) if query.wait.is_some());
        if !self.is_for_operator || !is_ordinary {
            return Ok(());
        }
        let (most, operators) = (self.places.most, self.places.operators());
        let message = format!(
            "nearly all of the {most} connections that the socket allows are open: the last {operators} are kept for calls \
             like `info` and `members`. Close connections that are not needed"
        );
        Err(ApiError::new(ErrorCode::TooManyConnections, message))
    }

    /// Resolves when a connection that was last active at `since` has been idle for too long. The more connections there
    /// are, the sooner.
    pub(super) async fn idle_since(&self, since: Instant) {
        loop {
            let limit = match self.is_for_operator {
                true => IDLE_OF_OPERATOR,
                false if self.places.is_crowded() => IDLE_WHEN_CROWDED,
                false => IDLE,
            };
            if since.elapsed() >= limit {
                return;
            }
            // By then the place may be crowded.
            sleep_until((since + limit).min(Instant::now() + IDLE_WHEN_CROWDED)).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if !self.places.is_crowded() {
            self.places.told.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_for(descriptors: usize) -> Arc<Places> {
        Arc::new(Places::new("a.sock".into(), descriptors))
    }

    fn taken(places: &Arc<Places>, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.take().expect("a place")).collect()
    }

    #[test]
    fn the_last_places_answer_an_operator_and_nobody_else() {
        let places = places_for(MAX_CONNECTIONS);
        let ordinary = taken(&places, MAX_CONNECTIONS - OPERATOR_PLACES);
        let last = taken(&places, OPERATOR_PLACES);
        assert!(places.take().is_none());
        let report = Request::Report { reports: Vec::new(), calls: Vec::new() };
        assert!(ordinary.iter().all(|place| place.check(&report).is_ok()));
        for place in &last {
            assert!(
                place.check(&Request::Info {}).is_ok() && place.check(&Request::Leave {}).is_ok()
            );
            let refused = place.check(&report).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::TooManyConnections);
        }
        drop((ordinary, last));
        assert_eq!(places.taken(), 0);
        assert!(taken(&places, 1)[0].check(&report).is_ok());
    }

    #[test]
    fn few_descriptors_leave_few_places_and_some_of_them_to_operators() {
        let places = places_for(8);
        let report = Request::Report { reports: Vec::new(), calls: Vec::new() };
        let ordinary =
            taken(&places, 6).iter().filter(|place| place.check(&report).is_ok()).count();
        assert_eq!(ordinary, 6);
        let all = taken(&places, 8);
        assert!(places.take().is_none() && all[7].check(&report).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_end_sooner_when_there_are_many() {
        let places = places_for(MAX_CONNECTIONS);
        let began = Instant::now();
        let one = places.take().expect("a place");
        one.idle_since(began).await;
        assert_eq!(began.elapsed(), IDLE);
        let began = Instant::now();
        let many = taken(&places, MAX_CONNECTIONS - 1);
        one.idle_since(began).await;
        assert_eq!(began.elapsed(), IDLE_WHEN_CROWDED);
        let began = Instant::now();
        many.last().expect("one").idle_since(began).await;
        assert_eq!(began.elapsed(), IDLE_OF_OPERATOR);
    }
}
