use std::collections::BTreeSet;

use super::*;
use crate::template::{SampleDocument, sample_document};

fn document(which: SampleDocument) -> Value {
    serde_json::from_str(&sample_document(which).body).unwrap()
}

fn objects(bundle: &Value, kind: &str) -> Vec<Value> {
    let objects = bundle["objects"].as_array().unwrap().iter();
    objects.filter(|it| it["type"] == kind).cloned().collect()
}

const ADDRESS_ID: &str = "ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db";
const DOMAIN_ID: &str = "domain-name--658b542e-1bb6-5891-8aca-51504a56075f";
const TRAFFIC_ID: &str = "network-traffic--3680ab4b-b301-58d3-8ba7-28c3e10f892c";

#[test]
fn ids_of_observables_are_those_of_the_reference_library() {
    // python -c 'import stix2; print(stix2.IPv4Address(value="198.51.100.7").id)', stix2 3.0.2; and so on.
    let address = address_object("198.51.100.7");
    assert_eq!(address["id"], ADDRESS_ID);
    let domain = observable("domain-name", json!({"value": "updates.example.org"}));
    assert_eq!(domain["id"], DOMAIN_ID);
    let bundle = bundle(&document(SampleDocument::Finding)).unwrap();
    assert_eq!(objects(&bundle, "network-traffic")[0]["id"], TRAFFIC_ID);
}

#[test]
fn a_finding_makes_the_same_bundle_again_and_every_reference_leads_to_an_object() {
    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name.ends_with("_ref") || name.ends_with("_refs") {
                        let values = value.as_array().cloned().unwrap_or(vec![value.clone()]);
                        into.extend(values.iter().map(|it| it.as_str().unwrap().to_owned()));
                    }
                    references(value, into);
                }
            }
            Value::Array(values) => values.iter().for_each(|it| references(it, into)),
            _ => {}
        }
    }
    let document = document(SampleDocument::Finding);
    let first = bundle(&document).unwrap();
    assert_eq!(first, bundle(&document).unwrap());
    let mut referred = BTreeSet::new();
    references(&first, &mut referred);
    referred.remove(TLP_AMBER);
    let objects = first["objects"].as_array().unwrap();
    let ids: BTreeSet<String> = objects
        .iter()
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), objects.len());
    assert!(referred.is_subset(&ids), "{:?}", referred.difference(&ids));
}

#[test]
fn the_indicator_names_address_port_and_name_and_the_note_explains() {
    let bundle = bundle(&document(SampleDocument::Finding)).unwrap();
    assert_eq!(
        objects(&bundle, "indicator")[0]["pattern"],
        "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '198.51.100.7' AND network-traffic:dst_port = 443] OR [domain-name:value = 'updates.example.org']"
    );
    assert_eq!(objects(&bundle, "indicator")[0]["confidence"], 94);
    assert_eq!(objects(&bundle, "sighting")[0]["count"], 42);
    assert_eq!(
        objects(&bundle, "note")[0]["content"],
        "42 connections with a median interval of 60.0 s."
    );
}

#[test]
fn a_name_cannot_end_its_string_in_the_pattern() {
    let mut document = document(SampleDocument::Finding);
    document["destination"]["domain"] = json!(r"a' OR [file:name = 'x\");
    let bundle = bundle(&document).unwrap();
    let pattern = objects(&bundle, "indicator")[0]["pattern"].clone();
    let pattern = pattern.as_str().unwrap();
    assert!(
        pattern.ends_with(r"OR [domain-name:value = 'a\' OR [file:name = \'x\\']"),
        "{pattern}"
    );
}

#[test]
fn addresses_of_version_six_and_a_machine_that_talks_to_itself_make_bundles() {
    let mut document = document(SampleDocument::Least);
    document["source"]["ip"] = json!("2001:db8::7");
    document["destination"]["ip"] = json!("2001:db8::7");
    let bundle = bundle(&document).unwrap();
    assert_eq!(objects(&bundle, "ipv6-addr").len(), 1);
    assert_eq!(
        objects(&bundle, "network-traffic")[0]["protocols"][0],
        "ipv6"
    );
    assert!(objects(&bundle, "process").is_empty());
}

#[test]
fn what_is_about_no_connections_makes_no_bundle_and_says_why() {
    let error = bundle(&document(SampleDocument::Sensor)).unwrap_err();
    assert!(
        error.to_string().contains("destination.port is missing")
            || error.to_string().contains("source.ip is missing"),
        "{error}"
    );
    let mut document = document(SampleDocument::Finding);
    document["source"]["ip"] = json!("nowhere");
    let error = bundle(&document).unwrap_err().to_string();
    assert!(
        error.contains("source.ip is \"nowhere\", expected an IP address"),
        "{error}"
    );
}
