# SPDX-License-Identifier: MIT
"""How clients get in: TLS and its names, HTTP/2, the PROXY protocol, Unix sockets and IPv6, the limits on connections
and time, several loop threads, and the end of it all."""
import os
import signal
import socket
import ssl
import subprocess
import time
import warnings

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from harness import SLOW, Bulkhead, Client, RecordingBackend, eventually, free_port, request

HELLO = {"path": "/hello", "respond": {"body": "hello"}}
GET = "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n"
MOMENT = 0.3  # that something does not happen can only be seen by waiting


def make_certificate(directory, name, names, key="ec"):
    """Files of a self-signed certificate for the DNS names, as a `tls` object of the conf."""
    crt, pem = str(directory / f"{name}.crt"), str(directory / f"{name}.key")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["-newkey", "rsa:2048"]
    extension = ["-addext", "subjectAltName=" + ",".join(f"DNS:{n}" for n in names)] if names else []
    subprocess.run(["openssl", "req", "-x509", *kind, "-nodes", "-days", "30", "-subj", f"/CN={name}", *extension,
                    "-keyout", pem, "-out", crt], check=True, capture_output=True)
    return {"certificate": crt, "key": pem}


def tls_context(alpn=(), version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    return context


def tls_connect(port, name=None, **options):
    sock = socket.create_connection(("127.0.0.1", port), 10 * SLOW)
    return tls_context(**options).wrap_socket(sock, server_hostname=name)


def certificate_name(sock):
    out = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"],
                         input=sock.getpeercert(True), capture_output=True, check=True).stdout.decode()
    return out.rsplit("= ", 1)[1].strip()


def forwarding(backend, *routes):
    return {"backends": {"a": {"run": "loop", "proxy": [backend.address]}},
            "routes": [*routes, {"path_prefix": "/", "backend": "a"}]}


def cuts(b):
    return b.status()["connections"]["cut"]


class Http2:
    """A polite HTTP/2 client on a connected socket; streams in `not_taken` get no more window."""

    def __init__(self, sock):
        self.sock = sock
        self.not_taken = set()
        self.sock.settimeout(10 * SLOW)
        config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.connection.data_to_send())

    def start(self, path, end_stream=True, extra=()):
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream, [(":method", "GET" if end_stream else "POST"), (":scheme", "http"),
                                              (":authority", "test"), (":path", path), *extra], end_stream=end_stream)
        self.flush()
        return stream

    def events(self):
        """The next events; None when the connection has ended."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        found = self.connection.receive_data(data)
        for event in found:
            if (isinstance(event, h2.events.DataReceived) and event.flow_controlled_length
                    and event.stream_id not in self.not_taken):
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        try:
            self.flush()
        except OSError:
            pass  # it shows at the next look
        return found

    def get(self, path, **options):
        stream, status, body = self.start(path, **options), None, b""
        while True:
            found = self.events()
            assert found is not None, "connection ended"
            for event in found:
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    status = int(dict(event.headers)[b":status"])
                if isinstance(event, h2.events.DataReceived) and event.stream_id == stream:
                    body += event.data
                if isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    return status, body

    def ended(self):
        while self.events() is not None:
            pass
        return True


# --- TLS --------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    return [make_certificate(directory, "first", ["first.example", "www.first.example"]),
            make_certificate(directory, "second", ["second.example"], key="rsa"),
            make_certificate(directory, "wild", ["*.wild.example"]),
            make_certificate(directory, "common.example", [])]


def test_certificates_are_chosen_by_server_name(certificates):
    port = free_port()
    with Bulkhead({"routes": [HELLO]}, listeners=[{"bind": f"127.0.0.1:{port}", "tls": certificates}]):
        for asked, expected in [(None, "first"), ("first.example", "first"), ("WWW.First.example", "first"),
                                ("second.example", "second"), ("a.wild.example", "wild"), ("wild.example", "first"),
                                ("a.b.wild.example", "first"), ("common.example", "common.example"),
                                ("other.example", "first")]:
            with tls_connect(port, asked) as s:
                assert certificate_name(s) == expected, asked


def test_tls_versions_and_kept_connections(certificates):
    port = free_port()
    with Bulkhead({"routes": [HELLO]}, listeners=[{"bind": f"127.0.0.1:{port}", "tls": certificates[0]}]):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = Client(None, sock=tls_connect(port, version=version))
            for _ in range(3):
                client.send(GET)
                assert client.response().body == b"hello"
            client.close()
        with pytest.raises((ssl.SSLError, OSError)), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls_connect(port, version=ssl.TLSVersion.TLSv1_1)


def test_alpn_offers_http2_only_where_it_is_on(certificates):
    both, plain = free_port(), free_port()
    listeners = [{"bind": f"127.0.0.1:{both}", "tls": certificates, "http2": True},
                 {"bind": f"127.0.0.1:{plain}", "tls": certificates}]
    with Bulkhead({"routes": [HELLO]}, listeners=listeners):
        for name in ("first.example", "second.example"):  # whatever context the server name leads to
            with tls_connect(both, name, alpn=["h2", "http/1.1"]) as s:
                assert s.selected_alpn_protocol() == "h2"
                assert Http2(s).get("/hello") == (200, b"hello")
            with tls_connect(plain, name, alpn=["h2", "http/1.1"]) as s:
                assert s.selected_alpn_protocol() == "http/1.1"
        with tls_connect(both, alpn=["http/1.1"]) as s:
            client = Client(None, sock=s)
            client.send(GET)
            assert client.response().body == b"hello"


def test_a_tls_handshake_has_its_time(certificates):
    port = free_port()
    conf = {"limits": {"tls_handshake_timeout": "1s"}, "routes": [HELLO]}
    with Bulkhead(conf, listeners=[{"bind": f"127.0.0.1:{port}", "tls": certificates[0]}]):
        with Client(("127.0.0.1", port)) as c:
            c.send(b"\x16\x03\x01")
            assert c.closed()


@pytest.mark.parametrize("what", ["certificate", "key", "mismatch", "absent"])
def test_unusable_certificates_stop_the_start(certificates, tmp_path, what):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not PEM\n")
    tls = {"certificate": dict(certificates[0], certificate=str(garbage)),
           "key": dict(certificates[0], key=str(garbage)),
           "mismatch": dict(certificates[0], key=certificates[1]["key"]),
           "absent": dict(certificates[0], certificate=str(tmp_path / "absent.pem"))}[what]
    b = Bulkhead({"routes": [HELLO]}, listeners=[{"bind": f"127.0.0.1:{free_port()}", "tls": tls}], ready=False)
    b.start()
    try:
        assert b.process.wait(20 * SLOW) != 0
        named = {"certificate": garbage, "key": garbage, "mismatch": certificates[0]["certificate"],
                 "absent": tmp_path / "absent.pem"}
        assert str(named[what]) in b.log()
    finally:
        b.stop(expect=None)


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------

def http2_bulkhead(conf=None, **limits):
    port = free_port()
    conf = dict(conf or {}, limits=limits)
    conf.setdefault("routes", [HELLO])
    b = Bulkhead(conf, listeners=[{"bind": f"127.0.0.1:{port}", "http2": True}])
    b.port = port
    return b


def http2_connect(b):
    return Http2(socket.create_connection(("127.0.0.1", b.port), 10 * SLOW))


def test_http2_without_tls_and_http1_on_the_same_listener():
    with http2_bulkhead() as b:
        assert http2_connect(b).get("/hello") == (200, b"hello")
        assert b.get("/hello").body == b"hello"
        # an Upgrade is ignored, as it may be
        r = b.get("/hello", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
                                     "HTTP2-Settings": "AAMAAABkAAQAAP__"})
        assert (r.status, r.body) == (200, b"hello")


def test_many_streams_on_one_connection():
    with http2_bulkhead() as b:
        client = http2_connect(b)
        streams = {client.start("/hello") for _ in range(90)}
        ended = set()
        while ended != streams:
            found = client.events()
            assert found is not None
            ended |= {e.stream_id for e in found if isinstance(e, h2.events.StreamEnded)}


def test_an_idle_http2_connection_ends_and_pings_do_not_keep_it():
    with http2_bulkhead(idle_timeout="1s") as b:
        quiet, busy = http2_connect(b), http2_connect(b)
        assert busy.get("/hello")[0] == 200
        busy.sock.settimeout(0.1)
        deadline = time.monotonic() + 10 * SLOW
        while time.monotonic() < deadline:
            try:
                busy.connection.ping(b"12345678")
                busy.flush()
                if busy.events() is None:
                    break
            except socket.timeout:
                pass
            except (OSError, h2.exceptions.ProtocolError):
                break
        else:
            pytest.fail("pings keep the connection")
        assert quiet.ended()


def test_a_closed_window_does_not_hold_a_stream_for_ever():
    with http2_bulkhead(write_timeout="1s") as b:
        client = http2_connect(b)
        client.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.flush()
        client.start("/hello")
        assert client.ended()
        assert cuts(b)["write-timeout"] == 1


def test_an_unfinished_http2_upload_ends():
    with http2_bulkhead(body_timeout="1s") as b:
        client = http2_connect(b)
        client.start("/hello", end_stream=False)
        client.connection.ping(b"12345678")
        client.flush()
        assert client.ended()
        assert cuts(b)["body-timeout"] == 1


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_a_flood_of_control_frames_is_cut(kind):
    with http2_bulkhead(idle_timeout="60s") as b:
        polite, rude = http2_connect(b), http2_connect(b)
        assert rude.get("/hello")[0] == 200
        frame = {"ping": b"\0\0\x08\x06\0\0\0\0\0" + b"p" * 8, "settings": b"\0\0\0\x04\0\0\0\0\0"}[kind] * 2000
        deadline, cut, unsent = time.monotonic() + 20 * SLOW, False, b""
        rude.sock.settimeout(0.05)
        while not cut and time.monotonic() < deadline:
            try:
                unsent = unsent or frame  # a frame that went out in part is finished first
                unsent = unsent[rude.sock.send(unsent):]
                cut = not rude.sock.recv(1 << 20)
            except socket.timeout:
                pass
            except OSError:
                cut = True
            assert polite.get("/hello")[0] == 200
        assert cut
        assert cuts(b) == {"http2-glitches": 1}


# --- the PROXY protocol -----------------------------------------------------------------------------------------------

@pytest.fixture
def behind_proxy():
    backend, port = RecordingBackend(), free_port()
    conf = dict(forwarding(backend, HELLO), trusted_proxies=["10.0.0.0/8"],
                limits={"tls_handshake_timeout": "1s", "connections_per_address": 3})
    with Bulkhead(conf, listeners=[{"bind": f"127.0.0.1:{port}", "proxy_protocol": True}]) as b:
        b.port = port
        yield b, backend


def through_proxy(b, line, path="/x", fields=""):
    with Client(("127.0.0.1", b.port)) as c:
        c.send(f"{line}GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n")
        try:
            return c.response()
        except EOFError:
            return None


def test_the_peer_is_who_the_proxy_line_names(behind_proxy):
    b, backend = behind_proxy
    assert through_proxy(b, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").status == 200
    assert backend.seen[-1].header("X-Forwarded-For") == "192.0.2.7"
    assert through_proxy(b, "PROXY TCP6 2001:db8::7 ::1 4711 80\r\n").status == 200
    assert backend.seen[-1].header("X-Forwarded-For") == "2001:db8::7"
    assert through_proxy(b, "PROXY UNKNOWN\r\n").status == 200
    assert backend.seen[-1].header("X-Forwarded-For") == "127.0.0.1"
    assert b.access_of("/x", 3)[0]["peer"] == "192.0.2.7"


def test_trust_follows_the_proxy_line(behind_proxy):
    b, backend = behind_proxy
    through_proxy(b, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", fields="X-Forwarded-For: 203.0.113.1\r\n")
    assert backend.seen[-1].header("X-Forwarded-For") == "192.0.2.7"
    through_proxy(b, "PROXY TCP4 10.1.1.1 198.51.100.1 4711 80\r\n", fields="X-Forwarded-For: 203.0.113.1\r\n")
    assert backend.seen[-1].header("X-Forwarded-For") == "203.0.113.1, 10.1.1.1"


@pytest.mark.parametrize("line", ["", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\n",
                                  "PROXY TCP4 192.0.2.777 198.51.100.1 1 80\r\n", "PROXY " + "x" * 200 + "\r\n",
                                  "PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n"])
def test_without_a_proxy_line_nobody_is_served(behind_proxy, line):
    b, backend = behind_proxy
    assert through_proxy(b, line) is None
    assert backend.seen == []
    assert cuts(b)["proxy-line"] == 1


def test_a_proxy_line_in_pieces_and_one_that_never_ends(behind_proxy):
    b, _ = behind_proxy
    with Client(("127.0.0.1", b.port)) as c:
        for piece in ("PRO", "XY TCP4 192.0.2.7 198.51.1", "00.1 4711 80\r", "\nGET /hel",
                      "lo HTTP/1.1\r\nHost: test\r\n\r\n"):
            c.send(piece)
            time.sleep(0.02)  # so that the pieces arrive as such
        assert c.response().body == b"hello"
    with Client(("127.0.0.1", b.port)) as c:
        c.send("PROXY TCP4 ")
        assert c.closed()


def test_the_address_limit_counts_who_the_proxy_line_names(behind_proxy):
    b, _ = behind_proxy

    def hold(address):
        c = Client(("127.0.0.1", b.port))
        c.send(f"PROXY TCP4 {address} 198.51.100.1 4711 80\r\n" + GET)
        return c
    held = [hold("192.0.2.7") for _ in range(3)]
    for c in held:
        assert c.response().body == b"hello"
    assert hold("192.0.2.7").closed()
    assert hold("192.0.2.8").response().body == b"hello"
    assert hold("10.0.0.1").response().body == b"hello"
    held.pop().close()

    def served():
        try:
            return hold("192.0.2.7").response().body == b"hello"
        except EOFError:
            return False
    eventually(served, "room again")


# --- other addresses --------------------------------------------------------------------------------------------------

def test_unix_and_ipv6_listeners(tmp_path):
    backend, port, path = RecordingBackend(), free_port(), str(tmp_path / "http.sock")
    conf = forwarding(backend)
    with Bulkhead(conf, listeners=[{"bind": f"unix:{path}"}, {"bind": f"[::1]:{port}"}]) as b:
        assert request(path, "GET", "/a").status == 200
        assert backend.seen[-1].header("X-Forwarded-For") is None, "a Unix socket's peer has no address"
        assert request(("::1", port), "GET", "/b").status == 200
        assert backend.seen[-1].header("X-Forwarded-For") == "::1"
        assert b.access_of("/a")[0]["peer"] == "unix:"


# --- limits on connections --------------------------------------------------------------------------------------------

def hold_connection(b):
    c = b.connect()
    c.send(GET)
    return c, c.response()


def test_connections_per_address():
    with Bulkhead({"limits": {"connections_per_address": 5}, "routes": [HELLO]}) as b:
        held = [hold_connection(b) for _ in range(5)]
        assert {r.status for _, r in held} == {200}
        over, r = hold_connection(b)
        assert r.status == 503 and r.header("Retry-After") and over.closed()
        assert b.admin("/healthz").status == 200, "the admin listener does not count"
        held[0][0].close()
        eventually(lambda: hold_connection(b)[1].status == 200, "room again")
        assert cuts(b)["connections-per-address"] >= 1


def test_connections_of_trusted_proxies_are_not_limited_by_address():
    conf = {"limits": {"connections_per_address": 2}, "trusted_proxies": ["127.0.0.0/8"], "routes": [HELLO]}
    with Bulkhead(conf) as b:
        held = [hold_connection(b) for _ in range(6)]
        assert {r.status for _, r in held} == {200}


def test_at_the_limit_on_connections_others_wait_and_admin_answers():
    with Bulkhead({"limits": {"connections": 4}, "routes": [HELLO]}) as b:
        held = [hold_connection(b)[0] for _ in range(4)]
        waiting = b.connect()
        waiting.send(GET)
        waiting.sock.settimeout(MOMENT)
        with pytest.raises(socket.timeout):
            waiting.response()
        waiting.sock.settimeout(10 * SLOW)
        assert b.admin("/healthz").status == 200
        held.pop().close()
        assert waiting.response().body == b"hello"


def test_requests_per_connection():
    with Bulkhead({"limits": {"requests_per_connection": 3}, "routes": [HELLO]}) as b, b.connect() as c:
        c.send(GET * 4)
        assert [c.response().header("Connection") for _ in range(3)] == ["keep-alive", "keep-alive", "close"]
        assert c.closed()


# --- limits in time ---------------------------------------------------------------------------------------------------

def test_a_head_that_never_ends():
    with Bulkhead({"limits": {"head_timeout": "1s", "idle_timeout": "60s"}, "routes": [HELLO]}) as b, b.connect() as c:
        deadline = time.monotonic() + 8 * SLOW
        c.send("GET /hello HTTP/1.1\r\n")
        c.sock.settimeout(0.1)
        while not c.buffer and time.monotonic() < deadline:  # bytes that keep coming do not help
            try:
                c.send("a")
                c._fill()
            except socket.timeout:
                pass
            except OSError:
                break
        c.sock.settimeout(10 * SLOW)
        r = c.response()
        assert r.status == 408 and r.json["reason"] == "client-timeout"
        assert c.closed()
        status = b.status()
        assert status["connections"]["cut"]["head-timeout"] == 1 and status["refused"]["client-timeout"] == 1


def test_a_body_that_never_ends():
    with Bulkhead({"limits": {"body_timeout": "1s"}, "routes": [HELLO]}) as b:
        for framing in ("Content-Length: 5\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
            with b.connect() as c:
                c.send("POST /hello HTTP/1.1\r\nHost: test\r\n" + framing)
                assert c.response().status == 408 and c.closed()
        assert cuts(b)["body-timeout"] == 2


def test_an_upload_may_take_longer_than_a_head():
    limits = {"head_timeout": "1s", "idle_timeout": "1s", "body_timeout": "30s"}
    with Bulkhead({"limits": limits, "routes": [HELLO]}) as b, b.connect() as c:
        c.send("POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n")
        for byte in "abcd":
            time.sleep(0.8)  # the slow client
            c.send(byte)
        assert c.response().body == b"hello"


def test_idle_connections_end_and_busy_ones_do_not(tmp_path):
    with Bulkhead({"limits": {"idle_timeout": "1s"}, "routes": [HELLO]}) as b:
        fresh, used, busy = b.connect(), b.connect(), b.connect()
        used.send(GET)
        assert used.response().status == 200
        for _ in range(8):
            busy.send(GET)
            assert busy.response().status == 200
            time.sleep(0.4)  # never idle for as long as the limit
        assert cuts(b)["idle"] == 2
        for c in (fresh, used):
            assert c.closed()


# --- refusals ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing, size", [("length", 30 << 20), ("chunked", 30 << 20)])
def test_a_client_that_sends_too_much_can_read_why(framing, size):
    with Bulkhead({"limits": {"max_body": "1MiB"}, "routes": [HELLO]}) as b, b.connect() as c:
        head = f"Content-Length: {size}\r\n" if framing == "length" else "Transfer-Encoding: chunked\r\n"
        c.send(f"POST /hello HTTP/1.1\r\nHost: test\r\n{head}\r\n")
        piece = b"x" * 65536 if framing == "length" else b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            for _ in range(size // 65536):
                c.send(piece)
        except OSError:
            pass  # it stopped listening at some point; what it had said before is what counts
        r = c.response()
        assert r.status == 413 and r.json["reason"] == "body-too-large"


def test_nothing_behind_a_refused_request_is_served():
    backend = RecordingBackend()
    conf = forwarding(backend)
    with Bulkhead(conf) as b:
        for bad in ("GET /a HTTP/1.1\r\n\r\n",
                    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"):
            with b.connect() as c:
                c.send(bad + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
                assert c.response().status == 400 and c.closed()
        assert backend.seen == []


# --- threads, and the end ---------------------------------------------------------------------------------------------

def test_several_loop_threads_share_a_listener():
    with Bulkhead({"threads": 3, "limits": {"connections_per_address": 1000}, "routes": [HELLO]}) as b:
        held = [hold_connection(b) for _ in range(120)]
        assert {r.status for _, r in held} == {200}
        for c, _ in held:
            c.send(GET)
        assert {c.response().status for c, _ in held} == {200}
        assert len([t for t in os.listdir(f"/proc/{b.front_pid()}/task")
                    if open(f"/proc/{b.front_pid()}/task/{t}/comm").read().startswith("loop/")]) == 3
        assert b.status()["requests"] >= 240


def test_a_stopped_front_is_replaced():
    with Bulkhead({"heartbeat_timeout": "1s", "threads": 2, "routes": [HELLO]}) as b:
        front = b.front_pid()
        # it may answer us before the supervisor has read that it is ready; one stopped in between is a failed start
        eventually(lambda: f"front pid {front} is ready" in b.log(), "the supervisor knows that the front is ready")
        os.kill(front, signal.SIGSTOP)
        eventually(lambda: b.front_pid() not in (None, front), "another front")
        eventually(lambda: b.get("/hello").body == b"hello", "serving again")


def test_stopping_lets_requests_end_and_closes_idle_connections():
    def slowly(seen, connection):
        time.sleep(1)  # the backend's work
        return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
    backend = RecordingBackend(slowly)
    conf = dict(forwarding(backend, HELLO), drain_timeout="10s")
    with Bulkhead(conf) as b:
        idle, running = b.connect(), b.connect()
        idle.send(GET)
        assert idle.response().status == 200
        running.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        eventually(lambda: backend.seen, "the request is with the backend")
        b.process.send_signal(signal.SIGTERM)
        assert idle.closed()
        r = running.response()
        assert r.body == b"done" and r.header("Connection") == "close" and running.closed()
        assert b.process.wait(5 * SLOW) == 0
