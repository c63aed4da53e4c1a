# SPDX-License-Identifier: MIT
"""WebSockets of mode `messages`: every message is a call of the backend. What the backend is sent, what becomes of its
answers, and what a client sees when there is none."""
import asyncio
import json
import os
import signal
import socket
import struct
import threading
import time

import pytest
import websockets

from harness import SLOW, Bulkhead, RecordingBackend, eventually, module, python_worker, respond
from ws_client import BINARY, PING, PONG, TEXT, close_payload, connect, frame, handshake, refusal

EVENTS = "application/websocket-events"


def on(backend, mode="messages", path="/ws", **websocket):
    return {"path": path, "backend": backend, "websocket": {"mode": mode, **websocket}}


def conf(backend, routes=None, **websocket):
    return {"backends": {"up": backend}, "routes": routes or [on("up", **websocket)]}


def native(name="echo", run="threads", **backend):
    return {"run": run, "module": module(name), **backend}


def proxy(up, **backend):
    return {"run": "loop", "proxy": up.address, **backend}


def ws_to(b, path="/ws", fields=None, **how):
    return connect(("127.0.0.1", b.port), path, fields, **how)


def taken(ws):
    """Everything that was sent so far has been read, and nothing else has been answered."""
    ws.ping(b"taken?")
    assert ws.frame() == (PONG, b"taken?", True)


def error_of(ws):
    return json.loads(ws.message())["error"]


def events(*parts):
    """A body: a name alone, or (name, content)."""
    out = b""
    for part in parts:
        if isinstance(part, str):
            out += part.encode() + b"\r\n"
        else:
            content = part[1].encode() if isinstance(part[1], str) else part[1]
            out += f"{part[0]} {len(content):X}\r\n".encode() + content + b"\r\n"
    return out


def events_answer(*parts, fields=(), status=200):
    return respond(events(*parts), status, [f"Content-Type: {EVENTS}", *fields])


class Gate:
    """A backend that answers every message with itself, and those that begin with "hold" when they are let go."""

    def __init__(self):
        self.free = {}
        self.lock = threading.Lock()
        self.backend = RecordingBackend(self.answer)
        self.address = self.backend.address

    def event(self, body):
        with self.lock:
            return self.free.setdefault(body, threading.Event())

    def let(self, body):
        self.event(body).set()

    def let_all(self):
        for event in list(self.free.values()):
            event.set()

    def answer(self, seen, conn):
        if seen.body.startswith(b"hold"):
            self.event(seen.body).wait(60)
        return respond(seen.body, 200, ["Content-Type: text/plain"])

    @property
    def bodies(self):
        return [s.body for s in self.backend.seen]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_all()
        self.backend.close()


# ---- a message and its answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["threads", "workers", "loop"])
def test_native_handlers_serve_messages_in_every_class(run):
    backend = native(run=run, **({"workers": 1} if run == "workers" else {}))
    with Bulkhead(conf(backend)) as b, ws_to(b) as ws:
        ws.text("héllo")
        assert ws.message() == "héllo"
        ws.binary(b"\x00\xff")
        assert ws.message() == b"\x00\xff"
        ws.close()
        assert ws.end().code == 1000


def test_one_message_may_be_answered_by_many():
    with Bulkhead(conf(native("progress"))) as b, ws_to(b) as ws:
        ws.text("3 1")
        assert [json.loads(ws.message()) for _ in range(4)] == [
            {"done": 1, "of": 3}, {"done": 2, "of": 3}, {"done": 3, "of": 3}, {"result": "finished", "ms": 3}]


def test_a_module_closes_the_connection_behind_its_messages():
    with Bulkhead(conf(native())) as b, ws_to(b, "/ws?times=2&close=4001") as ws:
        ws.text("x")
        assert ws.message() == "x"
        end = ws.end()
        assert (end.code, [f.payload for f in end.frames]) == (4001, [b"x"])


WORKER = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"die":
            os._exit(1)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        out = b'{"got": %d, "pid": %d}' % (len(body), os.getpid())
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    def address_string(self):
        return "front"
    def log_message(self, *_):
        pass
class Server(http.server.HTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.server_name, self.server_port = "worker", 0
server = Server("", Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""


def http_worker(**backend):
    return {"run": "workers", "command": python_worker(WORKER), "workers": 2, **backend}


def test_an_http_worker_serves_messages_unmodified():
    with Bulkhead(conf(http_worker())) as b, ws_to(b) as ws:
        ws.text("four")
        assert json.loads(ws.message())["got"] == 4


def test_what_the_backend_is_sent():
    with RecordingBackend(lambda seen, conn: respond("ok", 200, ["Content-Type: text/plain"])) as up:
        route = {**on("up", path=None), "path_prefix": "/api/", "strip_prefix": "/api"}
        del route["path"]
        with Bulkhead(conf(proxy(up), [route])) as b:
            fields = {"Cookie": "a=b", "Origin": "https://example.org", "Connection-Id": "mine", "Meta-User": "root",
                      "Accept-Encoding": "gzip", "X-Request-Id": "given", "Sec-WebSocket-Extensions": "permessage-deflate"}
            with ws_to(b, "/api/chat?room=1", fields) as ws:
                ws.text("one")
                ws.message()
                ws.binary(b"\x01")
                ws.message()
    one, two = up.seen
    assert one.line == "POST /chat?room=1 HTTP/1.1"
    assert one.body == b"one" and one.header("content-type") == "text/plain; charset=utf-8"
    assert two.body == b"\x01" and two.header("content-type") == "application/octet-stream"
    assert one.header("cookie") == "a=b" and one.header("origin") == "https://example.org"
    connection = one.header("connection-id")
    assert len(connection) == 34 and two.header("connection-id") == connection
    assert [s.header("x-request-id") for s in up.seen] == [f"{connection}-1", f"{connection}-2"]
    assert one.header("x-request-start") < two.header("x-request-start")
    for name, _ in one.headers:
        assert not name.lower().startswith(("sec-websocket-", "meta-")) and name.lower() not in ("accept-encoding", "upgrade")
    assert "127.0.0.1" in one.header("x-forwarded-for")


@pytest.mark.parametrize("content_type, body, sent, expected", [
    ("text/html", b"x", TEXT, "x"),
    ("application/json; charset=utf-8", b"{}", TEXT, "{}"),
    ("application/problem+json", b"{}", BINARY, "{}"),
    ("image/png", b"\x89", TEXT, b"\x89"),
    (None, b"x", TEXT, "x"),
    (None, b"x", BINARY, b"x"),
])
def test_the_content_type_tells_text_from_binary(content_type, body, sent, expected):
    fields = [f"Content-Type: {content_type}"] if content_type else []
    with RecordingBackend(lambda seen, conn: respond(body, 200, fields)) as up:
        with Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
            ws.send_frame(b"q", sent)
            assert ws.message() == expected


def test_an_empty_answer_is_no_message():
    with RecordingBackend(lambda seen, conn: respond(b"" if seen.body == b"quiet" else b"heard")) as up:
        with Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
            ws.text("quiet")
            ws.text("loud")
            assert ws.message() == "heard"


def test_a_route_may_say_what_its_messages_are():
    route = {**on("up"), "request_headers": {"set": {"Content-Type": "application/json"}}}
    with RecordingBackend() as up, Bulkhead(conf(proxy(up), [route])) as b, ws_to(b) as ws:
        ws.text("{}")
        ws.message()
    assert [v for n, v in up.seen[0].headers if n.lower() == "content-type"] == ["application/json"]


# ---- order, and what waits ----------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_messages():
    with Gate() as up, Bulkhead(conf(proxy(up), in_flight=4)) as b, ws_to(b) as ws:
        for name in ("hold 1", "hold 2", "three", "four", "five"):
            ws.text(name)
        eventually(lambda: set(up.bodies) >= {b"hold 1", b"hold 2", b"three", b"four"}, "four calls at once")
        eventually(lambda: b.backend("up")["busy"] == 2, "two of them answered")
        assert b"five" not in up.bodies, "four of this connection are under way until the first is answered"
        up.let(b"hold 2")
        eventually(lambda: b.backend("up")["busy"] == 1, "another answered")
        taken(ws)  # no answer overtakes the first
        up.let(b"hold 1")
        assert [ws.message() for _ in range(5)] == ["hold 1", "hold 2", "three", "four", "five"]


def test_events_that_waited_for_their_turn_go_out_as_the_client_takes_them():
    many = events(*[("TEXT", "%01000d" % n) for n in range(4000)])
    first = threading.Event()

    def answer(seen, _):
        if seen.body == b"first":
            first.wait(60)
            return respond("first")
        return respond(many, 200, [f"Content-Type: {EVENTS}"])
    with RecordingBackend(answer) as up, \
            Bulkhead(conf(proxy(up), in_flight=2, max_message="8MiB", max_unsent="4KiB")) as b, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", b.port))
        ws = ws_to(b, sock=sock)
        ws.text("first")
        ws.text("many")
        eventually(lambda: len(up.seen) == 2 and b.backend("up")["busy"] == 1, "the second answer is here, whole")

        def out():
            return b.status()["websockets"][0]["messages_out"]
        assert out() == 0
        first.set()
        eventually(lambda: out() > 1, "the first of the second's events")
        assert out() < 3000, "what does not fit the kernel's buffers waits as it came"
        assert ws.message() == "first"
        assert [int(ws.message()) for _ in range(4000)] == list(range(4000))


@pytest.mark.parametrize("held", [True, False])
def test_an_answer_of_very_many_events_does_not_hold_up_others(held):
    first, over, waits = threading.Event(), threading.Event(), []

    def answer(seen, _):
        if seen.body == b"first":
            first.wait(60)
            return respond("first")
        return respond(b"PONG\r\n" * 170000 + b"TEXT 4\r\nlast\r\n", 200, [f"Content-Type: {EVENTS}"])

    def look(b):
        with b.connect() as client:
            while not over.is_set():
                began = time.monotonic()
                client.send("GET /elsewhere HTTP/1.1\r\nHost: test\r\n\r\n")
                assert client.response().status == 404
                waits.append(time.monotonic() - began)
                time.sleep(0.001)  # the pace
    with RecordingBackend(answer) as up, Bulkhead(conf(proxy(up), in_flight=2)) as b, ws_to(b) as ws:
        looker = threading.Thread(target=look, args=(b,))
        looker.start()
        ws.text("first")
        if not held:
            first.set()
            assert ws.message() == "first"
        ws.text("many")
        if held:
            eventually(lambda: len(up.seen) == 2 and b.backend("up")["busy"] == 1, "the second answer is here, whole")
            first.set()
            assert ws.message() == "first"
        received = b""
        while not received.endswith(b"\x81\x04last"):
            received = received[-5:] + ws.stream.sock.recv(1 << 20)
        over.set()
        looker.join()
        assert max(waits) < 0.1 * SLOW, "170,000 frames take many turns of the loop"


def test_a_connection_whose_message_is_worked_on_is_not_idle():
    with Gate() as up, Bulkhead(conf(proxy(up), idle_timeout="300ms")) as b, ws_to(b) as ws:
        ws.text("hold")
        time.sleep(1)  # idle, if anybody were
        up.let(b"hold")
        assert ws.message() == "hold"
        assert ws.end().code == 1000  # now it is


def test_one_call_at_a_time_unless_told_otherwise():
    with Gate() as up, Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
        ws.text("hold")
        ws.text("next")
        eventually(lambda: up.bodies == [b"hold"], "one call")
        taken(ws)
        assert up.bodies == [b"hold"]
        up.let(b"hold")
        assert [ws.message(), ws.message()] == ["hold", "next"]


def test_pings_are_answered_while_calls_run_and_messages_wait():
    with Gate() as up, Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
        for i in range(5):
            ws.text("hold")
            ws.ping(b"%d" % i)
        assert [ws.frame() for _ in range(5)] == [(PONG, b"%d" % i, True) for i in range(5)]
        up.let(b"hold")
        assert [ws.message() for _ in range(5)] == ["hold"] * 5


def test_a_later_stream_of_events_waits_for_the_answer_before_it():
    free = threading.Event()

    def answer(seen, conn):
        if seen.body == b"slow":
            free.wait(60)
            return respond("slow")
        return events_answer(("TEXT", "x" * 3000), ("TEXT", "y" * 3000), ("TEXT", "z" * 3000))
    with RecordingBackend(answer) as up, Bulkhead(conf(proxy(up), in_flight=2, max_message="4KiB")) as b, ws_to(b) as ws:
        ws.text("slow")
        ws.text("fast")
        eventually(lambda: len(up.seen) == 2, "both calls")
        taken(ws)
        free.set()
        assert [ws.message()[0] for _ in range(4)] == ["s", "x", "y", "z"]


# ---- what goes wrong ----------------------------------------------------------------------------------------------------


def busy_conf(up, **websocket):
    backend = proxy(up, limit=1, queue=1, queue_timeout="10s")
    return {"backends": {"up": backend},
            "routes": [on("up", **websocket), on("up", path="/close", on_error="close")]}


def test_a_full_queue_is_told_and_the_connection_stays():
    with Gate() as up, Bulkhead(busy_conf(up)) as b, ws_to(b) as one, ws_to(b) as two, ws_to(b) as three:
        one.text("hold")
        eventually(lambda: b.backend("up")["busy"] == 1, "one runs")
        two.text("second")
        eventually(lambda: b.backend("up")["queued"] == 1, "one waits")
        three.text("third")
        error = error_of(three)
        assert error["reason"] == "queue-full" and error["status"] == 503 and error["retry_after"] >= 1
        assert error["title"] and len(error["id"]) > 34
        up.let(b"hold")
        assert one.message() == "hold" and two.message() == "second"
        three.text("again")
        assert three.message() == "again"


def test_a_full_queue_closes_where_the_route_says_so():
    with Gate() as up, Bulkhead(busy_conf(up)) as b, ws_to(b) as one, ws_to(b) as two, ws_to(b, "/close") as three:
        one.text("hold")
        eventually(lambda: b.backend("up")["busy"] == 1, "one runs")
        two.text("second")
        eventually(lambda: b.backend("up")["queued"] == 1, "one waits")
        three.text("third")
        end = three.end()
        assert (end.code, end.reason) == (1013, "queue-full")


@pytest.mark.parametrize("backend, reason, status", [
    ({"queue_timeout": "100ms", "timeout": "20s"}, "queue-timeout", 503),
    ({"queue_timeout": "20s", "timeout": "300ms"}, "deadline", 504),
])
def test_time_limits_are_told(backend, reason, status):
    with Gate() as up, Bulkhead(conf(proxy(up, limit=1, **backend))) as b, ws_to(b) as one, ws_to(b) as two:
        one.text("hold")
        eventually(lambda: up.bodies == [b"hold"], "one runs")
        ws = two if reason == "queue-timeout" else one
        if ws is two:
            two.text("waits")
        error = error_of(ws)
        assert (error["reason"], error["status"]) == (reason, status)
        up.let(b"hold")
        eventually(lambda: b.backend("up")["busy"] == 0, "the slot is back")
        ws.text("again")
        assert ws.message() == "again"


def test_the_message_behind_one_that_timed_out_is_served():
    with Gate() as up, Bulkhead(conf(proxy(up, limit=4, timeout="300ms"))) as b, ws_to(b) as ws:
        ws.text("hold")
        ws.text("next")
        assert error_of(ws)["reason"] == "deadline"
        assert ws.message() == "next"


@pytest.mark.parametrize("run", ["native", "http"])
def test_a_worker_that_dies_costs_its_message_and_no_connection(run):
    backend = native(run="workers", workers=2) if run == "native" else http_worker()
    with Bulkhead(conf(backend)) as b:
        idle = [ws_to(b) for _ in range(5)]
        path = "/ws?crash=exit" if run == "native" else "/ws"
        with ws_to(b, path) as ws:
            ws.text("die")
            error = error_of(ws)
            assert error["reason"] == "worker-lost" and error["status"] == 502
        for ws in idle:
            ws.text("still here")
            assert ws.message()
            ws.leave()


def test_killing_every_worker_loses_no_connection():
    with Bulkhead(conf(native(run="workers", workers=3))) as b:
        b.wait_workers("up", 3)
        open_ones = [ws_to(b) for _ in range(20)]
        dead = [w["pid"] for w in b.backend("up")["workers"]]
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        for ws in open_ones:
            ws.ping(b"there?")
            assert ws.frame().payload == b"there?"
        eventually(lambda: not {w["pid"] for w in b.backend("up")["workers"]} & set(dead), "others in their place")
        b.wait_workers("up", 3)
        for i, ws in enumerate(open_ones):
            ws.text(f"message {i}")
            assert ws.message() == f"message {i}"
            ws.leave()


def test_a_refusal_of_the_backend_is_told_in_its_words():
    answers = {b"bad": respond("no such room", 422, ["Content-Type: text/plain"]), b"broken": respond("secret", 500)}
    with RecordingBackend(lambda seen, conn: answers[seen.body]) as up, Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
        ws.text("bad")
        error = error_of(ws)
        assert (error["status"], error["reason"], error["detail"]) == (422, "handler-failed", "no such room")
        ws.text("broken")
        error = error_of(ws)
        assert (error["status"], error["reason"]) == (500, "handler-failed") and "secret" not in error["detail"]


def test_an_answer_that_is_no_text_is_told():
    with RecordingBackend(lambda seen, conn: respond(b"\xff\xfe", 200, ["Content-Type: text/plain"])) as up:
        with Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
            ws.text("x")
            error = error_of(ws)
            assert error["reason"] == "handler-failed" and "UTF-8" in error["detail"]


def test_events_that_are_none_are_told():
    with RecordingBackend(lambda seen, conn: respond(seen.body, 200, [f"Content-Type: {EVENTS}"])) as up:
        with Bulkhead(conf(proxy(up))) as b, ws_to(b) as ws:
            for body in ("NOISE\r\n", "TEXT 5\r\nab", "TEXT zz\r\n", "CLOSE 2\r\n\x00\x00\r\n", "TEXT 2\r\n\xff\xff\r\n"):
                ws.binary(body.encode("latin-1"))
                assert error_of(ws)["reason"] == "handler-failed", body


@pytest.mark.parametrize("path", ["/ws?size=5000", "/ws?size=5000&announce=1", "/ws?size=50000000"])
def test_an_answer_over_the_limit_is_told(path):
    with Bulkhead(conf(native(), max_message="4KiB")) as b, ws_to(b, path) as ws:
        ws.text("")
        ws.text("x")
        errors = [error_of(ws), error_of(ws)]
        assert [e["reason"] for e in errors] == ["answer-too-large"] * 2, errors
        eventually(lambda: b.backend("up")["busy"] == 0, "nothing runs on for nobody")


def test_a_message_over_the_limit_closes():
    with Bulkhead(conf(native(), max_message="4KiB")) as b:
        with ws_to(b) as ws:
            ws.text("x" * 4096)
            assert ws.message() == "x" * 4096
            ws.text("x" * 4097)
            assert ws.end().code == 1009
        closed = eventually(lambda: [l for l in b.access() if l["method"] == "CLOSE"], "the log line")[0]
        assert closed["status"] == 1009 and closed["reason"] == "body-too-large" and closed["by"] == "bulkhead"


def test_only_handshakes_are_served():
    with Bulkhead(conf(native())) as b:
        answer = b.get("/ws")
        assert answer.status == 426 and answer.json["reason"] == "upgrade-required"


# ---- who leaves ---------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_takes_its_waiting_messages_along():
    with Gate() as up, Bulkhead(conf(proxy(up, limit=4), in_flight=2)) as b:
        with ws_to(b) as ws:
            for name in ("hold 1", "hold 2", "third", "fourth"):
                ws.text(name)
            eventually(lambda: len(up.bodies) == 2, "two calls")
            taken(ws)
        eventually(lambda: b.backend("up")["busy"] == 0, "the calls of who left are given up")
        assert len(up.bodies) == 2
        with ws_to(b) as ws:
            ws.text("another")
            assert ws.message() == "another"


def test_a_client_that_closes_gives_up_what_runs():
    with Gate() as up, Bulkhead(conf(proxy(up, limit=1))) as b, ws_to(b) as ws:
        ws.text("hold")
        eventually(lambda: up.bodies == [b"hold"], "one runs")
        ws.close(4000, "enough")
        end = ws.end()
        assert end.code == 4000
        eventually(lambda: b.backend("up")["busy"] == 0, "the slot is back")
        assert b.backend("up")["outcomes"].get("abandoned") == 1


def test_draining_closes_behind_the_answer_that_runs():
    with Gate() as up, Bulkhead(conf(proxy(up))) as b:
        busy, idle = ws_to(b), ws_to(b)  # who came first leaves first
        busy.text("hold")
        busy.text("never begun")
        taken(busy)
        eventually(lambda: up.bodies == [b"hold"], "one runs")
        b.process.send_signal(signal.SIGTERM)
        assert idle.end().code == 1001
        up.let(b"hold")
        assert busy.message() == "hold"
        assert busy.end().code == 1001
        assert up.bodies == [b"hold"]


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@pytest.mark.parametrize("path", ["/ws", "/held"])
def test_a_client_that_sends_without_end_and_never_reads_is_bounded(path):
    with Gate() as up:
        backends = {"up": native(run="workers", workers=2), "held": proxy(up)}
        routes = [on("up", in_flight=2), on("held", path="/held"), on("up", path="/other")]
        with Bulkhead({"backends": backends, "routes": routes}) as b, ws_to(b, "/other") as other, ws_to(b, path) as ws:
            before = rss_kib(b.front_pid())
            data = frame(b"hold" + b"x" * 60000, BINARY)
            ws.stream.sock.settimeout(1)
            sent = 0
            with pytest.raises(OSError):
                while sent < 256 << 20:
                    sent += ws.stream.sock.send(data)  # a torn frame does not matter: nobody reads it
            for i in range(20):
                other.text(f"{i}")
                assert other.message() == f"{i}"
            assert rss_kib(b.front_pid()) - before < 8 * 1024 * SLOW, "read_ahead, max_unsent and some messages"
            up.let_all()


# ---- format events ------------------------------------------------------------------------------------------------------


class Events:
    """A backend that speaks websocket-events: `say` maps the first event's name, or the content of a TEXT, to an answer."""

    def __init__(self, **say):
        self.say = {"OPEN": events_answer("OPEN"), "CLOSE": respond(""), "DISCONNECT": respond(""), **say}
        self.backend = RecordingBackend(self.answer)
        self.address = self.backend.address

    def answer(self, seen, conn):
        key = self.parse(seen.body)
        answer = self.say.get(key, events_answer(("TEXT", key)))
        return answer(seen) if callable(answer) else answer

    @staticmethod
    def parse(body):
        line, _, rest = body.partition(b"\r\n")
        name = line.split(b" ")[0].decode()
        return rest[:-2].decode() if name in ("TEXT", "BINARY") else name

    @property
    def seen(self):
        return self.backend.seen

    @property
    def names(self):
        return [self.parse(s.body) for s in self.seen]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.backend.close()


def events_conf(up, **websocket):
    return conf(proxy(up), format="events", **websocket)


def test_open_messages_and_close_reach_the_backend():
    with Events() as up, Bulkhead(events_conf(up)) as b:
        with ws_to(b, "/ws?a=1", {"Cookie": "c=d"}) as ws:
            assert [s.body for s in up.seen] == [b"OPEN\r\n"], "before the 101"
            ws.text("hello")
            assert ws.message() == "hello"
            ws.binary("bytes")
            assert ws.message() == "bytes"
            ws.close(4321, "bye")
            assert ws.end().code == 4321
        eventually(lambda: len(up.seen) == 4, "the last call")
        assert [s.body for s in up.seen] == [b"OPEN\r\n", b"TEXT 5\r\nhello\r\n", b"BINARY 5\r\nbytes\r\n",
                                             b"CLOSE 5\r\n" + struct.pack("!H", 4321) + b"bye\r\n"]
        for seen in up.seen:
            assert seen.line == "POST /ws?a=1 HTTP/1.1" and seen.header("cookie") == "c=d"
            assert seen.header("content-type") == EVENTS and seen.header("accept") == EVENTS
        assert len({s.header("connection-id") for s in up.seen}) == 1
        assert len({s.header("x-request-id") for s in up.seen}) == 4


@pytest.mark.parametrize("code, last", [(None, b"CLOSE\r\n"), (1000, b"CLOSE 2\r\n\x03\xe8\r\n")])
def test_a_close_is_told_as_it_was(code, last):
    with Events() as up, Bulkhead(events_conf(up)) as b:
        with ws_to(b) as ws:
            ws.close(code)
            ws.end()
        eventually(lambda: len(up.seen) == 2, "the last call")
        assert up.seen[1].body == last


def test_a_connection_that_breaks_is_a_disconnect():
    with Events() as up, Bulkhead(events_conf(up)) as b:
        ws_to(b).leave()
        eventually(lambda: up.names == ["OPEN", "DISCONNECT"], "the last call")


def test_the_last_call_comes_after_those_that_ran():
    free = threading.Event()

    def slow(seen):
        free.wait(60)
        return respond("")
    with Events(slow=slow) as up, Bulkhead(events_conf(up)) as b:
        with ws_to(b) as ws:
            ws.text("slow")
            eventually(lambda: up.names == ["OPEN", "slow"], "it runs")
        free.set()
        eventually(lambda: up.names == ["OPEN", "slow", "DISCONNECT"], "the last call")


def test_a_drain_waits_for_the_last_call():
    free = threading.Event()

    def slow(seen):
        free.wait(60)
        return respond("")
    with Events(CLOSE=slow) as up, Bulkhead(events_conf(up)) as b:
        ws, other = ws_to(b), ws_to(b)
        b.process.send_signal(signal.SIGTERM)
        assert ws.end().code == 1001 and other.end().code == 1001
        eventually(lambda: up.names == ["OPEN", "OPEN", "CLOSE"] or up.names[2:] == ["CLOSE", "CLOSE"], "the last calls")
        for _ in range(20):
            time.sleep(0.05)  # a front that did not wait would be gone
            assert b.process.poll() is None
        free.set()
        b.process.wait(20)
        assert up.names == ["OPEN", "OPEN", "CLOSE", "CLOSE"]
        assert up.seen[-1].body == b"CLOSE c\r\n" + close_payload(1001, "going down") + b"\r\n"


def test_the_backend_refuses_the_handshake():
    with Events(OPEN=respond("go away", 403, ["Content-Type: text/plain", "X-Why: mood"])) as up:
        with Bulkhead(events_conf(up)) as b:
            answer = refusal(("127.0.0.1", b.port), "/ws")
            assert (answer.status, answer.body, answer.header("x-why")) == (403, b"go away", "mood")
        assert up.names == ["OPEN"], "it knows that there is no connection"


@pytest.mark.parametrize("opened", [respond("hello"), events_answer(("TEXT", "x")), respond("", 200, [f"Content-Type: {EVENTS}"])])
def test_an_answer_without_open_is_no_acceptance(opened):
    with Events(OPEN=opened) as up, Bulkhead(events_conf(up)) as b:
        answer = refusal(("127.0.0.1", b.port), "/ws")
        assert answer.status == 500 and answer.json["reason"] == "handler-failed"


def test_a_handshake_waits_and_fails_like_any_call():
    with Gate() as gate, Events(OPEN=lambda seen: gate.answer(type("S", (), {"body": b"hold"}), None)) as up:
        backend = proxy(up, limit=1, queue=0, timeout="300ms")
        with Bulkhead(conf(backend, format="events")) as b:
            first = b.connect()
            first.send(handshake("/ws"))
            eventually(lambda: b.backend("up")["busy"] == 1, "OPEN runs")
            full = refusal(("127.0.0.1", b.port), "/ws")
            assert full.status == 503 and full.json["reason"] == "queue-full" and full.header("retry-after")
            late = first.response()
            assert late.status == 504 and late.json["reason"] == "deadline"


def test_a_client_that_leaves_during_open_is_a_disconnect():
    free = threading.Event()

    def slow(seen):
        free.wait(60)
        return events_answer("OPEN")
    with Events(OPEN=slow) as up, Bulkhead(events_conf(up)) as b:
        c = b.connect()
        c.send(handshake("/ws"))
        eventually(lambda: up.names == ["OPEN"], "OPEN runs")
        c.close()
        eventually(lambda: b.backend("up")["busy"] == 0 or up.names[1:], "it is given up")
        free.set()
        eventually(lambda: up.names == ["OPEN", "DISCONNECT"], "the last call")


def test_the_backend_adds_fields_and_events_to_the_handshake():
    opened = events_answer("OPEN", ("TEXT", "welcome"), ("BINARY", b"\x01"), fields=[
        "Sec-WebSocket-Protocol: v2", "Set-Cookie: seen=1", "Sec-WebSocket-Extensions: grip", "Set-Meta-User: u1"])
    with Events(OPEN=opened) as up, Bulkhead(events_conf(up)) as b:
        with ws_to(b, fields={"Sec-WebSocket-Protocol": "v1, v2"}) as ws:
            assert up.seen[0].header("sec-websocket-protocol") == "v1, v2"
            assert ws.response.header("sec-websocket-protocol") == "v2" and ws.response.header("set-cookie") == "seen=1"
            assert ws.response.header("content-type") is None and ws.response.header("set-meta-user") is None
            assert [ws.message(), ws.message()] == ["welcome", b"\x01"]
            ws.text("x")
            ws.message()
            assert up.seen[1].header("meta-user") == "u1" and up.seen[1].header("sec-websocket-protocol") is None
        assert up.seen[0].header("meta-user") is None


def test_a_protocol_that_was_not_offered_is_no_choice():
    with Events(OPEN=events_answer("OPEN", fields=["Sec-WebSocket-Protocol: v9"])) as up, Bulkhead(events_conf(up)) as b:
        assert refusal(("127.0.0.1", b.port), "/ws", {"Sec-WebSocket-Protocol": "v1"}).status == 500


def test_meta_values_are_set_changed_and_taken_away():
    def put(*fields):
        return events_answer(("TEXT", "ok"), fields=fields)
    say = {"a": put("Set-Meta-A: 1", "Set-Meta-B: 2"), "b": put("Set-Meta-A: 3", "Set-Meta-B: "),
           "flood": put(*[f"Set-Meta-N{i}: x" for i in range(50)])}
    with Events(**say) as up, Bulkhead(events_conf(up)) as b, ws_to(b) as ws:
        for text in ("a", "b", "flood", "end"):
            ws.text(text)
            ws.message()
        meta = [{n.lower(): v for n, v in s.headers if n.lower().startswith("meta-")} for s in up.seen]
        assert meta[:4] == [{}, {}, {"meta-a": "1", "meta-b": "2"}, {"meta-a": "3"}]
        assert len(meta[4]) == 32


def test_the_backend_pings_closes_and_disconnects():
    say = {"ping": events_answer(("PING", "p1"), "PONG", ("TEXT", "after")),
           "close": events_answer(("TEXT", "last"), ("CLOSE", close_payload(4567, "done")), ("TEXT", "too late")),
           "cut": events_answer(("TEXT", "last"), "DISCONNECT")}
    with Events(**say) as up, Bulkhead(events_conf(up)) as b:
        with ws_to(b) as ws:
            ws.text("ping")
            assert [ws.frame() for _ in range(3)] == [(PING, b"p1", True), (PONG, b"", True), (TEXT, b"after", True)]
            ws.text("close")
            assert ws.message() == "last"
            end = ws.end()
            assert (end.code, end.reason, end.frames) == (4567, "done", [])
        with ws_to(b) as ws:
            ws.text("cut")
            end = ws.end()
            assert end.code == 1006
        lines = eventually(lambda: (lambda l: l if len(l) == 2 else None)(
            [l for l in b.access() if l["method"] == "CLOSE"]), "both log lines")
        assert [(l["by"], l["outcome"]) for l in lines] == [("backend", "ok")] * 2


def test_client_pings_are_not_forwarded():
    with Events() as up, Bulkhead(events_conf(up)) as b, ws_to(b) as ws:
        ws.ping(b"x")
        assert ws.frame() == (PONG, b"x", True)
        ws.text("x")
        ws.message()
        assert up.names == ["OPEN", "x"]


def test_a_quiet_connection_is_kept_alive_by_calls_without_events():
    first = events_answer("OPEN", fields=["Keep-Alive-Interval: 1"])
    with RecordingBackend(lambda seen, conn: first if seen.body.startswith(b"OPEN") else respond(
            events(("TEXT", "push")) if seen.body == b"" else b"", 200, [f"Content-Type: {EVENTS}"])) as up:
        with Bulkhead(events_conf(up)) as b, ws_to(b) as ws:
            assert ws.message() == "push"
            assert up.seen[1].body == b"" and up.seen[1].header("content-type") == EVENTS
            assert up.seen[1].method == "POST" and up.seen[1].header("content-length") == "0"


def test_modules_hear_of_open_and_refuse_it():
    with Bulkhead(conf(native(), format="events")) as b:
        assert refusal(("127.0.0.1", b.port), "/ws?status=401").status == 401
        with ws_to(b, "/ws?header=X-Made:yes") as ws:
            assert ws.response.header("x-made") == "yes"
            ws.text("raw")
            assert ws.message() == "raw"
        eventually(lambda: b.backend("up")["outcomes"].get("ok", 0) >= 2, "counted")


# ---- other clients ------------------------------------------------------------------------------------------------------


def test_the_websockets_library_is_served():
    async def talk(port):
        async with websockets.connect(f"ws://127.0.0.1:{port}/ws", subprotocols=["b", "a"], ping_interval=0.05) as ws:
            assert ws.subprotocol == "a"
            for i in range(50):
                await ws.send(f"message {i}")
            assert [await ws.recv() for _ in range(50)] == [f"message {i}" for i in range(50)]
            await ws.send(b"\x00" * 300000)
            assert await ws.recv() == b"\x00" * 300000
            await asyncio.wait_for(await ws.ping(), 10)
    with Bulkhead(conf(native(run="workers", workers=2), in_flight=4, protocols=["a", "b"])) as b:
        asyncio.run(talk(b.port))


# ---- the log ------------------------------------------------------------------------------------------------------------


def test_messages_are_logged_where_asked():
    with Gate() as up, Bulkhead(conf(proxy(up), log_messages=True)) as b:
        with ws_to(b, "/ws?q=1") as ws:
            ws.text("four")
            ws.message()
            ws.close()
            ws.end()
        lines = eventually(lambda: (lambda l: l if len(l) == 3 else None)(b.access_of("/ws", 3)), "three lines")
        assert [l["method"] for l in lines] == ["OPEN", "TEXT", "CLOSE"]
        assert lines[1]["id"] == lines[1]["connection"] + "-1" and lines[1]["status"] == 200
        assert lines[1]["bytes"] == 4 and lines[1]["bytes_in"] == 4 and lines[1]["outcome"] == "ok"
