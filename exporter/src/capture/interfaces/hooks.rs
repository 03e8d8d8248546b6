//! [`Hooks`]: the programs on interfaces, each by a link. With pins the links outlive the exporter, and the next one
//! exchanges their programs.
//!
//! | found at the start | becomes of it |
//! |---|---|
//! | a pinned link that hangs on its interface | its program is exchanged: each packet meets the old or the new one |
//! | one whose interface is no longer chosen | goes, and the program with it |
//! | one whose interface is gone, is in another network namespace, or gave its index to another interface | goes |
//! | what is no link of that interface, or refuses another program | goes, and is attached anew; between, packets are not counted |
//!
//! Contract: an interface has at most one of our programs each way, so nothing is counted twice. A link that cannot be pinned
//! works until the exporter ends, which is said.
//!
//! Limits: an interface that comes while no exporter runs is counted from the next start on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use super::links::Framing;
use crate::capture::{
    CaptureError,
    pins::Pins,
    syscall::{self, Way, pinned},
};

const WAYS: [Way; 2] = [Way::In, Way::Out];

/// The programs for interfaces: what comes in and what leaves, by framing.
#[derive(Debug)]
pub(in crate::capture) struct Programs {
    pub(in crate::capture) ethernet: [OwnedFd; 2],
    pub(in crate::capture) bare: [OwnedFd; 2],
}

/// Attaches and detaches; see the module.
#[derive(Debug)]
pub(in crate::capture) struct Hooks {
    programs: Programs,
    pins: Option<Arc<Pins>>,
    /// Links of an earlier run that still have its programs.
    earlier: BTreeMap<(u32, Way), OwnedFd>,
}

/// The programs on one interface, until it is dropped or, with pins, detached.
#[derive(Debug)]
pub(super) struct Attachment {
    _links: [OwnedFd; 2],
    taken_over: bool,
}

impl Attachment {
    /// Whether an earlier run's programs were there until now.
    pub(super) const fn is_taken_over(&self) -> bool {
        self.taken_over
    }
}

/// One way of an interface, tied to its program.
struct Tied {
    link: OwnedFd,
    taken_over: bool,
}

/// Ends what an earlier run left on interfaces.
pub(in crate::capture) fn let_go_of_all(pins: &Pins) -> Result<(), CaptureError> {
    for name in pins.interface_links()? {
        remove(pins, &name);
        tracing::info!(
            link = name,
            "interface of an earlier run is no longer captured"
        );
    }
    Ok(())
}

impl Hooks {
    /// Finds what an earlier run left, and ends what of it does not hang on its interface. Needs `CAP_NET_ADMIN` if there
    /// are pins.
    pub(in crate::capture) fn open(
        programs: Programs,
        pins: Option<Arc<Pins>>,
    ) -> Result<Self, CaptureError> {
        let mut earlier = BTreeMap::new();
        if let Some(pins) = &pins {
            for name in pins.interface_links()? {
                match find(pins, &name) {
                    Ok((place, link)) => {
                        earlier.insert(place, link);
                    }
                    Err(error) => {
                        remove(pins, &name);
                        tracing::info!(link = name, %error, "link of an earlier run let go");
                    }
                }
            }
        }
        Ok(Self {
            programs,
            pins,
            earlier,
        })
    }

    /// Whether any program of an earlier run waits to be exchanged.
    pub(in crate::capture) fn have_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Whether an interface has a program of an earlier run.
    pub(super) fn has_earlier(&self, index: u32) -> bool {
        WAYS.iter()
            .any(|way| self.earlier.contains_key(&(index, *way)))
    }

    /// Ends what an earlier run left on interfaces other than these; returns their indices.
    pub(super) fn keep_earlier(&mut self, is_chosen: impl Fn(u32) -> bool) -> BTreeSet<u32> {
        let left: Vec<_> = self
            .earlier
            .extract_if(.., |(index, _), _| !is_chosen(*index))
            .collect();
        left.into_iter()
            .map(|((index, way), _link)| {
                self.unpin(index, way);
                index
            })
            .collect()
    }

    /// Has the programs on an interface, in the place of an earlier run's or anew.
    pub(super) fn attach(&mut self, index: u32, framing: Framing) -> io::Result<Attachment> {
        let received = self.tie(index, Way::In, framing);
        let tied =
            received.and_then(|received| Ok((received, self.tie(index, Way::Out, framing)?)));
        match tied {
            Ok((received, sent)) => Ok(Attachment {
                taken_over: received.taken_over && sent.taken_over,
                _links: [received.link, sent.link],
            }),
            Err(error) => {
                for way in WAYS {
                    self.earlier.remove(&(index, way));
                    self.unpin(index, way);
                }
                Err(error)
            }
        }
    }

    /// Takes the programs off an interface, which may be gone.
    pub(super) fn detach(&self, index: u32, attachment: Attachment) {
        for way in WAYS {
            self.unpin(index, way);
        }
        drop(attachment);
    }

    fn tie(&mut self, index: u32, way: Way, framing: Framing) -> io::Result<Tied> {
        let earlier = self.earlier.remove(&(index, way));
        let program = self.program(way, framing);
        if let Some(link) = earlier {
            match pinned::update_link(link.as_fd(), program) {
                Ok(()) => {
                    return Ok(Tied {
                        link,
                        taken_over: true,
                    });
                }
                Err(error) => {
                    tracing::warn!(index, ?way, %error, "program of an earlier run is replaced");
                    // First the old one: of two programs each would count.
                    self.unpin(index, way);
                    drop(link);
                }
            }
        }
        let link = syscall::link_to_interface(program, index, way)?;
        self.pin(link.as_fd(), index, way);
        Ok(Tied {
            link,
            taken_over: false,
        })
    }

    fn program(&self, way: Way, framing: Framing) -> BorrowedFd<'_> {
        let [received, sent] = match framing {
            Framing::Ethernet => &self.programs.ethernet,
            Framing::Bare | Framing::Unread => &self.programs.bare,
        };
        match way {
            Way::In => received.as_fd(),
            Way::Out => sent.as_fd(),
        }
    }

    fn pin(&self, link: BorrowedFd<'_>, index: u32, way: Way) {
        let Some(pins) = &self.pins else {
            return;
        };
        let name = name(index, way);
        // Of an interface that had this index, if it could not be removed when that one went.
        let pinned = pins
            .remove_interface_link(&name)
            .and_then(|()| pins.add_interface_link(link, &name));
        if let Err(error) = pinned {
            tracing::warn!(
                index, ?way, %error,
                "an interface is captured, but not while no exporter runs: its link cannot be pinned"
            );
        }
    }

    fn unpin(&self, index: u32, way: Way) {
        if let Some(pins) = &self.pins {
            remove(pins, &name(index, way));
        }
    }
}

fn remove(pins: &Pins, name: &str) {
    if let Err(error) = pins.remove_interface_link(name) {
        tracing::warn!(link = name, %error, "pin of an interface's link cannot be removed");
    }
}

/// A pinned link and where it hangs, or why it cannot be taken over.
fn find(pins: &Pins, name: &str) -> io::Result<((u32, Way), OwnedFd)> {
    let (index, way) = parse(name).ok_or_else(|| io::Error::other("its name is no interface's"))?;
    let link = pins.interface_link(name)?;
    let number = pinned::number_of_link(link.as_fd())?;
    let hanging = syscall::links_on_interface(index, way)?;
    if !hanging.contains(&number) {
        return Err(io::Error::other("it does not hang on the interface"));
    }
    Ok(((index, way), link))
}

fn name(index: u32, way: Way) -> String {
    let way = match way {
        Way::In => "in",
        Way::Out => "out",
    };
    format!("{index}-{way}")
}

fn parse(text: &str) -> Option<(u32, Way)> {
    let (index, way) = text.split_once('-')?;
    let way = match way {
        "in" => Way::In,
        "out" => Way::Out,
        _ => return None,
    };
    let index = index.parse().ok()?;
    (name(index, way) == text).then_some((index, way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pins_are_read_as_they_are_written_and_others_are_none() {
        for (index, way) in [(1, Way::In), (u32::MAX, Way::Out)] {
            assert_eq!(parse(&name(index, way)), Some((index, way)));
        }
        for text in [
            "",
            "-in",
            "2",
            "2-",
            "02-in",
            "+2-in",
            "2-up",
            "2-in-out",
            "4294967296-in",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
