//! What goes wrong with a request, as the API says it: a status and one sentence.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::ControlError;
use crate::store::StoreError;

/// Answer of a request that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    /// What is wrong and what was expected, in one sentence.
    error: String,
}

/// A request that is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("host {0:?} is not known here: see api.allowed_hosts")]
    Host(String),
    #[error("a page of {0:?} may not change anything here")]
    Origin(String),
    #[error("{0}, expected `authorization: Bearer <token>`")]
    Unauthorized(&'static str),
    #[error("token {0:?} may read, expected one with the role operate")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("this path does not answer to that method: see the header `allow`")]
    Method,
    #[error("{0}")]
    Parameter(String),
    #[error("{0}")]
    Unprocessable(String),
    #[error("{0}")]
    Conflict(String),
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("content type is {0:?}, expected application/json")]
    ContentType(String),
    #[error("content encoding is {0:?}, expected none")]
    ContentEncoding(String),
    #[error("{reason}")]
    Busy {
        reason: String,
        retry_after: Duration,
    },
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the answer could not be put together: {0}")]
    Answer(String),
}

/// When to come again after an error that has no time of its own.
const RETRY: Duration = Duration::from_secs(2);

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType(_) | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => Some(*retry_after),
            Self::Timeout(_) | Self::Store(_) => Some(RETRY),
            _ => None,
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => Self::Store(error),
            ControlError::NothingToReread => Self::Conflict(error.to_string()),
            ControlError::Config(_)
            | ControlError::Reread(_)
            | ControlError::Access(_)
            | ControlError::Token(_)
            | ControlError::Context(_)
            | ControlError::Risk(_)
            | ControlError::Rules(_)
            | ControlError::Destination(_) => Self::Unprocessable(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let answer = ErrorAnswer {
            error: self.to_string(),
        };
        let mut response = json(self.status(), &answer);
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if matches!(self, Self::Unauthorized(_)) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON answer, with a line's end for people at a terminal.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = match serde_json::to_vec(value) {
        Ok(body) => body,
        // Nothing that the API answers with has keys that are no text; this says so if it ever has.
        Err(error) => return ApiError::Answer(error.to_string()).into_response(),
    };
    body.push(b'\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An answer of a type whose schema stands in the description.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}
