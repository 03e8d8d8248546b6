//! What survives a stop and a crash.
