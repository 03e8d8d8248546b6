//! Rights, foreign programs, overload and the end of a capture.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::Command,
    time::Duration,
};

use beaconwatch_exporter::capture::{
    Capture, CaptureError, CaptureSettings,
    doctor::{self, State, Verdict},
};
use beaconwatch_records::{LossCounter, Protocol, RecordKind, Role};

use crate::support::{Cgroup, Program, Watch, count};

fn in_cgroup(cgroup: &Cgroup) -> CaptureSettings {
    CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..CaptureSettings::default()
    }
}

/// The `bpf(2)` call.
#[expect(unsafe_code, reason = "a system call")]
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes and what they point to live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).unwrap())
}

/// Loads a program that lets every packet pass.
#[expect(unsafe_code, reason = "the kernel hands over a descriptor")]
fn foreign_program() -> OwnedFd {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;
    #[repr(C)]
    struct Load {
        kind: u32,
        length: u32,
        instructions: u64,
        license: u64,
    }
    // r0 = 1; exit
    let instructions = [0x0000_0001_0000_00b7_u64, 0x95];
    let mut load = Load {
        kind: BPF_PROG_TYPE_CGROUP_SKB,
        length: 2,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
    };
    let descriptor = bpf(BPF_PROG_LOAD, &mut load).unwrap();
    // SAFETY: the kernel just made it for us.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Attaches a program to the incoming packets of a cgroup as legacy tools do.
fn attach_alone(cgroup: &Cgroup, program: &OwnedFd) {
    const BPF_PROG_ATTACH: libc::c_long = 8;
    const BPF_CGROUP_INET_INGRESS: u32 = 0;
    let directory = File::open(&cgroup.path).unwrap();
    let number = |fd: i32| u32::try_from(fd).unwrap();
    let mut attributes = [
        number(directory.as_raw_fd()),
        number(program.as_raw_fd()),
        BPF_CGROUP_INET_INGRESS,
        0,
    ];
    bpf(BPF_PROG_ATTACH, &mut attributes).unwrap();
}

#[tokio::test]
async fn a_foreign_program_that_keeps_others_out_is_named() {
    let cgroup = Cgroup::new();
    let program = foreign_program();
    attach_alone(&cgroup, &program);
    let error = Capture::start(&in_cgroup(&cgroup)).unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(error, CaptureError::ForeignProgram { .. }),
        "{message}"
    );
    assert!(message.contains("cgroup_inet_ingress") && message.contains("bpftool cgroup show"));
    assert!(message.contains(cgroup.path.to_str().unwrap()));
    assert!(error.is_environment());
}

#[test]
fn the_doctor_names_a_foreign_program_that_keeps_others_out_and_who_holds_it() {
    let cgroup = Cgroup::new();
    let program = foreign_program();
    attach_alone(&cgroup, &program);
    let report = doctor::examine(&doctor::Options {
        cgroup: Some(cgroup.path.clone()),
        ..doctor::Options::default()
    });
    assert_eq!(report.verdict(), Verdict::Unable);
    let held = report.find("hook cgroup_inet_ingress").unwrap();
    assert_eq!(held.state, State::Missing);
    let own_pid = format!("[{}]", std::process::id());
    for part in ["held for itself by program ", &own_pid, "EPERM"] {
        assert!(held.finding.contains(part), "{part}: {held:?}");
    }
    assert!(held.remedy.as_ref().unwrap().contains("BPF_F_ALLOW_MULTI"));
    let free = report.find("hook cgroup_inet_egress").unwrap();
    assert_eq!(free.state, State::Ok, "{free:?}");
}

#[test]
fn the_doctor_finds_every_program_loadable_and_leaves_nothing_attached() {
    for attach in [false, true] {
        let cgroup = Cgroup::new();
        let report = doctor::examine(&doctor::Options {
            cgroup: Some(cgroup.path.clone()),
            attach,
            hashes: false,
            pin_directory: None,
        });
        let bad: Vec<_> = report
            .checks
            .iter()
            .filter(|it| it.state == State::Missing)
            .collect();
        assert!(bad.is_empty(), "{bad:?}");
        let hook = report.find("hook cgroup_sock_ops").unwrap();
        assert_eq!(hook.finding.contains("attaches"), attach, "{hook:?}");
        assert!(
            hook.finding.ends_with("attached already: nothing"),
            "{hook:?}"
        );
        for name in [
            "iterator bpf_sk_storage_map",
            "iterator tcp",
            "tracepoint sched_process_exec",
        ] {
            assert_eq!(report.find(name).unwrap().state, State::Ok, "{name}");
        }
        assert_eq!(attached(&cgroup), 0);
    }
}

#[tokio::test]
async fn the_doctor_tells_what_is_attached_already_and_that_it_is_no_obstacle() {
    let cgroup = Cgroup::new();
    let _capture = Capture::start(&in_cgroup(&cgroup)).unwrap();
    let report = doctor::examine(&doctor::Options {
        cgroup: Some(cgroup.path.clone()),
        attach: true,
        hashes: false,
        pin_directory: None,
    });
    let hook = report.find("hook cgroup_sock_ops").unwrap();
    assert_eq!(hook.state, State::Ok, "{hook:?}");
    let own_pid = format!("[{}]", std::process::id());
    for part in ["attached already: program ", "socket_operatio", &own_pid] {
        assert!(hook.finding.contains(part), "{part}: {hook:?}");
    }
}

#[tokio::test]
async fn a_directory_that_is_no_cgroup_is_refused_by_name() {
    let settings = CaptureSettings {
        cgroup: Some("/proc".into()),
        ..CaptureSettings::default()
    };
    let message = Capture::start(&settings).unwrap_err().to_string();
    assert!(
        message.starts_with("/proc is not a directory of a cgroup v2 file system"),
        "{message}"
    );
}

#[test]
fn without_a_runtime_the_start_fails_and_does_not_panic() {
    let error = Capture::start(&CaptureSettings::default()).unwrap_err();
    assert!(error.to_string().contains("Tokio runtime"), "{error}");
}

/// How many programs the kernel lists on the five hooks of a cgroup.
fn attached(cgroup: &Cgroup) -> u32 {
    const BPF_PROG_QUERY: libc::c_long = 16;
    #[repr(C)]
    #[derive(Default)]
    struct Query {
        target: u32,
        hook: u32,
        flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        padding: u32,
        more: u64,
    }
    let directory = File::open(&cgroup.path).unwrap();
    // Ingress, egress, sock_create, sock_ops, sock_release (`enum bpf_attach_type`).
    let hooks = [0, 1, 2, 3, 34];
    let of = |hook| {
        let mut query = Query {
            target: u32::try_from(directory.as_raw_fd()).unwrap(),
            hook,
            ..Query::default()
        };
        bpf(BPF_PROG_QUERY, &mut query).unwrap();
        query.count
    };
    hooks.into_iter().map(of).sum()
}

#[tokio::test]
async fn dropping_the_capture_detaches_every_program() {
    let cgroup = Cgroup::new();
    let capture = Capture::start(&in_cgroup(&cgroup)).unwrap();
    assert_eq!(attached(&cgroup), 5);
    let second = Capture::start(&in_cgroup(&cgroup)).unwrap();
    assert_eq!(attached(&cgroup), 10, "captures live beside each other");
    drop(capture);
    drop(second);
    assert_eq!(attached(&cgroup), 0);
}

const CONNECTIONS: &str = "\
import socket
server = socket.create_server(('127.0.0.1', 0), backlog=64)
for _ in range(2000):
\tclient = socket.create_connection(server.getsockname())
\tend, _ = server.accept()
\tclient.close()
\tend.close()
print(server.getsockname()[1], flush=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn every_record_that_a_full_ring_refuses_is_counted() {
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        ring_bytes: 64 << 10,
        max_latency: Duration::from_mins(1),
        ..in_cgroup(&cgroup)
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings);
    let mut program = cgroup.python(CONNECTIONS);
    program.go_on();
    // Nothing is read before the program is done.
    let port = program.port();
    program.finish();
    watch.live();
    let closed_late = watch.of(port).len() as u64;
    let lost = watch.capture.loss(LossCounter::RingFull).unwrap();
    // Two ends of each, and the beginning of the process's first.
    assert_eq!(closed_late + lost, 4001, "{closed_late} told");
    assert!(lost > 3500, "64 KiB hold 341 records, {lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_of_one_cgroup_sees_only_its_sockets() {
    let (inside, outside) = (Cgroup::new(), Cgroup::new());
    let mut watch = Watch::with(Protocol::Tcp, &in_cgroup(&inside));
    let mut programs = [inside.python(CONNECTIONS), outside.python(CONNECTIONS)];
    programs.iter_mut().for_each(Program::go_on);
    let ports = programs.each_mut().map(Program::port);
    let records = watch
        .until(ports[0], |records| {
            count(records, RecordKind::Close, Role::Client) == 2000
                && count(records, RecordKind::Close, Role::Server) == 2000
        })
        .await;
    assert_eq!(records.len(), 4001);
    assert_eq!(watch.of(ports[1]).len(), 0);
    assert_eq!(watch.all().len(), 4001, "nothing else lives in the cgroup");
    programs.into_iter().for_each(Program::finish);
}

#[test]
fn without_capabilities_the_missing_ones_are_named() {
    if std::env::var_os("CAPTURE_TEST_WITHOUT_CAPABILITIES").is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let error = runtime.block_on(async { Capture::start(&CaptureSettings::default()) });
        println!("{}", error.unwrap_err());
        return;
    }
    let message = |capabilities: &str| {
        let output = Command::new("setpriv")
            .args([
                "--bounding-set",
                capabilities,
                "--inh-caps",
                capabilities,
                "--",
            ])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "limits::without_capabilities_the_missing_ones_are_named",
                "--nocapture",
            ])
            .env("CAPTURE_TEST_WITHOUT_CAPABILITIES", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let all = message("-all");
    assert!(
        all.contains("missing capability CAP_BPF CAP_NET_ADMIN CAP_PERFMON"),
        "{all}"
    );
    let one = message("-net_admin");
    assert!(one.contains("missing capability CAP_NET_ADMIN:"), "{one}");
}
