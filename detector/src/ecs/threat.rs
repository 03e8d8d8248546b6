//! Technique in the terms of MITRE ATT&CK.
//!
//! The times of connections say that something calls home, not what it speaks. So the technique is the
//! general one of its transport, and a sub-technique is only named where the port suggests it. Techniques
//! that need more than times and ports (encryption, fallback channels, unusual ports) are not claimed.

use beaconwatch_schema::detection as field;
use serde_json::json;

use super::Fields;
use crate::{Assessment, Transport};

/// Name of the tactic of every finding.
pub(super) const TACTIC_NAME: &str = "Command and Control";

/// Identity, name and page of a technique.
type Technique = (&'static str, &'static str, &'static str);

const APPLICATION_LAYER: Technique = (
    "T1071",
    "Application Layer Protocol",
    "https://attack.mitre.org/techniques/T1071/",
);
const WEB: Technique = (
    "T1071.001",
    "Web Protocols",
    "https://attack.mitre.org/techniques/T1071/001/",
);
const DNS: Technique = (
    "T1071.004",
    "DNS",
    "https://attack.mitre.org/techniques/T1071/004/",
);
const NON_APPLICATION_LAYER: Technique = (
    "T1095",
    "Non-Application Layer Protocol",
    "https://attack.mitre.org/techniques/T1095/",
);

pub(super) fn describe(fields: &mut Fields, assessment: &Assessment) {
    let key = &assessment.key;
    let with_ports = matches!(key.transport, Transport::Tcp | Transport::Udp);
    let (id, name, page) = if with_ports {
        APPLICATION_LAYER
    } else {
        NON_APPLICATION_LAYER
    };
    fields.put(field::THREAT_FRAMEWORK, "MITRE ATT&CK");
    fields.put(field::THREAT_TACTIC_ID, json!(["TA0011"]));
    fields.put(field::THREAT_TACTIC_NAME, json!([TACTIC_NAME]));
    let tactic_page = json!(["https://attack.mitre.org/tactics/TA0011/"]);
    fields.put(field::THREAT_TACTIC_REFERENCE, tactic_page);
    fields.put(field::THREAT_TECHNIQUE_ID, json!([id]));
    fields.put(field::THREAT_TECHNIQUE_NAME, json!([name]));
    fields.put(field::THREAT_TECHNIQUE_REFERENCE, json!([page]));
    let sub_technique = match key.destination_port {
        80 | 443 | 8080 | 8443 if with_ports => Some(WEB),
        53 if with_ports => Some(DNS),
        _ => None,
    };
    if let Some((id, name, page)) = sub_technique {
        fields.put(field::THREAT_SUBTECHNIQUE_ID, json!([id]));
        fields.put(field::THREAT_SUBTECHNIQUE_NAME, json!([name]));
        fields.put(field::THREAT_SUBTECHNIQUE_REFERENCE, json!([page]));
    }
}
