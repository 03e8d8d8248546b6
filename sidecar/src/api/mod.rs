//! The HTTP API and the web page.
//!
//! | path | what |
//! |---|---|
//! | `/` and the page's files | the web page; holds no data, needs no token |
//! | `/healthz`, `/readyz` | for supervisors, need no token |
//! | `/metrics` | `OpenMetrics` |
//! | `/openapi.json` | description of all of it, made from the code |
//! | `/api/v1/...` | JSON |
//!
//! Each route is added together with its description ([`utoipa_axum::routes`]): none can be in one and not in the
//! other. [`access`] says who may do what, by method and not by route, so that no route can forget to ask; [`guard`]
//! says what a request must be before it gets that far; [`extract`] takes what it says, with limits; [`page`] gives
//! long lists in pieces. Parameters and fields that are not known are refused. No path of a file and no address of a
//! destination can be set here.

#![allow(
    clippy::struct_field_names,
    reason = "the fields' names are those of the published analyser's API"
)]
#![allow(
    unused_qualifications,
    reason = "the macro that describes a route writes a path before the type of its parameters"
)]

mod access;
mod alert_documents;
mod alerts;
mod allow;
mod analyze;
mod audit;
mod beacons;
mod config;
mod connections;
mod dead_letters;
mod description;
mod destinations;
mod error;
mod events;
mod extract;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guard;
mod health;
mod hosts;
mod metrics;
mod page;
mod seed_config;
mod sensors;
mod series;
mod series_detail;
mod simulation;
mod status;
mod telemetry;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use access::Access;
pub use access::AccessError;
pub(crate) use events::Readers;

use crate::alert::{Actor, AuditEntry};
use crate::clock::Clock;
use crate::config::{ApiConfig, Labels};
use crate::control::Control;
use crate::deliver::Deliveries;
use crate::observe::{Observer, SharedBoard};
use crate::receive::Receiver;
use crate::risk::RiskModel;
use crate::status::StatusReporter;
use crate::store::Store;
use crate::web;
use access::Caller;
use error::ApiError;
use guard::Guard;

/// What the API answers from.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) observer: Observer,
    pub(crate) board: SharedBoard,
    pub(crate) risk: RiskModel,
    pub(crate) status: StatusReporter,
    pub(crate) control: Control,
    pub(crate) receiver: Receiver,
    pub(crate) deliveries: Deliveries,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) labels: Labels,
    pub(crate) readers: Readers,
    /// Most bytes of a body.
    pub(crate) max_body_bytes: usize,
}

impl Api {
    /// Notes a change that is made elsewhere than in the scoring thread.
    async fn audit(
        &self,
        caller: &Caller,
        action: &str,
        target: &str,
        detail: &str,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let entry = AuditEntry::new(now, &caller.into(), action, target, detail);
        Ok(self.observer.audit(entry).await?)
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self {
            name: caller.actor.to_string(),
            role: caller.role,
            remote: caller.remote.to_string(),
        }
    }
}

/// The routes of the API on a bound address.
pub(crate) fn router(api: Api, access: Access, config: &ApiConfig, bound: SocketAddr) -> Router {
    let (open, description) = open_routes().split_for_parts();
    let (closed, more) = closed_routes().split_for_parts();
    let description = description::text(description.merge_from(more));
    let describe = get(move || std::future::ready(described(description.clone())));
    let closed = closed
        .route("/openapi.json", describe)
        .method_not_allowed_fallback(no_such_method)
        .route_layer(middleware::from_fn_with_state(access, access::authenticate));
    open.method_not_allowed_fallback(no_such_method)
        .merge(closed)
        .fallback(page)
        .with_state(api)
        .layer(middleware::from_fn_with_state(
            Guard::new(config, bound),
            guard::guard,
        ))
}

/// Routes for everybody.
fn open_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(description::base())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
}

/// Routes for those who may.
fn closed_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(health::health))
        .routes(routes!(metrics::metrics))
        .routes(routes!(status::status))
        .routes(routes!(beacons::beacons))
        .routes(routes!(connections::connections))
        .routes(routes!(hosts::hosts))
        .routes(routes!(series_detail::show))
        .routes(routes!(sensors::list))
        .merge(alert_routes())
        .merge(delivery_routes())
        .routes(routes!(simulation::begin))
        .routes(routes!(audit::list))
        .routes(routes!(telemetry::telemetry))
        .routes(routes!(analyze::analyze))
        .routes(routes!(config::show, config::change))
        .routes(routes!(config::reload))
}

/// What was found, and what people do with it.
fn alert_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::show))
        .routes(routes!(alert_documents::ecs))
        .routes(routes!(alert_documents::ocsf))
        .routes(routes!(alert_documents::stix))
        .routes(routes!(alerts::acknowledge, alerts::unacknowledge))
        .routes(routes!(alerts::comment))
        .routes(routes!(alerts::close))
        .routes(routes!(alerts::reopen))
        .routes(routes!(alerts::suppress, alerts::unsuppress))
        .routes(routes!(allow::list, allow::add))
        .routes(routes!(allow::remove))
        .routes(routes!(events::events))
}

/// What became of it.
fn delivery_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(destinations::list))
        .routes(routes!(destinations::purge))
        .routes(routes!(destinations::test))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::drop_letters))
}

fn described(text: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

async fn no_such_method() -> ApiError {
    ApiError::Method
}

/// A file of the web page, or nothing.
async fn page(request: Request) -> Response {
    let path = request.uri().path();
    if let Some(file) = web::file(path, request.headers()) {
        return match *request.method() {
            Method::GET | Method::HEAD => file,
            _ => {
                let mut response = ApiError::Method.into_response();
                let allow = HeaderValue::from_static("GET,HEAD");
                response.headers_mut().insert(ALLOW, allow);
                response
            }
        };
    }
    ApiError::NotFound("there is nothing here: see /openapi.json".to_owned()).into_response()
}
