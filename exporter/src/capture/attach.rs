//! Loads the kernel part and ties it to a cgroup; dropping it unties everything.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use aya::{
    Btf, Ebpf, EbpfLoader, Pod,
    maps::{HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError, ProgramFd,
    },
};
use beaconwatch_records::{LOSS_COUNTERS, ProgramSettings, SETTINGS_SYMBOL};

use super::{
    CaptureError, CaptureSettings, interfaces, namespace, offsets,
    pins::Pinned,
    preflight::{BTF_PATH, Cgroup},
    statistics::ProgramStatistics,
    syscall::{self, Hook},
};

pub(super) const RECORDS: &str = "RECORDS";
const SLICES: &str = "SLICES";
const PROCESSES: &str = "PROCESSES";
const LOSSES: &str = "LOSSES";
const TRANSIT: &str = "TRANSIT";

/// The programs on cgroup hooks, in the order of attachment: storage before what reads it.
pub(super) const HOOKED: [(&str, Hook); 5] = [
    ("socket_created", Hook::SockCreate),
    ("socket_released", Hook::SockRelease),
    ("socket_operation", Hook::SockOps),
    ("packet_sent", Hook::Egress),
    ("packet_received", Hook::Ingress),
];

/// An iterator program, what it iterates, and the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct IteratorName {
    pub(super) program: &'static str,
    pub(super) kind: &'static str,
    pub(super) map: &'static str,
}

/// The iterators.
pub(super) const ITERATORS: [IteratorName; 3] = [
    IteratorName {
        program: "live_sockets",
        kind: "bpf_sk_storage_map",
        map: "SOCKETS",
    },
    IteratorName {
        program: "live_peers",
        kind: "bpf_map_elem",
        map: "PEERS",
    },
    IteratorName {
        program: "live_transit",
        kind: "bpf_map_elem",
        map: TRANSIT,
    },
];

/// Programs for interfaces: with Ethernet header and without; what comes in and what leaves.
pub(super) const CLASSIFIERS: [[&str; 2]; 2] = [
    ["frame_received", "frame_sent"],
    ["bare_received", "bare_sent"],
];

/// Programs on tracepoints of the scheduler.
pub(super) const TRACEPOINTS: [(&str, &str); 2] = [
    ("process_executes", "sched_process_exec"),
    ("process_is_born", "sched_process_fork"),
];

/// What the kernel part is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Real traffic.
    Capture,
    /// The kernel's test runs; see [`super::statistics`].
    TestRuns,
}

/// The loaded kernel part.
pub(super) struct Attached {
    object: Ebpf,
    losses: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Attached")
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

impl Attached {
    /// Loads maps and programs; nothing runs yet.
    pub(super) fn load(
        settings: &CaptureSettings,
        object: &[u8],
        purpose: Purpose,
        types: &Btf,
    ) -> Result<Self, CaptureError> {
        Self::with_maps(make_maps(settings, object, purpose)?, types)
    }

    /// Loads the programs over maps that are made.
    pub(super) fn with_maps(mut object: Ebpf, types: &Btf) -> Result<Self, CaptureError> {
        load_programs(&mut object, types)?;
        let losses = take_map(&mut object, LOSSES)?;
        let losses = PerCpuArray::try_from(losses).map_err(map_error(LOSSES))?;
        Ok(Self { object, losses })
    }

    /// Hands out the ring buffer, once.
    pub(super) fn take_ring(&mut self) -> Result<RingBuf<MapData>, CaptureError> {
        take_ring(&mut self.object, RECORDS)
    }

    /// Hands out the ring buffer of slices, once.
    pub(super) fn take_slice_ring(&mut self) -> Result<RingBuf<MapData>, CaptureError> {
        take_ring(&mut self.object, SLICES)
    }

    /// Hands out the ring buffer of processes, once.
    pub(super) fn take_process_ring(&mut self) -> Result<RingBuf<MapData>, CaptureError> {
        take_ring(&mut self.object, PROCESSES)
    }

    /// Has the kernel tell what processes execute, if it can: what is missing without is the executable of
    /// processes that are soon gone.
    pub(super) fn watch_processes(&mut self, types: &Btf, mut pinned: Option<&mut Pinned>) {
        for (name, tracepoint) in TRACEPOINTS {
            let pinned = pinned.as_deref_mut();
            let result = attach_tracepoint(&mut self.object, name, tracepoint, types, pinned);
            if let Err(error) = result {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "executables of processes that are soon gone stay unknown"
                );
            }
        }
    }

    /// Loads the programs for interfaces; they are attached nowhere.
    pub(super) fn load_classifiers(&mut self) -> Result<interfaces::Programs, CaptureError> {
        let [[received, sent], [bare_received, bare_sent]] = CLASSIFIERS;
        Ok(interfaces::Programs {
            ethernet: [self.load_classifier(received)?, self.load_classifier(sent)?],
            bare: [
                self.load_classifier(bare_received)?,
                self.load_classifier(bare_sent)?,
            ],
        })
    }

    fn load_classifier(&mut self, name: &'static str) -> Result<OwnedFd, CaptureError> {
        load_hooked(&mut self.object, name)?;
        let descriptor = self.descriptor(name)?.as_fd();
        descriptor
            .try_clone_to_owned()
            .map_err(CaptureError::system("duplicating a descriptor"))
    }

    /// Flows in transit.
    pub(super) fn transit_flows(&self) -> Result<usize, CaptureError> {
        let map = self.object.map(TRANSIT).ok_or(CaptureError::Missing {
            kind: "map",
            name: TRANSIT,
        })?;
        let flows = HashMap::<_, [u8; 40], [u8; 184]>::try_from(map);
        Ok(flows.map_err(map_error(TRANSIT))?.keys().count())
    }

    /// Hands out a map that user space writes, once.
    pub(super) fn take_hash<K: Pod, V: Pod>(
        &mut self,
        name: &'static str,
    ) -> Result<HashMap<MapData, K, V>, CaptureError> {
        HashMap::try_from(take_map(&mut self.object, name)?).map_err(map_error(name))
    }

    /// The descriptors of an iterator's program and map.
    pub(super) fn iterator(
        &self,
        name: IteratorName,
    ) -> Result<(&ProgramFd, BorrowedFd<'_>), CaptureError> {
        let map = match self.object.map(name.map) {
            Some(Map::SkStorage(map) | Map::HashMap(map)) => map.fd().as_fd(),
            _ => {
                return Err(CaptureError::Missing {
                    kind: "map",
                    name: name.map,
                });
            }
        };
        Ok((self.descriptor(name.program)?, map))
    }

    /// Loads an iterator program over what is no map of ours.
    pub(super) fn load_iterator(
        &mut self,
        name: &'static str,
        target: &str,
        types: &Btf,
    ) -> Result<&ProgramFd, CaptureError> {
        load_iterator(&mut self.object, name, target, types)?;
        self.descriptor(name)
    }

    fn descriptor(&self, name: &'static str) -> Result<&ProgramFd, CaptureError> {
        let program = self.object.program(name).ok_or(CaptureError::Missing {
            kind: "program",
            name,
        })?;
        program.fd().map_err(|source| CaptureError::Load {
            program: name,
            source,
        })
    }

    /// Ties the programs to the cgroup; from here on they run.
    pub(super) fn attach(
        &mut self,
        cgroup: &Cgroup,
        mut pinned: Option<&mut Pinned>,
    ) -> Result<(), CaptureError> {
        for (name, hook) in HOOKED {
            let tied = if let Some(pinned) = pinned.as_deref_mut() {
                let program = self.descriptor(name)?.as_fd();
                let link = || syscall::link_to_cgroup(program, cgroup.as_fd(), hook);
                pinned.tie(name, program, link).map_err(ProgramError::from)
            } else {
                attach_program(program(&mut self.object, name)?, hook, cgroup)
            };
            tied.map_err(|source| explain(name, hook, cgroup, source))?;
        }
        Ok(())
    }

    /// Lets the kernel run a packet program `repeat` times on one packet; returns the time of a run.
    pub(super) fn test_run(
        &self,
        name: &'static str,
        packet: &[u8],
        repeat: u32,
    ) -> Result<Duration, CaptureError> {
        let program = self.descriptor(name)?;
        syscall::test_run(program.as_fd(), packet, repeat)
            .map_err(CaptureError::system("a test run"))
    }

    /// Sums the loss counters over the processors.
    pub(super) fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        let mut sums = [0; LOSS_COUNTERS as usize];
        for (index, sum) in (0..LOSS_COUNTERS).zip(&mut sums) {
            let values = self.losses.get(&index, 0).map_err(map_error(LOSSES))?;
            *sum = values.iter().sum();
        }
        Ok(sums)
    }

    /// Run statistics of every program.
    pub(super) fn program_statistics(&self) -> Result<Vec<ProgramStatistics>, CaptureError> {
        let hooked = HOOKED.iter().map(|(name, _)| *name);
        let iterators = ITERATORS.iter().map(|iterator| iterator.program);
        let classifiers = CLASSIFIERS.as_flattened().iter().copied();
        let loaded = |name: &&'static str| self.descriptor(name).is_ok();
        hooked
            .chain(iterators)
            .chain(classifiers.filter(loaded))
            .map(|name| {
                let program = self.object.program(name).ok_or(CaptureError::Missing {
                    kind: "program",
                    name,
                })?;
                let info = program.info().map_err(|source| CaptureError::Load {
                    program: name,
                    source,
                })?;
                Ok(ProgramStatistics::new(name, &info))
            })
            .collect()
    }
}

/// Makes the maps; no program is loaded yet.
pub(super) fn make_maps(
    settings: &CaptureSettings,
    object: &[u8],
    purpose: Purpose,
) -> Result<Ebpf, CaptureError> {
    make_maps_at(settings, object, purpose, &[])
}

/// The same, with maps that are pinned already in the place of those of these names.
pub(super) fn make_maps_at(
    settings: &CaptureSettings,
    object: &[u8],
    purpose: Purpose,
    pinned: &[(String, PathBuf)],
) -> Result<Ebpf, CaptureError> {
    let kernel_types = fs::read(BTF_PATH).map_err(|source| CaptureError::Btf {
        path: BTF_PATH,
        source,
    })?;
    let values = program_settings(settings, &kernel_types, purpose)?.to_bytes();
    let mut loader = EbpfLoader::new();
    for (name, path) in pinned {
        loader.map_pin_path(name, path.as_path());
    }
    loader
        .override_global(SETTINGS_SYMBOL, values.as_slice(), true)
        .map_max_entries(RECORDS, settings.ring_bytes)
        .map_max_entries(SLICES, settings.slice_ring_bytes)
        .map_max_entries("PEERS", settings.max_peers)
        .map_max_entries(TRANSIT, settings.interfaces.max_flows)
        .load(object)
        .map_err(CaptureError::Object)
}

fn program_settings(
    settings: &CaptureSettings,
    kernel_types: &[u8],
    purpose: Purpose,
) -> Result<ProgramSettings, CaptureError> {
    let (task, socket) = offsets::offsets(kernel_types);
    if !task.is_complete() {
        tracing::warn!(
            "kernel type information lacks members of task_struct: process starts are unknown"
        );
    }
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let transit_namespace = if settings.interfaces.include.is_empty() {
        0
    } else {
        namespace::own_cookie()?
    };
    Ok(ProgramSettings {
        transit_idle_timeout_ns: nanoseconds(settings.interfaces.idle_timeout),
        transit_namespace,
        udp_idle_timeout_ns: nanoseconds(settings.udp_idle_timeout),
        activity_idle_ns: nanoseconds(settings.activity_idle),
        take_slices: u32::from(settings.take_slices),
        socket,
        // An eighth: at a million records a second the reader still has time to come.
        wakeup_bytes: u64::from(settings.ring_bytes / 8),
        own_pid: std::process::id(),
        task,
        adopt_any: u32::from(purpose == Purpose::TestRuns),
        padding: 0,
    })
}

fn load_programs(object: &mut Ebpf, types: &Btf) -> Result<(), CaptureError> {
    for (name, _) in HOOKED {
        load_hooked(object, name)?;
    }
    for iterator in ITERATORS {
        load_iterator(object, iterator.program, iterator.kind, types)?;
    }
    Ok(())
}

/// Loads a program for a hook of a cgroup or an interface.
pub(super) fn load_hooked(object: &mut Ebpf, name: &'static str) -> Result<(), CaptureError> {
    let missing = CaptureError::Missing {
        kind: "program",
        name,
    };
    let program = program(object, name)?;
    let result = undisturbed(|| match program {
        Program::CgroupSkb(program) => Some(program.load()),
        Program::CgroupSock(program) => Some(program.load()),
        Program::SockOps(program) => Some(program.load()),
        Program::SchedClassifier(program) => Some(program.load()),
        _ => None,
    });
    result.ok_or(missing)?.map_err(|source| CaptureError::Load {
        program: name,
        source,
    })
}

/// Tries again when the kernel broke its check of a program off because something waits for the thread
/// (`EAGAIN`); not for ever.
fn undisturbed(
    mut load: impl FnMut() -> Option<Result<(), ProgramError>>,
) -> Option<Result<(), ProgramError>> {
    const ATTEMPTS: u32 = 5;
    let disturbed = |result: &Option<Result<(), ProgramError>>| match result {
        Some(Err(ProgramError::LoadError { io_error, .. })) => {
            io_error.raw_os_error() == Some(libc::EAGAIN)
        }
        _ => false,
    };
    let mut result = load();
    for _ in 1..ATTEMPTS {
        if !disturbed(&result) {
            break;
        }
        result = load();
    }
    result
}

fn attach_tracepoint(
    object: &mut Ebpf,
    name: &'static str,
    tracepoint: &str,
    types: &Btf,
    pinned: Option<&mut Pinned>,
) -> Result<(), CaptureError> {
    let program = load_tracepoint(object, name, tracepoint, types)?;
    let attached = match pinned {
        None => program.attach().map(drop),
        Some(pinned) => program
            .fd()
            .and_then(|program| Ok(pinned.tie_tracepoint(name, program.as_fd())?)),
    };
    attached.map_err(|source| CaptureError::Load {
        program: name,
        source,
    })
}

/// Loads a program for a tracepoint; it does not run yet.
pub(super) fn load_tracepoint<'a>(
    object: &'a mut Ebpf,
    name: &'static str,
    tracepoint: &str,
    types: &Btf,
) -> Result<&'a mut BtfTracePoint, CaptureError> {
    let Program::BtfTracePoint(program) = program(object, name)? else {
        return Err(CaptureError::Missing {
            kind: "program",
            name,
        });
    };
    match program.load(tracepoint, types) {
        Ok(()) => Ok(program),
        Err(source) => Err(CaptureError::Load {
            program: name,
            source,
        }),
    }
}

/// Reads the kernel's type information: megabytes, so once.
pub(super) fn kernel_types() -> Result<Btf, CaptureError> {
    Btf::from_sys_fs().map_err(|error| CaptureError::Btf {
        path: BTF_PATH,
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

pub(super) fn load_iterator(
    object: &mut Ebpf,
    name: &'static str,
    target: &str,
    types: &Btf,
) -> Result<(), CaptureError> {
    let Program::Iter(program) = program(object, name)? else {
        return Err(CaptureError::Missing {
            kind: "program",
            name,
        });
    };
    program
        .load(target, types)
        .map_err(|source| CaptureError::Load {
            program: name,
            source,
        })
}

fn program<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Program, CaptureError> {
    object.program_mut(name).ok_or(CaptureError::Missing {
        kind: "program",
        name,
    })
}

/// Takes a ring buffer, which maps it into memory.
pub(super) fn take_ring(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<RingBuf<MapData>, CaptureError> {
    RingBuf::try_from(take_map(object, name)?).map_err(map_error(name))
}

fn take_map(object: &mut Ebpf, name: &'static str) -> Result<Map, CaptureError> {
    object
        .take_map(name)
        .ok_or(CaptureError::Missing { kind: "map", name })
}

fn map_error(map: &'static str) -> impl Fn(MapError) -> CaptureError {
    move |source| CaptureError::Map { map, source }
}

/// Attaches by a link, which lives beside the links and `multi` programs of others. Its mode must be
/// `Single`: the kernel refuses flags on links and lets them all run.
fn attach_program(program: &mut Program, hook: Hook, cgroup: &Cgroup) -> Result<(), ProgramError> {
    let mode = CgroupAttachMode::Single;
    match program {
        Program::CgroupSkb(program) => {
            let direction = match hook {
                Hook::Egress => CgroupSkbAttachType::Egress,
                _ => CgroupSkbAttachType::Ingress,
            };
            program.attach(cgroup, direction, mode).map(drop)
        }
        Program::CgroupSock(program) => program.attach(cgroup, mode).map(drop),
        Program::SockOps(program) => program.attach(cgroup, mode).map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn explain(
    program: &'static str,
    hook: Hook,
    cgroup: &Cgroup,
    source: ProgramError,
) -> CaptureError {
    if syscall::is_held_alone(cgroup.as_fd(), hook).unwrap_or_default() {
        return CaptureError::ForeignProgram {
            hook: hook.name(),
            cgroup: cgroup.path.clone(),
        };
    }
    CaptureError::Attach {
        program,
        cgroup: cgroup.path.clone(),
        source,
    }
}
