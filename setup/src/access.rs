//! Reading, writing and removing one object, by the public interface of its kind.
//!
//! | kind | interface |
//! |---|---|
//! | templates, pipelines | `_component_template`, `_index_template`, `_ingest/pipeline` |
//! | ISM policies | `_plugins/_ism/policies`, with the sequence number of what is replaced |
//! | transforms | `_transform`: one that changes is stopped, removed and made anew, because a pivot cannot be changed |
//! | monitors | `_plugins/_alerting/monitors`, found by their name |
//! | saved objects | `api/saved_objects`: read by id, written by `_import?overwrite=true` |
//! | detection rules | `api/detection_engine/rules`, by `rule_id` |
//!
//! What is read is without what the server itself changes ([`crate::compare::settled`]).
//!
//! Limit: Kibana, OpenSearch Dashboards and OpenSearch's plugins are not run by this project; requests to them are as
//! their documentation says.

mod dashboards;
mod plugins;

use beaconwatch_integrations::store::Product;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::compare::settled;
use crate::plan::Object;
use crate::server::{Api, Reply, segment};
use crate::{Kind, SetupError};

/// The servers of a setup.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) product: Product,
    pub(crate) store: Api,
    pub(crate) dashboards: Option<Api>,
}

/// What is there under a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    Nothing,
    Object(Value),
    /// The server has no interface for the kind.
    NoInterface,
}

/// Header without which Kibana and OpenSearch Dashboards refuse a change.
pub(crate) fn guard_header(product: Product) -> (&'static str, HeaderValue) {
    let name = match product {
        Product::Elasticsearch => "kbn-xsrf",
        Product::OpenSearch => "osd-xsrf",
    };
    (name, HeaderValue::from_static("true"))
}

fn unreadable(kind: Kind, name: &str) -> impl FnOnce(String) -> SetupError {
    let object = format!("{kind} {name}");
    move |reason| SetupError::Unreadable { object, reason }
}

fn refused(kind: Kind, name: &str) -> impl FnOnce(String) -> SetupError {
    let object = format!("{kind} {name}");
    move |reason| SetupError::Refused { object, reason }
}

/// Path of an object in a store.
fn path(kind: Kind, name: &str) -> String {
    let name = segment(name);
    match kind {
        Kind::Pipeline => format!("_ingest/pipeline/{name}"),
        Kind::ComponentTemplate => format!("_component_template/{name}"),
        Kind::IndexTemplate => format!("_index_template/{name}"),
        Kind::Transform => format!("_transform/{name}"),
        Kind::IsmPolicy => format!("_plugins/_ism/policies/{name}"),
        Kind::Monitor => format!("_plugins/_alerting/monitors/{name}"),
        Kind::DetectionRule => format!("api/detection_engine/rules?rule_id={name}"),
        Kind::SavedObject => {
            let (kind, id) = name.split_once(':').unwrap_or(("", &name));
            format!("api/saved_objects/{kind}/{id}")
        }
    }
}

impl Access {
    /// The server that has objects of a kind; none when it was not given.
    pub(crate) fn of(&self, kind: Kind) -> Option<&Api> {
        if kind.is_of_dashboards() {
            self.dashboards.as_ref()
        } else {
            Some(&self.store)
        }
    }

    /// What is there under a name.
    pub(crate) async fn read(&self, kind: Kind, name: &str) -> Result<Found, SetupError> {
        let Some(api) = self.of(kind) else {
            return Ok(Found::NoInterface);
        };
        if kind == Kind::Monitor {
            let found = plugins::find_monitor(api, name).await?;
            return Ok(match found {
                plugins::Monitors::NoInterface => Found::NoInterface,
                plugins::Monitors::None => Found::Nothing,
                plugins::Monitors::One { body, .. } => Found::Object(settled(kind, body)),
            });
        }
        let reply = api.ask(Method::GET, &path(kind, name)).await?;
        if reply.is_no_handler() || is_no_route(kind, &reply) {
            return Ok(Found::NoInterface);
        }
        if reply.is_missing() {
            return Ok(Found::Nothing);
        }
        let body = reply.success(api, unreadable(kind, name))?;
        let object = match kind {
            Kind::Pipeline => body[name].clone(),
            Kind::ComponentTemplate => body["component_templates"][0]["component_template"].clone(),
            Kind::IndexTemplate => body["index_templates"][0]["index_template"].clone(),
            Kind::Transform => body["transforms"][0].clone(),
            Kind::IsmPolicy => json!({ "policy": body["policy"] }),
            _ => body,
        };
        if object.is_null() {
            return Err(unreadable(kind, name)(format!(
                "{} does not answer as {kind}s are documented",
                api.url()
            )));
        }
        Ok(Found::Object(settled(kind, object)))
    }

    /// Makes an object, or puts it in place of another; what the user should know is told.
    pub(crate) async fn write(
        &self,
        object: &Object,
        former: Option<&Value>,
    ) -> Result<Option<String>, SetupError> {
        let (kind, name) = (object.kind, object.name.as_str());
        let Some(api) = self.of(kind) else {
            return Err(refused(kind, name)("its server was not given".to_owned()));
        };
        match kind {
            Kind::SavedObject => dashboards::import(api, object).await,
            Kind::DetectionRule => dashboards::put_rule(api, object, former.is_some()).await,
            Kind::IsmPolicy => plugins::put_policy(api, object).await,
            Kind::Monitor => plugins::put_monitor(api, object).await,
            Kind::Transform => self.put_transform(object, former.is_some()).await,
            _ => {
                let sent = api
                    .put(Method::PUT, &path(kind, name), &object.body)
                    .await?;
                sent.success(api, refused(kind, name)).map(|_body| None)
            }
        }
    }

    /// Removes an object; one that is gone already is no error.
    pub(crate) async fn delete(&self, kind: Kind, name: &str) -> Result<(), SetupError> {
        let Some(api) = self.of(kind) else {
            return Err(refused(kind, name)("its server was not given".to_owned()));
        };
        match kind {
            Kind::Pipeline => self.release_pipeline(name).await?,
            Kind::Transform => self.stop_transform(name).await?,
            Kind::IsmPolicy => plugins::release_indices(api, name).await?,
            Kind::Monitor => return plugins::delete_monitor(api, name).await,
            _ => {}
        }
        let reply = api.ask(Method::DELETE, &path(kind, name)).await?;
        if reply.is_missing() {
            return Ok(());
        }
        reply.success(api, refused(kind, name)).map(drop)
    }

    /// Takes a pipeline out of the indices of which it is the default: they stay, and would take no further document
    /// without it.
    async fn release_pipeline(&self, name: &str) -> Result<(), SetupError> {
        const SETTING: &str = "index.default_pipeline";
        let api = &self.store;
        let pattern = format!("{name}-*");
        let asked =
            format!("{pattern}/_settings/{SETTING}?flat_settings=true&expand_wildcards=all");
        let reply = api.ask(Method::GET, &asked).await?;
        let body = reply.success(api, unreadable(Kind::Pipeline, name))?;
        let all = body.as_object().into_iter().flatten();
        let using = all.filter(|(_, it)| it["settings"][SETTING] == name);
        for (index, _) in using {
            let path = format!("{}/_settings", segment(index));
            let none = json!({ SETTING: null });
            let sent = api.put(Method::PUT, &path, &none).await?;
            sent.success(api, refused(Kind::Pipeline, name))?;
        }
        Ok(())
    }

    async fn stop_transform(&self, name: &str) -> Result<(), SetupError> {
        let stop = format!(
            "{}/_stop?force=true&wait_for_completion=true&timeout=30s",
            path(Kind::Transform, name)
        );
        let reply = self.store.ask(Method::POST, &stop).await?;
        if reply.is_missing() {
            return Ok(());
        }
        let stopped = reply.success(&self.store, refused(Kind::Transform, name));
        stopped.map(drop)
    }

    async fn put_transform(
        &self,
        object: &Object,
        replaces: bool,
    ) -> Result<Option<String>, SetupError> {
        let (api, name) = (&self.store, object.name.as_str());
        if replaces {
            self.delete_transform(name).await?;
        }
        // Its source may have no index yet.
        let made = format!("{}?defer_validation=true", path(Kind::Transform, name));
        let sent = api.put(Method::PUT, &made, &object.body).await?;
        sent.success(api, refused(Kind::Transform, name))?;
        let started = self.start_transform(name).await?;
        Ok((!started.status.is_success()).then(|| {
            format!(
                "Transform {name} was made and did not start ({}): start it when documents are there.",
                started.reason()
            )
        }))
    }

    async fn start_transform(&self, name: &str) -> Result<Reply, SetupError> {
        let start = format!("{}/_start", path(Kind::Transform, name));
        self.store.ask(Method::POST, &start).await
    }

    /// What follows the writing of an object, when an earlier run may not have come to it. One that runs already
    /// answers that it does.
    pub(crate) async fn complete(&self, object: &Object) -> Result<(), SetupError> {
        if object.kind == Kind::Transform {
            self.start_transform(&object.name).await?;
        }
        Ok(())
    }

    async fn delete_transform(&self, name: &str) -> Result<(), SetupError> {
        self.stop_transform(name).await?;
        let path = path(Kind::Transform, name);
        let reply = self.store.ask(Method::DELETE, &path).await?;
        let gone = reply.success(&self.store, refused(Kind::Transform, name));
        gone.map(drop)
    }
}

/// Whether Kibana or OpenSearch Dashboards has no interface for a kind: where it has one, it says of what it knows nothing.
fn is_no_route(kind: Kind, reply: &Reply) -> bool {
    let named = match kind {
        Kind::DetectionRule => "rule_id",
        Kind::SavedObject => "Saved object",
        _ => return false,
    };
    let said = reply.body["message"].as_str().unwrap_or_default();
    reply.is_missing() && !said.contains(named)
}
