# SPDX-License-Identifier: MIT
"""The life of workers under load: replaced politely for their calls, their age, their memory; told to be ready by an
answer; and never a request that fails for it.
"""
import re
import threading
import time

import pytest

from harness import SLOW, Bulkhead, alive, eventually, module, python_worker

# An HTTP server of one connection at a time. /ready answers what the file says; /leak keeps 64 MiB; what ends in ?N takes N ms,
# /spin?N of CPU time.
SERVER = """
import os, re, socket, sys, time
s = socket.socket(fileno=3)
kept = []
def body(path):
    if path.startswith('/leak'):
        kept.append(b'x' * (64 << 20))
    if path.startswith('/spin'):
        end = time.monotonic() + int(path.split('?')[1]) / 1000
        while time.monotonic() < end:
            pass
    elif '?' in path:
        time.sleep(int(path.split('?')[1]) / 1000)
    return b'%d' % os.getpid()
def status(path):
    if path != '/ready':
        return b'200 OK'
    try:
        return open(sys.argv[1]).read().encode()
    except OSError:
        return b'503 No'
def serve(c):
    data = b''
    while True:
        while b'\\r\\n\\r\\n' not in data:
            more = c.recv(65536)
            if not more:
                return
            data += more
        head, data = data.split(b'\\r\\n\\r\\n', 1)
        path = head.split()[1].decode()
        answer = body(path)
        c.sendall(b'HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (status(path), len(answer), answer))
        if b'onnection: close' in head:
            return
print('born', os.getpid(), flush=True)
while True:
    c, _ = s.accept()
    try:
        serve(c)
    except OSError:
        pass
    c.close()
"""


def conf_of(backend, **more):
    return {"backends": {"w": {"run": "workers", "nice": 0, **backend}}, "routes": [{"path_prefix": "/", "backend": "w"}], **more}


def server(*arguments, **backend):
    return conf_of({"command": python_worker(SERVER) + list(arguments), **backend})


class Load:
    """Clients on kept connections that count what is not 200 until they are left."""

    def __init__(self, b, clients=4, path="/"):
        self.b, self.path, self.stop = b, path, threading.Event()
        self.answers, self.wrong = 0, []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]

    def run(self):
        with self.b.connect(timeout=30) as c:
            while not self.stop.is_set():
                c.send(f"GET {self.path} HTTP/1.1\r\nHost: test\r\n\r\n")
                response = c.response()
                self.answers += 1
                if response.status != 200:
                    self.wrong.append(response)
                if (response.header("Connection") or "").lower() == "close":
                    c.close()
                    c.__init__(("127.0.0.1", self.b.port), 30)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(60)


def pids(b):
    return sorted(w["pid"] for w in b.backend("w")["workers"] if w["state"] in ("idle", "busy"))


def born(b):
    return len(re.findall(r"born \d+", b.log()))


# ---- why a worker is replaced ----------------------------------------------------------------------------------------

def test_workers_are_replaced_after_max_requests_and_no_request_fails():
    with Bulkhead(conf_of({"module": module("echo"), "workers": 3, "max_requests": 20})) as b:
        with Load(b) as load:
            eventually(lambda: b.log().count("max_requests: it has served") >= 200 // SLOW, "200 recyclings", 80)
        assert not load.wrong and load.answers >= 1000 // SLOW
        served = [int(n) for n in re.findall(r"max_requests: it has served (\d+) calls", b.log())]
        assert min(served) >= 18 and max(served) <= 22 and len(set(served)) > 1, "give or take a tenth"
        eventually(lambda: len(pids(b)) == 3, "three workers")
        eventually(lambda: len(b.pids()) <= 6, "front, guardian, three workers and one being started")


def test_a_worker_with_a_call_is_replaced_only_when_that_has_ended():
    with Bulkhead(server(workers=1, max_requests=1)) as b:
        first = b.get("/").body
        eventually(lambda: born(b) == 2 and pids(b) and pids(b) != [int(first)], "another serves")
        with b.connect() as c:
            c.send("GET /slow?600 HTTP/1.1\r\nHost: test\r\n\r\n")
            eventually(lambda: [w for w in b.backend("w")["workers"] if w["busy"]], "the call runs")
            response = c.response()
        assert response.status == 200


def test_workers_are_replaced_at_max_lifetime():
    with Bulkhead(server(workers=2, max_lifetime="1s")) as b:
        b.wait_workers("w", 2)
        first = pids(b)
        with Load(b) as load:
            eventually(lambda: born(b) >= 4 and not set(pids(b)) & set(first), "all are others", 20)
        assert not load.wrong and "max_lifetime: it is" in b.log()
        eventually(lambda: not [p for p in first if alive(p)], "the old ones are gone")


def test_a_worker_past_memory_limit_is_replaced_politely():
    with Bulkhead(server(workers=1, memory_limit="60MiB")) as b:
        first = int(b.get("/leak").body)
        with Load(b, clients=2) as load:
            eventually(lambda: not alive(first), "it is gone")
        assert not load.wrong
        assert re.search(r"memory_limit: it holds \d+\.\d MiB, the limit is 60\.0 MiB", b.log())
        assert b.get("/").status == 200


def test_a_worker_past_memory_limit_hard_is_killed_with_its_call():
    with Bulkhead(server(workers=1, memory_limit_hard="60MiB")) as b:
        first, = pids(b)
        response = b.request("POST", "/leak?30000")
        assert response.status == 502 and response.json["reason"] == "worker-lost"
        eventually(lambda: not alive(first), "it is gone")
        assert re.search(r"being killed: memory_limit_hard: it holds \d+\.\d MiB", b.log())
        assert b.get("/").status == 200


# ---- what comes in its place -----------------------------------------------------------------------------------------

def test_a_worker_is_ready_when_it_answers_ready_path_with_2xx(tmp_path):
    says = tmp_path / "says"
    says.write_text("503 Not yet")
    with Bulkhead(server(str(says), workers=1, ready_path="/ready"), ready=False) as b:
        eventually(lambda: "born" in b.log(), "it runs")
        time.sleep(0.3)  # what must not happen in this time is that it becomes ready
        assert not re.search(r"w\[0\] pid \d+ is ready", b.log())
        says.write_text("204 Fine")
        b.wait_ready()
        assert b.get("/").status == 200


def test_a_worker_that_says_no_is_told_of_with_its_answer(tmp_path):
    conf = server(str(tmp_path / "absent"), workers=1, ready_path="/ready", start_timeout="600ms")
    with Bulkhead(conf, ready=False) as b:
        eventually(lambda: "answered 503 to GET /ready (ready_path) within start_timeout" in b.log(), "the reason")


def test_a_replacement_that_never_gets_ready_keeps_the_old_one_in_place(tmp_path):
    says = tmp_path / "says"
    says.write_text("200 Yes")
    conf = server(str(says), workers=2, ready_path="/ready", max_requests=5, start_timeout="400ms")
    with Bulkhead(conf) as b:
        b.wait_workers("w", 2)
        first = pids(b)
        says.write_text("503 No")
        with Load(b) as load:
            eventually(lambda: b.log().count("answered 503 to GET /ready") >= 2, "two tries")
            assert pids(b) == first
            assert not b.backend("w")["down"] and b.admin("/readyz").status == 200
            says.write_text("200 Yes")
            eventually(lambda: not set(pids(b)) & set(first), "both are replaced", 20)
        assert not load.wrong


def test_a_pool_has_never_fewer_ready_workers_than_it_should():
    with Bulkhead(server(workers=2, max_requests=10)) as b:
        b.wait_workers("w", 2)
        limits = set()
        with Load(b) as load:
            while born(b) < 12:
                limits.add(b.backend("w")["limit"])
        assert limits == {2} and not load.wrong


@pytest.mark.parametrize("surge", [1, 3])
def test_as_many_are_replaced_at_a_time_as_max_surge_says(surge):
    with Bulkhead(server(workers=4, max_surge=surge, max_lifetime="1s")) as b:
        most = 0

        def replaced():
            nonlocal most
            most = max(most, len([w for w in b.backend("w")["workers"] if w["pid"]]))
            return born(b) >= 12
        eventually(replaced, "all are replaced twice", 20)
        assert 4 < most <= 4 + surge
        assert most > 5 or surge == 1


def test_threads_are_replaced_too():
    conf = conf_of({"run": "threads", "module": module("echo"), "threads": 4, "max_requests": 50})
    with Bulkhead(conf) as b:
        with Load(b) as load:
            eventually(lambda: b.log().count("max_requests: it has served") >= 10, "ten recyclings", 60)
        assert not load.wrong
        assert b.backend("w")["limit"] == 4


# ---- the end ---------------------------------------------------------------------------------------------------------

class Leaver:
    """A client on a kept connection that goes on until it is told to leave it, as one may at any answer."""

    def __init__(self, b):
        self.b, self.left, self.failure = b, threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with self.b.connect(timeout=30) as c:
            try:
                while True:
                    c.send("POST /?ms=3 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
                    response = c.response()
                    if response.status != 200:
                        self.failure = response
                        return
                    if (response.header("Connection") or "").lower() == "close":
                        self.left.set()
                        return
            except (EOFError, OSError) as error:
                self.failure = error


def test_a_stop_under_load_fails_no_request():
    with Bulkhead(conf_of({"run": "threads", "module": module("sleep"), "threads": 8, "queue": 200})) as b:
        clients = [Leaver(b) for _ in range(60)]
        eventually(lambda: len(b.access()) > 200, "all are at it")
        b.process.terminate()
        b.process.wait(30 * SLOW)
        for client in clients:
            client.thread.join(30 * SLOW)
        assert not [client.failure for client in clients if client.failure]
        assert all(client.left.is_set() for client in clients)
