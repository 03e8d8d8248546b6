//! The OTLP receiver: a request without a single record, as the exporter would send one.

use super::{Check, State, chain};
use crate::otlp::{client, connection::Connection};

/// Sends an empty request, which OTLP allows and receivers answer: so name, address, TLS, headers and rights are
/// tried at once. Takes at most the connection's timeout. Needs a Tokio runtime.
pub async fn receiver(connection: &Connection) -> Check {
    let name = "OTLP receiver";
    let endpoint = connection.endpoint.to_string();
    let error = match client::connect(connection) {
        Err(error) => chain(&error),
        Ok(target) => match target.export(bytes::Bytes::new()).await {
            Ok(_answer) => return Check::ok(name, format!("{endpoint} takes requests")),
            Err(error) => chain(&error),
        },
    };
    Check::not_ok(
        State::Degraded,
        name,
        format!("{endpoint}: {error}"),
        "flows wait in the queue and are lost, counted, when it is full",
        "start the receiver; check endpoint, protocol, certificates and token ([exporter.otlp])",
    )
}
