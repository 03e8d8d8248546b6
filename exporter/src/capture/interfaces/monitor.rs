//! [`Monitor`]: keeps the programs on the chosen interfaces, and the kernel part's maps of interfaces and
//! addresses right, by the kernel's announcements (rtnetlink).
//!
//! It runs as a task of its own until dropped. When announcements are lost because too many came at once, all is
//! asked for anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use aya::maps::{HashMap, MapData, MapError};
use beaconwatch_records::InterfaceUse;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::LinkMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{io::unix::AsyncFd, task::JoinHandle};

use super::{
    InterfaceNames, Selection,
    hooks::{Attachment, Hooks},
    links::{Framing, Links},
};
use crate::capture::CaptureError;

/// What the kernel sends at once at most, many times over.
const BUFFER_BYTES: usize = 64 << 10;
/// Announcements that may wait: a container host starts many at once.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Wait after an error of the socket, so that a lasting one does not keep a processor busy.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Watches until dropped, then detaches everything that is not pinned.
#[derive(Debug)]
pub(in crate::capture) struct Monitor(JoinHandle<()>);

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Monitor {
    /// Attaches to what is there now, and goes on in a task.
    pub(in crate::capture) fn start(
        selection: Selection,
        hooks: Hooks,
        interfaces: HashMap<MapData, u32, u32>,
        addresses: HashMap<MapData, [u8; 16], u32>,
        names: InterfaceNames,
    ) -> Result<Self, CaptureError> {
        let socket = listen().map_err(CaptureError::system("listening to rtnetlink"))?;
        let mut state = State {
            selection,
            hooks,
            interfaces,
            addresses,
            names,
            links: Links::default(),
            attached: BTreeMap::new(),
            refused: BTreeSet::new(),
            told: BTreeMap::new(),
            local: BTreeSet::new(),
        };
        state
            .ask_for_all(&socket)
            .map_err(CaptureError::system("asking rtnetlink"))?;
        let socket = register(socket).map_err(CaptureError::system("listening to rtnetlink"))?;
        Ok(Self(tokio::spawn(state.follow(socket))))
    }
}

/// A socket that the runtime can wait for.
#[derive(Debug)]
struct Rtnetlink(Socket);

impl AsRawFd for Rtnetlink {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[expect(unsafe_code, reason = "the runtime takes a descriptor on trust")]
fn register(socket: Socket) -> io::Result<AsyncFd<Rtnetlink>> {
    socket.set_non_blocking(true)?;
    // SAFETY: the socket has one descriptor, which it closes when the registration drops it.
    unsafe { AsyncFd::register(Rtnetlink(socket)) }.map_err(io::Error::from)
}

fn listen() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // More than the system's limit is cut to it.
    socket.set_rx_buf_sz(libc::c_int::try_from(SOCKET_BUFFER_BYTES).unwrap_or(libc::c_int::MAX))?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for group in [
        libc::RTNLGRP_LINK,
        libc::RTNLGRP_IPV4_IFADDR,
        libc::RTNLGRP_IPV6_IFADDR,
    ] {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

type Message = NetlinkMessage<RouteNetlinkMessage>;

/// Whether a dump has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

#[derive(Debug)]
struct State {
    selection: Selection,
    hooks: Hooks,
    interfaces: HashMap<MapData, u32, u32>,
    addresses: HashMap<MapData, [u8; 16], u32>,
    names: InterfaceNames,
    links: Links,
    attached: BTreeMap<u32, Captured>,
    /// Interfaces that could not be attached to, under the name that they had.
    refused: BTreeSet<(u32, String)>,
    told: BTreeMap<u32, InterfaceUse>,
    local: BTreeSet<[u8; 16]>,
}

/// An interface that has the programs.
#[derive(Debug)]
struct Captured {
    name: String,
    attachment: Attachment,
}

impl State {
    async fn follow(mut self, socket: AsyncFd<Rtnetlink>) {
        loop {
            let Ok(mut ready) = socket.readable().await else {
                return tracing::error!(
                    "rtnetlink cannot be waited for: interfaces stay as they are"
                );
            };
            let outcome = ready.try_io(|socket| self.read(&socket.get_ref().0));
            match outcome {
                Err(_not_ready) => {}
                Ok(Ok(_progress)) => self.settle(),
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    tracing::warn!("announcements of interfaces were lost: all are asked for");
                    self.ask_again(&socket.get_ref().0);
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "rtnetlink cannot be read");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    fn ask_again(&mut self, socket: &Socket) {
        self.links.clear();
        let all = socket
            .set_non_blocking(false)
            .and_then(|()| self.ask_for_all(socket))
            .and_then(|()| socket.set_non_blocking(true));
        if let Err(error) = all {
            tracing::warn!(%error, "interfaces cannot be asked for");
        }
    }

    /// Asks for every interface and address and takes the answers; the socket waits.
    fn ask_for_all(&mut self, socket: &Socket) -> io::Result<()> {
        let known = std::mem::take(&mut self.local);
        for request in [
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        ] {
            ask(socket, request)?;
            while self.read(socket)? == Progress::More {}
        }
        for address in known.difference(&self.local.clone()) {
            self.forget_address(*address);
        }
        self.settle();
        Ok(())
    }

    /// Takes one read's worth of messages.
    fn read(&mut self, socket: &Socket) -> io::Result<Progress> {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        socket.recv(&mut buffer, 0)?;
        let mut progress = Progress::More;
        let mut rest = buffer.as_slice();
        while let Some((message, behind)) = first_message(rest) {
            rest = behind;
            match Message::deserialize(message) {
                Ok(message) => {
                    if self.take(message.payload)? == Progress::Done {
                        progress = Progress::Done;
                    }
                }
                Err(error) => tracing::warn!(%error, "an announcement could not be read"),
            }
        }
        Ok(progress)
    }

    fn take(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> io::Result<Progress> {
        match payload {
            NetlinkPayload::Done(_) => return Ok(Progress::Done),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                self.note_link(&link);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                self.links.remove(link.header.index);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                for address in addresses(&address) {
                    self.note_address(address);
                }
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                for address in addresses(&address) {
                    self.local.remove(&address);
                    self.forget_address(address);
                }
            }
            _ => {}
        }
        Ok(Progress::More)
    }

    fn note_link(&mut self, link: &LinkMessage) {
        if !self.links.put(link) {
            tracing::warn!(index = link.header.index, "more interfaces than are kept");
        }
    }

    fn note_address(&mut self, address: [u8; 16]) {
        self.local.insert(address);
        if let Err(error) = self.addresses.insert(address, 1, 0) {
            tracing::warn!(%error, "more addresses than are kept: flows to this host may be told twice");
        }
    }

    fn forget_address(&mut self, address: [u8; 16]) {
        ignore_missing(self.addresses.remove(&address));
    }

    /// Attaches, detaches and tells the kernel part what follows from what is known.
    fn settle(&mut self) {
        let chosen: BTreeMap<u32, (String, Framing)> = self
            .links
            .chosen(&self.selection)
            .map(|(index, link)| (index, (link.name.clone(), link.framing)))
            .collect();
        let left: Vec<u32> = self.attached.keys().copied().collect();
        for index in left.into_iter().filter(|index| !chosen.contains_key(index)) {
            if let Some(gone) = self.attached.remove(&index) {
                self.hooks.detach(index, gone.attachment);
                self.names.leave(index);
                tracing::info!(interface = gone.name, index, "interface left");
            }
        }
        for index in self.hooks.keep_earlier(|index| chosen.contains_key(&index)) {
            self.leave_earlier(index);
        }
        if self.hooks.have_earlier() {
            // The programs that are put in the place of an earlier run's look there at once.
            self.tell();
        }
        let links = &self.links;
        self.refused
            .retain(|(index, name)| links.find(*index).is_some_and(|link| link.name == *name));
        for (index, (name, framing)) in chosen {
            match self.attached.get_mut(&index) {
                Some(captured) if captured.name != name => {
                    self.names.put(index, &name);
                    captured.name = name;
                }
                Some(_) => {}
                None => self.attach(index, name, framing),
            }
        }
        self.tell();
    }

    /// Flows that an earlier run's programs saw there are told later.
    fn leave_earlier(&self, index: u32) {
        let name = self.links.find(index).map(|link| link.name.as_str());
        if let Some(name) = name {
            self.names.put(index, name);
            self.names.leave(index);
        }
        tracing::info!(
            interface = name,
            index,
            "interface of an earlier run is no longer captured"
        );
    }

    fn attach(&mut self, index: u32, name: String, framing: Framing) {
        if self.refused.contains(&(index, name.clone())) {
            return;
        }
        match self.hooks.attach(index, framing) {
            Ok(attachment) => {
                let taken_over = attachment.is_taken_over();
                tracing::info!(interface = name, index, taken_over, "interface captured");
                self.names.put(index, &name);
                let captured = Captured { name, attachment };
                self.attached.insert(index, captured);
            }
            // It went while it was announced.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => {
                tracing::warn!(interface = name, index, %error, "interface cannot be captured");
                self.refused.insert((index, name));
            }
        }
    }

    fn tell(&mut self) {
        let (attached, hooks) = (&self.attached, &self.hooks);
        let counted = |index| attached.contains_key(&index) || hooks.has_earlier(index);
        let uses = self.links.uses(counted);
        let told = std::mem::replace(&mut self.told, uses);
        for index in told.keys().filter(|index| !self.told.contains_key(index)) {
            ignore_missing(self.interfaces.remove(index));
        }
        for (index, used) in &self.told {
            if told.get(index) == Some(used) {
                continue;
            }
            if let Err(error) = self.interfaces.insert(*index, *used as u32, 0) {
                tracing::warn!(index, %error, "more interfaces than are kept: flows may be told twice");
            }
        }
    }
}

fn ask(socket: &Socket, request: RouteNetlinkMessage) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// The first message of a buffer and what lies behind it (`nlmsghdr`: its length, padded to four).
fn first_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const HEADER_BYTES: usize = 16;
    let length = u32::from_ne_bytes(bytes.first_chunk::<4>().copied()?);
    let length = usize::try_from(length).ok()?;
    let message = bytes.get(..length).filter(|_| length >= HEADER_BYTES)?;
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((message, behind))
}

/// The host's own addresses in an announcement, as 16 bytes.
fn addresses(message: &AddressMessage) -> impl Iterator<Item = [u8; 16]> {
    // A point-to-point link's "address" is the other end's when there is a "local" one.
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
    local.or(address).map(mapped).into_iter()
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn ignore_missing(result: Result<(), MapError>) {
    if let Err(error) = result
        && !matches!(error, MapError::KeyNotFound)
    {
        tracing::debug!(%error, "an entry could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_off_by_their_length_and_its_padding() {
        let mut bytes = Vec::new();
        for (length, fill) in [(17u32, 1u8), (16, 2)] {
            let start = bytes.len();
            bytes.extend(length.to_ne_bytes());
            bytes.resize(
                start + usize::try_from(length).unwrap().next_multiple_of(4),
                fill,
            );
        }
        let (first, rest) = first_message(&bytes).unwrap();
        assert_eq!(first.len(), 17);
        let (second, rest) = first_message(rest).unwrap();
        assert_eq!(second.len(), 16);
        assert!(rest.is_empty());
        assert!(first_message(rest).is_none());
    }

    #[test]
    fn a_length_that_lies_ends_the_reading() {
        for length in [0u32, 15, 33, u32::MAX] {
            let mut bytes = vec![0; 32];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(first_message(&bytes).is_none(), "{length}");
        }
    }

    #[test]
    fn the_own_end_of_a_point_to_point_link_is_its_address() {
        let mut message = AddressMessage::default();
        message.attributes = vec![
            AddressAttribute::Address("192.0.2.1".parse().unwrap()),
            AddressAttribute::Local("192.0.2.2".parse().unwrap()),
        ];
        let found: Vec<_> = addresses(&message).collect();
        assert_eq!(found, [mapped("192.0.2.2".parse().unwrap())]);
    }
}
