//! [`PodReader`]: the task that asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TaskInstant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::{Kubelet, KubernetesError};
use super::{Pods, Waiting};
use crate::config::KubernetesConfig;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A pod that is new while the pause is long has to wait so many first pauses.
const FRESH_PAUSES: u32 = 5;

/// Fills the places of pods.
#[derive(Debug)]
pub struct PodReader {
    kubelet: Kubelet,
    labels: Vec<String>,
    waiting: Arc<Waiting>,
    first_pause: Duration,
}

impl PodReader {
    /// A reader and the places that it fills. `host_name` is the node's name when nothing else says it.
    pub fn new(
        config: &KubernetesConfig,
        host_name: &str,
    ) -> Result<(Self, Pods), KubernetesError> {
        let node = std::env::var("NODE_NAME").unwrap_or_else(|_unset| host_name.to_owned());
        let waiting = Arc::<Waiting>::default();
        let reader = Self {
            kubelet: Kubelet::new(config, &node)?,
            labels: config.labels.clone(),
            waiting: Arc::clone(&waiting),
            first_pause: FIRST_PAUSE,
        };
        Ok((reader, Pods::asked(waiting)))
    }

    #[cfg(test)]
    pub(super) fn with_first_pause(self, first_pause: Duration) -> Self {
        Self {
            first_pause,
            ..self
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.waiting)
    }

    /// Asks whenever a place is new, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let _stopped = shutdown.run_until_cancelled(self.read()).await;
    }

    async fn read(&self) {
        let mut pause = self.first_pause;
        let mut failing = false;
        loop {
            if !self.waiting.give_up(Instant::now()) {
                self.waiting.arrived.notified().await;
                continue;
            }
            match self.ask().await {
                Ok(told) => {
                    if failing {
                        tracing::info!(url = self.kubelet.url(), "pods are known again");
                    }
                    failing = false;
                    if told > 0 {
                        pause = self.first_pause;
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "names of pods are not known");
                    }
                    failing = true;
                }
            }
            self.rest(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Between any two requests: uids that no pod has must not keep the kubelet busy, nor hold up a pod that is new.
    async fn rest(&self, pause: Duration) {
        let fresh = TaskInstant::now() + self.first_pause.saturating_mul(FRESH_PAUSES);
        let arrival = async {
            self.waiting.arrived.notified().await;
            sleep_until(fresh).await;
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = arrival => {}
        }
    }

    async fn ask(&self) -> Result<usize, KubernetesError> {
        let list = self.kubelet.pods().await?;
        let mut pods = list.pods(&self.labels);
        Ok(self.waiting.fill(&mut pods))
    }
}
