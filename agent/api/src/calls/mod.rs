//! Calls: from the name of a service to an answer.
//!
//! [`Discovery::call`] picks an instance in process, sends the request over HTTP/1.1 or HTTP/2 in clear, learns from the
//! outcome, and tries idempotent calls that failed at another instance. [`Discovery::connect`] does the same for a connection
//! over TCP. `docs/CALLS.md` has all settings with their defaults.
//!
//! ```no_run
//! use hobnob_api::calls::http::Request;
//! use hobnob_api::discovery::{Discovery, DiscoveryConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let web = Discovery::start(DiscoveryConfig::for_calls("web"))?;
//! let answer = web.call(Request::get("/hello").body(())?).await?;
//! println!("{:?}", answer.bytes(1 << 20).await?);
//! # Ok(())
//! # }
//! ```
//!
//! What is learnt steers [pickers](Discovery::picker) of the same discovery, too: there is one circuit, one ejection and one
//! average for each instance in a process.

mod answer;
mod body;
mod call;
mod caller;
mod config;
mod connect;
mod error;
mod http2;
mod opening;
mod progress;
mod reporting;
mod retrying;
mod service;
mod stats;
mod upstream;

pub use http;

pub use self::answer::{Answer, AnswerBody, AnsweredBy};
pub use self::body::Body;
pub(crate) use self::caller::Caller;
pub use self::config::{CallConfig, CallOptions, Protocol};
pub use self::connect::Connection;
pub use self::error::{CallError, Reason};
pub use self::progress::CallProgress;
pub(crate) use self::reporting::{Flush, Reporting};
pub use self::service::CallService;
pub use self::stats::{CallStats, CircuitState, Standing};

use hobnob_balancer::{
    BreakerConfig, Circuit, Config, Instance as Balanced, OutlierConfig, Strategy,
};
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::{Discovery, DiscoveryConfig};
use crate::types::Instance;
use http::Request;

/// Failures in a row that eject an instance: more than open its circuit, so that these are failed trials.
const EJECTED_AFTER: u32 = 10;

impl DiscoveryConfig {
    /// A service of the default namespace that is called: the fastest of two instances each time, with circuit breakers and
    /// the ejection of outliers.
    #[must_use]
    pub fn for_calls(service: impl Into<String>) -> Self {
        let config = Self::new(service);
        let outlier = OutlierConfig { consecutive_failures: EJECTED_AFTER, ..Default::default() };
        let balancer = Config {
            breaker: Some(BreakerConfig::default()),
            outlier: Some(outlier),
            ..config.balancer
        };
        Self { strategy: Strategy::PeakEwma, balancer, ..config }
    }
}

impl Discovery {
    /// Calls the service. An answer with a status of failure is an answer.
    ///
    /// The request needs a path alone; a host that it names is told to the instance, and does not choose it. The first call
    /// waits until an agent has told the instances. A call that is dropped is cancelled.
    ///
    /// # Errors
    /// There was no answer. [`CallError`] says why.
    pub async fn call<B: Into<Body>>(&self, request: Request<B>) -> Result<Answer, CallError> {
        self.caller().call(request.map(Into::into), CallOptions::default()).await
    }

    /// Calls the service with a key, a time, or a word on whether the call may be made twice.
    ///
    /// # Errors
    /// There was no answer. [`CallError`] says why.
    pub async fn call_with<B: Into<Body>>(
        &self,
        request: Request<B>,
        options: CallOptions,
    ) -> Result<Answer, CallError> {
        self.caller().call(request.map(Into::into), options).await
    }

    /// Connects to the service over TCP.
    ///
    /// # Errors
    /// No instance took the connection. [`CallError`] says why.
    pub async fn connect(&self, options: &CallOptions) -> Result<Connection, CallError> {
        self.caller().connect(options).await
    }

    /// Tells the agent now how calls ended so far, instead of within a second. It is for programs that are about to end. Returns
    /// whether the agent was told in time; one of an earlier version never is, and none when [`CallConfig::report`] is off.
    pub async fn report(&self, within: Duration) -> bool {
        self.flush().ask(within).await
    }

    /// The calls of this process so far.
    #[must_use]
    pub fn call_stats(&self) -> CallStats {
        self.caller().counters.stats()
    }

    /// What this process has learnt of each instance that is offered.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let now = self.balancer_time();
        let layers = self.in_force().balancer.layers();
        let snapshots = layers.iter().map(|layer| layer.snapshot());
        snapshots
            .flat_map(|snapshot| {
                let standings = snapshot.instances().iter().map(|known| standing(known, now));
                standings.collect::<Vec<_>>()
            })
            .collect()
    }
}

fn standing(known: &Balanced<Arc<Instance>>, now: Duration) -> Standing {
    let until = |us| Duration::from_micros(us).saturating_sub(now);
    Standing {
        instance: known.item().clone(),
        circuit: match known.circuit() {
            Circuit::Closed => CircuitState::Closed,
            Circuit::Open { until_us } => CircuitState::Open { trial_in: until(until_us) },
            Circuit::HalfOpen { until_us } => CircuitState::HalfOpen { lost_in: until(until_us) },
        },
        ejected_for: known.ejected_until_us().map(until),
        in_flight: known.in_flight(),
        tries: known.picks(),
        failures: known.failures(),
        latency: known.latency(),
    }
}
