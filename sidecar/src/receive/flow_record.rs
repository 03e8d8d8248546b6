//! One OTLP log record of an exporter: what kind of record it is, and a flow record to one [`Observation`],
//! by the names of [`beaconwatch_schema::flow`] and [`beaconwatch_schema::heartbeat`].
//!
//! | record | event | phase | time |
//! |---|---|---|---|
//! | 0 | start | opened | flow start |
//! | 0 | update | opened (the announcing record is this one) | flow start |
//! | 0 | end | whole | flow start |
//! | > 0 | update, start | active | log record's time |
//! | > 0 | activity | activity | log record's time |
//! | > 0 | end | closed | flow end, else the log record's time |
//!
//! Fields that this version does not use are skipped unread: a newer exporter may send more.

use std::collections::HashMap;
use std::net::{AddrParseError, IpAddr};
use std::sync::Arc;

use beaconwatch_detector::{
    ConnectionId, Observation, Owner, Phase, Process, SeriesKey, Side, Timestamp, Transport,
};
use beaconwatch_schema::{flow, heartbeat};

use super::batch::{Fault, Rejection};
use super::decode::{Attribute, Resource};
use super::wire::{Fields, Value, WireError};

/// Declares the attributes that are read: an index and a name for each.
macro_rules! keys {
    ($($key:ident),* $(,)?) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants")]
        #[derive(Clone, Copy)]
        enum Key { $($key),* }

        const NAMES: &[&str] = &[$(flow::$key),*];
        const KEYS: usize = NAMES.len();

        impl Key {
            fn find(name: &[u8]) -> Option<Self> {
                match str::from_utf8(name).ok()? {
                    $(flow::$key => Some(Self::$key),)*
                    _ => None,
                }
            }

            const fn name(self) -> &'static str {
                match self { $(Self::$key => flow::$key),* }
            }
        }
    };
}

keys!(
    EXPORTER_ID,
    EXPORTER_SEQUENCE,
    FLOW_ID,
    EVENT,
    RECORD_NUMBER,
    ROLE,
    START_TIME,
    END_TIME,
    ESTABLISHED,
    OWN,
    SOURCE_BYTES,
    DESTINATION_BYTES,
    NETWORK_NAMESPACE,
    SOURCE_ADDRESS,
    SOURCE_PORT,
    DESTINATION_ADDRESS,
    DESTINATION_PORT,
    TRANSPORT,
    SERVER_ADDRESS,
    DNS_QUESTION_NAME,
    TLS_CLIENT_JA4,
    TLS_CLIENT_JA3,
    PROCESS_PID,
    PROCESS_EXECUTABLE_NAME,
    PROCESS_EXECUTABLE_PATH,
    PROCESS_CREATION_TIME,
    PROCESS_REAL_USER_ID,
    PROCESS_REAL_USER_NAME,
    PROCESS_COMMAND_LINE,
    PROCESS_HASH,
    PARENT_PID,
    PARENT_NAME,
    PARENT_EXECUTABLE,
    CONTAINER_ID,
    CONTAINER_RUNTIME,
    SYSTEMD_UNIT,
    SYSTEMD_USER_UNIT,
    K8S_POD_UID,
    K8S_POD_NAME,
    K8S_NAMESPACE_NAME,
    K8S_CONTAINER_NAME,
);

/// Texts of [`OwnerAttributes`], in their order.
const OWNER_TEXTS: [Key; 13] = [
    Key::PROCESS_REAL_USER_NAME,
    Key::PROCESS_COMMAND_LINE,
    Key::PROCESS_HASH,
    Key::PARENT_NAME,
    Key::PARENT_EXECUTABLE,
    Key::CONTAINER_ID,
    Key::CONTAINER_RUNTIME,
    Key::SYSTEMD_UNIT,
    Key::SYSTEMD_USER_UNIT,
    Key::K8S_POD_UID,
    Key::K8S_POD_NAME,
    Key::K8S_NAMESPACE_NAME,
    Key::K8S_CONTAINER_NAME,
];

const fn rejection(fault: Fault, field: &'static str) -> Rejection {
    Rejection { fault, field }
}

/// Strings and processes of one request, each kept once: most repeat from record to record.
pub(super) struct Strings<'a> {
    limit: usize,
    shared: HashMap<&'a [u8], Arc<str>>,
    processes: HashMap<ProcessAttributes<'a>, Arc<Process>>,
    owners: HashMap<OwnerAttributes<'a>, Arc<Owner>>,
    /// The owner of the record before: often of this one, too, and cheaper to compare with than to look up.
    last_owner: Option<(OwnerAttributes<'a>, Arc<Owner>)>,
}

/// Who runs a process as the record has it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct OwnerAttributes<'a> {
    parent_pid: Option<u32>,
    texts: [Option<&'a [u8]>; OWNER_TEXTS.len()],
}

/// A process as the record has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ProcessAttributes<'a> {
    pid: u32,
    user_id: Option<u32>,
    started: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    executable: Option<&'a [u8]>,
}

impl<'a> Strings<'a> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            shared: HashMap::new(),
            processes: HashMap::new(),
            owners: HashMap::new(),
            last_owner: None,
        }
    }

    pub(super) fn share(
        &mut self,
        bytes: &'a [u8],
        field: &'static str,
    ) -> Result<Arc<str>, Rejection> {
        if let Some(shared) = self.shared.get(bytes) {
            return Ok(Arc::clone(shared));
        }
        if bytes.len() > self.limit {
            return Err(rejection(Fault::TooLong, field));
        }
        let text = text(bytes, field)?;
        let shared: Arc<str> = Arc::from(text);
        self.shared.insert(bytes, Arc::clone(&shared));
        Ok(shared)
    }

    pub(super) fn share_optional(
        &mut self,
        bytes: Option<&'a [u8]>,
        field: &'static str,
    ) -> Result<Option<Arc<str>>, Rejection> {
        bytes.map(|bytes| self.share(bytes, field)).transpose()
    }

    fn process(&mut self, attributes: ProcessAttributes<'a>) -> Result<Arc<Process>, Rejection> {
        if let Some(process) = self.processes.get(&attributes) {
            return Ok(Arc::clone(process));
        }
        let started = attributes.started.map(creation_time).transpose()?;
        let process = Arc::new(Process {
            pid: attributes.pid,
            started,
            name: self.share_optional(attributes.name, flow::PROCESS_EXECUTABLE_NAME)?,
            executable: self
                .share_optional(attributes.executable, flow::PROCESS_EXECUTABLE_PATH)?,
            user_id: attributes.user_id,
        });
        self.processes.insert(attributes, Arc::clone(&process));
        Ok(process)
    }

    fn owner(&mut self, attributes: OwnerAttributes<'a>) -> Result<Arc<Owner>, Rejection> {
        if let Some((last, owner)) = &self.last_owner
            && *last == attributes
        {
            return Ok(Arc::clone(owner));
        }
        let owner = match self.owners.get(&attributes) {
            Some(owner) => Arc::clone(owner),
            None => self.new_owner(attributes)?,
        };
        self.last_owner = Some((attributes, Arc::clone(&owner)));
        Ok(owner)
    }

    fn new_owner(&mut self, attributes: OwnerAttributes<'a>) -> Result<Arc<Owner>, Rejection> {
        let mut texts = [const { None }; OWNER_TEXTS.len()];
        for ((text, bytes), key) in texts.iter_mut().zip(attributes.texts).zip(OWNER_TEXTS) {
            *text = self.share_optional(bytes, key.name())?;
        }
        let [
            user_name,
            command_line,
            executable_sha256,
            parent_name,
            parent_executable,
            container_id,
            container_runtime,
            unit,
            user_unit,
            pod_uid,
            pod_name,
            pod_namespace,
            pod_container,
        ] = texts;
        let owner = Arc::new(Owner {
            user_name,
            command_line,
            executable_sha256,
            parent_pid: attributes.parent_pid,
            parent_name,
            parent_executable,
            container_id,
            container_runtime,
            unit,
            user_unit,
            pod_uid,
            pod_name,
            pod_namespace,
            pod_container,
        });
        self.owners.insert(attributes, Arc::clone(&owner));
        Ok(owner)
    }
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Rejection> {
    str::from_utf8(bytes).map_err(|_not_utf8| rejection(Fault::BadValue, field))
}

fn creation_time(bytes: &[u8]) -> Result<Timestamp, Rejection> {
    let bad = rejection(Fault::BadValue, flow::PROCESS_CREATION_TIME);
    let time: jiff::Timestamp = text(bytes, bad.field)?
        .parse()
        .map_err(|_not_a_time: jiff::Error| bad)?;
    i64::try_from(time.as_nanosecond())
        .map(Timestamp::from_unix_nanos)
        .map_err(|_out_of_range| bad)
}

/// What an exporter sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flow,
    Heartbeat,
}

impl Kind {
    fn of(event_name: &[u8]) -> Option<Self> {
        match str::from_utf8(event_name).ok()? {
            flow::EVENT_NAME => Some(Self::Flow),
            heartbeat::EVENT_NAME => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// The attributes of one record, not yet judged.
pub(super) struct EventRecord<'a> {
    values: [Option<Attribute<'a>>; KEYS],
    time_unix_nanos: u64,
}

/// Reads a `KeyValue`.
type ReadKeyValue = fn(&[u8]) -> Result<(&[u8], Attribute<'_>), WireError>;

impl<'a> EventRecord<'a> {
    /// Reads a `LogRecord`; `None` when it is none of an exporter's.
    pub(super) fn read(
        message: &'a [u8],
        attribute_limit: usize,
        read_key_value: ReadKeyValue,
    ) -> Result<Option<(Kind, Self)>, Rejection> {
        let malformed = |_error: WireError| rejection(Fault::Malformed, "log record");
        let mut record = Self {
            values: [None; KEYS],
            time_unix_nanos: 0,
        };
        let mut kind = None;
        let mut attributes = 0_usize;
        for field in Fields::new(message) {
            match field.map_err(malformed)? {
                (1, Value::Fixed64(time)) => record.time_unix_nanos = time,
                (6, Value::Bytes(bytes)) => {
                    attributes += 1;
                    let (key, attribute) = read_key_value(bytes).map_err(malformed)?;
                    if let Some(key) = Key::find(key) {
                        record.values[key as usize] = Some(attribute);
                    } else if key == b"event.name" {
                        // Where the event's name stood before log records had a field for it.
                        if let Attribute::String(name) = attribute {
                            kind = Kind::of(name).or(kind);
                        }
                    }
                }
                (12, Value::Bytes(name)) => kind = Kind::of(name).or(kind),
                _ => {}
            }
        }
        if kind.is_some() && attributes > attribute_limit {
            return Err(rejection(Fault::TooManyAttributes, "attributes"));
        }
        Ok(kind.map(|kind| (kind, record)))
    }

    /// Identity of the exporter: the record's own, else its resource's.
    pub(super) fn exporter_id(&self, resource: &Resource<'a>) -> Result<&'a [u8], Rejection> {
        let value = self.values[Key::EXPORTER_ID as usize].or(resource.exporter_id);
        required(string(value, flow::EXPORTER_ID)?, flow::EXPORTER_ID)
    }

    pub(super) fn sequence(&self) -> Result<u64, Rejection> {
        self.required_unsigned(Key::EXPORTER_SEQUENCE)
    }

    pub(super) fn observation(
        &self,
        resource: &Resource<'a>,
        received: Timestamp,
        strings: &mut Strings<'a>,
    ) -> Result<Observation, Rejection> {
        let start = self.required_time(Key::START_TIME)?;
        let (phase, time) = self.phase(start, received)?;
        let over = matches!(phase, Phase::Closed | Phase::Whole);
        let end = if over {
            self.optional_time(Key::END_TIME)?
        } else {
            None
        };
        let key = self.series_key(resource, strings)?;
        Ok(Observation {
            time,
            phase,
            source_port: self.port(Key::SOURCE_PORT, key.transport)?,
            key,
            host_name: resource.host_name(strings)?,
            connection: Some(self.connection()?),
            side: self.side()?,
            server_name: self.first_of(&[Key::SERVER_ADDRESS, Key::DNS_QUESTION_NAME], strings)?,
            process: self.process(strings)?,
            client_fingerprint: self
                .first_of(&[Key::TLS_CLIENT_JA4, Key::TLS_CLIENT_JA3], strings)?,
            owner: self.owner(strings)?,
            bytes_out: self.unsigned(Key::SOURCE_BYTES)?,
            bytes_in: self.unsigned(Key::DESTINATION_BYTES)?,
            duration: end.map(|end| end.saturating_since(start)),
            established: self.boolean(Key::ESTABLISHED)?,
            own: self.boolean(Key::OWN)?.unwrap_or(false),
        })
    }

    fn phase(
        &self,
        start: Timestamp,
        received: Timestamp,
    ) -> Result<(Phase, Timestamp), Rejection> {
        let first = self.required_unsigned(Key::RECORD_NUMBER)? == 0;
        let event = self.required_string(Key::EVENT)?;
        let event = text(event, flow::EVENT)?;
        let logged = match self.time_unix_nanos {
            0 => received,
            nanos => i64::try_from(nanos)
                .map(Timestamp::from_unix_nanos)
                .map_err(|_past_2262| rejection(Fault::BadValue, "time_unix_nano"))?,
        };
        match (event, first) {
            (flow::EVENT_START | flow::EVENT_UPDATE, true) => Ok((Phase::Opened, start)),
            (flow::EVENT_START | flow::EVENT_UPDATE, false) => Ok((Phase::Active, logged)),
            (flow::EVENT_ACTIVITY, false) => Ok((Phase::Activity, logged)),
            (flow::EVENT_END, true) => Ok((Phase::Whole, start)),
            (flow::EVENT_END, false) => Ok((
                Phase::Closed,
                self.optional_time(Key::END_TIME)?.unwrap_or(logged),
            )),
            _ => Err(rejection(Fault::BadValue, flow::EVENT)),
        }
    }

    fn series_key(
        &self,
        resource: &Resource<'a>,
        strings: &mut Strings<'a>,
    ) -> Result<SeriesKey, Rejection> {
        let namespace = self.string(Key::NETWORK_NAMESPACE)?.unwrap_or_default();
        let transport = self.transport()?;
        Ok(SeriesKey {
            host: resource.host(strings)?,
            namespace: strings.share(namespace, flow::NETWORK_NAMESPACE)?,
            source: self.required_address(Key::SOURCE_ADDRESS)?,
            destination: self.required_address(Key::DESTINATION_ADDRESS)?,
            destination_port: self.port(Key::DESTINATION_PORT, transport)?,
            transport,
        })
    }

    /// A port; 0 of ICMP, where type and code stand in its place: a series has none, whichever sensor saw it.
    fn port(&self, key: Key, transport: Transport) -> Result<u16, Rejection> {
        let port = self.required_port(key)?;
        Ok(if transport == Transport::Icmp {
            0
        } else {
            port
        })
    }

    fn transport(&self) -> Result<Transport, Rejection> {
        match self.required_string(Key::TRANSPORT)? {
            b"tcp" => Ok(Transport::Tcp),
            b"udp" => Ok(Transport::Udp),
            b"icmp" => Ok(Transport::Icmp),
            _ => Err(rejection(Fault::BadValue, flow::TRANSPORT)),
        }
    }

    fn side(&self) -> Result<Side, Rejection> {
        let role = self.required_string(Key::ROLE)?;
        match text(role, flow::ROLE)? {
            flow::ROLE_CLIENT => Ok(Side::Client),
            flow::ROLE_SERVER => Ok(Side::Server),
            flow::ROLE_TRANSIT => Ok(Side::Between),
            _ => Err(rejection(Fault::BadValue, flow::ROLE)),
        }
    }

    fn connection(&self) -> Result<ConnectionId, Rejection> {
        let bad = rejection(Fault::BadValue, flow::FLOW_ID);
        let id = text(self.required_string(Key::FLOW_ID)?, flow::FLOW_ID)?;
        if id.len() != 32 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad);
        }
        u128::from_str_radix(id, 16)
            .map(ConnectionId)
            .map_err(|_not_hexadecimal| bad)
    }

    fn process(&self, strings: &mut Strings<'a>) -> Result<Option<Arc<Process>>, Rejection> {
        let Some(pid) = self.unsigned(Key::PROCESS_PID)? else {
            return Ok(None);
        };
        let attributes = ProcessAttributes {
            pid: small(pid, Key::PROCESS_PID)?,
            user_id: self.small(Key::PROCESS_REAL_USER_ID)?,
            started: self.string(Key::PROCESS_CREATION_TIME)?,
            name: self.string(Key::PROCESS_EXECUTABLE_NAME)?,
            executable: self.string(Key::PROCESS_EXECUTABLE_PATH)?,
        };
        strings.process(attributes).map(Some)
    }

    /// The first of these strings that is there.
    fn first_of(
        &self,
        keys: &[Key],
        strings: &mut Strings<'a>,
    ) -> Result<Option<Arc<str>>, Rejection> {
        for key in keys {
            if let Some(value) = self.string(*key)? {
                return strings.share(value, key.name()).map(Some);
            }
        }
        Ok(None)
    }

    /// Who runs the process. None of it is needed to judge a flow: a text that is too long is left out.
    fn owner(&self, strings: &mut Strings<'a>) -> Result<Option<Arc<Owner>>, Rejection> {
        let mut attributes = OwnerAttributes {
            parent_pid: self.small(Key::PARENT_PID)?,
            ..OwnerAttributes::default()
        };
        for (text, key) in attributes.texts.iter_mut().zip(OWNER_TEXTS) {
            let fits = |text: &&[u8]| text.len() <= strings.limit;
            *text = self.string(key)?.filter(fits);
        }
        if attributes == OwnerAttributes::default() {
            return Ok(None);
        }
        strings.owner(attributes).map(Some)
    }

    /// A number of 32 bits.
    fn small(&self, key: Key) -> Result<Option<u32>, Rejection> {
        self.unsigned(key)?.map(|it| small(it, key)).transpose()
    }

    fn string(&self, key: Key) -> Result<Option<&'a [u8]>, Rejection> {
        string(self.values[key as usize], key.name())
    }

    fn required_string(&self, key: Key) -> Result<&'a [u8], Rejection> {
        required(self.string(key)?, key.name())
    }

    fn integer(&self, key: Key) -> Result<Option<i64>, Rejection> {
        match self.values[key as usize] {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(value)),
            Some(_) => Err(rejection(Fault::WrongType, key.name())),
        }
    }

    fn unsigned(&self, key: Key) -> Result<Option<u64>, Rejection> {
        let value = self.integer(key)?;
        let unsigned = value.map(u64::try_from).transpose();
        unsigned.map_err(|_negative| rejection(Fault::BadValue, key.name()))
    }

    fn required_unsigned(&self, key: Key) -> Result<u64, Rejection> {
        required(self.unsigned(key)?, key.name())
    }

    fn required_port(&self, key: Key) -> Result<u16, Rejection> {
        u16::try_from(self.required_unsigned(key)?)
            .map_err(|_over| rejection(Fault::BadValue, key.name()))
    }

    fn optional_time(&self, key: Key) -> Result<Option<Timestamp>, Rejection> {
        Ok(self.integer(key)?.map(Timestamp::from_unix_nanos))
    }

    fn required_time(&self, key: Key) -> Result<Timestamp, Rejection> {
        required(self.optional_time(key)?, key.name())
    }

    fn required_address(&self, key: Key) -> Result<IpAddr, Rejection> {
        text(self.required_string(key)?, key.name())?
            .parse()
            .map_err(|_not_an_address: AddrParseError| rejection(Fault::BadValue, key.name()))
    }

    fn boolean(&self, key: Key) -> Result<Option<bool>, Rejection> {
        match self.values[key as usize] {
            None => Ok(None),
            Some(Attribute::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(rejection(Fault::WrongType, key.name())),
        }
    }
}

fn small(value: u64, key: Key) -> Result<u32, Rejection> {
    u32::try_from(value).map_err(|_over| rejection(Fault::BadValue, key.name()))
}

/// A string that is there and not empty.
pub(super) fn string<'a>(
    value: Option<Attribute<'a>>,
    field: &'static str,
) -> Result<Option<&'a [u8]>, Rejection> {
    match value {
        None | Some(Attribute::String(&[])) => Ok(None),
        Some(Attribute::String(bytes)) => Ok(Some(bytes)),
        Some(_) => Err(rejection(Fault::WrongType, field)),
    }
}

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Rejection> {
    value.ok_or(rejection(Fault::Missing, field))
}
