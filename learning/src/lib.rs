//! Learns what beacons look like from labelled series or events, and says how much a new one looks like them.
//!
//! Two parts, fused: a supervised probability (logistic regression) and an unsupervised anomaly (isolation
//! forest grown on the benign part), `risk = clip(0.7 probability + 0.3 anomaly, 0, 1)`. It stands beside the
//! detector's score, which needs no labels, and replaces nothing in it.
//!
//! | step | function |
//! |---|---|
//! | features of a series | [`series_features`] |
//! | features of BeaconHunter's events | [`EventReader`], [`Event::features`], [`RiskSets`] |
//! | labels of series | [`Labels`] |
//! | training and its report | [`train`] |
//! | the model file | [`Model::read`], [`Model::to_json`] |
//! | risk of a row, of a series | [`Model::assess`], [`Model::assess_series`] |
//! | risk of hosts | [`add_series`] |
//!
//! # Contract
//! Pure: bytes and values in, values out; no clock, no thread, no randomness but that of the seed. Nothing
//! panics on any input. Numbers that are not finite are refused where they come in.
//!
//! # Limits
//! The probability is linear in the features' log-odds, and it knows what its examples show, no more. See the chapter on
//! learning in the documentation for what the model that ships knows.

mod event;
mod feature;
mod file;
mod folds;
mod forest;
mod hosts;
mod labels;
mod logistic;
mod metrics;
mod model;
mod number;
mod random;
mod series;
mod sets;
mod train;

pub use event::{EVENTS_MAX, Event, EventProblem, EventReader, Events, EventsError};
pub use feature::{Feature, FeatureSet};
pub use file::{MODEL_BYTES_MAX, ModelError, SAMPLE_SIZE_MAX, TREES_MAX};
pub use folds::Grouping;
pub use forest::average_path_length;
pub use hosts::add_series;
pub use labels::{LABELS_BYTES_MAX, Labels, LabelsError};
pub use metrics::{Bin, auc, brier, reliability};
pub use model::{Driver, Model, Origin, Risk, RowError, Weight};
pub use series::series_features;
pub use sets::{CommonPort, RiskSets, RiskyCountry, RiskyProcess, SETS_BYTES_MAX, SetsError};
pub use train::{CrossValidation, Example, FOLDS_MAX, Report, TrainError, TrainSettings, train};
