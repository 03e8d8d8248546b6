//! Sigma.
