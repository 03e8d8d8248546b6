//! Ways into parsers that have no other one, for the fuzz targets only.

use http::{HeaderMap, StatusCode};

use crate::hec::answer::{self, Verdict};
use crate::http_client::Answer;
use crate::template::{Purpose, Template, Variables};
use crate::{AttemptError, Document, Outcome, elasticsearch};

/// A body that a template makes of documents; what is wrong with the template or what it makes otherwise.
pub fn body_by_template(
    template: &str,
    json: bool,
    batch: bool,
    documents: &[&Document],
) -> Result<String, String> {
    Template::new(template.to_owned(), json, batch, Variables::new())?
        .render(documents, Purpose::Send)
}

/// What the answer to a bulk request says of so many documents.
pub fn bulk_outcomes(body: &[u8], documents: usize) -> Result<Vec<Outcome>, AttemptError> {
    elasticsearch::bulk::outcomes(body, documents)
}

fn answer(status: u16, body: &[u8]) -> Option<Answer> {
    Some(Answer {
        status: StatusCode::from_u16(status).ok()?,
        headers: HeaderMap::new(),
        body: body.to_vec(),
    })
}

/// Whether an event collector's answer says that all documents are taken, and the place of the one that it refuses.
#[must_use]
pub fn collector_verdict(
    status: u16,
    body: &[u8],
    documents: usize,
) -> Option<(bool, Option<usize>)> {
    Some(match answer::judge(&answer(status, body)?, documents) {
        Verdict::Taken(_) => (true, None),
        Verdict::OneRefused { number, .. } => (false, Some(number)),
        Verdict::Later(_) | Verdict::AllRefused { .. } | Verdict::Split { .. } => (false, None),
    })
}

/// The numbers that an event collector's answer acknowledges.
#[must_use]
pub fn acknowledged(status: u16, body: &[u8]) -> Option<Vec<u64>> {
    answer::acknowledged(answer(status, body)?).ok()
}
