//! [`Workload`]: container, pod and unit that a path in the cgroup tree names.
//!
//! | path (where the product documents or makes it) | is |
//! |---|---|
//! | `/docker/ID`, `/system.slice/docker-ID.scope` | Docker by its two cgroup drivers |
//! | `/machine.slice/libpod-ID.scope/container`, `.../libpod-payload-ID`, also below `user@1000.service` | Podman, also rootless |
//! | `/system.slice/nerdctl-ID.scope`, `cri-containerd-ID.scope`, `...slice:cri-containerd:ID` | containerd |
//! | `crio-ID.scope`, `crio-ID` | CRI-O |
//! | `/kubepods/burstable/podUID/ID` | a pod's container, driver cgroupfs: the runtime is not told |
//! | `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/...` | a pod, driver systemd: `-` of the uid as `_` |
//! | `/system.slice/nginx.service`, `/user.slice/user-1000.slice/user@1000.service/app.slice/x.service` | units of systemd |
//!
//! `ID` is 64 hexadecimal digits. The innermost container holds, and what is within one says nothing of the host's units.
//! Monitors (`libpod-conmon-ID.scope`, `crio-conmon-ID.scope`) are processes of the host.
//!
//! Limit: whoever may make cgroups can name them like a container's. Users can do so below `user@UID.service`, which the
//! unit then tells.

use std::fmt;
use std::sync::Arc;

use super::kubernetes::PodPlace;

/// What a cgroup belongs to.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// The container.
    pub container: Option<Container>,
    /// The pod, and what the kubelet says of it.
    pub pod: Option<Arc<PodPlace>>,
    /// Unit of the host's systemd.
    pub unit: Option<Arc<str>>,
    /// Unit of a user's systemd.
    pub user_unit: Option<Arc<str>>,
    /// Innermost slice of the host's systemd; the slices of pods are left out.
    pub slice: Option<Arc<str>>,
    /// Whether unit or slice tell the number of a user.
    pub(crate) of_user_session: bool,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its identity: 64 hexadecimal digits.
    pub id: Arc<str>,
    /// Who runs it, when the path tells.
    pub runtime: Option<Runtime>,
}

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
}

impl Runtime {
    /// Name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a path says; pods by their uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathWorkload {
    pub(super) container: Option<Container>,
    pub(super) pod_uid: Option<String>,
    pub(super) unit: Option<Arc<str>>,
    pub(super) user_unit: Option<Arc<str>>,
    pub(super) slice: Option<Arc<str>>,
    pub(super) of_user_session: bool,
}

impl PathWorkload {
    pub(super) fn parse(path: &str) -> Self {
        let mut workload = Self::default();
        let mut before = "";
        for name in path.split('/').filter(|name| !name.is_empty()) {
            // systemd puts a _ before names that the kernel could mistake for its own.
            let name = name.strip_prefix('_').unwrap_or(name);
            if let Some(uid) = pod_uid(name) {
                workload.pod_uid = Some(uid);
            }
            if let Some(container) = container(name, before) {
                workload.container = Some(container);
            } else if workload.container.is_none() && pod_uid(name).is_none() {
                workload.add_unit(name);
            }
            before = name;
        }
        workload
    }

    fn add_unit(&mut self, name: &str) {
        let user_manager = self
            .unit
            .as_deref()
            .is_some_and(|unit| unit.starts_with("user@"));
        let Some((stem, kind)) = name.rsplit_once('.') else {
            return;
        };
        if kind == "slice" {
            if self.unit.is_none() {
                self.of_user_session |= name.starts_with("user-");
                self.slice = Some(Arc::from(name));
            }
            return;
        }
        let is_unit = matches!(kind, "service" | "scope" | "socket" | "mount" | "swap");
        if stem.is_empty() || !is_unit {
            return;
        }
        // What a service makes below itself is its own affair: the outermost is systemd's.
        let place = if user_manager {
            &mut self.user_unit
        } else {
            &mut self.unit
        };
        if place.is_none() {
            self.of_user_session |= name.starts_with("user@");
            *place = Some(Arc::from(name));
        }
    }
}

/// The container of one name in the path; `before` is the name above.
fn container(name: &str, before: &str) -> Option<Container> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let made = |id: &str, runtime| {
        Some(Container {
            id: Arc::from(id),
            runtime,
        })
    };
    if is_id(name) {
        let runtime = (before == "docker").then_some(Runtime::Docker);
        return made(name, runtime);
    }
    // containerd with systemd's form of a path but not its driver: SLICE:PREFIX:ID.
    let (prefix, id) = name.rsplit_once([':', '-']).filter(|(_, id)| is_id(id))?;
    let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
    if prefix.ends_with("conmon") {
        return None;
    }
    let runtime = match prefix {
        "docker" => Some(Runtime::Docker),
        "cri-containerd" | "containerd" | "nerdctl" => Some(Runtime::Containerd),
        "crio" => Some(Runtime::CriO),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        _ => None,
    };
    made(id, runtime)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hexadecimal)
}

const fn is_hexadecimal(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The uid of a pod in one name of the path: `podUID`, or `...-podUID.slice` with `_` for `-`.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.split(':').next()?;
    let (name, of_systemd) = name
        .strip_suffix(".slice")
        .map_or((name, false), |name| (name, true));
    let uid = if of_systemd {
        name.rsplit_once("-pod").map(|(_, uid)| uid)?
    } else {
        name.strip_prefix("pod")?
    };
    let uid = uid.replace('_', "-");
    is_uid(&uid).then_some(uid)
}

/// A UUID, or the hash that stands for it in pods of a node's own files.
fn is_uid(text: &str) -> bool {
    let dashes = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => is_hexadecimal(byte),
    };
    match text.len() {
        36 => text.bytes().enumerate().all(dashes),
        32 => text.bytes().all(is_hexadecimal),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
    const INNER: &str = "0000111122223333444455556666777788889999aaaabbbbccccddddeeeeffff";
    const UID: &str = "a1b2c3d4-e5f6-4711-8899-aabbccddeeff";

    /// `(runtime, id, pod, unit, user unit, slice)` of a path with `ID`, `INNER`, `UID` and `U_ID` filled in.
    type Told = [Option<String>; 6];

    fn told(path: &str) -> Told {
        let path = path
            .replace("INNER", INNER)
            .replace("U_ID", &UID.replace('-', "_"))
            .replace("UID", UID)
            .replace("ID", ID);
        let found = PathWorkload::parse(&path);
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
        let container = found.container.as_ref();
        [
            container.and_then(|it| it.runtime).map(|it| it.to_string()),
            container.map(|it| it.id.to_string()),
            found.pod_uid,
            text(found.unit),
            text(found.user_unit),
            text(found.slice),
        ]
    }

    fn expect(path: &str, expected: [&str; 6]) {
        let filled = expected.map(|text| match text {
            "" => None,
            "ID" => Some(ID.to_owned()),
            "INNER" => Some(INNER.to_owned()),
            "UID" => Some(UID.to_owned()),
            other => Some(other.to_owned()),
        });
        assert_eq!(told(path), filled, "{path}");
    }

    #[test]
    fn docker_and_podman_are_told_by_both_drivers_and_without_root() {
        for (path, expected) in [
            ("/docker/ID", ["docker", "ID", "", "", "", ""]),
            (
                "/system.slice/docker-ID.scope",
                ["docker", "ID", "", "", "", "system.slice"],
            ),
            // Processes of a systemd in the container.
            (
                "/system.slice/docker-ID.scope/system.slice/nginx.service",
                ["docker", "ID", "", "", "", "system.slice"],
            ),
            // Docker in Docker: the innermost.
            (
                "/docker/ID/docker/INNER",
                ["docker", "INNER", "", "", "", ""],
            ),
            (
                "/machine.slice/libpod-ID.scope/container",
                ["podman", "ID", "", "", "", "machine.slice"],
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
                [
                    "podman",
                    "ID",
                    "",
                    "user@1000.service",
                    "",
                    "user-1000.slice",
                ],
            ),
            // A unit of Podman's generator (Quadlet): the container is below its service.
            (
                "/system.slice/web.service/libpod-payload-ID",
                ["podman", "ID", "", "web.service", "", "system.slice"],
            ),
            ("/libpod_parent/libpod-ID", ["podman", "ID", "", "", "", ""]),
            (
                "/machine.slice/machine-libpod_pod_ID.slice/libpod-INNER.scope",
                [
                    "podman",
                    "INNER",
                    "",
                    "",
                    "",
                    &format!("machine-libpod_pod_{ID}.slice"),
                ],
            ),
        ] {
            expect(path, expected);
        }
    }

    #[test]
    fn monitors_of_containers_are_processes_of_the_host() {
        for path in [
            "/machine.slice/libpod-conmon-ID.scope",
            "/kubepods.slice/kubepods-podU_ID.slice/crio-conmon-ID.scope",
        ] {
            assert_eq!(told(path)[1], None, "{path}");
        }
    }

    #[test]
    fn pods_are_told_by_both_drivers_of_the_kubelet() {
        let slice = "kubepods-burstable.slice";
        for (path, expected) in [
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-ID.scope",
                ["containerd", "ID", "UID", "", "", slice],
            ),
            (
                "/kubepods.slice/kubepods-podU_ID.slice/crio-ID.scope/container",
                ["cri-o", "ID", "UID", "", "", "kubepods.slice"],
            ),
            (
                "/kubepods/burstable/podUID/ID",
                ["", "ID", "UID", "", "", ""],
            ),
            (
                "/kubepods/podUID/crio-ID",
                ["cri-o", "ID", "UID", "", "", ""],
            ),
            ("/kubepods/besteffort/podUID", ["", "", "UID", "", "", ""]),
            (
                "/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:ID",
                [
                    "containerd",
                    "ID",
                    "UID",
                    "containerd.service",
                    "",
                    "system.slice",
                ],
            ),
            // kind: a kubelet below a slice of its own, in a container of Docker.
            (
                "/docker/INNER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-ID.scope",
                ["containerd", "ID", "UID", "", "", ""],
            ),
        ] {
            expect(path, expected);
        }
        // A pod of the node's own files has a hash for a uid.
        let path = "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/ID";
        assert_eq!(
            told(path)[2].as_deref(),
            Some("0123456789abcdef0123456789abcdef")
        );
    }

    #[test]
    fn containerd_without_kubernetes_is_told() {
        expect(
            "/system.slice/nerdctl-ID.scope",
            ["containerd", "ID", "", "", "", "system.slice"],
        );
        expect("/default/ID", ["", "ID", "", "", "", ""]);
    }

    #[test]
    fn units_of_systemd_are_those_that_its_journal_would_name() {
        for (path, expected) in [
            (
                "/system.slice/nginx.service",
                ["", "", "", "nginx.service", "", "system.slice"],
            ),
            ("/init.scope", ["", "", "", "init.scope", "", ""]),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                ["", "", "", "getty@tty1.service", "", "system-getty.slice"],
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                ["", "", "", "session-3.scope", "", "user-1000.slice"],
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service",
                [
                    "",
                    "",
                    "",
                    "user@1000.service",
                    "backup.service",
                    "user-1000.slice",
                ],
            ),
            // Delegated: what a service makes below itself is no unit of systemd.
            (
                "/system.slice/a.service/b.service/c.scope",
                ["", "", "", "a.service", "", "system.slice"],
            ),
            (
                "/system.slice/_cpu.service",
                ["", "", "", "cpu.service", "", "system.slice"],
            ),
        ] {
            expect(path, expected);
        }
        assert!(PathWorkload::parse("/user.slice/user-1000.slice/x.scope").of_user_session);
        assert!(!PathWorkload::parse("/system.slice/x.service").of_user_session);
    }

    #[test]
    fn names_that_only_look_alike_tell_nothing() {
        for path in [
            "",
            "/",
            "/..",
            "/docker/8f2a1d3c",
            "/docker/8F2A1D3C4B5E6F708192A3B4C5D6E7F8091A2B3C4D5E6F708192A3B4C5D6E7F8",
            "/pod-of-mine/x",
            "/kubepods/poda1b2c3d4e5f6-4711-8899-aabbccddeeff--/x",
            "/docker-ID.scope.d",
            "/.service",
        ] {
            assert_eq!(told(path), Told::default(), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_survived_and_tells_nothing_longer_than_itself(path in "\\PC{0,200}|[-_:/.a-f0-9podsclie]{0,200}") {
            let told = PathWorkload::parse(&path);
            let container = told.container.map(|container| container.id);
            for text in [container, told.unit, told.user_unit, told.slice].into_iter().flatten() {
                proptest::prop_assert!(path.contains(&*text));
            }
        }
    }
}
