//! [`Traffic`]: connections to a listener of this program's own.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::plan::Plan;

/// What a connection sends.
const GREETING: &[u8] = b"beaconwatch simulate: harmless, sent to a listener of its own\n";
/// A connection that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A listener, and connections to it.
#[derive(Debug)]
pub(super) struct Traffic {
    listener: TcpListener,
    address: SocketAddr,
}

impl Traffic {
    pub(super) async fn listen(address: SocketAddr) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes all connections of the plan; `made` counts them.
    pub(super) async fn beacon(self, plan: &Plan, made: Rc<Cell<u64>>) -> io::Result<()> {
        let begun = Instant::now();
        for number in 0..plan.count {
            tokio::time::sleep_until(begun + plan.offset(number)).await;
            let ends = async { tokio::try_join!(self.call(), self.answer()) };
            timeout(PATIENCE, ends).await.map_err(|_elapsed| {
                let message = format!("{} did not answer itself within {PATIENCE:?}", self.address);
                io::Error::new(io::ErrorKind::TimedOut, message)
            })??;
            made.set(number + 1);
        }
        Ok(())
    }

    async fn call(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(GREETING).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        let limit = u64::try_from(GREETING.len()).unwrap_or(u64::MAX);
        (&mut stream).take(limit).read_to_end(&mut answer).await?;
        Ok(())
    }

    async fn answer(&self) -> io::Result<()> {
        let (mut stream, _) = self.listener.accept().await?;
        let mut greeting = vec![0; GREETING.len()];
        stream.read_exact(&mut greeting).await?;
        stream.write_all(&greeting).await?;
        stream.shutdown().await
    }
}
