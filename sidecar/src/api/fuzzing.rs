//! What requests say, for the fuzz targets.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::Query;
use serde::de::DeserializeOwned;

use super::alerts::AlertsQuery;
use super::connections::ConnectionsQuery;
use super::extract;
use super::guard::Guard;
use super::page::{MAX_LIMIT, Page, Place};
use crate::alert::AllowConfig;
use crate::config::ApiConfig;
use crate::destinations::RouteConfig;

fn read<T: DeserializeOwned>(query: &str) -> Option<T> {
    let target = format!("/?{query}").parse().ok()?;
    Some(Query::try_from_uri(&target).ok()?.0)
}

/// The cursor in a query of alerts, written anew; none without a cursor or where the query is refused.
#[must_use]
pub fn alerts_cursor(query: &str) -> Option<String> {
    let read = read::<AlertsQuery>(query)?.read().ok()?;
    assert!((1..=MAX_LIMIT).contains(&read.limit), "{}", read.limit);
    read.after.map(|place| place.to_string())
}

/// The cursor in a query of connections, written anew; none without a cursor or where the query is refused.
#[must_use]
pub fn connections_cursor(query: &str) -> Option<String> {
    let read = read::<ConnectionsQuery>(query)?.read().ok()?;
    assert!((1..=MAX_LIMIT).contains(&read.limit), "{}", read.limit);
    read.after.map(|place| place.to_string())
}

/// The cursor of the other lists, written anew.
#[must_use]
pub fn page_cursor(text: &str) -> Option<String> {
    Page::new(None, Some(text)).ok()?.after.map(Place::cursor)
}

/// What a body says when an entry of the allow-list is expected, and when a route is; as JSON.
#[must_use]
pub fn body(bytes: &[u8]) -> [Option<serde_json::Value>; 2] {
    let entry = extract::parse::<AllowConfig>(bytes).ok();
    let route = extract::parse::<RouteConfig>(bytes).ok();
    [
        entry.and_then(|it| serde_json::to_value(it).ok()),
        route.and_then(|it| serde_json::to_value(it).ok()),
    ]
}

/// Whether an API that is bound to loopback, with default settings, talks to who names it so.
#[must_use]
pub fn host_is_accepted(host: &str) -> bool {
    let bound = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090));
    Guard::new(&ApiConfig::default(), bound).accepts(host)
}
