# SPDX-License-Identifier: MIT
"""WebSockets when bulkhead stops, and when its front dies."""
import os
import signal
import threading
import time

from harness import SLOW, Bulkhead, RecordingBackend, alive, eventually, module, respond
import ws_client


def conf(backend, **more):
    return {"backends": {"app": {"run": "loop", "proxy": [backend.address], "limit": 100}},
            "routes": [{"path": "/chat", "backend": "app", "websocket": "messages"}], **more}


def connect(b, path="/chat"):
    return ws_client.connect(("127.0.0.1", b.port), path)


def stop(b):
    b.process.send_signal(signal.SIGTERM)


def closes(b, count):
    return eventually(lambda: (lambda l: l if len(l) >= count else None)(
        [line for line in b.access() if line["method"] == "CLOSE"]), "lines of closed WebSockets")


class Held:
    """A backend that answers a message when it is told to."""

    def __init__(self):
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.backend = RecordingBackend(self.answer)
        self.address = self.backend.address

    def answer(self, seen, conn):
        self.arrived.set()
        self.go_on.wait(60)
        return respond("the answer", headers=["Content-Type: text/plain"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.backend.close()


def test_idle_websockets_are_told_that_it_stops():
    with RecordingBackend() as backend, Bulkhead(conf(backend)) as b:
        sockets = [connect(b) for _ in range(20)]
        stop(b)
        assert {ws.end()[:2] for ws in sockets} == {(1001, "going down")}
        b.process.wait(30 * SLOW)
        lines = closes(b, 20)
        assert {(line["status"], line["by"]) for line in lines} == {(1001, "bulkhead")}


def test_what_runs_is_answered_first():
    with Held() as held, Bulkhead(conf(held)) as b:
        busy, idle = connect(b), connect(b)
        busy.text("the question")
        assert held.arrived.wait(60)
        stop(b)
        assert idle.end().code == 1001, "the draining has begun"
        held.go_on.set()
        end = busy.end()
        assert end.code == 1001 and [f.payload for f in end.frames] == [b"the answer"]
        b.process.wait(30 * SLOW)


def test_what_never_ends_is_cut_at_the_end_of_the_time():
    with Held() as held, Bulkhead(conf(held, drain_timeout="1s")) as b:
        busy = connect(b)
        busy.text("the question")
        assert held.arrived.wait(60)
        started = time.monotonic()
        stop(b)
        assert busy.end() == (1006, "", [])
        assert time.monotonic() - started >= 0.5
        b.process.wait(30 * SLOW)
        assert closes(b, 1)[0]["status"] == 1006


def test_both_ends_of_a_bridge_are_told():
    with ws_client.WebSocketBackend() as backend:
        conf = {"backends": {"app": {"run": "loop", "proxy": [backend.address]}},
                "routes": [{"path": "/live", "backend": "app", "websocket": "bridge"}]}
        with Bulkhead(conf) as b:
            ws = connect(b, "/live")
            ws.text("x")
            assert ws.message() == "x"
            stop(b)
            assert ws.end().code == 1001
            b.process.wait(30 * SLOW)
            eventually(lambda: not backend.open, "the backend's side has ended")


def test_a_client_that_does_not_answer_the_close_does_not_hold_it_up():
    with RecordingBackend() as backend, Bulkhead(conf(backend, drain_timeout="20s")) as b:
        deaf = connect(b)
        stop(b)
        assert deaf.frame().code == 1001
        b.process.wait(19 * SLOW)


def test_handshakes_are_over_when_it_stops():
    with Held() as held, Bulkhead(conf(held)) as b:
        kept = b.connect()
        kept.send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.response().status == 404
        busy = connect(b)
        busy.text("the question")
        assert held.arrived.wait(60)
        stop(b)
        eventually(lambda: refuses(b), "the listener is closed")
        held.go_on.set()
        assert busy.end().code == 1001
        b.process.wait(30 * SLOW)


def refuses(b):
    try:
        b.connect().close()
        return False
    except OSError:
        return True


def test_a_front_that_dies_loses_its_websockets_and_the_next_one_has_new_ones():
    conf = {"backends": {"w": {"run": "workers", "module": module("echo"), "workers": 1}},
            "routes": [{"path": "/echo", "backend": "w", "websocket": "messages"}]}
    with Bulkhead(conf) as b:
        b.wait_workers("w", 1)
        worker = b.backend("w")["workers"][0]["pid"]
        ws, front = connect(b, "/echo"), b.front_pid()
        ws.text("before")
        assert ws.message() == "before"
        os.kill(front, signal.SIGKILL)
        assert ws.end().code == 1006
        eventually(lambda: not alive(front) and b.front_pid() not in (None, front), "another front")
        b.wait_ready()
        b.wait_workers("w", 1)
        with connect(b, "/echo") as again:
            again.text("after")
            assert again.message() == "after"
        assert b.backend("w")["workers"][0]["pid"] == worker, "the workers do not notice"
