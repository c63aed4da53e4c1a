# SPDX-License-Identifier: MIT
"""WebSockets as the programs that people use see them: Python's websockets, npm's ws, and a page in a browser."""
import asyncio
import json
import os
import shutil
import ssl
import subprocess
import threading

import pytest
import websockets

from harness import SLOW, TOP, Bulkhead, RecordingBackend, die_with_parent, eventually, free_port, module, respond
from test_front_door import make_certificate
from ws_client import WebSocketBackend, echo
from ws_rig import MODES, Echoes, route

FILES = os.path.join(TOP, "tests", "e2e", "files")
PATIENCE = 30 * SLOW
BLOCKED = 8  # seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tls = make_certificate(tmp_path_factory.mktemp("tls"), "site", ["site.example"])
    plain, secure, path = free_port(), free_port(), str(tmp_path_factory.mktemp("listener") / "http.sock")
    with Echoes() as echoes:
        backends = {**echoes.backends, "sleep": {"run": "workers", "module": module("sleep"), "workers": 1}}
        routes = [route(f"/{mode}", mode) for mode in MODES]
        routes += [route("/sleep", "plain", backend="sleep"), route("/spoken", "plain", {"protocols": ["v2", "v1"]}),
                   route("/pinging", "plain", {"ping_interval": "100ms", "pong_timeout": f"{5 * SLOW}s"})]
        listeners = [{"bind": f"127.0.0.1:{plain}"}, {"bind": f"unix:{path}"}, {"bind": f"127.0.0.1:{secure}", "tls": [tls]}]
        with Bulkhead({"backends": backends, "routes": routes}, listeners=listeners) as b:
            b.wait_workers("sleep", 1)
            b.port, b.tls_port, b.path = plain, secure, path
            yield b


# ---- Python's websockets ---------------------------------------------------------------------------------------------

def with_websockets(url, use, unix=None, **options):
    """Runs the coroutine use(ws) on an open connection."""
    async def main():
        opened = websockets.unix_connect(unix, url, **options) if unix else websockets.connect(url, **options)
        async with opened as ws:
            return await asyncio.wait_for(use(ws), PATIENCE)
    return asyncio.run(main())


async def exchange(ws):
    for message in ("hello", "κόσμε", b"\x00\xff", "x" * 300000, b"y" * 70000):
        await ws.send(message)
        assert await ws.recv() == message
    await ws.send(["in ", "three ", "fragments"])
    assert await ws.recv() == "in three fragments"
    await (await ws.ping("any"))
    await ws.close(4000, "enough")
    assert ws.close_code == 4000


@pytest.mark.parametrize("mode", MODES)
def test_python_websockets(server, mode):
    with_websockets(f"ws://127.0.0.1:{server.port}/{mode}", exchange)


@pytest.mark.parametrize("mode", MODES)
def test_python_websockets_over_tls(server, mode):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with_websockets(f"wss://127.0.0.1:{server.tls_port}/{mode}", exchange, ssl=context)


def test_python_websockets_on_a_unix_socket(server):
    with_websockets("ws://localhost/plain", exchange, unix=server.path)


def test_python_websockets_subprotocol(server):
    async def chosen(ws):
        return ws.subprotocol
    assert with_websockets(f"ws://127.0.0.1:{server.port}/spoken", chosen, subprotocols=["v1", "v2"]) == "v2"


def test_python_websockets_gets_its_pongs_while_its_message_blocks(server):
    async def wait_for_answer(ws):
        await ws.send("work")
        return await ws.recv()
    # the library itself closes with 1011 where a ping is not answered in time
    answer = with_websockets(f"ws://127.0.0.1:{server.port}/sleep?ms=3000", wait_for_answer, ping_interval=0.2,
                             ping_timeout=2 * SLOW)
    assert answer == "3000\n"


def test_python_websockets_answers_our_pings(server):
    async def pinged(ws):
        for i in range(10):
            await asyncio.sleep(0.1)  # that it is left in peace can only be seen by waiting
            await ws.send(str(i))
            assert await ws.recv() == str(i)
        return ws.open
    assert with_websockets(f"ws://127.0.0.1:{server.port}/pinging", pinged, ping_interval=None)


# ---- npm's ws --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_node_ws(server, mode):
    messages = ["hello", "κόσμε", "x" * 100000]
    done = subprocess.run(["node", os.path.join(FILES, "ws_client.js"), f"ws://127.0.0.1:{server.port}/{mode}", *messages],
                          capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["error"] is None and seen["answers"] == [*messages, [0, 255, 254]]
    assert seen["pongs"] >= 10 and seen["code"] == 3000


# ---- a page in a browser ---------------------------------------------------------------------------------------------

class Browser:
    """Headless Chromium on one page."""

    def __init__(self, url, directory):
        # a browser of its own: no profile, no network but the page's, no sandbox that root could not have
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-extensions", "--disable-background-networking", f"--user-data-dir={directory}"]
        self.process = subprocess.Popen(["chromium", *options, url], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture
def blocking_backend():
    """Speaks WebSocket, and does nothing at all, for the time of a block, before it reads its first message."""
    released = threading.Event()

    def serve(ws):
        released.wait(BLOCKED)
        echo(ws)
    with WebSocketBackend(serve) as backend:
        yield backend
        released.set()


@pytest.mark.timeout(60 * SLOW)
def test_a_page_keeps_its_sockets_while_every_worker_is_blocked(blocking_backend, tmp_path):
    if not shutil.which("chromium"):
        pytest.skip("no chromium")
    port = free_port()
    often = {"ping_interval": "200ms", "pong_timeout": f"{3 * SLOW}s"}
    with Echoes() as echoes, RecordingBackend(lambda seen, _: respond("thanks")) as reports:
        backends = {**echoes.backends, "reports": {"run": "loop", "proxy": reports.address},
                    "stuck": {"run": "loop", "proxy": blocking_backend.address},
                    "blocked": {"run": "workers", "module": module("sleep"), "options": {"ms": BLOCKED * 1000}, "workers": 2}}
        routes = [route("/elsewhere", "plain", {"origins": ["https://example.org"]}),
                  route("/echo", "plain", {**often, "origins": [f"http://127.0.0.1:{port}"]}),
                  route("/idle", "plain", {**often, "protocols": ["v2"]}),
                  route("/blocked", "plain", often, backend="blocked"), route("/stuck", "bridge", often, backend="stuck"),
                  {"path": "/report", "backend": "reports"}, {"path_prefix": "/", "files": FILES}]
        with Bulkhead({"backends": backends, "routes": routes}, listeners=[{"bind": f"127.0.0.1:{port}"}]) as b:
            b.wait_workers("blocked", 2)
            with Browser(f"http://127.0.0.1:{port}/ws_page.html", tmp_path):
                eventually(lambda: b.backend("blocked")["busy"] == 2, "every worker is blocked", 30)
                report = eventually(lambda: reports.seen and json.loads(reports.seen[0].body), "the page's report", 30)
            assert report["lost"] == [] and report.get("error") is None, report
            assert report["refused"] and report["protocol"] == "v2"
            assert report["answers"] == {"first": "8000\n", "second": "8000\n", "stuck": "work"}
            assert report["closed"] == [{"code": 1000, "clean": True}] * 5
            assert report["echoes"] > 50 / SLOW and report["gap"] < 3000 * SLOW
