//! The commands, one module each.

pub(crate) mod alerts;
pub(crate) mod allow;
pub(crate) mod config;
pub(crate) mod destinations;
pub(crate) mod detect;
pub(crate) mod doctor;
mod events;
pub(crate) mod export;
pub(crate) mod hosts;
pub(crate) mod instance;
pub(crate) mod known;
pub(crate) mod lists;
pub(crate) mod manual;
mod risk;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod setup;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod train;
pub(crate) mod webhook;
