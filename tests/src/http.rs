//! JSON over HTTP on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use ureq::Agent;

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body; null when it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The body, when the status says success.
    pub fn expect_success(self, url: &str) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{url}: {} {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }
}

/// Asks for `url`.
pub fn get(url: &str) -> Result<Answer> {
    let response = agent()
        .get(url)
        .call()
        .with_context(|| format!("GET {url}"))?;
    read(response)
}

/// Asks for `url` with a bearer token.
pub fn get_as(token: &str, url: &str) -> Result<Answer> {
    let response = agent()
        .get(url)
        .header("authorization", format!("Bearer {token}"))
        .call()
        .with_context(|| format!("GET {url}"))?;
    read(response)
}

/// Sends `body` to `url` with a bearer token.
pub fn post_as(token: &str, url: &str, body: &Value) -> Result<Answer> {
    let response = agent()
        .post(url)
        .header("authorization", format!("Bearer {token}"))
        .send_json(body)
        .with_context(|| format!("POST {url}"))?;
    read(response)
}

/// Sends `body` to `url`.
pub fn post(url: &str, body: &Value) -> Result<Answer> {
    let response = agent()
        .post(url)
        .send_json(body)
        .with_context(|| format!("POST {url}"))?;
    read(response)
}

/// Sends documents to a bulk address (operation `create`); every one must be taken.
pub fn bulk(url: &str, documents: &[Value]) -> Result<()> {
    let mut lines = String::new();
    for document in documents {
        lines.push_str("{\"create\":{}}\n");
        lines.push_str(&document.to_string());
        lines.push('\n');
    }
    let response = agent()
        .post(url)
        .header("content-type", "application/x-ndjson")
        .send(lines)
        .with_context(|| format!("POST {url}"))?;
    let answer = read(response)?.expect_success(url)?;
    let refused = answer["items"]
        .as_array()
        .context("an answer without items")?
        .iter()
        .find(|item| item["create"]["status"] != 201);
    ensure!(refused.is_none(), "a document was refused: {refused:?}");
    Ok(())
}

/// Puts `body` at `url`.
pub fn put(url: &str, body: &Value) -> Result<Answer> {
    let response = agent()
        .put(url)
        .send_json(body)
        .with_context(|| format!("PUT {url}"))?;
    read(response)
}

/// Removes what is at `url`.
pub fn delete(url: &str) -> Result<Answer> {
    let response = agent()
        .delete(url)
        .call()
        .with_context(|| format!("DELETE {url}"))?;
    read(response)
}

/// Without a proxy: everything here is on loopback.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .proxy(None)
        .build()
        .into()
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .read_to_string()
        .context("reading the answer")?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or_default(),
    })
}

/// Ports on loopback that nobody else gets while this process lives, for a program that cannot choose them itself.
///
/// They stay bound here without being listened on. Who asks by number and with `SO_REUSEADDR`, as servers do, gets one
/// all the same; who lets the kernel choose (another test, the near end of a connection) never does.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    static HELD: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let (socket, number) = hold_any_port().context("asking for a free port")?;
        *port = number;
        HELD.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket);
    }
    Ok(ports)
}

fn hold_any_port() -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket();
    let port = address.map(|it| it.port());
    Ok((
        socket,
        port.ok_or_else(|| io::Error::other("the kernel named no port"))?,
    ))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_free_port_is_got_by_its_number_and_by_nobody_else() {
        let [port] = free_ports().unwrap();
        let address = (Ipv4Addr::LOCALHOST, port);
        assert!(TcpStream::connect(address).is_err());
        for _ in 0..2 {
            let server = TcpListener::bind(address).unwrap();
            let near = TcpStream::connect(address).unwrap();
            let (far, _) = server.accept().unwrap();
            drop((far, near));
        }
        let all_others: [u16; 500] = free_ports().unwrap();
        assert!(!all_others.contains(&port));
    }
}
