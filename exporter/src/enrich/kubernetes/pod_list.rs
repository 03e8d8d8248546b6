//! A `PodList` of the Kubernetes API (v1), as far as it is needed.

use std::collections::{BTreeMap, HashMap};

use beaconwatch_schema::flow::K8S_POD_LABEL_PREFIX;
use serde::Deserialize;

use super::{Pod, PodContainer};
use crate::enrich::procfs::printable;

/// The uid by which the kubelet names the cgroup of a pod that comes from a file of the node. The API server's copy of that
/// pod has another uid.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

#[derive(Deserialize)]
pub(super) struct PodList {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    uid: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "containerStatuses")]
    containers: Vec<ContainerStatus>,
    #[serde(rename = "initContainerStatuses")]
    init_containers: Vec<ContainerStatus>,
    #[serde(rename = "ephemeralContainerStatuses")]
    ephemeral_containers: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    name: String,
    /// `RUNTIME://ID`; absent until the container was made.
    #[serde(rename = "containerID", default)]
    container_id: String,
}

impl PodList {
    /// Pods by uid, with the labels that are asked for.
    pub(super) fn pods(self, labels: &[String]) -> HashMap<String, Pod> {
        let mut pods = HashMap::new();
        for item in self.items {
            let uid = item.metadata.uid.clone();
            let hash = item.metadata.annotations.get(CONFIG_HASH).cloned();
            let pod = item.pod(labels);
            if let Some(hash) = hash.filter(|hash| *hash != uid) {
                pods.insert(hash, pod.clone());
            }
            pods.insert(uid, pod);
        }
        pods
    }
}

impl Item {
    fn pod(self, labels: &[String]) -> Pod {
        let Metadata {
            labels: mut known, ..
        } = self.metadata;
        let labels = labels
            .iter()
            .filter_map(|key| {
                let value = known.remove(key)?;
                Some((format!("{K8S_POD_LABEL_PREFIX}{key}"), printable(&value)))
            })
            .collect();
        let status = self.status;
        let containers = status
            .containers
            .into_iter()
            .chain(status.init_containers)
            .chain(status.ephemeral_containers)
            .filter_map(|container| {
                let (runtime, id) = container.container_id.split_once("://")?;
                Some(PodContainer {
                    id: id.to_owned(),
                    name: printable(&container.name),
                    runtime: printable(runtime),
                })
            })
            .collect();
        Pod {
            name: printable(&self.metadata.name),
            namespace: printable(&self.metadata.namespace),
            node: self.spec.node_name.map(|name| printable(&name)),
            labels,
            containers,
        }
    }
}
