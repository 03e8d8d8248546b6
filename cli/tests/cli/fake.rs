//! An instance that answers as the contract of the API says, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /api/v1/beacons?limit=5`.
    pub(crate) line: String,
    /// Header `authorization`.
    pub(crate) authorization: Option<String>,
    /// JSON of the body.
    pub(crate) body: Value,
}

/// Answers to requests: the first whose beginning fits. Several answers to the same request are given one
/// after the other, the last one again and again.
#[derive(Clone, Debug)]
struct Route {
    begins: String,
    answers: Vec<(u16, String)>,
}

/// What is answered to a request.
type Answer = dyn FnMut(&Asked) -> Option<(u16, String)> + Send;

/// A server of its own; it ends with the process.
pub(crate) struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// `routes`: beginning of the request's line, status, body.
    pub(crate) fn start(routes: &[(&str, u16, Value)]) -> Self {
        let texts: Vec<(&str, u16, String)> = routes
            .iter()
            .map(|(begins, status, body)| (*begins, *status, body.to_string()))
            .collect();
        Self::with_text(&texts)
    }

    pub(crate) fn with_text(routes: &[(&str, u16, String)]) -> Self {
        let mut known: Vec<Route> = Vec::new();
        for (begins, status, body) in routes {
            let answer = (*status, body.clone());
            match known.iter_mut().find(|it| it.begins == *begins) {
                Some(route) => route.answers.insert(0, answer),
                None => known.push(Route {
                    begins: (*begins).to_owned(),
                    answers: vec![answer],
                }),
            }
        }
        Self::answering(move |request| {
            let route = known
                .iter_mut()
                .find(|it| request.line.starts_with(&it.begins))?;
            if route.answers.len() > 1 {
                return route.answers.pop();
            }
            route.answers.first().cloned()
        })
    }

    /// Answers as `answer` says; what it has no answer to is not found.
    pub(crate) fn answering(
        answer: impl FnMut(&Asked) -> Option<(u16, String)> + Send + 'static,
    ) -> Self {
        let mut answer: Box<Answer> = Box::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away in the middle is its own affair.
                drop(serve(stream.unwrap(), &mut *answer, &seen));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The lines of everything that was asked so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|it| it.line).collect()
    }

    /// Runs the program against it, on a terminal of so many columns.
    pub(crate) fn run(&self, columns: u16, arguments: &[&str]) -> Ran {
        let mut command = beaconwatch();
        command.args(arguments).args(["--url", &self.url()]);
        command.env("COLUMNS", columns.to_string());
        command.output().unwrap().into()
    }
}

fn serve(stream: TcpStream, answer: &mut Answer, asked: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let answered = answer(&request);
        let (status, body) =
            answered.unwrap_or_else(|| (404, r#"{"error":"there is nothing here"}"#.to_owned()));
        asked.lock().unwrap().push(request);
        write!(
            out,
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked {
        line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        authorization,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}
