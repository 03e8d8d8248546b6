//! The commands, one module each.

pub(crate) mod config;
pub(crate) mod detect;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod score;
