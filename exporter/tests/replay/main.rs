//! Captures through a whole exporter, without rights, compared with what tshark says of the same captures
//! (`packets/tests/data/captures/make.py`), and made-up ones for what real captures lack.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod intervals;
#[cfg(test)]
mod pace;
#[cfg(test)]
#[path = "../receiver/mod.rs"]
mod receiver;
#[cfg(test)]
mod records;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tshark;
