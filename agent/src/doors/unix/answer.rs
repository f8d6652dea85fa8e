//! Answers to calls: whole or in pages, at once or after a wait.

use std::sync::Arc;
use std::time::Instant;

use hobnob_api::{ApiError, ErrorCode, Request, Response};

use super::handler::Handler;
use crate::budget::Budget;
use crate::caller::Caller;
use crate::queries::asked::{check_datacenters, service_key};
use crate::queries::members::members;
use crate::queries::pick::Picks;
use crate::queries::resolve::pages::Pages;
use crate::queries::resolve::snapshots;
use crate::queries::resolve::waiting::wait_for_change;
use crate::services::Shown;

/// The answer to a call.
pub(crate) struct Answer {
    pub(crate) body: Body,
    /// Whether it was to wait for a change, and there was none in time.
    pub(crate) unchanged: bool,
}

/// An answer in one reply or in several.
pub(crate) enum Body {
    Whole(Response<Shown>),
    Pages(Pages),
}

impl Answer {
    pub(crate) fn whole(response: Response<Shown>) -> Self {
        Self { body: Body::Whole(response), unchanged: false }
    }
}

impl Handler {
    /// Answers any call but a watch, which the connection follows itself. With `pages` an answer may be in pages, which count in
    /// the allowance of the connection.
    pub(crate) async fn answer(
        &self,
        request: Request,
        pages: bool,
        caller: Caller,
        picks: &mut Picks,
    ) -> Answer {
        let name = request.name();
        let mut unchanged = false;
        if let Request::Resolve(query) = &request
            && let Some(wait) = &query.wait
        {
            let waited = match service_key(query.namespace.clone(), query.service.clone()) {
                Ok(key) => wait_for_change(&self.registry, &key, wait).await,
                Err(refused) => Err(refused),
            };
            match waited {
                Ok(is_unchanged) => unchanged = is_unchanged,
                Err(refused) => return Answer::whole(Response::Error(refused)),
            }
        }
        // A wait is no part of the time that an answer takes.
        let began = Instant::now();
        let answered = match (pages, &request) {
            (true, Request::Resolve(_) | Request::Services { .. } | Request::Members { .. }) => {
                self.answer_in_pages(request, caller, picks.allowance()).await.map(Body::Pages)
            }
            _ => self.try_answer(request, caller, picks).await.map(Body::Whole),
        };
        self.calls.count_call(name, began.elapsed());
        let body = answered.unwrap_or_else(|refused| Body::Whole(Response::Error(refused)));
        Answer { body, unchanged }
    }

    async fn answer_in_pages(
        &self,
        request: Request,
        caller: Caller,
        allowance: &Arc<Budget>,
    ) -> Result<Pages, ApiError> {
        let registry = &*self.registry;
        Ok(match request {
            Request::Resolve(query) => {
                Pages::of_instances(self.resolve(&query, true, caller).await?, allowance)?
            }
            Request::Services { namespace } => {
                let revision = registry.revision();
                let services = snapshots(registry, namespace.as_deref());
                Pages::of_services(services, revision, registry.is_isolated(), allowance)?
            }
            Request::Members { all, datacenter } => {
                check_datacenters(&datacenter)?;
                let list = members(registry, &self.driver, all, datacenter).await?;
                Pages::of_members(list, allowance)?
            }
            other => {
                let message = format!("an answer to `{}` has no pages", other.name());
                return Err(ApiError::new(ErrorCode::RequestMalformed, message));
            }
        })
    }
}
