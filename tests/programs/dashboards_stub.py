#!/usr/bin/env python3
"""Answers as Kibana or OpenSearch Dashboards do by their public documentation; neither can be had here.

usage: dashboards_stub.py ADDRESS_FILE REQUESTS HEADER VERSION REFUSED

HEADER is the one without which a change is refused (kbn-xsrf, osd-xsrf). Saved objects whose id contains REFUSED are
refused (REFUSED may be empty). Of each request one line goes to REQUESTS: {"method", "path", "authorization"}.
Its address goes to ADDRESS_FILE.
"""

import email
import email.policy
import http.server
import json
import os
import sys
import urllib.parse

# Fields of a rule that the detection engine adds.
DEFAULTS = {"immutable": False, "revision": 0, "output_index": "", "actions": []}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, requests, header, version, refused):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = open(requests, "a", encoding="utf-8")
        self.header, self.version, self.refused = header, version, refused
        self.objects, self.rules = {}, {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        line = {"method": self.command, "path": path, "authorization": self.headers.get("authorization")}
        self.server.requests.write(json.dumps(line) + "\n")
        self.server.requests.flush()
        if self.command != "GET" and self.headers.get(self.server.header) is None:
            return self.answer(400, {"message": f"Request must contain a {self.server.header} header."})
        if path == "/api/status":
            return self.answer(200, {"name": "stub", "version": {"number": self.server.version}})
        if path == "/api/saved_objects/_import":
            return self.import_objects(query, body)
        if path.startswith("/api/saved_objects/"):
            kind, _, identity = path.removeprefix("/api/saved_objects/").partition("/")
            return self.stored(self.server.objects, (kind, identity), f"Saved object [{kind}/{identity}] not found")
        if path == "/api/detection_engine/rules":
            return self.rule(query, body)
        return self.answer(404, {"message": "Not Found"})

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def stored(self, objects, key, message):
        if key not in objects:
            return self.answer(404, {"statusCode": 404, "error": "Not Found", "message": message})
        return self.answer(200, objects.pop(key) if self.command == "DELETE" else objects[key])

    def import_objects(self, query, body):
        head = b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n"
        form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        (file,) = form.iter_parts()
        if file.get_param("name", header="content-disposition") != "file" or not file.get_filename().endswith(".ndjson"):
            return self.answer(400, {"message": "Invalid file extension"})
        taken, errors = 0, []
        for line in filter(None, file.get_content().decode().splitlines()):
            saved = json.loads(line)
            key = (saved["type"], saved["id"])
            known = {(it["type"], it["id"]) for it in saved["references"]} - self.server.objects.keys()
            missing = [{"type": kind, "id": identity} for kind, identity in known if kind in ("index-pattern", "search")]
            if missing:
                errors.append({"type": key[0], "id": key[1], "error": {"type": "missing_references", "references": missing}})
            elif self.server.refused and self.server.refused in key[1]:
                errors.append({"type": key[0], "id": key[1], "error": {"type": "unknown", "message": "refused", "statusCode": 400}})
            elif key in self.server.objects and query.get("overwrite") != ["true"]:
                errors.append({"type": key[0], "id": key[1], "error": {"type": "conflict"}})
            else:
                taken += 1
                self.server.objects[key] = {**saved, "updated_at": "2026-01-01T00:00:00.000Z", "version": "WzEsMV0="}
        answer = {"success": not errors, "successCount": taken}
        return self.answer(200, {**answer, "errors": errors} if errors else answer)

    def rule(self, query, body):
        rules = self.server.rules
        if self.command in ("GET", "DELETE"):
            identity = query["rule_id"][0]
            return self.stored(rules, identity, f'rule_id: "{identity}" not found')
        rule = json.loads(body)
        identity = rule["rule_id"]
        if "id" in rule or (identity in rules) != (self.command == "PUT"):
            return self.answer(409, {"message": f'rule_id: "{identity}" already exists', "status_code": 409})
        rules[identity] = {**DEFAULTS, **rule, "id": "b9d9ba4e-0000-4000-8000-000000000000"}
        return self.answer(200, rules[identity])

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    address_file, requests, header, version, refused = sys.argv[1:6]
    server = Server(requests, header, version, refused)
    with open(address_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"127.0.0.1:{server.server_address[1]}")
    os.rename(address_file + ".new", address_file)
    server.serve_forever()


main()
