//! The program that makes the traffic: the benchmark calls itself, as a process of its own that takes commands on its
//! standard input. Nothing here but the standard library.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use beaconwatch_bench::process;

use crate::Outcome;
use crate::cgroup::Cgroup;
use crate::rounds::Round;

/// First argument of the process that makes the traffic.
pub(crate) const ARGUMENT: &str = "make-traffic";
/// A transfer's unit.
pub(crate) const BLOCK_BYTES: u32 = 256 * 1024;

/// The program as the benchmark sees it.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it in a cgroup, on the last processor.
    pub(crate) fn start(cgroup: &Cgroup) -> Outcome<Self> {
        let processors = std::thread::available_parallelism()?.get();
        // It holds more sockets open than programs are usually allowed to unless they ask.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -S -n $(ulimit -H -n) && exec \"$@\"", "sh"])
            .args(["taskset", "--cpu-list"])
            .arg((processors - 1).to_string())
            .arg(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        cgroup.hold(child.id())?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let output = BufReader::new(output);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Makes so many connections, each with a request and an answer.
    pub(crate) fn connect(&mut self, count: u64) -> Outcome<Round> {
        self.ask("connect", count)
    }

    /// Sends so many blocks over one connection.
    pub(crate) fn stream(&mut self, count: u64) -> Outcome<Round> {
        self.ask("stream", count)
    }

    /// Opens and keeps so many `connections`, `sockets` or `peers`.
    pub(crate) fn hold(&mut self, what: &str, count: u64) -> Outcome<()> {
        self.ask(what, count).map(drop)
    }

    /// Closes all that it keeps.
    pub(crate) fn release(&mut self) -> Outcome<()> {
        self.ask("release", 0).map(drop)
    }

    fn ask(&mut self, what: &str, count: u64) -> Outcome<Round> {
        writeln!(self.input, "{what} {count}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut next = || -> Outcome<u64> {
            let word = words.next().ok_or("the program ended")?;
            Ok(word.parse()?)
        };
        Ok(Round {
            cpu: Duration::from_nanos(next()?),
            wall: Duration::from_nanos(next()?),
            count,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            tracing::warn!("the program that makes the traffic stays");
        }
    }
}

/// Takes commands until there are no more.
#[expect(clippy::print_stdout, reason = "the answer to the benchmark")]
pub(crate) fn run() -> Outcome<()> {
    let mut kept = Kept::default();
    // Not before the first command: by then this process is in its cgroup.
    let mut stream: Option<Stream> = None;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (what, count) = line.split_once(' ').ok_or("a command without a number")?;
        let count = count.parse()?;
        let (cpu, wall) = (process::processor_time()?, Instant::now());
        match what {
            "connect" => connect(count)?,
            "stream" => match &mut stream {
                Some(stream) => stream.send(count)?,
                None => stream.insert(Stream::open()?).send(count)?,
            },
            "connections" => kept.open_connections(count)?,
            "sockets" => kept.open_sockets(count)?,
            "peers" => kept.meet_peers(count)?,
            "release" => kept = Kept::default(),
            other => return Err(format!("no command {other}").into()),
        }
        let wall = wall.elapsed();
        let cpu = process::processor_time()?.saturating_sub(cpu);
        println!("{} {}", cpu.as_nanos(), wall.as_nanos());
    }
    Ok(())
}

/// Connect, request, answer, close; the client closes first.
fn connect(count: u64) -> Outcome<()> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    let mut buffer = [0; 64];
    for _ in 0..count {
        let mut client = TcpStream::connect(address)?;
        let (mut accepted, _) = server.accept()?;
        client.write_all(&buffer)?;
        accepted.read_exact(&mut buffer)?;
        accepted.write_all(&buffer)?;
        client.read_exact(&mut buffer)?;
        drop(client);
        drop(accepted);
    }
    Ok(())
}

/// A thread that takes what is sent to it, so that its time is there to be read.
struct Stream {
    listener: TcpListener,
    takers: std::sync::mpsc::Sender<(TcpStream, u64)>,
    taken: std::sync::mpsc::Receiver<()>,
    _thread: JoinHandle<()>,
}

impl Stream {
    fn open() -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (takers, connections) = std::sync::mpsc::channel::<(TcpStream, u64)>();
        let (done, taken) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; BLOCK_BYTES as usize];
            for (mut connection, count) in connections {
                let all = (0..count).all(|_| connection.read_exact(&mut buffer).is_ok());
                if !all || done.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            listener,
            takers,
            taken,
            _thread: thread,
        })
    }

    /// A connection of its own, so that the exporter knows it from its first packet.
    fn send(&mut self, count: u64) -> Outcome<()> {
        let mut client = TcpStream::connect(self.listener.local_addr()?)?;
        self.takers.send((self.listener.accept()?.0, count))?;
        let block = vec![0; BLOCK_BYTES as usize];
        for _ in 0..count {
            client.write_all(&block)?;
        }
        Ok(self.taken.recv()?)
    }
}

/// Sockets that live.
#[derive(Default)]
struct Kept {
    streams: Vec<TcpStream>,
    datagrams: Vec<UdpSocket>,
}

impl Kept {
    fn open_connections(&mut self, count: u64) -> Outcome<()> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        for _ in 0..count {
            let client = TcpStream::connect(server.local_addr()?)?;
            self.streams.extend([client, server.accept()?.0]);
        }
        Ok(())
    }

    /// Each sends a datagram to a socket that has no flow for it yet: one flow each, and one peer at the receiver.
    fn open_sockets(&mut self, count: u64) -> Outcome<()> {
        for _ in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.send_to(b"live", socket.local_addr()?)?;
            self.datagrams.push(socket);
        }
        Ok(())
    }

    /// One socket sends to many addresses, which nobody has.
    fn meet_peers(&mut self, count: u64) -> Outcome<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        for peer in 0..count {
            let address =
                Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + u32::try_from(peer)?);
            // Refused by whoever had the last one, which is no error of this one.
            if socket.send_to(b"live", (address, 9)).is_err() {
                socket.send_to(b"live", (address, 9))?;
            }
        }
        self.datagrams.push(socket);
        Ok(())
    }
}
