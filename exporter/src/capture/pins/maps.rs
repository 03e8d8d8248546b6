//! Which maps outlive a run, and what must be the same for two builds to share them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};

use crate::capture::CaptureError;

/// Maps that each run begins anew: what was told early of which process, scratch, and what user space writes of interfaces,
/// which programs of an earlier run keep as it was until they are exchanged.
const OF_ONE_RUN: [&str; 6] = [
    "TOLD",
    "COARSE",
    "READING",
    "SCRATCH",
    "INTERFACES",
    "ADDRESSES",
];

/// The maps that outlive a run: all but those of one run, and the settings and constants of a program, whose names
/// begin with a dot.
pub(super) fn maps(object: &Ebpf) -> impl Iterator<Item = (&str, &Map)> {
    object
        .maps()
        .filter(|(name, _)| !name.starts_with('.') && !OF_ONE_RUN.contains(name))
}

/// What makes maps of two builds the same: type, size of keys and values, entries, flags.
pub(super) fn shape(map: &MapData) -> io::Result<[u32; 5]> {
    let info = map.info().map_err(io::Error::other)?;
    let kind = info.map_type().map_err(io::Error::other)?;
    Ok([
        kind as u32,
        info.key_size(),
        info.value_size(),
        info.max_entries(),
        info.map_flags(),
    ])
}

pub(super) fn descriptor<'a>(name: &str, map: &'a Map) -> Result<BorrowedFd<'a>, CaptureError> {
    match data(map) {
        Some(data) => Ok(data.fd().as_fd()),
        None => Err(CaptureError::System {
            call: "finding the kind of a map",
            source: io::Error::other(format!("map {name} cannot be pinned")),
        }),
    }
}

/// The kinds of maps that a kernel part may have.
pub(super) const fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}
