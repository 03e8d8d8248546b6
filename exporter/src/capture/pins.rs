//! Pins: the kernel part outlives the exporter, in a directory of a BPF file system, and the next exporter takes it over.
//!
//! | pin | what it keeps |
//! |---|---|
//! | `map-NAME` | a map of the kernel part: storage of sockets, ring buffers, loss counters |
//! | `link-NAME` | a program at its hook |
//! | `link-interface-INDEX-in`, `-out` | a program on one way through an interface, see [`super::interfaces`] |
//! | `ledger-NAME` | what the exporter told so far, see [`super::ledger`] |
//! | `new-...` | the same on its way in: renamed when everything runs |
//!
//! A start with pins of its own layout loads its programs over the pinned maps and exchanges the programs of the cgroup's
//! links, each by one system call: a packet runs the old or the new program, never none and never both. Tracepoints cannot be
//! exchanged: the new program is attached before the old one goes, and a process may be told twice, which changes nothing. Pins
//! of another layout, of maps of other sizes, or of another cgroup are said and replaced: the new kernel part is attached
//! before the old one goes; records that nobody read are counted, and flows that live begin again under another identity.
//! Links of interfaces have a program exchanged in either case: they outlive a start until it is known which interfaces there are.
//!
//! Contract: one exporter at a time (a lock on the directory, gone with the process). A start that fails leaves what was there at work.
//! Files of others in the directory are left alone.
//!
//! Limits: while nobody reads, the kernel part counts what finds no room in its ring buffers. Without [`unpin`] it runs until the
//! next boot, or until the file system is unmounted.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::DirBuilderExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
};

mod maps;

use self::maps::{data, descriptor, maps, shape};
use super::{
    CaptureError, CaptureSettings, OBJECT,
    attach::{self, HOOKED, Purpose, RECORDS},
    ledger::Ledger,
    preflight::{self, Cgroup},
    syscall::pinned,
};

const MAP: &str = "map-";
const LINK: &str = "link-";
const INTERFACE_LINK: &str = "link-interface-";
const LEDGER: &str = "ledger-";
const NEW: &str = "new-";
/// In the order in which they are removed: nothing counts into maps that are about to go.
const PREFIXES: [&str; 4] = [LINK, NEW, MAP, LEDGER];

/// A directory of pins, locked.
#[derive(Debug)]
pub(super) struct Pins {
    directory: PathBuf,
    _lock: File,
}

/// The kernel part of this run on its way into its directory.
#[derive(Debug)]
pub(super) struct Pinned {
    pins: Arc<Pins>,
    /// Whether maps and links of an earlier run are used.
    takes_over: bool,
    records: OwnedFd,
    /// Pins of this run.
    names: BTreeSet<String>,
    committed: bool,
}

impl Drop for Pinned {
    /// A start that failed leaves nothing of its own at work.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let removed = self.pins.names().and_then(|names| {
            let mut new = names.iter().filter(|name| name.starts_with(NEW));
            new.try_for_each(|name| self.pins.remove(name))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "pins of a start that failed stay");
        }
    }
}

/// What pins there are, and why they can or cannot be used.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Usable,
    /// What differs.
    Other(String),
}

/// Removes every pin of an exporter from a directory, and so ends its kernel part; returns how many there were.
///
/// An error if an exporter uses the directory. A directory that is not there holds none.
pub fn unpin(directory: &Path) -> Result<usize, CaptureError> {
    if !directory.exists() {
        return Ok(0);
    }
    let pins = Pins::lock(directory)?;
    let names = pins.names()?;
    for prefix in PREFIXES {
        for name in names.iter().filter(|name| name.starts_with(prefix)) {
            pins.remove(name)?;
        }
    }
    Ok(names.len())
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Free,
    /// So many pins of an earlier run.
    Left(usize),
    /// A running exporter has it.
    Busy,
}

/// Whether a directory can be used, or be made.
pub(super) fn examine(directory: &Path) -> Result<Use, CaptureError> {
    let above = directory.parent().filter(|_| !directory.exists());
    if let Some(above) = above {
        Pins::lock(above)?.check_access()?;
        return Ok(Use::Free);
    }
    let pins = match Pins::lock(directory) {
        Ok(pins) => pins,
        Err(CaptureError::PinsInUse { .. }) => return Ok(Use::Busy),
        Err(error) => return Err(error),
    };
    pins.check_access()?;
    let names = pins.names()?;
    Ok(match names.len() {
        0 => Use::Free,
        count => Use::Left(count),
    })
}

/// Opens the directory, and the maps in which this run keeps its storage: those of an earlier run if they fit, else `fresh`.
/// Nothing of an earlier run is changed before [`Pinned::commit`].
pub(super) fn prepare(
    directory: &Path,
    settings: &CaptureSettings,
    fresh: Ebpf,
    cgroup: &Cgroup,
) -> Result<(Ebpf, Pinned, Ledger), CaptureError> {
    let pins = Pins::open(directory)?;
    for name in pins.names()?.iter().filter(|name| name.starts_with(NEW)) {
        pins.remove(name)?;
    }
    let ledger = Ledger::open(&pins, settings.max_told)?;
    let found = pins.find(&fresh, &ledger, cgroup)?;
    tell(&found, directory);
    let names = maps(&fresh)
        .map(|(name, _)| format!("{MAP}{name}"))
        .collect();
    let takes_over = found == Found::Usable;
    let object = if takes_over {
        let paths =
            maps(&fresh).map(|(name, _)| (name.to_owned(), pins.path(&format!("{MAP}{name}"))));
        let paths: Vec<_> = paths.collect();
        attach::make_maps_at(settings, OBJECT, Purpose::Capture, &paths)?
    } else {
        for (name, map) in maps(&fresh) {
            pins.prepare(descriptor(name, map)?, &format!("{MAP}{name}"))?;
        }
        fresh
    };
    let records = object.map(RECORDS).ok_or(NO_RECORDS)?;
    let records = descriptor(RECORDS, records)?.try_clone_to_owned();
    let pinned = Pinned {
        records: records.map_err(pins.at())?,
        pins: Arc::new(pins),
        takes_over,
        names,
        committed: false,
    };
    Ok((object, pinned, ledger))
}

const NO_RECORDS: CaptureError = CaptureError::Missing {
    kind: "map",
    name: RECORDS,
};

fn tell(found: &Found, directory: &Path) {
    let directory = directory.display();
    match found {
        Found::Nothing => tracing::info!(%directory, "the kernel part is pinned here"),
        Found::Usable => {
            tracing::info!(%directory, "taking over the kernel part of an earlier run");
        }
        Found::Other(why) => tracing::warn!(
            %directory,
            %why,
            "the pins of an earlier run cannot be used and are replaced: flows that live begin again"
        ),
    }
}

impl Pins {
    /// Makes the directory if it is not there, and locks it.
    fn open(directory: &Path) -> Result<Self, CaptureError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let made = builder.create(directory);
        made.map_err(|source| unusable(directory, source))?;
        Self::lock(directory)
    }

    fn lock(directory: &Path) -> Result<Self, CaptureError> {
        let at = |source| unusable(directory, source);
        let lock = File::open(directory).map_err(at)?;
        if !preflight::is_bpf_file_system(&lock).map_err(at)? {
            return Err(CaptureError::NoBpfFileSystem {
                path: directory.to_owned(),
            });
        }
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => CaptureError::PinsInUse {
                path: directory.to_owned(),
            },
            TryLockError::Error(source) => at(source),
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// Whether pins can be made here, and those that are here used.
    fn check_access(&self) -> Result<(), CaptureError> {
        let path = CString::new(self.directory.as_os_str().as_bytes());
        let path = path.map_err(io::Error::from).map_err(self.at())?;
        may_write(&path).map_err(self.at())?;
        for name in self.names()? {
            self.object(&name)?;
        }
        Ok(())
    }

    fn at(&self) -> impl Fn(io::Error) -> CaptureError {
        |source| unusable(&self.directory, source)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn remove(&self, name: &str) -> Result<(), CaptureError> {
        fs::remove_file(self.path(name)).map_err(self.at())
    }

    /// Names of the pins, in order.
    fn names(&self) -> Result<BTreeSet<String>, CaptureError> {
        let is_pin = |name: &String| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let entries = fs::read_dir(&self.directory).map_err(self.at())?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        let names: io::Result<BTreeSet<String>> = names.collect();
        Ok(names
            .map_err(self.at())?
            .into_iter()
            .filter(is_pin)
            .collect())
    }

    /// A pinned object, if there is one of this name.
    fn object(&self, name: &str) -> Result<Option<OwnedFd>, CaptureError> {
        match pinned::open_pin(&self.path(name)) {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.at()(error)),
        }
    }

    /// A pinned map, if there is one of this name.
    pub(super) fn map(&self, name: &str) -> Result<Option<MapData>, CaptureError> {
        let map = self.object(name)?.map(MapData::from_fd).transpose();
        map.map_err(|error| self.at()(io::Error::other(error)))
    }

    /// Pins an object under a name that another one may have.
    pub(super) fn replace(&self, object: BorrowedFd<'_>, name: &str) -> Result<(), CaptureError> {
        self.prepare(object, name)?;
        self.commit(name)
    }

    /// What of `link-interface-` names a pin follows, in order.
    pub(super) fn interface_links(&self) -> Result<Vec<String>, CaptureError> {
        let names = self.names()?;
        let names = names
            .iter()
            .filter_map(|name| name.strip_prefix(INTERFACE_LINK));
        Ok(names.map(str::to_owned).collect())
    }

    /// The link that is pinned as that of an interface under this name.
    pub(super) fn interface_link(&self, name: &str) -> io::Result<OwnedFd> {
        pinned::open_pin(&self.path(&format!("{INTERFACE_LINK}{name}")))
    }

    /// Pins a link of an interface.
    pub(super) fn add_interface_link(&self, link: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        pinned::pin(link, &self.path(&format!("{INTERFACE_LINK}{name}")))
    }

    /// Removes the pin of an interface's link, if there is one.
    pub(super) fn remove_interface_link(&self, name: &str) -> io::Result<()> {
        let path = self.path(&format!("{INTERFACE_LINK}{name}"));
        // The kernel puts off the end of a link whose last holder was a pin, and two programs would count meanwhile. A
        // descriptor that is closed ends it at once.
        let _last_holder = pinned::open_pin(&path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Pins an object beside the one that it is to replace.
    fn prepare(&self, object: BorrowedFd<'_>, name: &str) -> Result<(), CaptureError> {
        pinned::pin(object, &self.path(&format!("{NEW}{name}"))).map_err(self.at())
    }

    /// Puts a prepared object in the place of the one that has its name.
    fn commit(&self, name: &str) -> Result<(), CaptureError> {
        let new = self.path(&format!("{NEW}{name}"));
        fs::rename(new, self.path(name)).map_err(self.at())
    }

    /// Compares what is pinned with the maps that this build makes and the cgroup that it is to watch.
    fn find(&self, fresh: &Ebpf, ledger: &Ledger, cgroup: &Cgroup) -> Result<Found, CaptureError> {
        let names = self.names()?;
        if !names.iter().any(|name| name.starts_with(MAP)) {
            return Ok(Found::Nothing);
        }
        if !ledger.fits() {
            return Ok(Found::Other("their layout is another one".to_owned()));
        }
        for (name, map) in maps(fresh) {
            let Some(old) = self.map(&format!("{MAP}{name}"))? else {
                return Ok(Found::Other(format!("map {name} is missing")));
            };
            let fresh = data(map).map(shape).transpose();
            if fresh.map_err(self.at())? != Some(shape(&old).map_err(self.at())?) {
                return Ok(Found::Other(format!("map {name} has another size")));
            }
        }
        for (program, _) in HOOKED {
            let Some(link) = self.object(&format!("{LINK}{program}"))? else {
                return Ok(Found::Other(format!("the link of {program} is missing")));
            };
            let hangs_on = pinned::cgroup_of_link(link.as_fd()).map_err(self.at())?;
            if hangs_on != Some(cgroup.number().map_err(self.at())?) {
                return Ok(Found::Other(format!("{program} hangs on another cgroup")));
            }
        }
        Ok(Found::Usable)
    }

    /// Records that wait in the ring buffer of an earlier run.
    fn unread(&self) -> Result<u64, CaptureError> {
        let Some(map) = self.map(&format!("{MAP}{RECORDS}"))? else {
            return Ok(0);
        };
        let Ok(mut ring) = RingBuf::try_from(Map::RingBuf(map)) else {
            return Ok(0);
        };
        let mut unread = 0;
        while ring.next().is_some() {
            unread += 1;
        }
        Ok(unread)
    }
}

impl Pinned {
    /// The directory, which stays locked as long as anybody has it.
    pub(super) fn pins(&self) -> Arc<Pins> {
        Arc::clone(&self.pins)
    }

    /// Whether the kernel part of an earlier run goes on.
    pub(super) const fn takes_over(&self) -> bool {
        self.takes_over
    }

    /// Ties a program to a hook of a cgroup: in the place of an earlier run's, or by a new link, which `make` makes.
    pub(super) fn tie(
        &mut self,
        name: &str,
        program: BorrowedFd<'_>,
        make: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        let name = format!("{LINK}{name}");
        if self.takes_over {
            let link = pinned::open_pin(&self.pins.path(&name))?;
            pinned::update_link(link.as_fd(), program)?;
            self.names.insert(name);
            return Ok(());
        }
        self.add(name, &make()?)
    }

    /// Ties a program to a tracepoint, beside an earlier run's.
    pub(super) fn tie_tracepoint(&mut self, name: &str, program: BorrowedFd<'_>) -> io::Result<()> {
        let link = pinned::link_to_tracepoint(program)?;
        self.add(format!("{LINK}{name}"), &link)
    }

    fn add(&mut self, name: String, link: &OwnedFd) -> io::Result<()> {
        let new = self.pins.path(&format!("{NEW}{name}"));
        pinned::pin(link.as_fd(), &new)?;
        self.names.insert(name);
        Ok(())
    }

    /// Everything runs but what is on interfaces: what else an earlier run left and this one does not use goes.
    pub(super) fn commit(&mut self, ledger: &mut Ledger) -> Result<(), CaptureError> {
        if self.takes_over {
            self.put_in_place(LINK)?;
            ledger.take_over(&self.records)?;
        } else {
            ledger.begin()?;
            self.put_in_place(LINK)?;
            let unread = self.pins.unread()?;
            if unread > 0 {
                tracing::warn!(
                    records = unread,
                    "records of an earlier run were never read"
                );
            }
            self.put_in_place(MAP)?;
            ledger.begun(&self.records, unread)?;
        }
        let kept_apart = |name: &str| {
            [LEDGER, INTERFACE_LINK]
                .iter()
                .any(|it| name.starts_with(it))
        };
        for name in self.pins.names()? {
            if !self.names.contains(&name) && !kept_apart(&name) {
                self.pins.remove(&name)?;
            }
        }
        self.committed = true;
        Ok(())
    }

    fn put_in_place(&self, prefix: &str) -> Result<(), CaptureError> {
        for name in self.pins.names()? {
            let name = name.strip_prefix(NEW);
            if let Some(name) = name.filter(|name| name.starts_with(prefix)) {
                self.pins.commit(name)?;
            }
        }
        Ok(())
    }
}

#[expect(unsafe_code, reason = "a system call")]
fn may_write(path: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads a string that ends with a zero.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn unusable(directory: &Path, source: io::Error) -> CaptureError {
    CaptureError::Pins {
        path: directory.to_owned(),
        source,
    }
}
