//! End-to-end tests of Beaconwatch against real servers.
