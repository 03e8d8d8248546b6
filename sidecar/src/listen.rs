//! Listening sockets: a bounded number of connections, bounded size and time of request heads, TLS where it is
//! configured, graceful stop. A request carries the address that it came from ([`Peer`]).

mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) use tls::Tls;
pub use tls::TlsError;

/// A connection on which no whole request head has come by then is closed: also one that is idle.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Most bytes of a request's head.
const HEAD_BYTES: u32 = 64 << 10;
/// Silent connections of HTTP/2 are asked this often whether somebody is there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// A TLS handshake that is not done by then is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of `accept` (for example no file descriptors), the next try is made after this time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What for.
    pub purpose: &'static str,
    /// Why.
    pub source: io::Error,
}

/// A listening socket that takes a bounded number of connections; more wait in the kernel's queue.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    room: Arc<Semaphore>,
    address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(
        address: SocketAddr,
        purpose: &'static str,
        max_connections: usize,
    ) -> Result<Self, ListenError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self {
                socket,
                room: Arc::new(Semaphore::new(max_connections)),
                address,
            })
        };
        bound.await.map_err(|source| ListenError {
            address,
            purpose,
            source,
        })
    }

    /// The address with the port that the kernel chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Connection {
        loop {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    return Connection {
                        stream,
                        peer,
                        _permit: permit,
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A connection that counts against its listener's limit while it lives.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves HTTP/1 and HTTP/2, over TLS when there is a certificate, until `stop`; then lets requests that have
/// begun end.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    tls: Option<Tls>,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => break,
            connection = listener.accept() => connection,
        };
        let served = Served {
            router: router.clone(),
            peer: Peer(connection.peer),
            watcher: graceful.watcher(),
        };
        match tls.clone() {
            None => drop(tokio::spawn(served.run(connection))),
            Some(tls) => drop(tokio::spawn(served.run_tls(tls, connection, stop.clone()))),
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What a connection is served with.
struct Served {
    router: Router,
    peer: Peer,
    watcher: Watcher,
}

impl Served {
    async fn run_tls(self, tls: Tls, connection: Connection, stop: CancellationToken) {
        let handshake = async {
            let acceptor = tokio::task::spawn_blocking(move || tls.acceptor()).await;
            acceptor.map_err(io::Error::other)?.accept(connection).await
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => accepted,
        };
        match accepted {
            Ok(Ok(stream)) => self.run(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, peer = %self.peer.0, "a TLS handshake failed");
            }
            Err(_elapsed) => tracing::debug!(peer = %self.peer.0, "a TLS handshake took too long"),
        }
    }

    async fn run<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .max_header_list_size(HEAD_BYTES)
            .max_concurrent_streams(64);
        let (router, peer) = (self.router, self.peer);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let served = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = self.watcher.watch(served).await {
            tracing::debug!(error = %error, "a connection ended with an error");
        }
    }
}
