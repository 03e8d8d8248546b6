//! What of the `OpenAPI` description is not said at the routes: the API's name, how to prove who asks, and the errors
//! that every route can answer with.

use bytes::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{self, Content, Ref, RefOr, ResponseBuilder};

use super::error::ErrorAnswer;

/// Name of the security scheme.
const TOKEN: &str = "token";
/// Errors that every route can answer with, whatever else it does.
const COMMON: [(&str, &str); 5] = [
    ("401", "A token is needed, or the one given is not known."),
    (
        "403",
        "The token has not the role that is needed, or another site's page asks.",
    ),
    ("421", "The host is not known here."),
    ("429", "Too much at a time: come again later."),
    ("503", "It cannot answer now: come again later."),
];
/// Errors that every route with a body can answer with.
const COMMON_WITH_BODY: [(&str, &str); 4] = [
    ("400", "The body is no JSON, or a parameter cannot be."),
    ("413", "The body is too large."),
    ("415", "The body is not said to be JSON."),
    ("422", "The body says something that cannot be."),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Beaconwatch",
        description = "Beacons found in network flows: findings, what they rest on, and what became of them. \
            Times are RFC 3339 in UTC. Lists come in pieces: `next` of an answer is the `cursor` of the next request.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ErrorAnswer)),
    security(("token" = [])),
    tags(
        (name = "health", description = "Is it alive, can it work, how is it."),
        (name = "findings", description = "What was found and what it rests on."),
        (name = "alerts", description = "Findings as people meet them, and the allow-list."),
        (name = "deliveries", description = "Where findings go and what became of them."),
        (name = "operation", description = "What can be changed while it runs."),
    )
)]
struct Described;

/// The description without any route.
pub(super) fn base() -> openapi::OpenApi {
    let mut description = Described::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut description.info.version);
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "Reading needs a token with the role `read` or `operate` (none at all on a loopback address without any \
         token for reading), everything else one with the role `operate`."
            .to_owned(),
    );
    let components = description.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
    description
}

/// The description as text, with the errors that every route can answer with.
pub(super) fn text(mut description: openapi::OpenApi) -> Bytes {
    for (path, item) in &mut description.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(operation_id(method, path));
            add_errors(operation, &COMMON);
            if operation.request_body.is_some() {
                add_errors(operation, &COMMON_WITH_BODY);
            }
        }
    }
    // What the derived types say of themselves is text: it can be written as JSON.
    description.to_json().unwrap_or_default().into()
}

/// A name that no other operation has: the names of the functions are those of their modules only.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.trim_start_matches("/api/v1").replace(['{', '}'], "");
    let words = path.split(['/', '-', '.']).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

fn add_errors(operation: &mut openapi::path::Operation, errors: &[(&str, &str)]) {
    for (status, meaning) in errors {
        let answers = &mut operation.responses.responses;
        answers.entry((*status).to_owned()).or_insert_with(|| {
            let content = Content::new(Some(Ref::from_schema_name("ErrorAnswer")));
            let answer = ResponseBuilder::new()
                .description(*meaning)
                .content("application/json", content);
            RefOr::T(answer.build())
        });
    }
}
