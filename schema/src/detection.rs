//! Fields of a detection document.
//!
//! One document states one revision of one finding: `event.id` is made from
//! [`FINDING_ID`] and [`FINDING_REVISION`] and is the document's `_id`.

use crate::field::fields;

fields! {
    TIMESTAMP = "@timestamp", Date, "", Required, Ecs,
        "When this revision of the finding was made.", "2025-11-22T08:26:30.123Z";
    FINDING_ID = "beaconwatch.finding.id", Keyword, "", Required, Beaconwatch,
        "Identity of the finding through all of its revisions.", "9f1c2a7be03d4f55a1b2c3d4e5f60718";
    FINDING_REVISION = "beaconwatch.finding.revision", Long, "", Required, Beaconwatch,
        "Number of this revision, from 1.", "1";
}
