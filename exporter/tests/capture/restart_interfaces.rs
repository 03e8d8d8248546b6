//! Restarts while interfaces are captured: links of programs on them are taken over, let go or made anew.

use std::path::PathBuf;

use aya::programs::{SchedClassifier, TcAttachType};
use beaconwatch_schema::flow;

use crate::{
    interfaces::{Pair, index_of},
    receiver::{number, text},
    restart::{flows_to, free_port},
    successor::{BpfFileSystem, Exporter, HttpReceiver, Settings, ask, metric, settings, until},
    support::{Cgroup, Namespace, python_with, run, unique_word},
};

/// Sends so many datagrams to a port through an interface, from the ports 2000, 2001, ...
const INJECTOR: &str = "
import socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for source in range(2000, 2000 + int(sys.argv[3])):
    udp = struct.pack('>HHHH', source, int(sys.argv[2]), 18, 0) + b'0123456789'
    ends = bytes([10, 1, 0, 1, 10, 2, 0, 2])
    ip = struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + ends
    out.send(bytes(12) + b'\\x08\\x00' + ip + udp)
print(0, flush=True)
";

/// Sends datagrams out of a namespace's interface.
pub(crate) fn inject(namespace: &Namespace, interface: &str, port: &str, count: &str) {
    let mut injector = namespace.python_with(INJECTOR, &[interface, port, count]);
    injector.numbers();
    injector.finish();
}

/// How many programs there are on an interface, each way.
pub(crate) fn programs_on(interface: &str) -> [usize; 2] {
    [TcAttachType::Ingress, TcAttachType::Egress].map(|way| {
        let (_, programs) = SchedClassifier::query_tcx(interface, way).unwrap();
        programs.len()
    })
}

/// Pins of links on interfaces.
fn interface_pins(pins: &BpfFileSystem) -> Vec<String> {
    let mut names = pins.names();
    names.retain(|name| name.starts_with("link-interface-"));
    names
}

/// The pins that the links of these interfaces have.
fn expected_pins(indices: &[u32]) -> Vec<String> {
    let mut names: Vec<String> = indices
        .iter()
        .flat_map(|index| ["in", "out"].map(|way| format!("link-interface-{index}-{way}")))
        .collect();
    names.sort();
    names
}

/// Settings of an exporter that captures no socket, but these interfaces.
pub(crate) fn settings_on(
    pins: &BpfFileSystem,
    receiver: &HttpReceiver,
    cgroup: &Cgroup,
    include: &[&str],
) -> Settings {
    let mut settings = settings(&pins.pins(), receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    settings.insert("INTERFACES__INCLUDE", format!("{include:?}"));
    settings.insert("UDP_IDLE_TIMEOUT_S", "1".to_owned());
    settings
}

/// A pair of interfaces, one end of a given name here.
struct Named {
    name: String,
    there: String,
}

impl Named {
    fn new(name: String, namespace: &Namespace) -> Self {
        Self::with(name, namespace, "")
    }

    fn with(name: String, namespace: &Namespace, index: &str) -> Self {
        let there = unique_word();
        run(&format!(
            "ip link add {name}{index} type veth peer name {there} netns {}",
            namespace.name()
        ));
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
        run(&format!("ip link set {name} up"));
        namespace.ip(&format!("link set {there} up"));
        Self { name, there }
    }

    fn rename(&mut self, name: String) {
        run(&format!("ip link set {} name {name}", self.name));
        self.name = name;
    }

    /// Sends datagrams to a port into it.
    fn receive(&self, namespace: &Namespace, port: u16, count: u32) {
        inject(
            namespace,
            &self.there,
            &port.to_string(),
            &count.to_string(),
        );
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        std::process::Command::new("ip")
            .args(["link", "delete", &self.name])
            .stderr(std::process::Stdio::null())
            .status()
            .ok();
    }
}

/// Interfaces on which flows to a port were told to have been seen, with the packets of each.
pub(crate) fn seen_on(receiver: &HttpReceiver, port: u64) -> Vec<(String, u64)> {
    let flows = flows_to(&receiver.records(), port);
    let mut seen: Vec<(String, u64)> = flows
        .values()
        .map(|records| {
            let end = records.last().unwrap();
            let name = text(end, flow::INTERFACE_NAME).unwrap_or_default();
            (name.to_owned(), number(end, flow::SOURCE_PACKETS))
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_that_went_came_or_changed_while_no_exporter_ran_are_sorted_out_by_the_next() {
    let far = Namespace::new();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let word = unique_word();
    let named = |letter: char| format!("{word}-{letter}");
    let settings = settings_on(&pins, &receiver, &cgroup, &[&format!("{word}-?")]);
    let gone = Named::new(named('a'), &far);
    let replaced = Named::new(named('b'), &far);
    let mut renamed = Named::new(named('c'), &far);
    let mut left = Named::new(named('d'), &far);
    let moved = Named::new(named('e'), &far);
    let all = [&gone, &replaced, &renamed, &left, &moved].map(|it| index_of(&it.name));
    Exporter::start(&settings).stop();
    assert_eq!(interface_pins(&pins), expected_pins(&all));

    drop(gone);
    let [_, index, ..] = all;
    drop(replaced);
    let other = Named::with(named('f'), &far, &format!(" index {index}"));
    renamed.rename(named('g'));
    left.rename(unique_word());
    run(&format!("ip link set {} netns {}", moved.name, far.name()));
    let came = Named::new(named('h'), &far);
    other.receive(&far, 9001, 1);
    renamed.receive(&far, 9002, 2);
    left.receive(&far, 9003, 3);
    came.receive(&far, 9004, 4);

    let second = Exporter::start(&settings);
    let kept = [&other, &renamed, &came].map(|it| index_of(&it.name));
    assert_eq!(
        interface_pins(&pins),
        expected_pins(&kept),
        "{}",
        second.said
    );
    assert_eq!(second.said.matches("taken_over=true").count(), 1);
    assert_eq!(programs_on(&left.name), [0, 0], "no longer chosen");
    for interface in [&other, &renamed, &came] {
        assert_eq!(programs_on(&interface.name), [1, 1], "{}", interface.name);
    }
    other.receive(&far, 9005, 1);
    left.receive(&far, 9006, 1);
    came.receive(&far, 9007, 1);
    renamed.receive(&far, 9008, 1);
    until("what the captured interfaces saw", || {
        [(9002, 2), (9003, 3), (9005, 1), (9007, 1), (9008, 1)]
            .iter()
            .all(|(port, count)| seen_on(&receiver, *port).len() == *count)
    })
    .await;
    second.stop();
    let one = |name: &Named| vec![(name.name.clone(), 1)];
    assert_eq!(seen_on(&receiver, 9005), one(&other));
    assert_eq!(seen_on(&receiver, 9007), one(&came));
    assert_eq!(seen_on(&receiver, 9008), one(&renamed));
    assert_eq!(seen_on(&receiver, 9006), [], "no longer chosen");
    // While none ran: what was pinned counted, what came did not.
    let twice = vec![(renamed.name.clone(), 1); 2];
    assert_eq!(seen_on(&receiver, 9002), twice);
    assert_eq!(seen_on(&receiver, 9001), []);
    assert_eq!(seen_on(&receiver, 9004), []);
    // Counted under its pin, and told although it is no longer chosen.
    assert_eq!(seen_on(&receiver, 9003), vec![(left.name.clone(), 1); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_follow_interfaces_that_come_and_go_while_the_exporter_runs() {
    let far = Namespace::new();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let word = unique_word();
    let settings = settings_on(&pins, &receiver, &cgroup, &[&format!("{word}-?")]);
    let exporter = Exporter::start(&settings);
    assert_eq!(interface_pins(&pins), Vec::<String>::new());
    let mut first = Named::new(format!("{word}-a"), &far);
    let second = Named::new(format!("{word}-b"), &far);
    let both = [&first, &second].map(|it| index_of(&it.name));
    until("both are pinned", || {
        interface_pins(&pins) == expected_pins(&both)
    })
    .await;
    drop(second);
    until("only the first is pinned", || {
        interface_pins(&pins) == expected_pins(&both[..1])
    })
    .await;
    first.rename(unique_word());
    until("none is pinned", || interface_pins(&pins).is_empty()).await;
    until("nothing hangs there", || programs_on(&first.name) == [0, 0]).await;
    first.rename(format!("{word}-c"));
    until("it is pinned again", || {
        interface_pins(&pins) == expected_pins(&both[..1])
    })
    .await;
    exporter.kill();
    assert_eq!(programs_on(&first.name), [1, 1], "it goes on");
    first.receive(&far, 9010, 5);
    let next = Exporter::start(&settings);
    until("what came while none ran is told", || {
        seen_on(&receiver, 9010).len() == 5
    })
    .await;
    next.stop();
}

/// A pair that is captured with pins, and an exporter that has ended.
struct Left {
    namespace: Namespace,
    pair: Pair,
    pins: BpfFileSystem,
    receiver: HttpReceiver,
    _cgroup: Cgroup,
    settings: Settings,
}

impl Left {
    async fn behind() -> Self {
        let namespace = Namespace::new();
        let pair = Pair::to(&namespace);
        let pins = BpfFileSystem::new();
        let receiver = HttpReceiver::start().await;
        let cgroup = Cgroup::new();
        let settings = settings_on(&pins, &receiver, &cgroup, &[&pair.here]);
        Exporter::start(&settings).stop();
        assert_eq!(programs_on(&pair.here), [1, 1]);
        Self {
            namespace,
            pair,
            pins,
            receiver,
            _cgroup: cgroup,
            settings,
        }
    }

    fn pin(&self, way: &str) -> PathBuf {
        let index = index_of(&self.pair.here);
        self.pins
            .pins()
            .join(format!("link-interface-{index}-{way}"))
    }

    fn receive(&self, port: &str, count: &str) {
        inject(&self.namespace, &self.pair.there, port, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_is_none_of_its_interface_is_said_and_its_link_made_anew() {
    let left = Left::behind().await;
    let expected = interface_pins(&left.pins);
    let between = left.pins.pins().join("link-interface-0");
    for (from, to) in [
        (left.pin("in"), between.clone()),
        (left.pin("out"), left.pin("in")),
        (between, left.pin("out")),
    ] {
        std::fs::rename(from, to).unwrap();
    }
    let next = Exporter::start(&left.settings);
    let said = &next.said;
    assert_eq!(
        said.matches("does not hang on the interface").count(),
        2,
        "{said}"
    );
    assert!(said.contains("taken_over=false"), "{said}");
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    assert_eq!(interface_pins(&left.pins), expected);
    left.receive("9020", "3");
    until("what came is told", || {
        seen_on(&left.receiver, 9020).len() == 3
    })
    .await;
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_links_of_an_interface_is_taken_over_and_the_other_made() {
    let left = Left::behind().await;
    let expected = interface_pins(&left.pins);
    std::fs::remove_file(left.pin("in")).unwrap();
    until("only what leaves is seen", || {
        programs_on(&left.pair.here) == [0, 1]
    })
    .await;
    let next = Exporter::start(&left.settings);
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    assert_eq!(interface_pins(&left.pins), expected);
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_captures_no_interface_any_more_ends_what_is_on_them_and_takes_over_the_rest()
 {
    let mut left = Left::behind().await;
    let mut others = left.pins.names();
    others.retain(|name| !name.starts_with("link-interface-"));
    left.settings.remove("INTERFACES__INCLUDE");
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("taking over"), "{}", next.said);
    assert_eq!(left.pins.names(), others);
    assert_eq!(programs_on(&left.pair.here), [0, 0]);
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_of_another_layout_leave_one_program_each_way_on_an_interface() {
    let mut left = Left::behind().await;
    left.settings
        .insert("CAPTURE__RING_BYTES", (64 << 10).to_string());
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("are replaced"), "{}", next.said);
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    left.receive("9030", "2");
    until("what came is told by the new kernel part", || {
        seen_on(&left.receiver, 9030).len() == 2
    })
    .await;
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn unpin_takes_the_programs_off_interfaces() {
    let left = Left::behind().await;
    let removed = ask(&left.settings, &["unpin"]);
    assert!(removed.status.success());
    assert_eq!(left.pins.names(), Vec::<String>::new());
    until("nothing hangs there", || {
        programs_on(&left.pair.here) == [0, 0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_flows_that_find_no_room_while_no_exporter_runs_are_counted_by_the_next() {
    const SENT: u64 = 100;
    let mut left = Left::behind().await;
    let scraped = free_port();
    left.settings
        .insert("INTERFACES__MAX_FLOWS", "8".to_owned());
    left.settings.insert(
        "METRICS__PROMETHEUS__LISTEN",
        format!("127.0.0.1:{scraped}"),
    );
    Exporter::start(&left.settings).stop();
    left.receive("9040", "100");
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("taken_over=true"), "{}", next.said);
    let mut told = 0;
    let mut lost = 0;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    while told + lost < SENT {
        told = seen_on(&left.receiver, 9040).len() as u64;
        lost = metric(scraped, "beaconwatch_exporter_lost_total").await;
        assert!(
            tokio::time::Instant::now() < deadline,
            "{told} told, {lost} lost"
        );
        tokio::task::yield_now().await;
    }
    next.stop();
    assert!(told >= 8 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, SENT);
}

/// Makes an interface without link headers and, each time it is told to, lets a datagram arrive there, to the ports 9061, 9062, ...
const BARE: &str = "
import fcntl, socket, struct, subprocess, sys
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
tun = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
open('/proc/sys/net/ipv6/conf/' + sys.argv[1] + '/disable_ipv6', 'w').write('1')
subprocess.run(['ip', 'link', 'set', sys.argv[1], 'up'], check=True)
print(0, flush=True)
for port in range(9061, 9064):
    input()
    udp = struct.pack('>HHHH', 4000, port, 18, 0) + b'0123456789'
    ends = bytes([10, 1, 0, 1, 10, 2, 0, 2])
    tun.write(struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + ends + udp)
    print(port, flush=True)
input()
";

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_without_link_headers_is_taken_over_with_the_programs_for_such() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let name = unique_word();
    let settings = settings_on(&pins, &receiver, &cgroup, &[&name]);
    let mut bare = python_with(BARE, &[&name]);
    bare.numbers();
    let mut arrives = || {
        bare.go_on();
        bare.numbers();
    };
    let first = Exporter::start(&settings);
    arrives();
    first.stop();
    arrives();
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taken_over=true"), "{}", second.said);
    assert_eq!(programs_on(&name), [1, 1]);
    arrives();
    let each = [9061, 9062, 9063];
    until("all are told", || {
        each.iter()
            .all(|port| !seen_on(&receiver, *port).is_empty())
    })
    .await;
    second.stop();
    for port in each {
        assert_eq!(seen_on(&receiver, port), [(name.clone(), 1)]);
    }
    bare.finish();
}
