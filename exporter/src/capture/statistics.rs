//! What the kernel measures of each program: runs and time, while statistics are switched on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use aya::{
    maps::{MapData, RingBuf},
    programs::ProgramInfo,
};

use super::{
    CaptureError, CaptureSettings, OBJECT,
    attach::{Attached, CLASSIFIERS, HOOKED, Purpose, kernel_types},
    interfaces::InterfaceSettings,
    preflight, syscall,
};

/// Run statistics of one program since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Name of the program.
    pub program: &'static str,
    /// How often it ran while statistics were on.
    pub runs: u64,
    /// Time spent in these runs, the kernel's reading of its clock included.
    pub time: Duration,
    /// Instructions that the verifier went through; 0 when the kernel does not tell (before 5.16).
    pub verified_instructions: u32,
    /// Size of the program in bytes, eight an instruction.
    pub bytes: u32,
}

impl ProgramStatistics {
    pub(super) fn new(program: &'static str, info: &ProgramInfo) -> Self {
        Self {
            program,
            runs: info.run_count(),
            time: info.run_time(),
            verified_instructions: info.verified_instruction_count().unwrap_or_default(),
            bytes: info.size_translated().unwrap_or_default(),
        }
    }
}

/// Switches the measurement on for every program of the machine until the value is dropped. Costs
/// some 20 ns a run. Needs `CAP_SYS_ADMIN`.
pub fn enable() -> Result<impl Send, CaptureError> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| CaptureError::System {
        call: "enabling run statistics",
        source: error.io_error,
    })
}

/// Programs that do nothing, on the hooks of the capture: what they cost is the price of the hook and
/// of the measurement, to be taken off the capture's own figures.
#[derive(Debug)]
pub struct Baseline {
    programs: Vec<EmptyProgram>,
}

#[derive(Debug)]
struct EmptyProgram {
    /// The program of the capture on the same hook.
    counterpart: &'static str,
    program: OwnedFd,
    _link: OwnedFd,
}

impl Baseline {
    /// Attaches an empty program to each hook of a cgroup (by default the root) until dropped.
    pub fn start(cgroup: Option<&Path>) -> Result<Self, CaptureError> {
        let cgroup = preflight::check(cgroup)?;
        let programs = HOOKED.into_iter().map(|(counterpart, hook)| {
            let program = syscall::load_empty_program(hook)
                .map_err(CaptureError::system("loading an empty program"))?;
            let link = syscall::link_to_cgroup(program.as_fd(), cgroup.as_fd(), hook)
                .map_err(CaptureError::system("attaching an empty program"))?;
            Ok(EmptyProgram {
                counterpart,
                program,
                _link: link,
            })
        });
        Ok(Self {
            programs: programs.collect::<Result<_, CaptureError>>()?,
        })
    }

    /// Run statistics of the empty programs, under the names of the capture's programs.
    pub fn statistics(&self) -> Result<Vec<ProgramStatistics>, CaptureError> {
        let of = |empty: &EmptyProgram| {
            let (time_ns, runs) = syscall::run_statistics(empty.program.as_fd())
                .map_err(CaptureError::system("reading run statistics"))?;
            let time = Duration::from_nanos(time_ns);
            Ok(ProgramStatistics {
                program: empty.counterpart,
                runs,
                time,
                verified_instructions: 0,
                bytes: 0,
            })
        };
        self.programs.iter().map(of).collect()
    }
}

/// Repetitions of one packet by the kernel (`BPF_PROG_TEST_RUN`): the cost of a program alone, its
/// memory in the cache. [`Baseline`] measures the same among real traffic.
pub struct TestRuns {
    programs: Attached,
    records: RingBuf<MapData>,
    empty: OwnedFd,
}

/// Time of one run of a packet program and of an empty one, on the same packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRunTime {
    /// The capture's program.
    pub program: Duration,
    /// The empty program.
    pub empty: Duration,
}

impl TestRuns {
    /// Loads the kernel part for test runs; it is attached nowhere.
    pub fn load() -> Result<Self, CaptureError> {
        preflight::check(None)?;
        let interfaces = InterfaceSettings {
            include: vec!["*".to_owned()],
            ..InterfaceSettings::default()
        };
        let settings = CaptureSettings {
            interfaces,
            ..CaptureSettings::default()
        };
        let mut programs = Attached::load(&settings, OBJECT, Purpose::TestRuns, &kernel_types()?)?;
        let records = programs.take_ring()?;
        let _attached_nowhere = programs.load_classifiers()?;
        let empty = syscall::load_empty_program(syscall::Hook::Ingress)
            .map_err(CaptureError::system("loading an empty program"))?;
        Ok(Self {
            programs,
            records,
            empty,
        })
    }

    /// What the kernel measured of each program.
    pub fn program_statistics(&self) -> Result<Vec<ProgramStatistics>, CaptureError> {
        self.programs.program_statistics()
    }

    /// Runs the program for packets of one direction on an Ethernet frame of IPv4; the first of the
    /// repetitions opens a flow, the others count. An error if no flow was opened.
    pub fn run(
        &mut self,
        sent: bool,
        frame: &[u8],
        repeat: u32,
    ) -> Result<TestRunTime, CaptureError> {
        let name = if sent {
            "packet_sent"
        } else {
            "packet_received"
        };
        let program = self.programs.test_run(name, frame, repeat)?;
        let mut opened = 0;
        while self.records.next().is_some() {
            opened += 1;
        }
        if opened != 1 {
            let found = io::Error::other(format!("{opened} flows opened, expected 1"));
            return Err(CaptureError::system("a test run")(found));
        }
        self.beside_empty(program, frame, repeat)
    }

    /// Runs the program for one way through an interface; the first of the repetitions begins a flow in transit, if
    /// there is none, the others count. An error unless there are `flows` of them afterwards.
    pub fn run_on_interface(
        &mut self,
        sent: bool,
        frame: &[u8],
        repeat: u32,
        flows: usize,
    ) -> Result<TestRunTime, CaptureError> {
        let [[received, leaves], _] = CLASSIFIERS;
        let name = if sent { leaves } else { received };
        let program = self.programs.test_run(name, frame, repeat)?;
        let found = self.programs.transit_flows()?;
        if found != flows {
            let found = io::Error::other(format!("{found} flows in transit, expected {flows}"));
            return Err(CaptureError::system("a test run")(found));
        }
        self.beside_empty(program, frame, repeat)
    }

    fn beside_empty(
        &self,
        program: Duration,
        frame: &[u8],
        repeat: u32,
    ) -> Result<TestRunTime, CaptureError> {
        let empty = syscall::test_run(self.empty.as_fd(), frame, repeat)
            .map_err(CaptureError::system("running an empty program"))?;
        Ok(TestRunTime { program, empty })
    }
}
