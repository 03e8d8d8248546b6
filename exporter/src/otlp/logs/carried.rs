//! Attributes of a flow's names: server, TLS, HTTP and DNS.

use beaconwatch_schema::flow;

use crate::names::FlowNames;
use crate::otlp::wire::Attributes;

pub(super) fn push(attributes: &mut Attributes<'_>, names: &FlowNames) {
    if let Some((server, origin)) = &names.server {
        attributes.text(flow::SERVER_ADDRESS, server);
        attributes.text(flow::SERVER_NAME_ORIGIN, origin.name());
    }
    for (name, value) in [
        (flow::TLS_CLIENT_JA4, &names.ja4),
        (flow::TLS_CLIENT_JA3, &names.ja3),
        (flow::TLS_NEXT_PROTOCOL, &names.alpn),
        (flow::HTTP_REQUEST_METHOD, &names.method),
        (flow::USER_AGENT, &names.user_agent),
        (flow::DNS_QUESTION_NAME, &names.question),
    ] {
        if let Some(value) = value {
            attributes.text(name, value);
        }
    }
}
