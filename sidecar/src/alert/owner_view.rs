//! Who runs a process, as the API shows it.

use std::sync::Arc;

use beaconwatch_detector::Owner;
use serde::Serialize;
use utoipa::ToSchema;

/// Who runs a process.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OwnerView {
    /// Name of its user.
    user_name: Option<String>,
    /// Its command line, the first 1024 bytes.
    command_line: Option<String>,
    /// SHA-256 of its program.
    executable_sha256: Option<String>,
    /// Process id of its parent.
    parent_pid: Option<u32>,
    /// Name of its parent.
    parent_name: Option<String>,
    /// Path of its parent's program.
    parent_executable: Option<String>,
    /// Container that it is in.
    container_id: Option<String>,
    /// Runtime of the container.
    container_runtime: Option<String>,
    /// Unit of the host's systemd.
    unit: Option<String>,
    /// Unit of a user's systemd.
    user_unit: Option<String>,
    /// Uid of the pod.
    pod_uid: Option<String>,
    /// Name of the pod.
    pod_name: Option<String>,
    /// Namespace of the pod.
    pod_namespace: Option<String>,
    /// Name of the container in the pod.
    pod_container: Option<String>,
}

impl OwnerView {
    pub(crate) fn of(owner: &Owner) -> Self {
        let text = |it: &Option<Arc<str>>| it.as_deref().map(str::to_owned);
        Self {
            user_name: text(&owner.user_name),
            command_line: text(&owner.command_line),
            executable_sha256: text(&owner.executable_sha256),
            parent_pid: owner.parent_pid,
            parent_name: text(&owner.parent_name),
            parent_executable: text(&owner.parent_executable),
            container_id: text(&owner.container_id),
            container_runtime: text(&owner.container_runtime),
            unit: text(&owner.unit),
            user_unit: text(&owner.user_unit),
            pod_uid: text(&owner.pod_uid),
            pod_name: text(&owner.pod_name),
            pod_namespace: text(&owner.pod_namespace),
            pod_container: text(&owner.pod_container),
        }
    }
}
