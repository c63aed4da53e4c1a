# SPDX-License-Identifier: MIT
"""A storm over every mode of WebSocket: clients that break off at any step, backends that answer anything, workers that
are killed and stopped, messages from the operator's side. Whatever it was: afterwards every place is free again, and no
process is missing. BULKHEAD_STORM_SEED repeats one (as far as threads can be repeated), BULKHEAD_STORM_SECONDS
prolongs it."""
import os
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest

from harness import Bulkhead, eventually, module, python_worker, request
from ws_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, accept_of, close_payload, frame, handshake

SEED = int(os.environ.get("BULKHEAD_STORM_SEED", random.randrange(1 << 32)))
SECONDS = float(os.environ.get("BULKHEAD_STORM_SECONDS", 4))
CLIENTS = 24
EVENTS = "Content-Type: application/websocket-events"

# A worker that speaks enough HTTP and WebSocket to be bridged to, and takes its time now and then
WORKER = r'''
import base64, hashlib, os, re, socket, threading, time
def serve(conn):
    data = b""
    try:
        while True:
            while b"\r\n\r\n" not in data:
                more = conn.recv(65536)
                if not more: return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)
            if key:
                accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                conn.sendall(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                             + accept + b"\r\n\r\n")
                while conn.recv(65536):
                    conn.sendall(b"\x81\x02ok")
                return
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            need = int(length[1]) if length else 0
            while len(data) < need:
                more = conn.recv(65536)
                if not more: return
                data += more
            if len(data[:need]) % 3 == 0: time.sleep(0.02)
            data = data[need:]
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok")
    except OSError:
        pass
    finally:
        conn.close()
listener = socket.socket(fileno=3)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
'''


def read_request(conn):
    """Head and body of the next request; EOFError where the connection ends."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return head, body
        more = conn.recv(65536)
        if not more:
            raise EOFError
        data += more


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- both ends at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bridge", "tunnel", "events"])
def test_the_client_leaves_in_the_turn_in_which_the_backend_agrees(mode):
    websocket = {"mode": "messages", "format": "events"} if mode == "events" else {"mode": mode}
    with socket.create_server(("127.0.0.1", 0)) as server, Bulkhead({
            "backends": {"up": {"run": "loop", "proxy": "127.0.0.1:%d" % server.getsockname()[1]}},
            "routes": [{"path": "/ws", "backend": "up", "websocket": websocket}], "drain_timeout": "1s"}) as b:
        front = b.front_pid()
        for client_is_first in (True, False) * 2:
            client = socket.create_connection(("127.0.0.1", b.port))
            client.sendall(handshake("/ws"))
            backend, head = asked(server)
            client.sendall(b"early")
            time.sleep(0.1)  # for the front to look out for the client's departure, which shows nowhere
            os.kill(front, signal.SIGSTOP)
            for act in (client.close, lambda: backend.sendall(agreement(head)))[::1 if client_is_first else -1]:
                act()
            os.kill(front, signal.SIGCONT)
            eventually(lambda: not b.status()["websockets"][0]["open"], "nothing open")
            backend.close()
        assert b.front_pid() == front


def asked(server):
    """The next connection on which a WebSocket is asked for, and the request's head; who tells of an end is cut off."""
    while True:
        backend = server.accept()[0]
        head, body = read_request(backend)
        if not body.startswith((b"CLOSE", b"DISCONNECT")):
            return backend, head
        backend.close()


def agreement(head):
    """What a backend answers that takes the WebSocket of this request."""
    key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)
    if key is None:
        return framed(random.Random(0), b"OPEN\r\n", EVENTS)
    return (f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_of(key[1].decode())}\r\n\r\n").encode()


# ---- a backend that answers anything --------------------------------------------------------------------------------


def event(name, content=None):
    return name + b"\r\n" if content is None else b"%s %x\r\n%s\r\n" % (name, len(content), content)


def some_events(r):
    return b"".join(r.choice([
        lambda: event(b"TEXT", b"x" * r.randrange(300)), lambda: event(b"BINARY", bytes(r.randrange(3000))),
        lambda: event(b"PING") * r.randrange(1, 400), lambda: event(b"PONG", b"p"), lambda: event(b"TEXT", b"\xff"),
        lambda: event(b"OPEN"), lambda: event(b"CLOSE", close_payload(r.choice([1000, 1005, 4000, 77]), b"bye")),
        lambda: event(b"CLOSE"), lambda: event(b"DISCONNECT"), lambda: b"TEXT fffffffff\r\n", lambda: b"NOISE\r\n",
        lambda: event(b"TEXT", b"") * r.randrange(1, 3000)])() for _ in range(r.choice([0, 1, 1, 2, 5])))


def framed(r, body, *fields):
    lines = "".join(f"{f}\r\n" for f in fields).encode()
    if r.random() < 0.3:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (
            lines, len(body) or 1, body or b"x")
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), lines, body)


def answer_to_call(r, body):
    if body.startswith(b"OPEN") and r.random() < 0.8:
        metas = [f"Set-Meta-{i}: {'m' * r.randrange(300)}" for i in range(r.choice([0, 1, 60]))]
        interval = f"Keep-Alive-Interval: {r.choice([0, 1, 99999])}"
        return framed(r, event(b"OPEN") + some_events(r), EVENTS, interval, *metas)
    return r.choice([
        lambda: framed(r, b"y" * r.choice([0, 1, 5000, 100000])), lambda: framed(r, some_events(r), EVENTS),
        lambda: framed(r, some_events(r), EVENTS), lambda: b"HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nno\n",
        lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", lambda: b"garbage\r\n\r\n", lambda: b"",
        lambda: b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"])()


def answer_to_handshake(r, key):
    good = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept_of(key)}"]
    if r.random() < 0.7:
        lines = good
    else:
        lines = r.choice([good[:2], good + ["Content-Length: 5"], good + ["Transfer-Encoding: chunked"],
                          good + good[2:], good + ["X-Big: " + "x" * 70000], good[1:], ["Upgrade: other"] + good[1:],
                          [*good, "Sec-WebSocket-Protocol: never"], [" folded", *good]])
    head = ("HTTP/1.1 101 Switching\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()
    if r.random() < 0.1:
        return b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    return head + r.choice([b"", b"", b"\x81\x05early", b"\x81", b"\x88\x00", b"\x83\x00", b"\x01\x00" * 500,
                            b"\x89\x00" * 300])


class Anything:
    """Serves calls, handshakes and what comes behind them by chance."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            conn.settimeout(5)
            threading.Thread(target=self.serve, args=(conn, random.Random(self.random.random())), daemon=True).start()

    def serve(self, conn, r):
        try:
            while self.serve_one(conn, r):
                pass
        except (OSError, EOFError):
            pass
        finally:
            (reset if r.random() < 0.3 else socket.socket.close)(conn)

    def serve_one(self, conn, r):
        head, body = read_request(conn)
        if r.random() < 0.2:
            time.sleep(r.random() * 0.3)  # a backend that takes its time: around the route's time limit
        key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)
        if key is None:
            conn.sendall(answer_to_call(r, body))
            return r.random() < 0.8
        conn.sendall(answer_to_handshake(r, key[1].decode()))
        for _ in range(r.randrange(20)):
            if not conn.recv(65536):
                break
            conn.sendall(r.choice([b"\x81\x02hi", b"\x01\x01a\x80\x01b", b"\x89\x00",
                                   b"\x02\x7e\x40\x00" + bytes(16384), b"\x88\x02\x03\xe8",
                                   b"\x81\x01\xff", b"\x82\x7f" + b"\xff" * 8, b"\x8a\x00" * 50]))
        return False


# ---- clients --------------------------------------------------------------------------------------------------------


def something(r):
    """What a client sends next: bytes."""
    return r.choice([
        lambda: frame(b"m" * r.choice([0, 1, 2, 200]), TEXT), lambda: frame(bytes(r.choice([10, 70000])), BINARY),
        lambda: frame(b"f", TEXT, fin=False) + frame(b"", CONTINUATION, fin=False) * r.randrange(50),
        lambda: frame(b"g", CONTINUATION), lambda: frame(b"p", PING), lambda: frame(b"", PING) * r.randrange(150),
        lambda: frame(b"", PONG) * r.randrange(30), lambda: frame(b"s", TEXT) * r.randrange(300),
        lambda: frame(close_payload(r.choice([1000, 1001, 4999, 1005])), CLOSE), lambda: frame(b"", CLOSE) * 20,
        lambda: frame(b"x", TEXT, declared=1 << 40, form=64), lambda: frame(b"\xff", TEXT), lambda: b"\xff" * 30,
        lambda: frame(b"u", TEXT, mask=None)])()


def play_client(r, address, path):
    sock = socket.create_connection(address, 10)
    sock.settimeout(r.choice([0.01, 0.05, 0.3]))
    reads = r.random() < 0.7
    try:
        early = something(r) if r.random() < 0.2 else b""
        fields = {"Sec-WebSocket-Protocol": "a, b"} if r.random() < 0.2 else {}
        sock.sendall(handshake(path, fields) + early)
        if r.random() < 0.15:
            return
        for _ in range(r.randrange(12)):
            if reads:
                try:
                    if not sock.recv(65536):
                        break
                except TimeoutError:
                    pass
            data = something(r)
            if r.random() < 0.2:
                for i in range(min(len(data), 40)):
                    sock.sendall(data[i:i + 1])
                data = data[40:]
            sock.sendall(data)
        if r.random() < 0.3:
            sock.shutdown(socket.SHUT_WR)
            sock.recv(65536)
    except OSError:
        pass
    finally:
        (reset if r.random() < 0.5 else socket.socket.close)(sock)


# ---- the operator's side, and bad luck ------------------------------------------------------------------------------


def bother_operator(r, b, routes):
    route = r.choice(routes)
    path = r.choice([f"/ws?route={route}", f"/ws?route={route}&close=1001&reason=x", "/ws/" + "0" * 34, "/ws?limit=9"])
    method, body = ("GET", None) if "limit" in path else ("POST", b"news")
    request(("127.0.0.1", b.admin_port), method, path, body=body)


def bother_control(r, b):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(b.control)
        s.send(r.choice([b"P", b"POST /ws", b"{", b'{"command":"status"}\n', b"GET /ws HTTP/1.1\r\n", b"\0"]))
        if r.random() < 0.5:
            s.shutdown(socket.SHUT_WR)


def bother_worker(r, pids):
    pid = r.choice(pids)
    try:
        if r.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)  # how long it is stuck
            os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def workers(b):
    return [w["pid"] for backend in b.status()["backends"] for w in backend.get("workers", []) if w.get("pid")]


class Crowd:
    """Threads that do one thing again and again until the time is over. What they trip over is in `failures`."""

    def __init__(self, seconds):
        self.until = time.monotonic() + seconds
        self.threads, self.failures = [], []

    def add(self, what, seed, pause=0.0):
        self.threads.append(threading.Thread(target=self.go, args=(what, random.Random(seed), pause), daemon=True))
        self.threads[-1].start()

    def go(self, what, r, pause):
        try:
            while time.monotonic() < self.until:
                what(r)
                time.sleep(pause)  # the pace
        except Exception as error:
            self.failures.append(error)

    def join(self):
        for thread in self.threads:
            thread.join(60)
        assert not self.failures, self.failures


def storm_conf(anything):
    short = {"timeout": "200ms", "queue_timeout": "150ms"}
    quick = {"ping_interval": "100ms", "pong_timeout": "200ms", "max_unsent": "16KiB", "max_message": "64KiB"}

    def route(name, backend, mode, **websocket):
        return {"name": name, "path": f"/{name}", "backend": backend, **short,
                "websocket": {"mode": mode, **({} if mode == "tunnel" else quick), **websocket}}

    return {
        "threads": 4, "drain_timeout": "3s",
        "backends": {
            "echo": {"run": "threads", "module": module("echo"), "threads": 2, "queue": 4},
            "sleep": {"run": "workers", "module": module("sleep"), "workers": 2, "queue": 4, "options": {"ms": 150}},
            "http": {"run": "workers", "command": python_worker(WORKER), "workers": 2, "concurrency": 2, "bridges": 8},
            "any": {"run": "loop", "proxy": anything.address, "limit": 4, "queue": 8, "bridges": 16}},
        "routes": [
            route("echo", "echo", "messages", in_flight=8), route("echo-events", "echo", "messages", format="events"),
            route("sleep", "sleep", "messages", in_flight=2, on_error="close", max_connections=6),
            route("http", "http", "messages", in_flight=3, read_ahead="1KiB"),
            route("any", "any", "messages", in_flight=8),
            route("any-events", "any", "messages", format="events", in_flight=4),
            route("bridge", "any", "bridge"),
            route("reconnect", "any", "bridge", reconnect=True, reconnect_timeout="300ms"),
            route("workers", "http", "bridge", reconnect=True, reconnect_timeout="500ms"),
            route("workers-off", "http", "bridge"), route("tunnel", "any", "tunnel", idle_timeout="500ms"),
            {"path_prefix": "/", "respond": {"status": 200, "body": "ok"}}]}


def left_over(b):
    """What is still taken, in words; empty: nothing."""
    status = b.status()
    open_ones = {w["route"]: w["open"] for w in status["websockets"] if w["open"]}
    places = {backend["name"]: (backend["busy"], backend["queued"]) for backend in status["backends"]
              if backend["busy"] or backend["queued"]}
    bridged = [w for backend in status["backends"] for w in backend.get("workers", []) if w.get("bridged")]
    clients = status["connections"]["open"]
    return [what for what in (open_ones, places, bridged) if what] + ([f"{clients} connections"] if clients > 2 else [])


def test_a_storm_leaves_nothing_behind():
    print("BULKHEAD_STORM_SEED", SEED)
    anything = Anything(SEED)
    with Bulkhead(storm_conf(anything)) as b:
        for name, slots in (("sleep", 2), ("http", 4)):
            b.wait_workers(name, slots)
        routes = [w["route"] for w in b.status()["websockets"]]
        front, address = b.front_pid(), ("127.0.0.1", b.port)
        crowd = Crowd(SECONDS)
        for i in range(CLIENTS):
            crowd.add(lambda r: play_client(r, address, f"/{r.choice(routes)}"), SEED + i)
        crowd.add(lambda r: bother_operator(r, b, routes), SEED + 100, 0.01)
        crowd.add(lambda r: bother_control(r, b), SEED + 101, 0.02)
        crowd.add(lambda r: bother_worker(r, workers(b) or [0x7fffffff]), SEED + 102, 0.3)
        crowd.join()
        try:
            eventually(lambda: not left_over(b), "everything given back", 15)
        except AssertionError:
            print(left_over(b))
            raise
        assert b.front_pid() == front and "has ended" not in front_ends(b, front), front_ends(b, front)
        assert request(address, "GET", "/x").status == 200
    anything.sock.close()


def front_ends(b, front):
    return "\n".join(line for line in b.log().splitlines() if f"front pid {front}" in line)
