# SPDX-License-Identifier: MIT
"""Backends and handlers that misbehave: garbage, halves, nothing, crashes. Each costs its own call and nobody else's."""
import os
import signal
import threading
import time

import pytest

from harness import SLOW, Bulkhead, RecordingBackend, alive, eventually, module, python_worker, respond

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def malformed(name, answer, statuses=(502,), cut=False):
    return pytest.param(answer, statuses, cut, id=name)


MALFORMED = [
    malformed("nothing", b""),
    malformed("garbage", b"\x00\x01\x02garbage\r\n\r\n"),
    malformed("not-http", b"SSH-2.0-OpenSSH\r\n\r\n"),
    malformed("http-0.9", b"<html>hello</html>"),
    malformed("half-status-line", b"HTTP/1.1 20"),
    malformed("half-head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    malformed("status-letters", b"HTTP/1.1 2x0 OK\r\n\r\n"),
    malformed("status-99", b"HTTP/1.1 99 OK\r\n\r\n"),
    malformed("status-4-digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    malformed("version-2", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    malformed("te-and-cl", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    malformed("cl-twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    malformed("cl-letters", b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nok"),
    malformed("cl-plus", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    malformed("cl-negative", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    malformed("cl-overflow", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
    malformed("te-gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    malformed("te-unknown", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\n0\r\n\r\n"),
    malformed("obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    malformed("bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    malformed("nul-in-head", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    malformed("bare-cr-in-head", b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    malformed("space-before-colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok"),
    malformed("no-colon", b"HTTP/1.1 200 OK\r\nbroken\r\nContent-Length: 2\r\n\r\nok"),
    malformed("unexpected-101", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
    malformed("interim-flood", b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK),
    malformed("head-many-fields", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"Content-Length: 2\r\n\r\nok"),
    malformed("head-huge", b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20) + b"\r\nContent-Length: 2\r\n\r\nok"),
    malformed("body-short", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", (200, 502), cut=True),
    malformed("chunk-cut", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", (200, 502), cut=True),
    malformed("chunk-no-last", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", (200, 502), cut=True),
    malformed("chunk-size-garbage", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", (200, 502), cut=True),
    malformed("chunk-size-overflow", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", (200, 502), cut=True),
]


@pytest.fixture(scope="module")
def faulty():
    state = {"answer": OK}

    def answer(seen, conn):
        if "bad" not in seen.target:
            return respond("fine")
        conn.sendall(state["answer"])
        return None
    with RecordingBackend(answer) as up:
        conf = {"backends": {"up": {"run": "loop", "proxy": up.address}}, "routes": [{"path_prefix": "/", "backend": "up"}]}
        with Bulkhead(conf) as b:
            yield b, state


@pytest.mark.parametrize("answer,statuses,cut", MALFORMED)
def test_malformed_answer_costs_its_own_call(faulty, answer, statuses, cut):
    b, state = faulty
    state["answer"] = answer
    front = b.front_pid()
    with b.connect() as c:
        c.send("GET /bad HTTP/1.1\r\nHost: test\r\n\r\n")
        response = c.response()
        assert response.status in statuses, response
        if response.status == 200:
            assert cut and not response.complete, "a cut answer must look cut"
        else:
            assert response.json["reason"] in ("upstream-garbage", "upstream-reset")
    assert b.get("/good").body == b"fine"
    assert b.front_pid() == front


def test_capital_chunked_is_understood(faulty):
    b, state = faulty
    state["answer"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert b.get("/bad").body == b"ok"


def test_surplus_bytes_do_not_reach_the_next_client(faulty):
    b, state = faulty
    state["answer"] = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    assert b.get("/bad").body == b"ok"
    for _ in range(5):
        assert b.get("/good").body == b"fine"


def test_refused_upstream():
    conf = {"backends": {"up": {"run": "loop", "proxy": "127.0.0.1:1"}}, "routes": [{"path_prefix": "/", "backend": "up"}]}
    with Bulkhead(conf) as b:
        response = b.get("/")
        assert response.status == 502 and response.json["reason"] == "upstream-refused"


def test_early_answer_while_the_body_is_still_being_sent():
    def answer(conn_seen, conn):
        return None
    import socket
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(8)

    def serve():
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            conn.recv(100)  # not the whole request
            conn.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
            conn.shutdown(socket.SHUT_WR)
            threading.Timer(5, conn.close).start()
    threading.Thread(target=serve, daemon=True).start()
    conf = {"backends": {"up": {"run": "loop", "proxy": "127.0.0.1:%d" % server.getsockname()[1]}},
            "routes": [{"path_prefix": "/", "backend": "up"}]}
    with Bulkhead(conf) as b:
        response = b.request("POST", "/", body=b"x" * (6 << 20))
        assert response.status == 413 and response.body == b"no!"
    server.close()


def rss(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * 4096


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.usefixtures("deliberate_segv")
@pytest.mark.parametrize("what", ["crash=segv", "crash=abort", "crash=exit", "fail=1", "nothing=1", "half=1"])
def test_a_misbehaving_handler_leaks_nothing(what):
    rounds = 60 if SLOW > 1 else 250
    conf = {"backends": {"w": {"run": "workers", "module": module("echo"), "workers": 2, "queue": 100, "queue_timeout": "30s"}},
            "routes": [{"path_prefix": "/", "backend": "w"}, ]}
    with Bulkhead(conf) as b:
        front = b.front_pid()
        for _ in range(20):
            b.request("POST", f"/?{what}", body="x")
        eventually(lambda: b.get("/").status == 200, "serving again")
        before_fds, before_rss = fds(front), rss(front)
        supervisor_fds = fds(b.process.pid)
        for _ in range(rounds):
            response = b.request("POST", f"/?{what}", body="x", timeout=30)
            assert response.status in (500, 502) or not response.complete, response
        eventually(lambda: b.get("/").status == 200, "serving again")
        eventually(lambda: all(w["state"] in ("idle", "ready") for w in b.backend("w")["workers"]), "all workers back")
        assert b.front_pid() == front
        assert fds(front) <= before_fds + 4
        assert fds(b.process.pid) <= supervisor_fds + 4
        if SLOW == 1:
            assert rss(front) <= before_rss * 1.05 + (1 << 20)


def test_killed_worker_costs_only_its_call():
    conf = {"backends": {"w": {"run": "workers", "module": module("sleep"), "workers": 2}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        c = b.connect()
        c.send("POST /?ms=30000 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        victim = eventually(lambda: next((w for w in b.backend("w")["workers"] if w["busy"]), None), "a busy worker")
        os.kill(victim["pid"], signal.SIGKILL)
        response = c.response()
        assert response.status == 502 and response.json["reason"] == "worker-lost"
        eventually(lambda: len([w for w in b.backend("w")["workers"] if w["pid"] not in (0, victim["pid"])]) == 2, "a replacement")
        assert b.get("/?ms=1").status == 200


@pytest.mark.usefixtures("deliberate_segv")
def test_killed_front_is_replaced_on_the_same_sockets_while_workers_keep_their_pids():
    conf = {"backends": {"w": {"run": "workers", "module": module("echo"), "workers": 2}},
            "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        pids = sorted(w["pid"] for w in b.backend("w")["workers"])
        for sig in (signal.SIGKILL, signal.SIGSEGV):
            front = b.front_pid()
            os.kill(front, sig)
            eventually(lambda: b.front_pid() not in (None, front), "a new front")
            b.wait_ready()
            assert b.get("/health").status == 200
            assert b.get("/").status == 200
            assert sorted(w["pid"] for w in b.backend("w")["workers"]) == pids


def test_hung_front_is_replaced():
    conf = {"heartbeat_timeout": "1s", "backends": {"w": {"run": "workers", "module": module("echo"), "workers": 1}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        front = b.front_pid()
        os.kill(front, signal.SIGSTOP)
        eventually(lambda: b.front_pid() not in (None, front), "a new front", 20)
        b.wait_ready()
        assert b.get("/").status == 200


def test_nothing_outlives_a_killed_supervisor():
    code = "import socket,subprocess,time\nsubprocess.Popen(['sleep','1000'])\n" \
           "s=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept()\n if c.recv(65536):\n" \
           "  c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')\n c.close()\n"
    conf = {"backends": {"w": {"run": "workers", "command": python_worker(code), "workers": 2}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        assert b.get("/").body == b"ok"
        everybody = b.pids()
        assert len(everybody) >= 5
        b.process.kill()
        b.process.wait()
        b.process = None
        eventually(lambda: not [p for p in everybody if alive(p)], "no process left")


def test_worker_that_never_accepts_makes_the_backend_down():
    conf = {"backends": {"w": {"run": "workers", "command": ["/bin/false"], "workers": 1, "queue_timeout": "2s"},
                         "ok": {"run": "workers", "module": module("echo"), "workers": 1}},
            "routes": [{"path_prefix": "/ok", "backend": "ok"}, {"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf, ready=False) as b:
        eventually(lambda: _status(b, "/ok") == 200, "the other backend serves")
        response = b.get("/x", timeout=30)
        assert response.status == 503 and response.json["reason"] == "backend-down"
        ready = b.admin("/readyz")
        assert ready.status == 503 and b"w" in ready.body


def _status(b, path):
    try:
        return b.get(path).status
    except OSError:
        return 0


def test_worker_output_is_logged_with_backend_and_pid():
    code = "import sys\nprint('hello from the worker', flush=True)\nsys.stderr.write('x' * 20000 + '\\n')\nsys.stderr.flush()\n" \
           "import socket\ns=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept()\n c.close()\n"
    conf = {"backends": {"chatty": {"run": "workers", "command": python_worker(code), "workers": 1}},
            "routes": [{"path_prefix": "/", "backend": "chatty"}]}
    with Bulkhead(conf) as b:
        line = eventually(lambda: next((l for l in b.log().splitlines() if "hello from the worker" in l), None), "the line")
        pid = b.backend("chatty")["workers"][0]["pid"]
        assert "chatty" in line and str(pid) in line
        assert max(len(l) for l in b.log().splitlines()) < 9000, "a long line is cut"
