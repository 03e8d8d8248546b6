#![no_main]
//! Whatever stands in a file is read or counted.

use beaconwatch_fuzz::read_file;
use beaconwatch_inputs::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_file(Format::Eve, bytes));
