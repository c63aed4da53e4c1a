# SPDX-License-Identifier: MIT
"""The life of a call: queued, shed, timed out, abandoned; and what the client, the log and the status page say of it."""
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import Bulkhead, RecordingBackend, eventually, module, respond

# a backend whose calls last until the test lets them go
class Held:
    def __init__(self):
        self.release = threading.Event()
        self.backend = RecordingBackend(self.answer)

    def answer(self, seen, conn):
        if "hold" in seen.target:
            self.release.wait(60)
        return respond(seen.target)

    @property
    def targets(self):
        return [s.target for s in self.backend.seen]


@pytest.fixture
def held():
    h = Held()
    yield h
    h.release.set()
    h.backend.close()


def conf(held, **backend):
    options = {"run": "loop", "proxy": held.backend.address, "limit": 1, "queue": 2, "queue_timeout": "20s", "timeout": "30s"}
    options.update(backend)
    return {
        "backends": {"up": options, "other": {"run": "loop", "proxy": held.backend.address, "limit": 4}},
        "routes": [
            {"path": "/health", "respond": {"body": "ok"}},
            {"path_prefix": "/other/", "backend": "other"},
            {"path_prefix": "/short/", "backend": "up", "timeout": "300ms", "queue_timeout": "200ms"},
            {"path_prefix": "/", "backend": "up", "max_body": 10},
        ],
    }


def send(b, path):
    c = b.connect(timeout=40)
    c.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    return c


def waiting(b, busy, queued, name="up"):
    def check():
        s = b.backend(name)
        return s["busy"] == busy and s["queued"] == queued
    eventually(check, f"{busy} busy and {queued} queued")


def test_full_queue_sheds_at_once_and_says_why(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        queued = [send(b, f"/hold/{i}") for i in (2, 3)]
        waiting(b, 1, 2)
        response = b.get("/hold/4")
        assert response.status == 503
        assert response.json["reason"] == "queue-full" and response.json["backend"] == "up"
        assert 1 <= int(response.header("retry-after")) <= 60
        assert "connection_limit_reached" in response.header("proxy-status")
        # everything else stays dry
        assert b.get("/health").status == 200
        assert b.get("/other/x").status == 200
        held.release.set()
        assert [c.response().status for c in [first, *queued]] == [200] * 3
        waiting(b, 0, 0)
        assert b.backend("up")["outcomes"]["queue-full"] == 1
        assert b.access_of("/hold/4")[0]["reason"] == "queue-full"


def test_queue_is_first_come_first_served(held):
    with Bulkhead(conf(held, queue=10)) as b:
        clients = []
        for i in range(6):
            clients.append(send(b, f"/hold/{i}"))
            waiting(b, 1, i)
        held.release.set()
        assert [c.response().body.decode() for c in clients] == [f"/hold/{i}" for i in range(6)]
        assert held.targets == [f"/hold/{i}" for i in range(6)]


def test_queue_timeout_fires_while_the_slot_is_still_taken(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        started = time.monotonic()
        response = b.get("/short/hold/2")
        assert response.status == 503 and response.json["reason"] == "queue-timeout"
        assert time.monotonic() - started >= 0.2
        assert b.backend("up")["busy"] == 1
        held.release.set()
        assert first.response().status == 200
        assert "/short/hold/2" not in held.targets, "what timed out in the queue is never executed"


def test_departed_client_leaves_the_queue_unexecuted(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        second = send(b, "/hold/2")
        waiting(b, 1, 1)
        second.close()
        waiting(b, 1, 0)
        held.release.set()
        assert first.response().status == 200
        assert b.get("/after").status == 200
        assert held.targets == ["/hold/1", "/after"]
        line = b.access_of("/hold/2")[0]
        assert line["status"] == 499 and line["reason"] == "abandoned"


def test_departed_client_is_noticed_behind_its_own_pipelined_requests(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        second = b.connect()
        second.send("GET /hold/2 HTTP/1.1\r\nHost: test\r\n\r\nGET /hold/3 HTTP/1.1\r\nHost: test\r\n\r\n")
        waiting(b, 1, 1)
        second.close()
        waiting(b, 1, 0)
        held.release.set()
        assert first.response().status == 200
        assert b.get("/after").status == 200
        assert held.targets == ["/hold/1", "/after"]


def test_requests_pipelined_behind_a_waiting_one_are_answered_after_it(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        second = send(b, "/hold/2")
        waiting(b, 1, 1)
        second.send("GET /3 HTTP/1.1\r\nHost: test\r\n\r\n")
        held.release.set()
        assert first.response().status == 200
        assert [second.response().body.decode() for _ in range(2)] == ["/hold/2", "/3"]


def test_execution_timeout_answers_504_at_its_instant(held):
    with Bulkhead(conf(held)) as b:
        started = time.monotonic()
        response = b.get("/short/hold/1")
        assert response.status == 504 and response.json["reason"] == "deadline"
        assert 0.3 <= time.monotonic() - started < 10
        waiting(b, 0, 0)


def test_body_over_the_routes_limit(held):
    with Bulkhead(conf(held)) as b:
        assert b.request("POST", "/x", body="0123456789").status == 200
        response = b.request("POST", "/x", body="0123456789a")
        assert response.status == 413 and response.json["reason"] == "body-too-large"
        assert len(held.backend.seen) == 1


def test_no_route(held):
    c = conf(held)
    c["routes"].pop()
    with Bulkhead(c) as b:
        response = b.get("/nowhere")
        assert response.status == 404 and response.json["reason"] == "no-route"
        html = b.get("/nowhere", headers={"Accept": "text/html"})
        assert html.status == 404 and html.header("content-type").startswith("text/html") and b"<html" in html.body.lower()


def test_abandoned_work_keeps_its_slot_until_it_ends():
    """Threads: the client leaves, the handler goes on; the slot is free only when it has returned."""
    c = {"backends": {"t": {"run": "threads", "module": module("sleep"), "threads": 1, "queue": 5}},
         "routes": [{"path_prefix": "/", "backend": "t"}]}
    with Bulkhead(c) as b:
        first = send(b, "/?ms=1500")
        waiting(b, 1, 0, "t")
        first.close()
        started = time.monotonic()
        assert b.get("/?ms=1").status == 200
        assert time.monotonic() - started > 0.5, "the second call waited for the first one's end"


def test_timed_out_worker_is_killed_and_replaced():
    c = {"backends": {"w": {"run": "workers", "module": module("spin"), "workers": 1, "timeout": "300ms", "stop_timeout": "200ms"}},
         "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(c) as b:
        pid = b.backend("w")["workers"][0]["pid"]
        assert b.get("/?ms=forever").status == 504
        eventually(lambda: b.backend("w")["workers"] and b.backend("w")["workers"][0]["pid"] not in (0, pid), "a new worker")
        assert b.get("/?ms=1").status == 200


def test_timed_out_thread_is_named_stuck_and_keeps_its_slot():
    c = {"backends": {"t": {"run": "threads", "module": module("sleep"), "threads": 2, "timeout": "200ms"}},
         "routes": [{"path_prefix": "/", "backend": "t"}]}
    with Bulkhead(c) as b:
        assert b.get("/?ms=2500").status == 504
        assert b.backend("t")["busy"] == 1, "a thread cannot be killed: its slot stays taken"
        assert b.get("/?ms=1").status == 200, "the other thread serves"
        waiting(b, 0, 0, "t")
        assert b.get("/?ms=1").status == 200


def test_ten_calls_overlap_in_ten_threads():
    c = {"backends": {"t": {"run": "threads", "module": module("sleep"), "threads": 10}},
         "routes": [{"path_prefix": "/", "backend": "t"}]}
    with Bulkhead(c) as b, ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(b.get, "/?ms=1000") for _ in range(10)]
        waiting(b, 10, 0, "t")
        assert {f.result().status for f in calls} == {200}


@pytest.mark.usefixtures("deliberate_segv")
def test_retry_after_worker_death_only_when_safe(tmp_path):
    c = {"backends": {"w": {"run": "workers", "module": module("echo"), "workers": 2}},
         "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(c) as b:
        response = b.request("POST", "/?crash=segv", body="x")
        assert response.status == 502 and response.json["reason"] == "worker-lost"
        assert b.get("/").status == 200


def test_streaming_answer_is_passed_on_as_it_comes():
    gate = threading.Event()

    def answer(seen, conn):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        gate.wait(30)
        conn.sendall(b"7\r\nsecond\n\r\n0\r\n\r\n")
        return b""
    with RecordingBackend(answer) as up:
        c = {"backends": {"up": {"run": "loop", "proxy": up.address}},
             "routes": [{"path_prefix": "/", "backend": "up", "buffer": False}]}
        with Bulkhead(c) as b:
            with b.connect() as client:
                client.send("GET /sse HTTP/1.1\r\nHost: test\r\n\r\n")
                while b"first" not in client.buffer:
                    assert client._fill()
                assert b"second" not in client.buffer
                gate.set()
                response = client.response()
                assert response.complete and response.body == b"first\nsecond\n"


def test_slow_reader_holds_no_slot():
    body = b"x" * (32 << 20)
    with RecordingBackend(lambda seen, conn: respond(body)) as up:
        c = {"backends": {"up": {"run": "loop", "proxy": up.address, "limit": 1}},
             "routes": [{"path_prefix": "/", "backend": "up"}]}
        with Bulkhead(c) as b:
            slow = b.connect(timeout=60)
            slow.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
            waiting(b, 0, 0)
            eventually(lambda: len(up.seen) == 1, "the backend was asked")
            waiting(b, 0, 0)
            assert b.get("/second").status == 200
            response = slow.response()
            assert response.complete and response.body == body


def test_head_and_bodyless_statuses_from_a_backend():
    def answer(seen, conn):
        status = int(re.search(r"(\d+)", seen.target)[1])
        if seen.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        if status in (204, 304):
            return b"HTTP/1.1 %d X\r\n\r\n" % status
        return respond("body", status)
    with RecordingBackend(answer) as up:
        c = {"backends": {"up": {"run": "loop", "proxy": up.address}}, "routes": [{"path_prefix": "/", "backend": "up"}]}
        with Bulkhead(c) as b, b.connect() as client:
            for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 404), ("GET", 500), ("HEAD", 404)):
                client.send(f"{method} /{status} HTTP/1.1\r\nHost: test\r\n\r\n")
                response = client.response(method)
                assert response.status == (200 if method == "HEAD" else status)
                if method == "HEAD":
                    assert response.header("content-length") == "1000"


def test_access_log_times_and_names(held):
    with Bulkhead(conf(held)) as b:
        first = send(b, "/hold/1")
        waiting(b, 1, 0)
        second = send(b, "/hold/2?secret=1")
        waiting(b, 1, 1)
        held.release.set()
        assert first.response().status == second.response().status == 200
        line = b.access_of("/hold/2")[0]
        assert line["backend"] == "up" and line["class"] == "loop" and line["status"] == 200
        assert line["queue_us"] > 0 and line["service_us"] >= 0 and line["total_us"] >= line["queue_us"]
        assert line["outcome"] and line["id"] and line["bytes"] == len("/hold/2?secret=1")


def test_access_log_names_the_route_by_its_name_or_by_its_place_in_the_conf(held):
    c = conf(held)
    c["routes"][-1]["name"] = "everything else"
    with Bulkhead(c) as b:
        assert b.get("/health").status == b.get("/named").status == 200
        with open(b.conf_path) as f:
            line = next(n for n, text in enumerate(f, 1) if '"/health"' in text) - 1  # where its object begins
        assert b.access_of("/health")[0]["route"] == f"test.conf:{line}"
        assert b.access_of("/named")[0]["route"] == "everything else"


def test_two_loop_threads_share_one_queue(held):
    c = conf(held, limit=2, queue=20)
    c["threads"] = 2
    with Bulkhead(c) as b:
        clients = [send(b, f"/hold/{i}") for i in range(12)]
        waiting(b, 2, 10)
        held.release.set()
        assert [x.response().status for x in clients] == [200] * 12
        waiting(b, 0, 0)
