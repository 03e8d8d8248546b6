//! Captures in, records out: packets go through the one table that makes connections of them.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use beaconwatch_packets::Fragments;
use beaconwatch_packets::capture::{self, CaptureError, Captured};
use beaconwatch_packets::link::{self, Frame};
use beaconwatch_packets::table::{Connection, Counters, Moment, Table};

use crate::connections;
use crate::join::Joiner;
use crate::report::{Problem, Reason, Report};

/// All captures of one reading: a connection may begin in one file and end in the next.
#[derive(Debug)]
pub(crate) struct Captures {
    table: Table,
    fragments: Fragments,
    latest_ns: Option<i64>,
}

impl Captures {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            table: Table::new(connections_max),
            fragments: Fragments::default(),
            latest_ns: None,
        }
    }

    /// Reads a capture to its end.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        input: Box<dyn BufRead + Send>,
        joiner: &mut Joiner,
        report: &mut Report,
    ) -> Result<(), CaptureError> {
        let mut file = File {
            path,
            captures: self,
            joiner,
            report,
        };
        capture::read(input, |captured| {
            file.packet(&captured);
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    /// Ends what is still open.
    pub(crate) fn finish(&mut self, joiner: &mut Joiner) {
        self.table
            .finish(&mut |moment, connection| add(joiner, moment, connection));
        self.latest_ns = None;
    }

    pub(crate) fn counters(&self) -> Counters {
        self.table.counters()
    }
}

fn add(joiner: &mut Joiner, moment: Moment, connection: &Connection) {
    if moment != Moment::Opened {
        joiner.add(&connections::record(connection, moment));
    }
}

struct File<'a> {
    path: &'a Path,
    captures: &'a mut Captures,
    joiner: &'a mut Joiner,
    report: &'a mut Report,
}

impl File<'_> {
    fn packet(&mut self, captured: &Captured<'_>) {
        let number = captured.number;
        self.report.lines += 1;
        let Some(link) = captured.link else {
            let expected = "one that was described before";
            return self.skip(number, "interface", expected, "another");
        };
        let Some(time_ns) = captured.time_ns else {
            let expected = "a time from 1970 to 2200";
            return self.skip(number, "time", expected, "none or another");
        };
        self.begin(number, time_ns);
        match link::read(link, time_ns, captured.frame, &mut self.captures.fragments) {
            Frame::Packet(packet) => {
                self.report.records += 1;
                let joiner = &mut *self.joiner;
                self.captures
                    .table
                    .take(&packet, &mut |moment, connection| {
                        add(joiner, moment, connection);
                    });
            }
            Frame::Other => self.report.other_records += 1,
            Frame::Broken(what) => self.skip(number, "packet", "whole headers", what),
            Frame::UnknownLink => {
                let expected = "Ethernet, Linux cooked, loopback or IP";
                let got = format!("link type {link}");
                self.skip(number, "link type", expected, &got);
            }
        }
    }

    /// A file that is older than the one before, or the same once more, continues nothing.
    fn begin(&mut self, number: u64, time_ns: i64) {
        if number == 1 && self.captures.latest_ns.is_some_and(|it| time_ns < it) {
            self.captures.finish(self.joiner);
        }
        self.captures.latest_ns = self.captures.latest_ns.max(Some(time_ns));
    }

    fn skip(&mut self, number: u64, field: &str, expected: &str, got: &str) {
        let problem = Problem {
            reason: Reason::UnusablePacket,
            field: Some(field.to_owned()),
            expected: expected.to_owned(),
            got: got.to_owned(),
        };
        self.report.skip(self.path, number, problem);
    }
}
