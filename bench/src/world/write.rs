//! Writing a world as flow records, which the inputs and the peers read.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{BEGIN_S, Contact, Kind, Pair, World};

impl World {
    /// Writes the connections, the activity inside them and the truth into a folder that exists: `conn.ndjson.gz`,
    /// `updates.ndjson.gz` and `truth.json`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let heads: Vec<String> = self.pairs.iter().map(head).collect();
        let mut out = compressed(&folder.join("conn.ndjson.gz"))?;
        for (number, contact) in self.connections.iter().enumerate() {
            let (duration_s, port) = (contact.duration_s, 32_768 + number * 7 % 28_000);
            let start = line(contact, &heads);
            writeln!(
                out,
                r#"{start},"sport":{port},"duration":{duration_s:.6},"conn_state":"SF","uid":"C{number}"}}"#
            )?;
        }
        out.finish()?.flush()?;
        if !self.activity.is_empty() {
            let mut out = compressed(&folder.join("updates.ndjson.gz"))?;
            for contact in &self.activity {
                let pair = contact.pair;
                writeln!(out, r#"{},"uid":"U{pair}"}}"#, line(contact, &heads))?;
            }
            out.finish()?.flush()?;
        }
        std::fs::write(folder.join("truth.json"), self.truth().to_string())
    }

    /// One entry for each implant and each harmless beacon.
    fn truth(&self) -> Value {
        let implants = self.implants.iter().map(|implant| {
            let members: Vec<Value> = implant
                .pairs
                .iter()
                .map(|pair| key(&self.pairs[*pair]))
                .collect();
            let mut entry = members[0].clone();
            entry["label"] = json!("c2");
            entry["family"] = json!(implant.schedule.family);
            entry["hard"] = json!(implant.schedule.hard);
            entry["n"] = json!(implant.beats);
            if members.len() > 1 {
                entry["members"] = json!(members);
            }
            entry
        });
        let beacons = self.pairs.iter().filter(|pair| pair.kind == Kind::Beacon);
        let beacons = beacons.map(|pair| {
            let mut entry = key(pair);
            entry["label"] = json!("benign_beacon");
            entry["n"] = json!(pair.connections);
            entry
        });
        implants.chain(beacons).collect()
    }
}

fn compressed(path: &Path) -> io::Result<GzEncoder<BufWriter<File>>> {
    let file = BufWriter::new(File::create(path)?);
    Ok(GzEncoder::new(file, Compression::fast()))
}

fn key(pair: &Pair) -> Value {
    json!({
        "src": Ipv4Addr::from(pair.source),
        "dst": Ipv4Addr::from(pair.destination),
        "dport": pair.port,
        "proto": pair.transport,
        "server_name": pair.server_name,
    })
}

/// What the lines of a pair have in common, without the braces.
fn head(pair: &Pair) -> String {
    let text = key(pair).to_string();
    text.trim_matches(['{', '}']).to_owned()
}

/// A line without its end.
fn line(contact: &Contact, heads: &[String]) -> String {
    format!(
        r#"{{"ts":{:.6},{},"orig_bytes":{},"resp_bytes":{}"#,
        BEGIN_S + contact.time_s,
        heads[contact.pair],
        contact.sent,
        contact.received
    )
}
