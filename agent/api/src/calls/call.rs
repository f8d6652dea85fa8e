//! One call: a try, its outcome, what follows.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use hobnob_balancer::{Attempts, Failure, GaveUp, Next, Outcome};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header, uri};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::{Answer, AnswerBody, Flight};
use super::body::{Body, Replay};
use super::caller::{CallPick, Caller};
use super::config::{CallOptions, Protocol};
use super::error::{CallError, Reason};
use super::upstream::{Failed, Upstream, Used};
use crate::types::Instance;

/// A call that is under way.
struct Call<'a> {
    caller: &'a Caller,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Replay,
    is_idempotent: bool,
    protocol: Protocol,
    key: Option<Bytes>,
    timeout: Duration,
    deadline: Instant,
}

/// One try, and how it ended.
struct Tried {
    pick: CallPick,
    ended: Ended,
}

/// The end of one try.
struct Ended {
    latency: Duration,
    result: Result<(Response<Incoming>, Option<Used>), Failed>,
}

impl Caller {
    /// Makes a call.
    pub(crate) async fn call(
        &self,
        request: Request<Body>,
        options: CallOptions,
    ) -> Result<Answer, CallError> {
        self.counters.calls.add();
        let made = self.make(request, options).await;
        match &made {
            Ok(answer) if (self.config.is_failure)(answer.status()) => self.counters.failed.add(),
            Ok(_) => {}
            Err(_) => self.counters.failed.add(),
        }
        made
    }

    async fn make(
        &self,
        request: Request<Body>,
        options: CallOptions,
    ) -> Result<Answer, CallError> {
        let begun = Instant::now();
        let timeout = options.timeout.unwrap_or(self.config.timeout);
        let (head, body) = request.into_parts();
        let is_idempotent = options.is_idempotent(&head.method);
        let key = options.key.or_else(|| self.key_of(&head.headers));
        let mut call = Call {
            caller: self,
            is_idempotent,
            protocol: options.protocol.unwrap_or(self.config.protocol),
            body: body.into_replay(self.config.replay_bytes),
            key,
            timeout,
            deadline: begun + timeout,
            method: head.method,
            uri: head.uri,
            headers: head.headers,
        };
        call.address()?;
        self.budget.record_call(self.at(begun));
        call.run(begun).await
    }

    /// The value of the header that keyed strategies hash.
    fn key_of(&self, headers: &HeaderMap) -> Option<Bytes> {
        let value = headers.get(self.config.key_header.as_ref()?)?;
        Some(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl Call<'_> {
    /// Brings the target of the request into the form that the protocol wants, and adds a host, which is the name of the
    /// service unless the request has one.
    fn address(&mut self) -> Result<(), CallError> {
        let invalid =
            |reason: String| CallError::Invalid { service: self.caller.service.clone(), reason };
        if self.method == Method::CONNECT {
            return Err(invalid("CONNECT is for proxies".to_owned()));
        }
        let path = self.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        let host = match (self.headers.get(header::HOST), self.uri.authority()) {
            (Some(host), _) => Some(host.clone()),
            (None, Some(authority)) => authority.as_str().parse().ok(),
            (None, None) => self.caller.host.clone(),
        };
        let host = host.ok_or_else(|| invalid("it has no host".to_owned()))?;
        match self.protocol {
            Protocol::Http1 => {
                if self.uri.authority().is_some() {
                    self.uri = path.into();
                }
                self.headers.entry(header::HOST).or_insert(host);
            }
            Protocol::Http2 => {
                let whole = Uri::builder().scheme("http").authority(host.as_bytes());
                self.uri =
                    whole.path_and_query(path).build().map_err(|e| invalid(e.to_string()))?;
                self.headers.remove(header::HOST);
            }
        }
        Ok(())
    }

    async fn run(&self, mut begun: Instant) -> Result<Answer, CallError> {
        let caller = self.caller;
        let key = self.key.as_deref();
        let mut picked = caller.pick(key, &[]);
        if picked.is_none() && !caller.is_ready() {
            if !Box::pin(caller.ready(self.deadline)).await {
                let (service, waited) = (caller.service.clone(), begun.elapsed());
                return Err(CallError::AgentAway { service, waited });
            }
            begun = Instant::now();
            picked = caller.pick(key, &[]);
        }
        let (mut pick, mut upstream) = picked.ok_or_else(|| caller.nothing())?;
        let mut attempts = Attempts::default();
        let mut tried: Vec<Arc<str>> = Vec::new();
        // A clock that is read less often is cheaper, and picking takes no time.
        let mut try_begun = begun;
        loop {
            let last = match caller.hedge_after() {
                Some(after) if tried.is_empty() && self.is_idempotent && self.body.is_shared() => {
                    Box::pin(self.hedged(pick, upstream, after, &mut tried)).await
                }
                _ => {
                    let ended = self.attempt(&upstream, try_begun, !tried.is_empty()).await;
                    Tried { pick, ended }
                }
            };
            let tries = tried.len() as u32 + 1;
            let last = match last {
                Tried { pick, ended: Ended { latency, result: Ok((response, connection)) } }
                    if !(caller.config.is_failure)(response.status()) =>
                {
                    return Ok(self.answer(pick, latency, response, connection, tries));
                }
                failed => failed,
            };
            let failure = match &last.ended.result {
                // An answer says that the call has arrived. The connection is as good as before.
                Ok(_) => self.failure(true),
                Err(failed) => self.failure(failed.may_have_arrived),
            };
            if last.is_own() {
                return self.give_up(last, tries, GaveUp::NoTarget);
            }
            tried.push(last.pick.id().clone());
            let left = self.deadline.saturating_duration_since(Instant::now());
            let (config, now) = (&caller.config.retries, caller.now());
            let next = attempts.after(failure, config, &caller.budget, now, left, caller.draw());
            let gave_up = match next {
                Next::Retry { after } => match caller.pick(key, &tried) {
                    Some(next) => {
                        caller.counters.retries.add();
                        last.fail();
                        sleep(after).await;
                        try_begun = Instant::now();
                        (pick, upstream) = next;
                        continue;
                    }
                    None => GaveUp::NoTarget,
                },
                Next::GiveUp(gave_up) => gave_up,
            };
            if gave_up == GaveUp::BudgetSpent {
                caller.counters.budget_spent.add();
            }
            return self.give_up(last, tries, gave_up);
        }
    }

    fn failure(&self, may_have_arrived: bool) -> Failure {
        let (is_idempotent, is_replayable) = (self.is_idempotent, self.body.is_whole());
        Failure { may_have_arrived, is_idempotent, is_replayable }
    }

    /// One try at one instance.
    async fn attempt(&self, upstream: &Arc<Upstream>, begun: Instant, is_retry: bool) -> Ended {
        let config = &self.caller.config;
        let mut request = Request::new(self.body.next_try());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let may_follow = self.is_idempotent && self.body.is_whole();
        let limit = match may_follow {
            true => self.deadline.min(begun + config.try_timeout),
            false => self.deadline,
        };
        let may_have_arrived = AtomicBool::new(false);
        let sending = upstream.send(request, self.protocol, config, begun, &may_have_arrived);
        let sent = self.in_time(limit, limit - begun, sending).await;
        let latency = begun.elapsed();
        let result = sent.unwrap_or_else(|| {
            // A retry that had little time left says nothing about its instance.
            let is_cut_short = is_retry && limit == self.deadline;
            let waited = if is_cut_short { self.timeout } else { limit - begun };
            let may_have_arrived = may_have_arrived.load(Relaxed);
            Err(Failed { reason: Reason::Timeout(waited), may_have_arrived })
        });
        Ended { latency, result }
    }

    /// The output of a future, unless it takes too long. The time begins anew with each piece of the body that is sent.
    async fn in_time<F: Future>(
        &self,
        mut limit: Instant,
        time: Duration,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            if let Ok(output) = timeout_at(limit, future.as_mut()).await {
                return Some(output);
            }
            limit = self.body.moved_at().map(|at| at + time).filter(|later| *later > limit)?;
        }
    }

    /// A try that is followed by one at another instance when it takes long. The first answer counts. The instance that has
    /// not answered by then is only known to take longer.
    async fn hedged(
        &self,
        pick: CallPick,
        upstream: Arc<Upstream>,
        after: Duration,
        tried: &mut Vec<Arc<str>>,
    ) -> Tried {
        let (caller, begun) = (self.caller, Instant::now());
        let mut first = pin!(self.attempt(&upstream, begun, false));
        match select(first.as_mut(), pin!(sleep(after))).await {
            Either::Left((ended, _)) => return Tried { pick, ended },
            Either::Right(((), _)) => {}
        }
        // A call with one instance alone takes nothing from the budget.
        let second = caller.pick_another(self.key.as_deref(), &[pick.id().clone()]);
        let second = second.filter(|_| caller.budget.try_retry(caller.now()));
        let Some((second_pick, second_upstream)) = second else {
            return Tried { pick, ended: first.await };
        };
        caller.counters.hedges.add();
        let second_begun = Instant::now();
        let second = pin!(self.attempt(&second_upstream, second_begun, true));
        let (done, other, begun, rest) = match select(first, second).await {
            Either::Left((ended, rest)) => {
                (Tried { pick, ended }, second_pick, second_begun, Either::Right(rest))
            }
            Either::Right((ended, rest)) => {
                (Tried { pick: second_pick, ended }, pick, begun, Either::Left(rest))
            }
        };
        if done.ended.is_answer(caller) {
            tried.push(other.id().clone());
            other.give_up(begun.elapsed());
            return done;
        }
        tried.push(done.pick.id().clone());
        done.fail();
        Tried { pick: other, ended: rest.await }
    }

    fn answer(
        &self,
        pick: CallPick,
        latency: Duration,
        response: Response<Incoming>,
        connection: Option<Used>,
        tries: u32,
    ) -> Answer {
        if self.caller.config.hedge_quantile.is_some() {
            self.caller.latencies.record(latency);
        }
        let instance = pick.item().clone();
        // A probe decides over its circuit, for which others wait.
        let flight = match pick.is_probe() {
            true => {
                pick.complete(Outcome::Success, latency);
                None
            }
            false => Some(Flight { pick, latency }),
        };
        self.wrap(response, &instance, flight, connection, tries)
    }

    fn wrap(
        &self,
        response: Response<Incoming>,
        instance: &Arc<Instance>,
        flight: Option<Flight>,
        connection: Option<Used>,
        tries: u32,
    ) -> Answer {
        let service = self.caller.service.clone();
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let body = |incoming| match is_upgrade {
            true => AnswerBody::upgraded(incoming, service, instance.clone(), flight),
            false => AnswerBody::new(incoming, service, instance.clone(), flight, connection),
        };
        Answer { response: response.map(body), instance: instance.clone(), tries }
    }

    /// The end of a call that failed: the answer that says so, else an error.
    fn give_up(&self, last: Tried, tries: u32, gave_up: GaveUp) -> Result<Answer, CallError> {
        let Tried { pick, ended: Ended { latency, result } } = last;
        let instance = pick.item().clone();
        match &result {
            Err(Failed { reason, .. }) if reason.is_own() => drop(pick),
            _ => pick.complete(Outcome::Failure, latency),
        }
        match result {
            Ok((response, connection)) => {
                Ok(self.wrap(response, &instance, None, connection, tries))
            }
            Err(Failed { reason, .. }) => {
                let service = self.caller.service.clone();
                Err(CallError::Failed { service, instance, reason, tries, gave_up })
            }
        }
    }
}

impl Ended {
    fn is_answer(&self, caller: &Caller) -> bool {
        matches!(&self.result, Ok((response, _)) if !(caller.config.is_failure)(response.status()))
    }
}

impl Tried {
    /// Whether this process made it fail, and not the instance.
    fn is_own(&self) -> bool {
        matches!(&self.ended.result, Err(Failed { reason, .. }) if reason.is_own())
    }

    /// Reports the failure. An answer that nobody reads goes with its connection.
    fn fail(self) {
        match self.is_own() {
            true => drop(self.pick),
            false => self.pick.complete(Outcome::Failure, self.ended.latency),
        }
    }
}
