//! Calls as a `tower` service, for the layers and clients that are made of such.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};

use super::answer::AnswerBody;
use super::body::Body;
use super::config::CallOptions;
use super::error::CallError;
use crate::discovery::Discovery;

/// Calls one service. A request may carry [`CallOptions`] in its extensions, and a response has
/// [`AnsweredBy`](super::AnsweredBy) in its own.
#[derive(Clone, Debug)]
pub struct CallService(Arc<Discovery>);

impl CallService {
    /// Calls through this discovery.
    #[must_use]
    pub fn new(discovery: Arc<Discovery>) -> Self {
        Self(discovery)
    }
}

impl<B: Into<Body> + Send + 'static> tower_service::Service<Request<B>> for CallService {
    type Response = Response<AnswerBody>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, CallError>> + Send>>;

    /// It is always ready: a call that finds no instance waits, or fails.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let discovery = self.0.clone();
        let options = request.extensions_mut().remove::<CallOptions>().unwrap_or_default();
        Box::pin(async move { Ok(discovery.call_with(request, options).await?.into_response()) })
    }
}
