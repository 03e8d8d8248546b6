//! What the command line sets: the last layer.

use std::net::SocketAddr;

use figment::value::Value;

use crate::arguments::{DetectArguments, DetectorArguments, Profile};

/// What flags set: dotted keys and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, Value)>);

impl Flags {
    /// The flags as layers, in their order.
    pub(super) fn layers(&self) -> impl Iterator<Item = Flag> {
        let flags = self.0.iter().cloned();
        flags.map(|(key, value)| Flag { key, value })
    }

    pub(crate) fn set(mut self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        self.0.extend(value.map(|value| (key, value.into())));
        self
    }

    /// The flags of `run` and `detect`.
    pub(crate) fn detect(arguments: &DetectArguments) -> Self {
        let folder = arguments
            .state_dir
            .as_ref()
            .map(|path| path.display().to_string());
        let text = |address: Option<SocketAddr>| address.map(|it| it.to_string());
        Self::default()
            .detector(&arguments.detector)
            .set("sidecar.data_directory", folder)
            .set("sidecar.api.address", text(arguments.api_address))
            .set("sidecar.receive.grpc_address", text(arguments.grpc_address))
            .set("sidecar.receive.http_address", text(arguments.http_address))
    }

    pub(crate) fn detector(self, arguments: &DetectorArguments) -> Self {
        let profile = arguments.profile.map(|profile| match profile {
            Profile::Evidence => "evidence",
            Profile::Seed => "seed",
        });
        let threshold = arguments.alert_threshold;
        self.set("detector.profile", profile)
            .set("detector.evidence.alert_threshold", threshold)
            .set(
                "detector.evidence.false_alerts_per_day",
                arguments.false_alerts_per_day,
            )
            .set("detector.seed.alert_threshold", threshold)
            .set("detector.seed.min_connections", arguments.min_connections)
            .set("detector.seed.min_duration_s", arguments.min_duration_s)
            .set("detector.seed.min_interval_s", arguments.min_interval_s)
            .set("detector.seed.max_interval_s", arguments.max_interval_s)
            .set("detector.seed.cv_threshold", arguments.cv_threshold)
            .set(
                "detector.seed.jitter_threshold_s",
                arguments.jitter_threshold_s,
            )
    }
}

/// One flag as a layer.
pub(super) struct Flag {
    key: &'static str,
    value: Value,
}

impl figment::Provider for Flag {
    fn metadata(&self) -> figment::Metadata {
        let flag = self
            .key
            .rsplit('.')
            .next()
            .unwrap_or(self.key)
            .replace('_', "-");
        figment::Metadata::named(format!("flag --{flag}"))
    }

    fn data(
        &self,
    ) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        let nested = figment::util::nest(self.key, self.value.clone());
        let dict = nested.into_dict().unwrap_or_default();
        Ok(figment::Profile::Default.collect(dict))
    }
}
