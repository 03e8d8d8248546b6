#!/usr/bin/env python3
"""Makes the captures beside it: real clients in one network namespace, servers in another, tcpdump between.

Root, iproute2, tcpdump, openssl, curl, Go and Java; Python with aioquic, dnspython, curl_cffi and scapy. tshark 4.4 says what
is in the captures: the JSON files are its words and nobody else's.

    python3 make.py capture      # clients.pcap.gz
    python3 make.py tunnels      # tunnels.pcap.gz: tunnels, tags and extension headers as scapy writes them
    python3 make.py pings        # pings.pcap.gz, and pings.json: echoes of ping and raw sockets, both ways; tshark 4.0 is enough
    python3 make.py tell         # tls.json, http.json, dns.json, tunnels.json
    python3 make.py conversations  # conversations.json: tshark -q -z conv,tcp -z conv,udp

TSHARK and CURL_HTTP3 name the commands when the usual ones are too old, e.g. CURL_HTTP3="chroot /srv/newer curl".
"""

import asyncio
import base64
import gzip
import json
import os
import shlex
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TSHARK = shlex.split(os.environ.get("TSHARK", "tshark"))
CURL_HTTP3 = shlex.split(os.environ.get("CURL_HTTP3", "curl"))
CLIENT, SERVER = "bw-client", "bw-server"
ADDRESS, ADDRESS6 = "10.77.0.1", "fd77::1"

GO = """package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
)

func main() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.ForceAttemptHTTP2 = true
	answer, err := (&http.Client{Transport: transport}).Get(os.Args[1])
	fmt.Println(answer, err)
}
"""

JAVA = """import java.net.URI;
import java.net.http.*;
import javax.net.ssl.*;
import java.security.cert.X509Certificate;

public class Get {
    public static void main(String[] arguments) throws Exception {
        var trusting = new X509ExtendedTrustManager() {
            public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
            public void checkClientTrusted(X509Certificate[] c, String a) {}
            public void checkServerTrusted(X509Certificate[] c, String a) {}
            public void checkClientTrusted(X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkServerTrusted(X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) {}
            public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) {}
        };
        var context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {trusting}, null);
        var client = HttpClient.newBuilder().sslContext(context).build();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
"""


def run(*command, check=True, **more):
    return subprocess.run(command, check=check, **more)


def inside(namespace, *command, check=False, timeout=60):
    command = ["ip", "netns", "exec", namespace, *command]
    return run(*command, check=check, timeout=timeout, stdin=subprocess.DEVNULL,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def namespaces():
    for name in (CLIENT, SERVER):
        run("ip", "netns", "del", name, check=False, stderr=subprocess.DEVNULL)
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "bw0", "netns", CLIENT, "type", "veth", "peer", "name", "bw1", "netns", SERVER)
    for name, link, host in ((CLIENT, "bw0", 2), (SERVER, "bw1", 1)):
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "addr", "add", f"10.77.0.{host}/24", "dev", link)
        run("ip", "-n", name, "addr", "add", f"fd77::{host}/64", "dev", link, "nodad")
        run("ip", "-n", name, "link", "set", link, "up")
        # Segments as they would be on a wire.
        inside(name, "ethtool", "-K", link, "tso", "off", "gso", "off", "gro", "off")
        run("ip", "-n", name, "link", "set", link, "gso_max_segs", "1", check=False)
    os.makedirs(f"/etc/netns/{CLIENT}", exist_ok=True)
    with open(f"/etc/netns/{CLIENT}/resolv.conf", "w") as file:
        file.write(f"nameserver {ADDRESS}\n")


def serve(folder):
    """Runs in the server's namespace until it is killed."""
    chain = (f"{folder}/cert.pem", f"{folder}/key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

    def web(tls):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    peer = context.wrap_socket(self.request, server_side=True) if tls else self.request
                    peer.settimeout(5)
                    if peer.recv(65536):
                        peer.sendall(answer)
                    peer.close()
                except OSError:
                    pass
        return Handler

    class Tcp(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    class Tcp6(Tcp):
        address_family = socket.AF_INET6

    for server in (Tcp((ADDRESS, 443), web(True)), Tcp((ADDRESS, 80), web(False)),
                   Tcp6((ADDRESS6, 443), web(True)), Tcp((ADDRESS, 53), dns_over_tcp())):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=dns_over_udp, daemon=True).start()

    from aioquic.asyncio import serve as serve_quic
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.packet import QuicProtocolVersion

    async def quic():
        both = [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2]
        for port, retry in ((443, False), (8443, True)):
            configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3", "hq-interop"],
                                              supported_versions=both)
            configuration.load_cert_chain(*chain)
            await serve_quic(ADDRESS, port, configuration=configuration, retry=retry)
        await asyncio.Event().wait()

    asyncio.run(quic())


def encrypted_hello():
    """An ECHConfigList with one configuration and a key of ones."""
    def counted(size, content):
        return len(content).to_bytes(size, "big") + content
    suites = counted(2, bytes([0, 1, 0, 1]))
    content = b"\x07\0\x20" + counted(2, b"\1" * 32) + suites + b"\0" + counted(1, b"public.test") + b"\0\0"
    return base64.b64encode(counted(2, b"\xfe\x0d" + counted(2, content))).decode()


def dns_answer(query, over_udp):
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rrset
    message = dns.message.from_wire(query)
    answer = dns.message.make_response(message)
    question = message.question[0]
    name = question.name.to_text().lower()

    def add(owner, ttl, kind, *data):
        answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", kind, *data))

    kind = {1: "A", 28: "AAAA", 65: "HTTPS", 16: "TXT"}.get(question.rdtype)
    address = {"A": ADDRESS, "AAAA": ADDRESS6}.get(kind)
    if name.startswith("missing."):
        answer.set_rcode(dns.rcode.NXDOMAIN)
    elif name.startswith("alias.") and address:
        add(name, 300, "CNAME", "middle.example.test.")
        add("middle.example.test.", 60, "CNAME", "End.Example.test.")
        add("End.Example.test.", 600, kind, address)
    elif name.startswith("many.") and kind == "A":
        if over_udp:
            answer.flags |= dns.flags.TC
        else:
            add(name, 30, "A", *[f"10.78.{n}.1" for n in range(40)])
    elif kind == "HTTPS" and name.startswith("service."):
        add(name, 120, "HTTPS", '1 . alpn="h3,h2" port=8443 ipv4hint=10.77.0.1,10.77.0.9 '
            f'ech={encrypted_hello()} ipv6hint=fd77::1')
    elif kind == "HTTPS" and name.startswith("apex."):
        add(name, 120, "HTTPS", "0 service.example.test.")
    elif kind == "TXT":
        add(name, 5, "TXT", '"a text with spaces" "and another"')
    elif address:
        add(name, 60, kind, address)
    return answer.to_wire()


def dns_over_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((ADDRESS, 53))
        while True:
            query, peer = server.recvfrom(65535)
            server.sendto(dns_answer(query, True), peer)


def dns_over_tcp():
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            stream = self.request.makefile("rb")
            while len(head := stream.read(2)) == 2:
                answer = dns_answer(stream.read(int.from_bytes(head, "big")), False)
                framed = len(answer).to_bytes(2, "big") + answer
                # Split, so that a length stands alone.
                self.request.sendall(framed[:1])
                time.sleep(0.02)
                self.request.sendall(framed[1:100])
                time.sleep(0.02)
                self.request.sendall(framed[100:])
    return Handler


def dns_client():
    """Runs in the client's namespace."""
    import dns.message
    import dns.query
    for name, kind in (("alias.example.test", "A"), ("ALIAS.example.test", "AAAA"), ("missing.example.test", "A"),
                       ("service.example.test", "HTTPS"), ("apex.example.test", "HTTPS"),
                       ("notes.example.test", "TXT"), ("many.example.test", "A")):
        dns.query.udp(dns.message.make_query(name, kind), ADDRESS, timeout=5)
    with socket.create_connection((ADDRESS, 53)) as stream:
        for name in ("many.example.test", "alias.example.test"):
            dns.query.tcp(dns.message.make_query(name, "A"), ADDRESS, timeout=5, sock=stream)


def quic_client(port, version, server_name, protocols):
    """Runs in the client's namespace."""
    from aioquic.asyncio import connect
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.packet import QuicProtocolVersion

    async def talk():
        first = QuicProtocolVersion.VERSION_2 if version == "2" else QuicProtocolVersion.VERSION_1
        configuration = QuicConfiguration(alpn_protocols=protocols.split(","), server_name=server_name,
                                          verify_mode=ssl.CERT_NONE, original_version=first,
                                          supported_versions=[QuicProtocolVersion.VERSION_2,
                                                              QuicProtocolVersion.VERSION_1])
        async with connect(ADDRESS, int(port), configuration=configuration) as client:
            await client.ping()

    asyncio.run(asyncio.wait_for(talk(), 10))


def browser(name, url, version):
    """Runs in the client's namespace."""
    from curl_cffi import requests
    from curl_cffi.const import CurlHttpVersion
    requests.get(url, impersonate=name, verify=False, timeout=5,
                 http_version=CurlHttpVersion.V3ONLY if version == "3" else None)


def python_client(url):
    """Runs in the client's namespace."""
    import urllib.request
    context = ssl._create_unverified_context()
    urllib.request.urlopen(url, context=context, timeout=5).read()


def clients(folder):
    me = [sys.executable, os.path.abspath(__file__)]
    target = f"{ADDRESS}:443"
    go, java = f"{folder}/get.go", f"{folder}/Get.java"
    for path, text in ((go, GO), (java, JAVA)):
        with open(path, "w") as file:
            file.write(text)
    run("go", "build", "-o", f"{folder}/get", go)
    run("javac", "-d", folder, java)
    here = ["--resolve", f"*:443:{ADDRESS}"]
    for command in (
        ["openssl", "s_client", "-connect", target, "-servername", "Openssl.Example.test", "-alpn", "h2,http/1.1"],
        ["openssl", "s_client", "-connect", target, "-noservername"],
        ["openssl", "s_client", "-connect", target, "-tls1_2", "-servername", "old.example.test", "-cipher",
         "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA"],
        ["openssl", "s_client", "-connect", f"[{ADDRESS6}]:443", "-servername", "six.example.test", "-alpn", "x"],
        ["curl", "-ks", "--http2", "https://curl.example.test/"],
        ["curl", "-ks", "http://plain.example.test/a/b?c=d"],
        ["curl", "-ks", "-A", "", "-X", "PROPFIND", "-H", "Host: other.example.test:8080", f"http://{ADDRESS}/x"],
        ["curl", "-ks", "-d", "a=b", "-A", "Mozilla/5.0 (X11; Linux x86_64)", "http://post.example.test/form"],
        [*CURL_HTTP3, "-ks", *here, "https://newer.example.test/"],
        [*CURL_HTTP3, "-ks", *here, "--http3-only", "https://three.example.test/"],
        [f"{folder}/get", "https://go.example.test/"],
        ["java", "-cp", folder, "Get", "https://java.example.test/"],
        [*me, "python-client", "https://python.example.test/"],
        [*me, "browser", "chrome", "https://chrome.example.test/", "2"],
        [*me, "browser", "firefox", "https://firefox.example.test/", "2"],
        [*me, "browser", "safari", "https://safari.example.test/", "2"],
        [*me, "browser", "chrome", "https://chrome-three.example.test/", "3"],
        [*me, "browser", "firefox", "https://firefox-three.example.test/", "3"],
        [*me, "quic-client", "443", "1", "quic.example.test", "h3"],
        [*me, "quic-client", "443", "2", "quic-two.example.test", "hq-interop,h3"],
        [*me, "quic-client", "8443", "1", "retried.example.test", "h3"],
        [*me, "dns-client"],
    ):
        try:
            inside(CLIENT, *command, timeout=20)
        except subprocess.TimeoutExpired:
            print("no answer:", *command)
        time.sleep(0.1)


def capture(name, work, wanted="not icmp6"):
    """Captures on the client's side while `work` runs."""
    path = f"{HERE}/{name}.pcap"
    dump = subprocess.Popen(["ip", "netns", "exec", CLIENT, "tcpdump", "-Uni", "bw0", "-w", path, wanted],
                            stderr=subprocess.DEVNULL)
    time.sleep(1)
    work()
    time.sleep(1)
    dump.terminate()
    dump.wait()
    compress(path)


def compress(path):
    with open(path, "rb") as plain, gzip.GzipFile(f"{path}.gz", "wb", 9, mtime=0) as packed:
        packed.write(plain.read())
    os.remove(path)


def capture_clients():
    namespaces()
    with tempfile.TemporaryDirectory() as folder:
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-days", "30", "-subj", "/CN=x",
            stderr=subprocess.DEVNULL)
        server = subprocess.Popen(["ip", "netns", "exec", SERVER, sys.executable, os.path.abspath(__file__),
                                   "serve", folder])
        time.sleep(2)
        try:
            capture("clients", lambda: clients(folder))
        finally:
            server.kill()
    for name in (CLIENT, SERVER):
        run("ip", "netns", "del", name)
    shutil.rmtree(f"/etc/netns/{CLIENT}")


def ping(host, kind, identifier, requests, size):
    """Runs in either namespace; ICMPv6 has its checksum from the kernel, and so has what a ping socket sends."""
    def message(number, request):
        body = struct.pack(">HH", int(identifier), number) + bytes(range(256)) * 12
        body = body[:4 + int(size)]
        words = struct.unpack(f">{len(body) // 2}H", body)
        total = (request << 8) + sum(words)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack(">BBH", request, 0, ~total & 0xFFFF) + body

    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 2147483647")
    six = ":" in host
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    with socket.socket(family, socket.SOCK_RAW if kind == "raw" else socket.SOCK_DGRAM, protocol) as sender:
        for number in range(int(requests)):
            sender.sendto(message(number, 128 if six else 8), (host, 0))
            time.sleep(0.05)


def pings():
    namespaces()
    me = [sys.executable, os.path.abspath(__file__), "ping"]

    def work():
        for namespace, *arguments in (
            (CLIENT, ADDRESS, "ping", 0, 3, 56),
            (CLIENT, ADDRESS6, "ping", 0, 3, 56),
            (CLIENT, ADDRESS, "raw", 5000, 2, 0),
            (CLIENT, ADDRESS, "raw", 7, 2, 3000),
            (CLIENT, ADDRESS6, "raw", 5000, 2, 10),
            # The other way with an identifier that is in use.
            (SERVER, "10.77.0.2", "raw", 5000, 4, 100),
        ):
            inside(namespace, *me, *map(str, arguments), check=True)
        # Nobody answers.
        inside(SERVER, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1", check=True)
        inside(CLIENT, *me, ADDRESS, "raw", "9", "3", "8", check=True)

    capture("pings", work, "icmp or icmp6")
    for name in (CLIENT, SERVER):
        run("ip", "netns", "del", name)
    shutil.rmtree(f"/etc/netns/{CLIENT}")
    # Fragment by fragment: put together, the last one would tell of all.
    told = list(rows("pings", "ip.proto == 1 or icmpv6", [
        "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "ip.id", "icmp.type", "icmpv6.type", "icmp.ident",
        "icmpv6.echo.identifier", "ip.len", "ipv6.plen", "communityid"], "-o", "ip.defragment:FALSE"))
    with open(f"{HERE}/pings.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in told) + "\n]\n")


def tunnels():
    from scapy.all import (GRE, IP, IPv6, ARP, TCP, UDP, Dot1AD, Dot1Q, Ether, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                           IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, PPP, PPPoE, Raw, wrpcap)
    from scapy.contrib.geneve import GENEVE, GeneveOptions
    from scapy.contrib.mpls import MPLS
    from scapy.layers.vxlan import VXLAN
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    outer, outer6 = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
    ends, ends6 = IP(src="10.1.0.1", dst="10.2.0.2"), IPv6(src="fd01::1", dst="fd02::2")
    port = iter(range(20001, 21000))

    def tcp(network=ends):
        return network / TCP(sport=next(port), dport=443, flags="PA", seq=1, ack=1) / Raw(b"inside")

    def udp(network=ends6):
        return network / UDP(sport=next(port), dport=9999) / Raw(b"inside the tunnel")

    def label(number, last=0):
        return MPLS(label=number, s=last, ttl=64)

    frames = [
        link / Dot1Q(vlan=5) / tcp(),
        link / Dot1AD(vlan=6) / Dot1Q(vlan=5) / udp(),
        link / Dot1AD(vlan=7) / Dot1AD(vlan=6) / Dot1Q(vlan=5) / Dot1Q(vlan=4) / tcp(),
        link / label(100) / label(200, 1) / tcp(),
        link / Dot1Q(vlan=5) / label(300, 1) / udp(),
        link / PPPoE(sessionid=9) / PPP(proto=0x21) / tcp(),
        link / PPPoE(sessionid=9) / PPP(proto=0x57) / udp(),
        link / outer / GRE() / tcp(),
        link / outer / GRE(chksum_present=1, key_present=1, seqnum_present=1, key=7, seqence_number=3) / udp(),
        link / outer6 / GRE(proto=0x6558, key_present=1, key=7) / link / tcp(),
        link / outer / GRE(proto=0x6558) / link / Dot1Q(vlan=9) / udp(),
        link / outer / GRE(proto=0x8847) / label(5, 1) / tcp(),
        link / outer / UDP(sport=50000, dport=4789) / VXLAN(vni=5) / link / tcp(),
        link / outer6 / UDP(sport=50000, dport=8472) / VXLAN(vni=5) / link / Dot1Q(vlan=3) / udp(),
        link / outer / UDP(sport=50000, dport=6081) / GENEVE(vni=5, proto=0x6558) / link / tcp(),
        link / outer / UDP(sport=50000, dport=6081) / GENEVE(
            vni=5, proto=0x86DD, options=GeneveOptions(classid=0x102, type=0x80, data=b"12345678")) / udp(),
        link / outer / tcp(),
        link / outer / udp(),
        link / outer6 / tcp(),
        link / outer6 / udp(),
        # Overlay in overlay, as a cluster in a cluster has it.
        link / outer / UDP(sport=50000, dport=4789) / VXLAN(vni=5) / link / outer / GRE(key_present=1) / ends / tcp(ends6),
        link / ends6 / IPv6ExtHdrHopByHop(options=PadN(optdata=b"")) / IPv6ExtHdrDestOpt(options=PadN(optdata=b"")) / (
            IPv6ExtHdrRouting(addresses=["fd03::3"])) / tcp().payload,
        link / ends6 / IPv6ExtHdrFragment(id=9, m=0, offset=0) / udp().payload,
        # Nothing to take off: another protocol on the port of one that is.
        link / ends / UDP(sport=next(port), dport=4789) / Raw(b"this is no VXLAN at all"),
        link / ends / UDP(sport=next(port), dport=6081) / Raw(b"\x00"),
        # IPv4 addresses inside of IPv6 ones.
        link / tcp(IPv6(src="::ffff:10.1.0.1", dst="::ffff:10.2.0.2")),
        link / outer / UDP(sport=50000, dport=4789) / VXLAN(vni=5) / link / ARP(),
    ]
    path = f"{HERE}/tunnels.pcap"
    wrpcap(path, [Ether(bytes(frame)) for frame in frames], linktype=1)
    compress(path)


FIELDS = {
    "tls": ("tls.handshake.type == 1", [
        "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str", "tls.handshake.version",
        "tls.handshake.extensions.supported_version", "tls.handshake.ciphersuite", "tls.handshake.extension.type",
        "tls.handshake.ja3", "tls.handshake.ja3_full", "tls.handshake.ja4", "tls.handshake.ja4_r", "quic.version"]),
    "http": ("http.request", ["http.request.method", "http.request.uri", "http.host", "http.user_agent"]),
    "tunnels": ("frame", ["ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport",
                          "udp.dstport", "tcp.len", "udp.length", "ip.len", "ipv6.plen", "frame.protocols"]),
    "dns": ("dns", [
        "dns.id", "dns.flags.response", "dns.flags.truncated", "dns.flags.rcode", "dns.qry.name", "dns.qry.type", "dns.count.answers",
        "dns.resp.name", "dns.resp.type", "dns.resp.ttl", "dns.a", "dns.aaaa", "dns.cname", "dns.svcb.svcpriority",
        "dns.svcb.targetname", "dns.svcb.svcparam.alpn", "dns.svcb.svcparam.port", "dns.svcb.svcparam.ipv4hint.ip",
        "dns.svcb.svcparam.ipv6hint.ip", "dns.svcb.svcparam.key"]),
}
ENDS = ["frame.number", "ip.src", "ipv6.src", "tcp.srcport", "udp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
        "udp.dstport", "communityid"]


def rows(capture, display, fields, *options):
    """What tshark says of each packet that the filter lets through, field by field, in order of occurrence."""
    command = [*TSHARK, "-n", "-r", "-", "--enable-protocol", "communityid", "-d", "udp.port==8472,vxlan",
               "-Y", display, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=|", *options]
    for field in fields:
        command += ["-e", field]
    with gzip.open(f"{HERE}/{capture}.pcap.gz") as file:
        out = run(*command, input=file.read(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    for line in out.splitlines():
        yield {field: value.split("|") for field, value in zip(fields, line.split("\t")) if value}


def tell():
    for kind, (display, fields) in FIELDS.items():
        capture = "tunnels" if kind == "tunnels" else "clients"
        told = list(rows(capture, display, fields if kind == "tunnels" else ENDS + fields))
        print(kind, len(told))
        with open(f"{HERE}/{kind}.json", "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(row) for row in told) + "\n]\n")


def conversations():
    """Frames and bytes of each conversation both ways, as `tshark -q -z conv,tcp -z conv,udp` prints them. Bytes are those of whole
    frames; tshark rounds what is larger than it has room for, which the captures are not."""
    told = {}
    for capture in ("clients", "tunnels"):
        told[capture] = []
        with gzip.open(f"{HERE}/{capture}.pcap.gz") as file:
            out = run(*TSHARK, "-n", "-r", "-", "-d", "udp.port==8472,vxlan", "-q", "-z", "conv,tcp", "-z", "conv,udp",
                      input=file.read(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        transport = None
        for line in out.splitlines():
            words = line.split()
            if words[1:] == ["Conversations"]:
                transport = words[0].lower()
            elif words[1:2] == ["<->"]:
                assert words[5] == words[8] == "bytes", line
                told[capture].append({
                    "transport": transport, "one": words[0], "other": words[2],
                    "packets_to_one": int(words[3]), "bytes_to_one": int(words[4]),
                    "packets_to_other": int(words[6]), "bytes_to_other": int(words[7])})
    with open(f"{HERE}/conversations.json", "w") as file:
        rows = [f'"{capture}": [\n' + ",\n".join(map(json.dumps, them)) + "\n]" for capture, them in told.items()]
        file.write("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    {"capture": capture_clients, "conversations": conversations, "ping": ping, "pings": pings, "tunnels": tunnels, "tell": tell, "serve": serve, "dns-client": dns_client,
     "quic-client": quic_client, "browser": browser, "python-client": python_client}[sys.argv[1]](*sys.argv[2:])
