//! The head of a plain HTTP/1 request (RFC 9112).
//!
//! Read line by line and not by a strict parser: implants write heads that a server would refuse, and heads that break
//! off tell, too.

use crate::Verdict;
use crate::host::{host_name, is_host_name};

/// Longest method: `UNSUBSCRIBE` and its like.
const METHOD_BYTES_MAX: usize = 20;
/// Longest text of a header that is kept.
const TEXT_BYTES_MAX: usize = 1024;

/// What a request says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// The path or whatever stands in its place, at most 1024 bytes of it.
    pub target: String,
    /// The host that it is for, in lower case and without port; `None` also when it is no host's name.
    pub host: Option<String>,
    /// The header `User-Agent`, at most 1024 bytes of it.
    pub user_agent: Option<String>,
}

/// The request in the first bytes that a client sent: found when its head is whole, or names host and user agent.
///
/// ```
/// use beaconwatch_packets::{Verdict, http};
///
/// let head = b"GET /a HTTP/1.1\r\nHost: Example.test:8080\r\nUser-Agent: x/1\r\n";
/// let Verdict::Found(request) = http::request(head) else {
///     panic!("no request");
/// };
/// assert_eq!(request.host.as_deref(), Some("example.test"));
/// assert_eq!(request.user_agent.as_deref(), Some("x/1"));
/// ```
#[must_use]
pub fn request(bytes: &[u8]) -> Verdict<Request> {
    match read(bytes) {
        Head::None => Verdict::Nothing,
        Head::Part(request) if request.host.is_some() && request.user_agent.is_some() => {
            Verdict::Found(request)
        }
        Head::Line | Head::Part(_) => Verdict::NeedsMore,
        Head::Whole(request) => Verdict::Found(request),
    }
}

/// What the beginning of a head says that breaks off; `None` before the end of its first line.
#[must_use]
pub fn request_so_far(bytes: &[u8]) -> Option<Request> {
    match read(bytes) {
        Head::None | Head::Line => None,
        Head::Part(request) | Head::Whole(request) => Some(request),
    }
}

/// How much of a head is there.
enum Head {
    /// It is none.
    None,
    /// Its first line goes on.
    Line,
    /// Some of its lines.
    Part(Request),
    /// All of it.
    Whole(Request),
}

fn read(bytes: &[u8]) -> Head {
    if !begins_with_method(bytes) {
        return Head::None;
    }
    // What stands behind the last line's end may go on.
    let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
        return Head::Line;
    };
    let lines = bytes.get(..end).unwrap_or_default();
    let mut lines = lines
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some(mut request) = lines.next().and_then(first_line) else {
        return Head::None;
    };
    for line in lines {
        if line.is_empty() {
            return Head::Whole(request);
        }
        header(&mut request, line);
    }
    Head::Part(request)
}

/// Upper-case letters and a space, as far as they are there.
fn begins_with_method(bytes: &[u8]) -> bool {
    let letters = bytes.iter().take_while(|it| it.is_ascii_uppercase());
    match letters.count() {
        0 => false,
        length if length > METHOD_BYTES_MAX => false,
        length => matches!(bytes.get(length), None | Some(b' ')),
    }
}

fn first_line(line: &[u8]) -> Option<Request> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let is_request = parts
        .next_back()
        .is_some_and(|version| version.starts_with(b"HTTP/1"));
    is_request.then(|| Request {
        method: text(method),
        target: text(target),
        ..Request::default()
    })
}

fn header(request: &mut Request, line: &[u8]) {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return;
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if name.eq_ignore_ascii_case(b"host") && request.host.is_none() {
        let name = is_host_name(value).then(|| host_name(&text(value)));
        request.host = name.filter(|it| !it.is_empty());
    } else if name.eq_ignore_ascii_case(b"user-agent") && request.user_agent.is_none() {
        request.user_agent = Some(text(value));
    }
}

fn text(bytes: &[u8]) -> String {
    let kept = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into_owned()
}

#[cfg(test)]
mod tests;
