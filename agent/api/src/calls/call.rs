//! One call: a try, its outcome, what follows.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use hobnob_balancer::{Failure, GaveUp, Outcome};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::{Answer, AnswerBody, Flight};
use super::body::{Body, Replay};
use super::caller::{CallPick, Caller};
use super::config::{CallConfig, CallOptions, Protocol};
use super::error::{CallError, Reason};
use super::progress::CallProgress;
use super::retrying::Retrying;
use super::upstream::{Failed, Upstream, Used};
use crate::types::Instance;

/// A call that is under way.
struct Call<'a> {
    caller: &'a Caller,
    config: Arc<CallConfig>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Replay,
    is_idempotent: bool,
    protocol: Protocol,
    key: Option<Bytes>,
    progress: Option<CallProgress>,
    timeout: Duration,
    /// How long it waits for an agent.
    patience: Duration,
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
    result: Sent,
}

/// The head of an answer, with the connection that its body comes over.
type Sent = Result<(Response<Incoming>, Option<Used>), Failed>;

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
        let (config, has_waited) = self.settings(options.timeout).await;
        let call = self.prepare(request, options, config, begun)?;
        call.run(if has_waited { Instant::now() } else { begun }).await
    }

    /// A call that can begin. It waits for nothing, so that what it takes apart is no part of the state of a call.
    fn prepare(
        &self,
        request: Request<Body>,
        options: CallOptions,
        config: Arc<CallConfig>,
        begun: Instant,
    ) -> Result<Call<'_>, CallError> {
        let timeout = options.timeout.unwrap_or(config.timeout);
        let (head, body) = request.into_parts();
        let is_idempotent = options.is_idempotent(&head.method);
        let key = options.key.or_else(|| self.key_of(&head.headers));
        let mut call = Call {
            caller: self,
            protocol: options.protocol.unwrap_or(config.protocol),
            body: body.into_replay(config.replay_bytes),
            config,
            is_idempotent,
            key,
            progress: options.progress,
            timeout,
            patience: self.patience(options.timeout),
            deadline: begun + timeout,
            method: head.method,
            uri: head.uri,
            headers: head.headers,
        };
        call.address()?;
        self.budget.record_call(self.at(begun));
        Ok(call)
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
                if self.headers.contains_key(header::TE) {
                    // It is a header of this connection, which has to say so (RFC 9110, section 10.1.4).
                    self.headers.append(header::CONNECTION, HeaderValue::from_static("te"));
                }
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
        let (caller, key) = (self.caller, self.key.as_deref());
        let agent_by = self.deadline - self.timeout;
        let ((mut pick, mut upstream), has_waited) =
            caller.pick_first(key, agent_by, self.patience).await?;
        if has_waited {
            begun = Instant::now();
        }
        let mut retrying = Retrying::new(caller, key, &self.config.retries, self.deadline);
        // A clock that is read less often is cheaper, and picking takes no time.
        let mut try_begun = begun;
        loop {
            self.tell(pick.item(), retrying.tries());
            let last = match caller.hedge_after() {
                Some(after)
                    if retrying.tries() == 1 && self.is_idempotent && self.body.is_shared() =>
                {
                    Box::pin(self.hedged(pick, upstream, try_begun, after, &mut retrying.tried))
                        .await
                }
                _ => {
                    let ended = self.attempt(&upstream, try_begun).await;
                    Tried { pick, ended }
                }
            };
            let tries = retrying.tries();
            let last = match last {
                Tried { pick, ended: Ended { latency, result: Ok((response, connection)) } }
                    if !(caller.config.is_failure)(response.status()) =>
                {
                    return Ok(self.answer(pick, latency, response, connection, tries));
                }
                failed => failed,
            };
            if last.is_own() {
                return self.give_up(last, tries, GaveUp::NoTarget);
            }
            let (failure, id) = (self.failure(&last.ended), last.pick.id().clone());
            match retrying.after(failure, id, || self.body.take_back()) {
                Ok(further) => {
                    last.fail();
                    sleep(further.after).await;
                    try_begun = Instant::now();
                    (pick, upstream) = further.picked;
                }
                Err(gave_up) => return self.give_up(last, tries, gave_up),
            }
        }
    }

    /// Tells those who look on.
    fn tell(&self, instance: &Arc<Instance>, tries: u32) {
        if let Some(progress) = &self.progress {
            progress.set(instance, tries);
        }
    }

    fn failure(&self, ended: &Ended) -> Failure {
        // An answer says that the call has arrived. The connection is as good as before.
        let may_have_arrived =
            ended.result.as_ref().err().is_none_or(|failed| failed.may_have_arrived);
        let (is_idempotent, is_replayable) = (self.is_idempotent, self.body.is_whole());
        Failure { may_have_arrived, is_idempotent, is_replayable }
    }

    /// One try at one instance.
    async fn attempt(&self, upstream: &Arc<Upstream>, begun: Instant) -> Ended {
        let config = &*self.config;
        let mut request = Request::new(self.body.next_try());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let may_follow = self.is_idempotent && self.body.is_whole();
        let (limit, configured) = match may_follow {
            true => {
                let configured = config.try_timeout.min(config.timeout);
                (self.deadline.min(begun + config.try_timeout), configured)
            }
            false => (self.deadline, config.timeout),
        };
        let time = limit - begun;
        let may_have_arrived = AtomicBool::new(false);
        let sending = upstream.send(request, self.protocol, config, begun, &may_have_arrived);
        let sent = self.in_time(limit, time, pin!(sending)).await;
        let latency = begun.elapsed();
        let result = match sent {
            Some(Err(failed)) => Err(self.source_failed(failed)),
            Some(sent) => sent,
            None => {
                let may_have_arrived = may_have_arrived.load(Relaxed);
                Err(Failed { reason: self.late(time, configured), may_have_arrived })
            }
        };
        Ended { latency, result }
    }

    /// The output of a future, unless it takes too long. The time begins anew with each piece of the body that is sent. A try
    /// whose body is still to come has the time of the whole call for the next piece.
    async fn in_time<F: Future>(
        &self,
        mut limit: Instant,
        time: Duration,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        loop {
            if let Ok(output) = timeout_at(limit, future.as_mut()).await {
                return Some(output);
            }
            let moved_at = self.body.moved_at()?;
            let later = match self.body.is_awaited() {
                true => self.deadline.max(moved_at + self.timeout),
                false => moved_at + time,
            };
            limit = Some(later).filter(|later| *later > limit)?;
        }
    }

    /// Why a try that had this time got no answer. One that had less than the configured time says nothing about its instance.
    fn late(&self, time: Duration, configured: Duration) -> Reason {
        match time {
            _ if self.body.is_awaited() => Reason::BodyTimeout(self.timeout),
            time if time < configured => Reason::Deadline(self.timeout),
            time => Reason::Timeout(time),
        }
    }

    /// A try whose body broke at its source failed for that reason, whatever the connection made of it.
    fn source_failed(&self, failed: Failed) -> Failed {
        match self.body.error() {
            Some(error) => Failed { reason: Reason::Body(error), ..failed },
            None => failed,
        }
    }

    /// A try that is followed by one at another instance when it takes long. The first answer counts. The instance that has
    /// not answered by then is only known to take longer.
    async fn hedged(
        &self,
        pick: CallPick,
        upstream: Arc<Upstream>,
        begun: Instant,
        after: Duration,
        tried: &mut Vec<Arc<str>>,
    ) -> Tried {
        let caller = self.caller;
        let mut first = pin!(self.attempt(&upstream, begun));
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
        self.tell(second_pick.item(), 2);
        let second_begun = Instant::now();
        let second = pin!(self.attempt(&second_upstream, second_begun));
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
            false => Some(Flight { pick, latency, upload: self.body.stream().cloned() }),
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
        self.tell(instance, tries);
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
        report(pick, latency, &result);
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
        report(self.pick, self.ended.latency, &self.ended.result);
    }
}

/// Ends the pick of a try that failed.
fn report(pick: CallPick, latency: Duration, result: &Sent) {
    match result {
        Ok(_) => pick.complete(Outcome::Failure, latency),
        Err(failed) => failed.reason.report(pick, latency),
    }
}
