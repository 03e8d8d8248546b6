//! Opsgenie's two addresses: one to open alerts, one for each alert to close it.

use reqwest::Url;

use crate::Document;
use crate::fields::Fields;

/// Where a document goes: `/v2/alerts`, or `/v2/alerts/<alias>/close` for a finding that has closed.
pub(super) fn address(alerts: &Url, document: &Document) -> Url {
    let mut url = alerts.clone();
    let Ok(fields) = Fields::read(document) else {
        return url;
    };
    if fields.text("beaconwatch.finding.state").as_deref() != Some("closed") {
        return url;
    }
    let alias = fields.text("beaconwatch.finding.id");
    let alias = alias.unwrap_or_else(|| document.event_id.clone());
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(&alias).push("close");
    }
    url.query_pairs_mut().append_pair("identifierType", "alias");
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{SampleDocument, sample_document};

    fn of(which: SampleDocument) -> String {
        let alerts: Url = "https://api.opsgenie.com/v2/alerts".parse().unwrap();
        address(&alerts, &sample_document(which)).to_string()
    }

    #[test]
    fn an_open_finding_opens_its_alert_and_a_closed_one_closes_it() {
        assert_eq!(
            of(SampleDocument::Finding),
            "https://api.opsgenie.com/v2/alerts"
        );
        assert_eq!(
            of(SampleDocument::Closed),
            "https://api.opsgenie.com/v2/alerts/9f1c2a7be03d4f55a1b2c3d4e5f60718/close?identifierType=alias"
        );
    }
}
