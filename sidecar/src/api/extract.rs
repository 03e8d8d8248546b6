//! What a request says, with errors that say what was wrong with it.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use super::Api;
use super::access::Caller;
use super::error::ApiError;

/// The parameters after the question mark. Unknown ones are refused by the types.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        Query::from_request_parts(parts, api)
            .await
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| ApiError::Parameter(error.body_text()))
    }
}

/// The variable part of the path.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl FromRequestParts<Api> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, api)
            .await
            .map(|Path(id)| Self(id))
            .map_err(|error| ApiError::NotFound(error.body_text()))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or(ApiError::Unauthorized("nobody is known to have asked"))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let body = json_body(request, api).await?;
        if body.is_empty() {
            let reason = "there is no body, expected a JSON object".to_owned();
            return Err(ApiError::Parameter(reason));
        }
        parse(&body).map(Self)
    }
}

/// A body of JSON that need not be there.
#[derive(Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Api> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let body = json_body(request, api).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let body: Option<T> = parse(&body)?;
        Ok(Self(body.unwrap_or_default()))
    }
}

/// The bytes of a body that is said to be JSON, or none.
async fn json_body(request: Request, api: &Api) -> Result<Bytes, ApiError> {
    let encoding = header(request.headers(), &CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(ApiError::ContentEncoding(encoding));
    }
    let content_type = header(request.headers(), &CONTENT_TYPE);
    let body = read(request, api.max_body_bytes).await?;
    if !body.is_empty() && !is_json(&content_type) {
        return Err(ApiError::ContentType(content_type));
    }
    Ok(body)
}

/// Whether a content type says JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A header's value as text, at most 100 characters of it; empty when it is not there.
pub(super) fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes);
    let text = String::from_utf8_lossy(value.unwrap_or_default());
    text.chars().take(100).collect()
}

/// The whole body, up to a limit.
pub(super) async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit });
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge { limit }),
        Err(error) => Err(ApiError::Parameter(format!(
            "the body ended early: {error}"
        ))),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // A list would be taken for the values of an object's fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        let reason = "the body cannot be taken: it is a list, expected an object".to_owned();
        return Err(ApiError::Unprocessable(reason));
    }
    let error = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if error.classify() != Category::Data {
        return Err(ApiError::Parameter(format!("the body is no JSON: {error}")));
    }
    // `60.0` is a whole number in JSON, and none to the types.
    let written_whole = serde_json::from_slice(body).map(|mut value| {
        write_whole(&mut value);
        value
    });
    written_whole
        .and_then(serde_json::from_value)
        .map_err(|_same| ApiError::Unprocessable(format!("the body cannot be taken: {error}")))
}

/// Writes numbers without a fraction as whole numbers.
fn write_whole(value: &mut Value) {
    /// Up to here every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| it.fract() == 0.0);
            let whole = whole.filter(|it| number.is_f64() && it.abs() <= EXACT);
            // The text of such a number has no fraction and no exponent.
            if let Some(whole) = whole.and_then(|it| format!("{it:.0}").parse().ok()) {
                *number = whole;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_whole),
        Value::Object(fields) => fields.values_mut().for_each(write_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
