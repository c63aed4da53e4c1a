# SPDX-License-Identifier: MIT
"""Legacy applications, unmodified, behind the confs in contrib/examples: each on Debian's own packages."""
import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness import BULKHEAD, TOP, Bulkhead, eventually

EXAMPLES = os.path.join(TOP, "contrib", "examples")


def example(name, change=None):
    """The example's conf as it stands, moved to addresses of the test's own."""
    path = os.path.join(EXAMPLES, name, "bulkhead.conf")
    done = subprocess.run([BULKHEAD, "check", "--dump", "-c", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    conf = json.loads(done.stdout)
    for key in ("listeners", "admin", "control", "log", "runtime_directory"):
        conf.pop(key, None)
    if change:
        change(conf)
    return Bulkhead(conf)


def together(n, call):
    with ThreadPoolExecutor(n) as pool:
        started = time.monotonic()
        results = list(pool.map(lambda _: call(), range(n)))
        return results, time.monotonic() - started


@pytest.fixture
def slow_server():
    """Answers after half a second: what requests.get waits for."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0.5)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"slow")

        def log_message(self, *_):
            pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d/" % server.server_address[1]
    server.shutdown()


def test_fastapi_blocks_only_its_own_calls(slow_server):
    with example("fastapi") as b:
        b.wait_workers("app", 4)
        answers, _ = together(4, lambda: b.get("/sleep?seconds=0.5").json["pid"])
        assert len(set(answers)) == 4, "four calls at once run in four processes"
        assert b.get(f"/fetch?url={slow_server}").json["body"] == "slow"
        assert b.get("/compute").json["total"] == 49999995000000
        response = b.request("POST", "/upload", headers={"Content-Type": "application/json"}, body='{"b": 1, "a": 2}')
        assert response.json == {"keys": ["a", "b"]}


@pytest.mark.parametrize("path", ["/sleep?seconds=1", "/compute?turns=10000000"])
def test_fastapi_health_is_answered_while_every_worker_is_busy(path):
    def change(conf):
        conf["backends"]["app"]["queue_timeout"] = "60s"
    with example("fastapi", change) as b:
        b.wait_workers("app", 4)
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(b.get, path, timeout=60) for _ in range(8)]
            eventually(lambda: b.backend("app")["busy"] == 4 and b.backend("app")["queued"] == 4, "all busy, the rest waiting")
            assert b.get("/health").body == b"ok\n"
            assert b.backend("app")["busy"] == 4, "the health check did not wait for a worker"
            assert all(c.result().status == 200 for c in calls)


def test_fastapi_crash_costs_its_own_call():
    with example("fastapi") as b:
        b.wait_workers("app", 4)
        pids = {w["pid"] for w in b.backend("app")["workers"]}
        assert b.get("/crash").status == 502
        assert b.get("/sleep?seconds=0").status == 200
        eventually(lambda: len({w["pid"] for w in b.backend("app")["workers"]} - pids - {0}) >= 1, "a replacement")


def test_flask_under_gunicorn():
    with example("flask") as b:
        b.wait_workers("app", 4)
        answers, _ = together(4, lambda: b.get("/sleep?seconds=0.5").json["pid"])
        assert len(set(answers)) == 4
        response = b.request("POST", "/form", headers={"Content-Type": "application/x-www-form-urlencoded"}, body="a=1&b=2")
        assert response.json == {"a": "1", "b": "2"}


def test_wsgi_on_the_standard_library():
    with example("wsgi") as b:
        b.wait_workers("app", 4)
        answers, _ = together(4, lambda: b.get("/sleep").body)
        assert len(set(answers)) == 4
        assert b.get("/x").body.startswith(b"GET /x from ")


def test_php():
    with example("php") as b:
        b.wait_workers("php", 4)
        answer = b.get("/index.php/extra/path?a=1").json
        assert answer["script"] == "/index.php" and answer["path_info"] == "/extra/path" and answer["get"] == {"a": "1"}
        assert answer["remote"] == "127.0.0.1"
        answer = b.request("POST", "/", headers={"Content-Type": "application/x-www-form-urlencoded"}, body="k=v").json
        assert answer["post"] == {"k": "v"} and answer["uri"] == "/"
        answers, _ = together(4, lambda: b.get("/index.php?sleep=0.5").json["pid"])
        assert len(set(answers)) == 4
        assert b.get("/missing.php").status == 404


def test_node():
    with example("node") as b:
        b.wait_workers("app", 2)
        answers, _ = together(2, lambda: b.get("/compute?ms=500").json["pid"])
        assert len(set(answers)) == 2
        assert b.request("POST", "/x?y=1", body="hello").json["body"] == "hello"


def test_cgi():
    with example("cgi") as b:
        response = b.request("POST", "/cgi-bin/hello/extra?q=1", body="payload")
        assert response.status == 200
        assert response.body == b"method POST\nscript /hello\npath_info /extra\nquery q=1\nbody payload\n"
        assert b.get("/cgi-bin/missing").status == 404
        assert b.get("/cgi-bin/%2e%2e/bulkhead.conf").status == 404
        assert b.get("/cgi-bin/../../app.py").status == 400
        answers, took = together(8, lambda: b.get("/cgi-bin/slow", timeout=30).status)
        assert set(answers) == {200}


def test_upstream_that_runs_elsewhere(slow_server):
    def change(conf):
        conf["backends"]["legacy"]["proxy"] = [slow_server.split("/")[2]]
    with example("upstream", change) as b:
        answers, _ = together(12, lambda: b.get("/").body)
        assert set(answers) == {b"slow"}
        assert b.backend("legacy")["limit"] == 8
