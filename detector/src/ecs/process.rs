//! The process at the source and who runs it, under the names that flow documents have for them.

use beaconwatch_schema::detection as field;
use serde_json::json;

use super::{Fields, date};
use crate::{Assessment, Owner};

pub(super) fn describe(fields: &mut Fields, assessment: &Assessment) {
    let Some(process) = assessment.process.as_deref() else {
        return;
    };
    fields.put_known(field::PROCESS_EXECUTABLE, process.executable.as_deref());
    fields.put_known(field::PROCESS_NAME, process.name.as_deref());
    fields.put_known(
        field::PROCESS_PID,
        (process.pid != 0).then_some(process.pid),
    );
    fields.put_known(field::PROCESS_START, process.started.map(date));
    let owner = assessment.owner.as_deref();
    let user = process.user_id.map(|user| user.to_string());
    let user_name = owner.and_then(|it| it.user_name.as_deref());
    let users: Vec<&str> = user.as_deref().into_iter().chain(user_name).collect();
    fields.put_known(
        field::RELATED_USER,
        (!users.is_empty()).then(|| json!(users)),
    );
    fields.put_known(field::PROCESS_REAL_USER_ID, user.as_deref());
    if let Some(owner) = owner {
        describe_owner(fields, owner);
    }
}

fn describe_owner(fields: &mut Fields, owner: &Owner) {
    fields.put_known(field::PROCESS_PARENT_PID, owner.parent_pid);
    for (name, value) in [
        (field::PROCESS_REAL_USER_NAME, &owner.user_name),
        (field::PROCESS_COMMAND_LINE, &owner.command_line),
        (field::PROCESS_HASH, &owner.executable_sha256),
        (field::PROCESS_PARENT_NAME, &owner.parent_name),
        (field::PROCESS_PARENT_EXECUTABLE, &owner.parent_executable),
        (field::CONTAINER_ID, &owner.container_id),
        (field::CONTAINER_NAME, &owner.pod_container),
        (field::CONTAINER_RUNTIME, &owner.container_runtime),
        (field::SYSTEMD_UNIT, &owner.unit),
        (field::SYSTEMD_USER_UNIT, &owner.user_unit),
        (field::ORCHESTRATOR_RESOURCE_ID, &owner.pod_uid),
        (field::ORCHESTRATOR_RESOURCE_NAME, &owner.pod_name),
        (field::ORCHESTRATOR_NAMESPACE, &owner.pod_namespace),
    ] {
        fields.put_known(name, value.as_deref());
    }
}
