//! The web page's files, as they were in `web/` when the program was built.
//!
//! Which files there are is a list made by the build script; a request's path is looked up in it and is never a path
//! of a file system. Files carry a tag of their content, so that a browser asks again and gets nothing when it has
//! the same.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use sha2::{Digest, Sha256};

// `FILES`: paths with a leading slash, and contents; ordered by path.
include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// The page itself.
const INDEX: &str = "/index.html";

/// A file of the page.
struct File {
    path: &'static str,
    content: &'static [u8],
    tag: HeaderValue,
}

static TAGGED: LazyLock<Vec<File>> = LazyLock::new(|| {
    let tagged = FILES.iter().map(|&(path, content)| {
        let digest = Sha256::digest(content);
        let tag = format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or_default()));
        File {
            path,
            content,
            // Hexadecimal digits in quotes are a header's value.
            tag: HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
        }
    });
    tagged.collect()
});

/// The file that a path stands for; none when there is none.
pub(crate) fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let path = if path == "/" { INDEX } else { path };
    let index = TAGGED.binary_search_by(|file| file.path.cmp(path)).ok()?;
    let file = TAGGED.get(index)?;
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|given| {
        let given = given.to_str().unwrap_or_default();
        given
            .split(',')
            .any(|tag| tag.trim() == file.tag || tag.trim() == "*")
    });
    let mut response = Response::new(if known {
        Body::empty()
    } else {
        Body::from(file.content)
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content_type(file.path)),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, file.tag.clone());
    Some(response)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/vnd.microsoft.icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
