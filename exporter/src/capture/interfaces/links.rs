//! What is known of the machine's interfaces, and what each is to the kernel part. Pure.

use std::collections::BTreeMap;

use beaconwatch_records::InterfaceUse;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage};

use super::Selection;

/// Interfaces kept at most.
const MOST_LINKS: usize = 16_384;

/// What packets on an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Bare,
    /// Nothing that can be read, or not worth it (loopback).
    Unread,
}

impl Framing {
    const fn of(kind: LinkLayerType) -> Self {
        match kind {
            LinkLayerType::Ether => Self::Ethernet,
            LinkLayerType::None
            | LinkLayerType::Rawip
            | LinkLayerType::Ppp
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => Self::Bare,
            _ => Self::Unread,
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) framing: Framing,
    /// The other end of the pair is in another network namespace.
    paired_elsewhere: bool,
    bridge: bool,
    controller: Option<u32>,
}

impl Link {
    fn of(message: &LinkMessage) -> Option<Self> {
        let mut link = Self {
            name: String::new(),
            framing: Framing::of(message.header.link_layer_type),
            paired_elsewhere: false,
            bridge: false,
            controller: None,
        };
        let mut veth = false;
        let mut elsewhere = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(info) => {
                    veth = info.contains(&LinkInfo::Kind(InfoKind::Veth));
                    link.bridge = info.contains(&LinkInfo::Kind(InfoKind::Bridge));
                }
                _ => {}
            }
        }
        link.paired_elsewhere = veth && elsewhere;
        (!link.name.is_empty()).then_some(link)
    }
}

/// The interfaces by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(BTreeMap<u32, Link>);

impl Links {
    /// Takes an announcement of an interface that is there or has changed; says whether there was room.
    pub(super) fn put(&mut self, message: &LinkMessage) -> bool {
        let index = message.header.index;
        let Some(link) = Link::of(message) else {
            return true;
        };
        if self.0.len() >= MOST_LINKS && !self.0.contains_key(&index) {
            return false;
        }
        self.0.insert(index, link);
        true
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.0.remove(&index);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn find(&self, index: u32) -> Option<&Link> {
        self.0.get(&index)
    }

    /// Interfaces that are to have the programs.
    pub(super) fn chosen(&self, selection: &Selection) -> impl Iterator<Item = (u32, &Link)> {
        self.0
            .iter()
            .filter(|(_, link)| link.framing != Framing::Unread && selection.chooses(&link.name))
            .map(|(index, link)| (*index, link))
    }

    /// What the kernel part is told of interfaces, when those in `counted` have the programs.
    pub(super) fn uses(&self, counted: impl Fn(u32) -> bool) -> BTreeMap<u32, InterfaceUse> {
        let mut uses = BTreeMap::new();
        for (&index, link) in &self.0 {
            if counted(index) {
                uses.insert(index, InterfaceUse::Counted);
            } else if link.paired_elsewhere || (link.bridge && self.bridges_pairs_only(index)) {
                uses.insert(index, InterfaceUse::SocketsBehind);
            }
        }
        uses
    }

    fn bridges_pairs_only(&self, bridge: u32) -> bool {
        let mut ports = self
            .0
            .values()
            .filter(|link| link.controller == Some(bridge))
            .peekable();
        ports.peek().is_some() && ports.all(|port| port.paired_elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: u32, name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes = attributes;
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        message
    }

    fn kind(kind: InfoKind) -> LinkAttribute {
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])
    }

    fn container(index: u32, bridge: u32) -> LinkMessage {
        let attributes = vec![
            kind(InfoKind::Veth),
            LinkAttribute::LinkNetNsId(index.cast_signed()),
            LinkAttribute::Controller(bridge),
        ];
        message(index, &format!("veth{index}"), attributes)
    }

    fn used(links: &Links, counted: &[u32]) -> Vec<(u32, InterfaceUse)> {
        links
            .uses(|index| counted.contains(&index))
            .into_iter()
            .collect()
    }

    #[test]
    fn behind_pairs_and_bridges_of_pairs_are_sockets_of_this_kernel() {
        let mut links = Links::default();
        links.put(&message(2, "eth0", Vec::new()));
        links.put(&message(3, "docker0", vec![kind(InfoKind::Bridge)]));
        links.put(&container(4, 3));
        links.put(&container(5, 3));
        let behind = InterfaceUse::SocketsBehind;
        assert_eq!(used(&links, &[]), [(3, behind), (4, behind), (5, behind)]);
        // A virtual machine joins the bridge.
        links.put(&message(6, "tap0", vec![LinkAttribute::Controller(3)]));
        assert_eq!(used(&links, &[]), [(4, behind), (5, behind)]);
        links.remove(6);
        assert_eq!(used(&links, &[]), [(3, behind), (4, behind), (5, behind)]);
    }

    #[test]
    fn an_empty_bridge_and_a_pair_within_the_namespace_say_nothing() {
        let mut links = Links::default();
        links.put(&message(3, "br0", vec![kind(InfoKind::Bridge)]));
        links.put(&message(4, "veth0", vec![kind(InfoKind::Veth)]));
        assert_eq!(used(&links, &[]), []);
    }

    #[test]
    fn what_is_counted_is_counted_whatever_lies_behind() {
        let mut links = Links::default();
        links.put(&container(4, 0));
        assert_eq!(used(&links, &[4]), [(4, InterfaceUse::Counted)]);
    }

    #[test]
    fn loopback_and_links_of_unknown_framing_are_not_chosen() {
        let settings = super::super::InterfaceSettings {
            include: vec!["*".to_owned()],
            ..Default::default()
        };
        let selection = settings.selection().unwrap();
        let mut links = Links::default();
        for (index, kind) in [
            (1, LinkLayerType::Loopback),
            (2, LinkLayerType::Ether),
            (3, LinkLayerType::None),
            (4, LinkLayerType::Infiniband),
        ] {
            let mut link = message(index, &format!("if{index}"), Vec::new());
            link.header.link_layer_type = kind;
            links.put(&link);
        }
        let chosen: Vec<_> = links
            .chosen(&selection)
            .map(|(index, link)| (index, link.framing))
            .collect();
        assert_eq!(chosen, [(2, Framing::Ethernet), (3, Framing::Bare)]);
    }

    #[test]
    fn a_renamed_interface_has_its_new_name() {
        let mut links = Links::default();
        links.put(&message(2, "eth0", Vec::new()));
        links.put(&message(2, "wan", Vec::new()));
        assert_eq!(links.find(2).unwrap().name, "wan");
    }
}
