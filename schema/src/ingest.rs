//! Fields that a store's ingest pipeline adds to every document.
//!
//! The sidecar's destinations do not write them: only the store knows when a document arrived.

use crate::field::fields;

fields! {
    DELIVERY_LAG = "beaconwatch.delivery.lag_s", Double, "s", Optional, Beaconwatch,
        "Seconds from @timestamp to the document's arrival in the store.", "1.2";
    EVENT_INGESTED = "event.ingested", Date, "", Optional, Ecs,
        "When the document arrived in the store.", "2025-11-22T08:26:31.321Z";
}
