# SPDX-License-Identifier: MIT
"""The commands as a new user types them."""
import json
import os
import signal
import socket
import subprocess

import pytest

from harness import BULKHEAD, TOP, Bulkhead, eventually, module, python_worker, request


def run(*args, **kw):
    return subprocess.run([BULKHEAD, *args], capture_output=True, text=True, timeout=60, **kw)


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["check", "--help"], ["status", "--help"], ["send", "--help"]])
def test_help(args):
    done = run(*args)
    assert done.returncode == 0 and "usage" in done.stdout.lower() and not done.stderr


def test_version():
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith("bulkhead ")


@pytest.mark.parametrize("args", [[], ["nonsense"], ["run"], ["run", "-c"], ["run", "--listen", "127.0.0.1:0"], ["run", "--workers", "0", "--", "true"],
                                  ["run", "--listen", "nonsense", "--", "true"], ["send"], ["send", "00ab"], ["send", "--route", "x"],
                                  ["send", "00ab", "hello", "more"], ["send", "00ab", "hello", "--reason", "why"]])
def test_wrong_usage_exits_2_and_says_what(args):
    done = run(*args)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_check_reports_every_problem_with_its_place(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text('{\n  "listeners": [{ "bind": "127.0.0.1:99999" }],\n  "backend": {},\n'
                    '  "backends": { "a": { "run": "wokers", "command": ["true"], "queue_timeout": "5 parsecs" } },\n'
                    '  "routes": [{ "path": "/", "backend": "b" }],\n}\n')
    done = run("check", "-c", str(conf))
    assert done.returncode == 2
    lines = [l for l in done.stderr.splitlines() if "error:" in l]
    for place, word, hint in ((":2:", "listeners", ""), (":3:", "backend", "backends"), (":4:", "run", "workers"),
                              (":4:", "queue_timeout", ""), (":5:", "routes", "")):
        assert any(place in l and word in l and hint in l for l in lines), (place, word, done.stderr)


def test_a_bad_conf_never_starts_anything(tmp_path):
    mark = tmp_path / "started"
    conf = tmp_path / "bad.conf"
    conf.write_text(json.dumps({"backends": {"a": {"run": "workers", "command": ["touch", str(mark)], "nonsense": 1}}}))
    done = run("run", "-c", str(conf))
    assert done.returncode == 2 and "nonsense" in done.stderr and not mark.exists()


def test_dump_is_a_conf_and_a_fixed_point(tmp_path):
    for source in ("conf/demo.conf", "contrib/examples/fastapi/bulkhead.conf", "contrib/examples/php/bulkhead.conf"):
        first = run("check", "--dump", "-c", os.path.join(TOP, source))
        assert first.returncode == 0, first.stderr
        again = tmp_path / "dump.conf"
        again.write_text(first.stdout)
        second = run("check", "--dump", "-c", str(again))
        assert second.returncode == 0, second.stderr
        assert json.loads(second.stdout) == json.loads(first.stdout)


@pytest.mark.parametrize("conf", ["conf/demo.conf", "conf/bulkhead.conf"] + [
    f"contrib/examples/{n}/bulkhead.conf" for n in ("fastapi", "flask", "wsgi", "php", "node", "cgi", "upstream")])
def test_every_shipped_conf_is_right(conf):
    done = run("check", "-c", os.path.join(TOP, conf))
    assert done.returncode == 0, done.stderr


WORKER = """import os,socket
s=socket.socket(fileno=3)
while True:
    c,_=s.accept()
    d=c.recv(65536)
    if d:
        body=b'%d' % os.getpid()
        c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
    c.close()
"""


def test_one_line_start(tmp_path):
    path, control = str(tmp_path / "http.sock"), str(tmp_path / "control.sock")
    b = Bulkhead(args=["run", "--listen", f"unix:{path}", "--workers", "2", "--queue", "4", "--timeout", "20s", "--control", control, "--",
                       *python_worker(WORKER, directory=str(tmp_path))], ready=False)
    with b:
        eventually(lambda: os.path.exists(path), "the listener")
        backend = eventually(lambda: (lambda b: b if b and b["limit"] == 2 else None)(only_backend(control)), "two workers ready")
        assert backend["queue"] == 4
        assert request(path, "GET", "/").body in {str(w["pid"]).encode() for w in backend["workers"]}
        text = run("status", "--control", control)
        assert text.returncode == 0 and backend["name"] in text.stdout
    assert not os.path.exists(control) and not os.path.exists(path), "sockets are removed"


def test_the_control_socket_speaks_http_without_an_admin_listener(tmp_path):
    path, control = str(tmp_path / "http.sock"), str(tmp_path / "control.sock")
    with Bulkhead(args=["run", "--listen", f"unix:{path}", "--workers", "1", "--control", control, "--",
                        *python_worker(WORKER, directory=str(tmp_path))], ready=False):
        eventually(lambda: only_backend(control), "the front serves")
        done = subprocess.run(["curl", "-sS", "--unix-socket", control, "http://x/healthz", "http://x/status"],
                              capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("ok\n{") and not done.stderr, "two requests on one connection"
        assert only_backend(control), "and its own language as before"


def only_backend(control):
    done = run("status", "--json", "--control", control)
    status = json.loads(done.stdout)["front_status"] if done.returncode == 0 else None
    return status["backends"][0] if status else None


def test_status_of_nobody_says_what_to_do(tmp_path):
    done = run("status", "--control", str(tmp_path / "nobody.sock"))
    assert done.returncode == 1 and "nobody.sock" in done.stderr


def test_status_shows_who_is_busy_and_who_waits():
    conf = {"backends": {"w": {"run": "workers", "module": module("sleep"), "workers": 1}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        clients = []
        for _ in range(3):
            c = b.connect(30)
            c.send("GET /busy?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n")
            clients.append(c)
        eventually(lambda: b.backend("w")["queued"] == 2, "two waiting")
        status = b.backend("w")
        assert status["busy"] == 1 and status["oldest_wait_us"] > 0
        worker = status["workers"][0]
        assert worker["state"] == "busy" and "/busy" in worker["request"] and worker["age_us"] > 0 and worker["pid"] > 0
        text = run("status", "--control", b.control).stdout
        assert "/busy" in text and str(worker["pid"]) in text
        assert [c.response().status for c in clients] == [200] * 3


def test_taken_address_is_named(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        conf = tmp_path / "c.conf"
        conf.write_text(json.dumps({"listeners": [{"bind": f"127.0.0.1:{port}"}], "control": str(tmp_path / "c.sock"),
                                    "routes": [{"path": "/", "respond": {}}]}))
        done = run("run", "-c", str(conf))
        assert done.returncode == 1 and str(port) in done.stderr


def test_interrupt_stops_everything():
    conf = {"backends": {"w": {"run": "workers", "module": module("echo"), "workers": 2}}, "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        everybody = b.pids()
        b.process.send_signal(signal.SIGINT)
        assert b.process.wait(30) == 0
        b.process = None
        eventually(lambda: not [p for p in everybody if os.path.exists(f"/proc/{p}")], "nobody is left")


def test_graceful_stop_finishes_what_runs():
    conf = {"backends": {"w": {"run": "workers", "module": module("sleep"), "workers": 1}}, "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        c = b.connect(30)
        c.send("GET /?ms=1000 HTTP/1.1\r\nHost: test\r\n\r\n")
        eventually(lambda: b.backend("w")["busy"] == 1, "running")
        b.process.send_signal(signal.SIGTERM)
        assert c.response().status == 200
        assert b.process.wait(30) == 0
        b.process = None
