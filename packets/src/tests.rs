//! Tests over several modules: real captures, and what must hold for any bytes.

mod captures;
mod link;
mod properties;
mod table;
mod tshark;
