//! Carries messages to a receiver.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{CLOSE_TIMEOUT, SyslogConfig, SyslogTransport};
use crate::{BuildError, Outcome};

/// A way to a receiver.
#[derive(Debug)]
pub(super) enum Sender {
    Udp {
        address: String,
        /// Kept, because the system reports a refusal at the next use.
        socket: Option<UdpSocket>,
    },
    Tcp {
        address: String,
    },
    Tls {
        address: String,
        connector: Connector,
        server_name: ServerName<'static>,
    },
    Local {
        path: PathBuf,
    },
}

/// Opens TLS; its inner state is not to be shown.
pub(super) struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connector(..)")
    }
}

impl Sender {
    pub(super) fn new(config: &SyslogConfig) -> Result<Self, BuildError> {
        let address = config.address.clone();
        Ok(match config.transport {
            SyslogTransport::Udp => Self::Udp {
                address,
                socket: None,
            },
            SyslogTransport::Tcp => Self::Tcp { address },
            SyslogTransport::Tls => Self::Tls {
                connector: Connector(TlsConnector::from(Arc::new(config.tls.client_config()?))),
                server_name: ServerName::try_from(host(&address).to_owned())
                    .map_err(|error| BuildError::Client(format!("{address}: {error}")))?,
                address,
            },
            SyslogTransport::Local => Self::Local {
                path: config.path.clone(),
            },
        })
    }

    /// Makes one attempt with all messages; answers for each.
    pub(super) async fn send(&mut self, messages: &[&[u8]]) -> io::Result<Vec<Outcome>> {
        match self {
            Self::Udp { address, socket } => {
                let connected = connected(address, socket.take()).await?;
                // A refusal drops the socket: the next attempt asks for the address again.
                let outcomes = send_udp(&connected, messages).await?;
                *socket = Some(connected);
                Ok(outcomes)
            }
            Self::Local { path } => send_local(path, messages).await,
            Self::Tcp { address } => {
                let stream = TcpStream::connect(address.as_str()).await?;
                send_stream(stream, messages).await
            }
            Self::Tls {
                address,
                connector,
                server_name,
            } => {
                let stream = TcpStream::connect(address.as_str()).await?;
                let stream = connector.0.connect(server_name.clone(), stream).await?;
                send_stream(stream, messages).await
            }
        }
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
pub(super) fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// The socket, as long as its receiver is still one of those that the address names.
async fn connected(address: &str, socket: Option<UdpSocket>) -> io::Result<UdpSocket> {
    let named: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
    if let Some(socket) = socket
        && socket.peer_addr().is_ok_and(|peer| named.contains(&peer))
    {
        return Ok(socket);
    }
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    for receiver in named {
        let any: SocketAddr = if receiver.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(receiver).await {
            Ok(()) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn send_udp(socket: &UdpSocket, messages: &[&[u8]]) -> io::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(messages.len());
    for message in messages {
        outcomes.push(datagram(socket.send(message).await)?);
    }
    match socket.take_error()? {
        // Which of them was refused is not told: all are sent again.
        Some(error) => Err(error),
        None => Ok(outcomes),
    }
}

async fn send_local(path: &std::path::Path, messages: &[&[u8]]) -> io::Result<Vec<Outcome>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let socket = UnixDatagram::unbound()?;
    socket.connect(path).map_err(named)?;
    let mut outcomes = Vec::with_capacity(messages.len());
    for message in messages {
        outcomes.push(datagram(socket.send(message).await).map_err(named)?);
    }
    Ok(outcomes)
}

/// What became of a datagram; an error when it concerns others, too.
fn datagram(sent: io::Result<usize>) -> io::Result<Outcome> {
    /// `EMSGSIZE`.
    const MESSAGE_TOO_LONG: i32 = 90;
    match sent {
        Ok(_) => Ok(Outcome::Unconfirmed),
        Err(error) if error.raw_os_error() == Some(MESSAGE_TOO_LONG) => Ok(Outcome::Refused {
            reason: format!("{error}: lower max_message_bytes"),
        }),
        Err(error) => Err(error),
    }
}

/// Octet counting (RFC 6587 section 3.4.1): the length of each message goes before it.
fn frames(messages: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for message in messages {
        frames.extend_from_slice(message.len().to_string().as_bytes());
        frames.push(b' ');
        frames.extend_from_slice(message);
    }
    frames
}

/// Writes everything, closes, and waits for the receiver to do so.
async fn send_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    messages: &[&[u8]],
) -> io::Result<Vec<Outcome>> {
    stream.write_all(&frames(messages)).await?;
    stream.shutdown().await?;
    let outcome = match tokio::time::timeout(CLOSE_TIMEOUT, closed(&mut stream)).await {
        Ok(closed) => closed.map(|()| Outcome::Delivered)?,
        Err(_still_open) => Outcome::Unconfirmed,
    };
    Ok(vec![outcome; messages.len()])
}

/// Reads until the receiver's close; what it says before that means nothing in syslog.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut said = [0; 1024];
    loop {
        match stream.read(&mut said).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Closed without TLS's own close, as some receivers do: nothing was expected from them.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
