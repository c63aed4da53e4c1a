# SPDX-License-Identifier: MIT
"""The clients of the chaos tests: each in a thread of its own, each call with an id that there is once. They note every
outcome in the ledger, and never stop for one; what is idempotent is asked again until it is answered.
"""
import itertools
import json
import random
import socket
import sys
import threading
import time

from harness import SLOW, Client
from ws_client import CLOSE, handshake, WebSocket

CLIENT_TIMEOUT = 20  # longer than all limits of the server's together; times SLOW in harness.Client
LOST_AFTER = 6 * SLOW
RETRIES = 100
PAUSE = 0.05  # before another try
BODIES = [0, 0, 0, 100, 3000, 30000]
BODY_IN_MEMORY = 4096  # limits.body_memory: longer ones go through a spool file


class Load:
    """All clients. They work while `go` is set and until `end` is."""

    def __init__(self, address, ledger, seed):
        self.address, self.ledger = address, ledger
        self.go, self.end = threading.Event(), threading.Event()
        self.rng = random.Random(seed)
        self.clients = []

    def add(self, kind, lane, path, count):
        for _ in range(count):
            name = f"{lane}{len(self.clients)}"
            self.clients.append(kind(self, lane, path, name, random.Random(self.rng.random())))

    def start(self):
        for client in self.clients:
            client.thread.start()
        self.go.set()

    def pause(self):
        """Returns when every client has its last answer and has closed its connection."""
        self.go.clear()
        for client in self.clients:
            if not client.is_idle.wait(3 * CLIENT_TIMEOUT * SLOW):
                self.ledger.violation(f"{client.name} has waited for an answer for {3 * CLIENT_TIMEOUT * SLOW} s")

    def resume(self):
        for client in self.clients:
            client.is_idle.clear()
        self.go.set()

    def finish(self):
        self.end.set()
        self.go.set()
        for client in self.clients:
            client.thread.join(3 * CLIENT_TIMEOUT * SLOW)
            if client.thread.is_alive():
                self.ledger.violation(f"{client.name} has not ended")


class LoadClient:
    """work(): some calls; leave(): no connection any more."""

    def __init__(self, load, lane, path, name, rng):
        self.load, self.ledger, self.lane, self.path, self.name, self.rng = load, load.ledger, lane, path, name, rng
        self.numbers = itertools.count()
        self.is_idle = threading.Event()
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self):
        try:
            while not self.load.end.is_set():
                if self.load.go.is_set():
                    self.work()
                else:
                    self.leave()
                    self.is_idle.set()
                    self.load.go.wait()
        except Exception as error:  # the thread must not end without a word
            self.ledger.violation(f"{self.name}: {type(error).__name__}: {error}")
            raise
        finally:
            self.leave()
            self.is_idle.set()

    def next_id(self):
        return f"{self.name}-{next(self.numbers)}"

    def leave(self):
        raise NotImplementedError

    def work(self):
        raise NotImplementedError


def reason_of(response):
    """The word of a refusal; what is none is told in full."""
    try:
        return response.json["reason"]
    except (ValueError, KeyError, TypeError):
        return f"status {response.status} with {response.body[:80]!r}"


class HttpClient(LoadClient):
    """Requests on a kept connection; half of them are idempotent."""

    stream = None

    def work(self):
        call, method = self.next_id(), self.rng.choice(("POST", "PUT"))
        length, ms = self.rng.choice(BODIES), self.rng.choice((0, 0, 5, 20, 60))
        for _ in range(RETRIES if method == "PUT" else 1):
            start = self.ledger.now()
            outcome = self.exchange(method, call, length, ms)
            self.ledger.record(call, self.lane, method == "PUT", start, outcome)
            if outcome == "ok" or self.load.end.is_set():
                return
            time.sleep(PAUSE)
        if method == "PUT":
            self.ledger.violation(f"idempotent, and without an answer after {RETRIES} tries: {call}")

    def exchange(self, method, call, length, ms):
        try:
            self.stream = self.stream or Client(self.load.address, CLIENT_TIMEOUT)
        except OSError as error:
            return "silent" if isinstance(error, socket.timeout) else "refused"
        try:
            self.stream.send(f"{method} {self.path}/{call}?ms={ms} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"
                             + "x" * length)
            response = self.stream.response(method)
        except (EOFError, OSError) as error:
            self.leave()
            return "silent" if isinstance(error, socket.timeout) else "upload cut" if length > BODY_IN_MEMORY else "cut"
        if not response.complete:
            self.leave()
            return "cut"
        if (response.header("connection") or "").lower() == "close":
            self.leave()
        if response.status != 200:
            return reason_of(response)
        return "ok" if response.body == f"{call} {length}".encode() else f"the answer is {response.body[:80]!r}"

    def leave(self):
        if self.stream is not None:
            self.stream.close()
        self.stream = None


class WebSocketClient(LoadClient):
    """Messages on an open connection, at most `ahead` without an answer; the answers come in the order of the messages."""

    ahead = 3
    ws = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = []  # (id, start), those without an answer
        self.lost = set()

    def work(self):
        if self.ws is None and not self.open():
            time.sleep(PAUSE)
            return
        try:
            for _ in range(self.rng.randint(1, self.ahead)):
                call = self.next_id()
                self.asked.append((call, self.ledger.now()))
                self.ws.text(call)
            while self.asked:
                self.answer()
        except (EOFError, OSError):
            self.closed("closed 1006")

    def open(self):
        """A refused handshake is a call too."""
        start = self.ledger.now()
        outcome = self.handshake()
        if outcome != "ok":
            self.ledger.record(f"{self.name}-open", self.lane, True, start, outcome)
        return outcome == "ok"

    def handshake(self):
        try:
            stream = Client(self.load.address, CLIENT_TIMEOUT)
        except OSError as error:
            return "silent" if isinstance(error, socket.timeout) else "refused"
        try:
            stream.send(handshake(f"{self.path}?ms={self.rng.choice((0, 0, 5, 30))}"))
            response = stream.response(skip_interim=False)
        except (EOFError, OSError) as error:
            stream.close()
            return "silent" if isinstance(error, socket.timeout) else "cut"
        if response.status != 101:
            stream.close()
            return reason_of(response)
        stream.sock.settimeout(LOST_AFTER)
        self.ws, self.lost = WebSocket(stream), set()
        return "ok"

    def answer(self):
        try:
            got = self.ws.data_frame()
        except socket.timeout:
            self.lost |= {call for call, _ in self.asked}
            self.settle("lost")
            return
        if got.opcode == CLOSE:
            self.closed(f"closed {got.code}")
            return
        self.match(got.payload.decode())

    def match(self, text):
        """An answer, or the error that stands in its place."""
        if text.startswith("{"):
            self.settle(json.loads(text)["error"]["reason"], 1)
            return
        call = text.split(" ")[0]
        if call in self.lost:
            return  # late, not lost
        while self.asked and call != self.asked[0][0] and call in [asked for asked, _ in self.asked]:
            self.settle("lost", 1)
        ok = self.asked and text == f"{self.asked[0][0]} {len(self.asked[0][0])}"
        self.settle("ok" if ok else f"the answer is {text[:80]!r}", 1)

    def settle(self, outcome, count=sys.maxsize):
        done, self.asked = self.asked[:count], self.asked[count:]
        for call, start in done:
            self.ledger.record(call, self.lane, False, start, outcome)

    def closed(self, outcome):
        """The messages without an answer have that outcome; if there are none, the connection has it."""
        if not self.asked:
            self.asked = [(f"{self.name}-idle", self.ledger.now())]
        self.settle(outcome)
        self.leave()

    def leave(self):
        if self.ws is not None:
            self.ws.leave()
        self.ws = None


class OneByOne(WebSocketClient):
    """Waits for each answer: whether one is lost is seen when the next comes or none."""

    ahead = 1
