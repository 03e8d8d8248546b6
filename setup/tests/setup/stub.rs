//! A server for tests that keeps what it is given, as Elasticsearch and Kibana answer by their documentation; and that fails
//! where a test says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// What the server keeps and how it behaves.
#[derive(Debug, Default)]
pub struct World {
    /// Objects by their path.
    pub objects: BTreeMap<String, Value>,
    /// Mappings by index.
    pub mappings: BTreeMap<String, Value>,
    /// Settings by index.
    pub settings: BTreeMap<String, Value>,
    /// Every request that changed something, or was to: method and path.
    pub writes: Vec<String>,
    /// The change at which the connection breaks, and whether the change is made nevertheless.
    pub breaks_at: Option<(usize, bool)>,
    /// Objects that are refused when they are written: a part of the path or of the body.
    pub refused: Vec<&'static str>,
    /// Privileges that are lacking.
    pub lacking: Vec<&'static str>,
    /// Answers of one path in place of the usual ones: status and body.
    pub instead: BTreeMap<String, (u16, Value)>,
    /// Whether data streams use the index templates.
    pub streams: bool,
}

/// A running server.
pub struct Stub {
    address: String,
    world: Arc<Mutex<World>>,
}

struct Request {
    method: String,
    path: String,
    body: String,
}

impl Stub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self {
            address: listener.local_addr().unwrap().to_string(),
            world: Arc::default(),
        };
        let world = Arc::clone(&stub.world);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let world = Arc::clone(&world);
                std::thread::spawn(move || serve(stream.unwrap(), &world));
            }
        });
        stub
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, world: &Mutex<World>) {
    while let Some(request) = read(&mut stream) {
        let Some((status, body)) = world.lock().unwrap().answer(&request) else {
            return;
        };
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).unwrap();
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        let body = bytes[end + 4..].to_vec();
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let mut words = head.split(' ');
        return Some(Request {
            method: words.next()?.to_owned(),
            path: words.next()?.trim_start_matches('/').to_owned(),
            body: String::from_utf8(body).unwrap(),
        });
    }
}

const MISSING: (u16, &str) = (404, "not found");

impl World {
    fn answer(&mut self, request: &Request) -> Option<(u16, Value)> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if let Some(answer) = self.instead.get(path) {
            return Some(answer.clone());
        }
        if let Some(answer) = self.question(request, path, query) {
            return Some(answer);
        }
        let number = self.writes.len();
        self.writes.push(format!("{} {path}", request.method));
        if let Some((at, made)) = self.breaks_at
            && at == number
        {
            if made {
                self.change(request, path, query);
            }
            return None;
        }
        Some(self.change(request, path, query))
    }

    /// What changes nothing.
    fn question(&self, request: &Request, path: &str, query: &str) -> Option<(u16, Value)> {
        if path == "_security/user/_has_privileges" {
            return Some((200, self.privileges(&request.body)));
        }
        if request.method != "GET" {
            return None;
        }
        if let Some(pattern) = path.strip_suffix("/_mapping") {
            return Some((200, matching(&self.mappings, pattern)));
        }
        if let Some((pattern, _)) = path.split_once("/_settings") {
            return Some((200, matching(&self.settings, pattern)));
        }
        Some(match path {
            "" => (
                200,
                json!({ "version": { "number": "9.1.0" }, "cluster_uuid": "uuid" }),
            ),
            "api/status" => (200, json!({ "version": { "number": "9.1.0" } })),
            "_nodes/ingest" => (200, processors()),
            "_index_template" => (200, self.templates()),
            _ => self.object(path, query),
        })
    }

    fn object(&self, path: &str, query: &str) -> (u16, Value) {
        let key = key(path, query);
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(object) = self.objects.get(&key) else {
            let message = if path.starts_with("api/saved_objects") {
                format!("Saved object [{name}] not found")
            } else {
                format!("rule_id: \"{name}\" not found")
            };
            return (
                MISSING.0,
                json!({ "error": { "reason": MISSING.1 }, "message": message }),
            );
        };
        let mut object = object.clone();
        object["created_date_millis"] = json!(1);
        let kind = path.split('/').next().unwrap_or_default();
        let body = match kind {
            "_ingest" => json!({ name: object }),
            "_component_template" => {
                json!({ "component_templates": [{ "name": name, "component_template": object }] })
            }
            "_index_template" => {
                json!({ "index_templates": [{ "name": name, "index_template": object }] })
            }
            "_transform" => {
                object
                    .as_object_mut()
                    .unwrap()
                    .remove("created_date_millis");
                object["create_time"] = json!(1);
                json!({ "count": 1, "transforms": [object] })
            }
            _ => {
                object
                    .as_object_mut()
                    .unwrap()
                    .remove("created_date_millis");
                object["updated_at"] = json!("now");
                object
            }
        };
        (200, body)
    }

    fn templates(&self) -> Value {
        let all = self.objects.iter().filter_map(|(path, body)| {
            let name = path.strip_prefix("_index_template/")?;
            Some(json!({ "name": name, "index_template": body }))
        });
        json!({ "index_templates": all.collect::<Vec<_>>() })
    }

    fn privileges(&self, question: &str) -> Value {
        let question: Value = serde_json::from_str(question).unwrap();
        let granted = |names: &Value| -> Value {
            let names = names.as_array().unwrap().iter();
            let each = names.map(|it| {
                let name = it.as_str().unwrap();
                (name.to_owned(), json!(!self.lacking.contains(&name)))
            });
            Value::Object(each.collect())
        };
        let mut indices = serde_json::Map::new();
        for part in question["index"].as_array().unwrap() {
            for name in part["names"].as_array().unwrap() {
                indices.insert(
                    name.as_str().unwrap().to_owned(),
                    granted(&part["privileges"]),
                );
            }
        }
        json!({ "cluster": granted(&question["cluster"]), "index": indices })
    }

    fn change(&mut self, request: &Request, path: &str, query: &str) -> (u16, Value) {
        let is_refused = |part: &&&str| path.contains(**part) || request.body.contains(**part);
        let refused = self.refused.iter().find(is_refused).copied();
        if path == "api/saved_objects/_import" {
            return self.import(&request.body, refused);
        }
        if let Some(part) = refused {
            return (
                400,
                json!({ "error": { "reason": format!("{part} is refused") } }),
            );
        }
        if let Some(transform) = path.strip_suffix("/_start") {
            let transform = self.objects.get_mut(transform).unwrap();
            if transform.get("started").is_some() {
                return (409, json!({ "error": { "reason": "it is started" } }));
            }
            transform["started"] = json!(true);
            return (200, json!({ "acknowledged": true }));
        }
        if path.ends_with("/_stop") {
            return (200, json!({ "acknowledged": true }));
        }
        if let Some(index) = path.strip_suffix("/_settings") {
            self.settings.remove(index);
            return (200, json!({ "acknowledged": true }));
        }
        if request.method == "DELETE" {
            return self.delete(path, query);
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let mut key = key(path, query);
        if path == "api/detection_engine/rules" {
            key = format!("{path}/{}", body["rule_id"].as_str().unwrap());
            let is_there = self.objects.contains_key(&key);
            assert_eq!(is_there, request.method == "PUT", "{key}");
        }
        for volatile in ["created_date_millis", "create_time", "updated_at"] {
            assert!(
                body.get(volatile).is_none(),
                "{key} was sent with {volatile}"
            );
        }
        self.objects.insert(key, body);
        (200, json!({ "acknowledged": true }))
    }

    fn delete(&mut self, path: &str, query: &str) -> (u16, Value) {
        if self.streams && path.starts_with("_index_template/") {
            let reason =
                "unable to remove composable templates as they are in use by a data streams";
            return (400, json!({ "error": { "reason": reason } }));
        }
        match self.objects.remove(&key(path, query)) {
            Some(_) => (200, json!({ "acknowledged": true })),
            None => (MISSING.0, json!({ "error": { "reason": MISSING.1 } })),
        }
    }

    fn import(&mut self, body: &str, refused: Option<&str>) -> (u16, Value) {
        let lines: Vec<Value> = body
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1, "{body}");
        let (kind, id) = (
            lines[0]["type"].as_str().unwrap(),
            lines[0]["id"].as_str().unwrap(),
        );
        if refused.is_some() {
            let error = json!({ "id": id, "type": kind, "error": {
                "type": "missing_references", "references": [{ "type": "index-pattern", "id": "x" }],
            } });
            return (
                200,
                json!({ "success": false, "successCount": 0, "errors": [error] }),
            );
        }
        self.objects
            .insert(format!("api/saved_objects/{kind}/{id}"), lines[0].clone());
        (200, json!({ "success": true, "successCount": 1 }))
    }
}

/// Where an object is kept.
fn key(path: &str, query: &str) -> String {
    let path = path.replace("%2A", "*");
    match query.split_once("rule_id=") {
        Some((_, id)) => format!("{path}/{id}"),
        None => path,
    }
}

fn matching(all: &BTreeMap<String, Value>, pattern: &str) -> Value {
    let part = pattern.trim_end_matches('*');
    let found = all.iter().filter(|(name, _)| name.contains(part));
    Value::Object(
        found
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn processors() -> Value {
    let known: Vec<Value> = ["set", "script", "drop"]
        .map(|it| json!({ "type": it }))
        .into();
    json!({ "nodes": { "n": { "ingest": { "processors": known } } } })
}
