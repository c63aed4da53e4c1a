# SPDX-License-Identifier: MIT
"""Calls that run for too long: reported once, with what their process does meanwhile; their workers killed at timeout, or only
when others wait; and whatever a worker does, nothing of it is left.
"""
import re
import signal
import time

import pytest

from harness import SLOW, Bulkhead, alive, eventually, module, processes_of_group_or_child, python_worker
from test_front_door import http2_bulkhead, http2_connect
from test_lifecycle import pids, server


def modules(name, **backend):
    return {"backends": {"w": {"run": "workers", "module": module(name), "workers": 1, "nice": 0, **backend}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}


def reports(b):
    return re.findall(r"stuck: (.*)", b.log())


# ---- the report ------------------------------------------------------------------------------------------------------

def test_a_call_that_sleeps_is_reported_once_with_what_it_waits_in():
    with Bulkhead(modules("sleep", warn_after="200ms")) as b:
        pid, = pids(b)
        assert b.get("/?ms=1200", headers={"X-Request-Id": "the-id"}).status == 200
        assert b.get("/?ms=1").status == 200
        report, = reports(b)
        assert re.match(rf"w\[0\] pid {pid}: GET /\?ms=1200 \(request the-id\) has been running for 0\.[2-9]\d\d s, and has "
                        r"taken 0\.0\d\d s of CPU time since; ", report), report
        assert re.search(r"; handler-0: sleeping( in \w+)?(, system call (clock_)?nanosleep)?", report), report


def test_a_call_that_computes_is_reported_with_its_cpu_time():
    with Bulkhead(server(workers=1, warn_after="500ms")) as b:
        b.get("/spin?1000")
        assert re.search(r"taken 0\.[2-9]\d\d s of CPU time since; python3\S*: ", reports(b)[0]) or SLOW > 1, reports(b)


def test_a_call_in_the_loop_or_a_thread_of_the_front_is_reported_too():
    conf = {"backends": {"w": {"run": "threads", "module": module("sleep"), "threads": 1, "in_front": True,
                               "warn_after": "100ms"}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        b.get("/a%20b?ms=500", headers={"X-Request-Id": "x"})
        report, = reports(b)
        assert re.match(r"w: GET /a(%20| )b\?ms=500 \(request x\) has been running for 0\.[1-4]\d\d s", report), report


def test_a_call_that_ends_in_time_is_not_reported():
    with Bulkhead(modules("sleep", warn_after="2s")) as b:
        assert b.get("/?ms=100").status == 200
        assert b.request("GET", "/?ms=1").status == 200 and not reports(b)


def test_where_all_calls_hang_the_log_is_not_filled():
    conf = modules("sleep", warn_after="100ms", workers=40)
    with Bulkhead(conf) as b:
        b.wait_workers("w", 40)
        clients = [b.connect(timeout=30) for _ in range(40)]
        for c in clients:
            c.send("GET /?ms=600 HTTP/1.1\r\nHost: test\r\n\r\n")
        for c in clients:
            assert c.response().status == 200
            c.close()
        assert 1 <= len(reports(b)) <= 30
        time.sleep(1)  # another second has begun
        b.get("/?ms=300")
        told = [int(n) for n in re.findall(r"stuck: (\d+) more calls have been running", b.log())]
        assert sum(told) + len([r for r in reports(b) if "GET /?ms=600" in r]) == 40


# ---- what happens then -----------------------------------------------------------------------------------------------

IGNORES_TERM = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
FORKS = "import subprocess\nfor _ in range(3):\n    subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 1000; sleep 1000'])\n"
SERVES = "import os, socket, time\ns = socket.socket(fileno=3)\nwhile True:\n    c, _ = s.accept()\n" \
         "    if not c.recv(65536):\n        c.close()\n        continue\n"


@pytest.mark.parametrize("code", [IGNORES_TERM + SERVES + "    time.sleep(1000)\n",
                                  FORKS + SERVES + "    time.sleep(1000)\n",
                                  IGNORES_TERM + FORKS + SERVES + "    while True: pass\n",
                                  SERVES + "    os.kill(os.getpid(), 19)\n"],
                         ids=["ignores TERM", "forks children", "ignores TERM, forks, loops without end", "stops itself"])
def test_a_worker_is_freed_at_its_deadline_and_nothing_of_it_is_left(code):
    conf = {"backends": {"w": {"run": "workers", "command": python_worker(code), "workers": 1, "timeout": "500ms",
                               "stop_timeout": "300ms", "nice": 0}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        first, = pids(b)
        family = [first] + processes_of_group_or_child(first)
        started = time.monotonic()
        response = b.request("POST", "/")
        assert response.status == 504 and response.json["reason"] == "deadline"
        assert 0.5 <= time.monotonic() - started < 2 * SLOW
        eventually(lambda: pids(b) and pids(b) != [first], "another serves")
        eventually(lambda: not [p for p in family if alive(p)], "nothing of it is left")


def test_a_worker_past_its_deadline_is_left_alone_while_nobody_waits():
    with Bulkhead(modules("sleep", timeout="300ms", kill_only_if_queued=True)) as b:
        first, = pids(b)
        assert b.request("POST", "/?ms=1200").status == 504
        eventually(lambda: pids(b) == [first], "it has finished what it did")
        assert b.get("/?ms=1").status == 200 and pids(b) == [first]
        assert "is being replaced" not in b.log()


def test_it_is_killed_as_soon_as_somebody_waits():
    with Bulkhead(modules("sleep", timeout="300ms", stop_timeout="2s", kill_only_if_queued=True)) as b:
        first, = pids(b)
        assert b.request("POST", "/?ms=60000").status == 504
        assert alive(first)
        started = time.monotonic()
        assert b.get("/?ms=1").status == 200
        assert time.monotonic() - started < 5 * SLOW
        assert "is being replaced: deadline, and calls wait" in b.log()
        eventually(lambda: not alive(first), "it is gone")


def test_it_is_killed_at_its_deadline_when_somebody_waits_already():
    with Bulkhead(modules("sleep", timeout="700ms", stop_timeout="2s", kill_only_if_queued=True)) as b:
        first, = pids(b)
        with b.connect() as c:
            c.send("POST /?ms=60000 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            assert b.get("/?ms=1").status == 200
            assert c.response().status == 504
        eventually(lambda: not alive(first), "it is gone")


def test_a_host_whose_threads_are_all_past_their_time_is_replaced_when_somebody_waits():
    conf = {"backends": {"t": {"run": "threads", "module": module("sleep"), "threads": 2, "timeout": "300ms",
                               "stop_timeout": "300ms", "queue_timeout": "20s"}},
            "routes": [{"path_prefix": "/", "backend": "t"}]}
    with Bulkhead(conf) as b:
        first = b.backend("t")["workers"][0]["pid"]
        assert [b.request("POST", "/?ms=60000").status for _ in range(2)] == [504, 504]
        assert b.backend("t")["busy"] == 2 and alive(first)
        assert b.get("/?ms=1").status == 200
        assert not alive(first)


# ---- held up by the client -------------------------------------------------------------------------------------------

LARGE = 24 << 20
SENDS_MUCH = "import socket\ns = socket.socket(fileno=3)\nwhile True:\n    c, _ = s.accept()\n    while c.recv(65536):\n" \
             f"        c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: {LARGE}\\r\\n\\r\\n' + b'x' * {LARGE})\n"


def sends_much(write_timeout="30s", **backend):
    return {"backends": {"w": {"run": "workers", "command": python_worker(SENDS_MUCH), "workers": 1, "nice": 0,
                               "timeout": "1s", "warn_after": "500ms", "max_response_buffer": "64KiB", **backend}},
            "routes": [{"path_prefix": "/", "backend": "w"}], "limits": {"write_timeout": write_timeout}}


def test_time_stands_still_while_the_client_does_not_take_its_answer():
    with Bulkhead(sends_much()) as b:
        first, = pids(b)
        with b.connect() as c:
            c.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            started = time.monotonic()
            eventually(lambda: time.monotonic() > started + 2 and b.backend("w")["busy"] == 1, "it is held up past its time")
            assert sum(iter(lambda: len(c.sock.recv(1 << 20)), 0)) > LARGE
        assert pids(b) == [first] and not reports(b)


def test_a_stream_that_takes_nothing_gives_its_slot_back_and_costs_no_worker():
    """Another stream is served all the time, so the connection is not to blame as a whole."""
    conf = sends_much(timeout="20s", warn_after="20s")
    conf["routes"].insert(0, {"path": "/hello", "respond": {"status": 200, "body": "x" * 20000}})
    del conf["limits"]
    with http2_bulkhead(conf, write_timeout="1s") as b:
        first, = pids(b)
        client = http2_connect(b)
        client.connection.increment_flow_control_window(1 << 30)
        client.not_taken.add(client.start("/"))
        eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
        eventually(lambda: client.get("/hello")[0] == 200 and b.backend("w")["busy"] == 0, "the slot is free")
        assert client.get("/hello")[0] == 200 and pids(b) == [first]
