//! The commands, one module each.

pub(crate) mod alerts;
pub(crate) mod allow;
pub(crate) mod config;
pub(crate) mod destinations;
pub(crate) mod detect;
pub(crate) mod export;
pub(crate) mod instance;
pub(crate) mod lists;
pub(crate) mod manual;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod store;
