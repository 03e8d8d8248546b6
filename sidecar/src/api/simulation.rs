//! Simulated beacons, announced so that what is found of them is marked.

use std::net::{IpAddr, SocketAddr};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Body;

/// Where a simulation connects to, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Simulate {
    /// Address of its listener.
    #[schema(value_type = String, format = "ipv4")]
    destination: IpAddr,
    /// Port of its listener.
    #[schema(minimum = 1, maximum = 65535)]
    port: u16,
    /// Seconds, up to a week.
    #[schema(minimum = 1, maximum = 604_800)]
    for_s: u64,
}

/// The simulation is known.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Simulated {
    /// Address of its listener.
    destination: String,
    /// Port of its listener.
    port: u16,
    /// Seconds for which connections to there are simulated.
    for_s: u64,
}

/// Marks what is found of connections to a place as simulated, and scores them although they are our own.
#[utoipa::path(
    post, path = "/api/v1/simulation", tag = "operation", request_body = Simulate,
    responses(
        (status = 200, description = "The simulation is known.", body = Simulated),
        (status = 409, description = "Too many are under way.", body = ErrorAnswer),
    )
)]
pub(super) async fn begin(
    State(api): State<Api>,
    caller: Caller,
    Body(simulate): Body<Simulate>,
) -> Result<Answer<Simulated>, ApiError> {
    if simulate.port == 0 {
        let reason = "port is 0, expected 1 to 65535".to_owned();
        return Err(ApiError::Unprocessable(reason));
    }
    let place = SocketAddr::new(simulate.destination, simulate.port);
    let begun = api
        .observer
        .simulation_begin(place, simulate.for_s, (&caller).into());
    begun.await?;
    Ok(Answer(Simulated {
        destination: simulate.destination.to_string(),
        port: simulate.port,
        for_s: simulate.for_s,
    }))
}
