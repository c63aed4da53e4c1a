# SPDX-License-Identifier: MIT
"""What the project is for: backends that are busy, stuck or dead, and other clients that are greedy, cost no client its
WebSocket."""
import asyncio
import json
import os
import select
import signal
import socket

import pytest
import websockets

from harness import KIND, SLOW, Bulkhead, alive, eventually, module, python_worker
from ws_client import BINARY, PONG, connect, frame
from ws_rig import MODES, Echoes, route

PATIENCE = 20 * SLOW
BUSY, IDLE, SECONDS = 20, 5, 3
MIB = 1 << 20

# Blocks for ever on "block", as long as its process lives; else echoes.
HTTP_WORKER = '''
import socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"block":
            threading.Event().wait()
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "bulkhead"

    def log_message(self, *_):
        pass

server = HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
'''
BACKENDS = {
    "workers": {"run": "workers", "module": module("sleep"), "workers": 2},
    "threads": {"run": "threads", "module": module("sleep"), "threads": 2},
    "http": {"run": "workers", "workers": 2},
}


def backend(name):
    return {**BACKENDS[name], **({"command": python_worker(HTTP_WORKER)} if name == "http" else {}),
            "queue": 100, "queue_timeout": f"{30 * SLOW}s"}


# ---- busy ------------------------------------------------------------------------------------------------------------

class Client:
    def __init__(self, url):
        self.url, self.answers, self.pongs, self.drop = url, 0, 0, None

    async def _ping(self, ws, over):
        while not over.is_set():
            await asyncio.wait_for(await ws.ping(), PATIENCE)
            self.pongs += 1
            await asyncio.sleep(0.2)

    async def _work(self, ws, over):
        while not over.is_set():
            await ws.send("work")
            assert await asyncio.wait_for(ws.recv(), PATIENCE) == "200\n"
            self.answers += 1

    async def run(self, over, busy):
        try:
            async with websockets.connect(self.url, ping_interval=None) as ws:
                await asyncio.gather(self._ping(ws, over), *([self._work(ws, over)] if busy else []))
        except (websockets.WebSocketException, asyncio.TimeoutError, OSError) as error:
            self.drop = repr(error)


@pytest.mark.parametrize("name", ["workers", "threads"])
def test_no_client_is_dropped_while_every_worker_is_busy(name):
    conf = {"backends": {"slow": backend(name)}, "routes": [route("/slow", "plain", backend="slow")]}
    with Bulkhead(conf) as b:
        b.wait_workers("slow", 2)
        clients = [Client(f"ws://127.0.0.1:{b.port}/slow?ms=200") for _ in range(BUSY + IDLE)]

        async def main():
            over = asyncio.Event()
            running = [asyncio.create_task(c.run(over, busy=i < BUSY)) for i, c in enumerate(clients)]
            await asyncio.sleep(SECONDS)  # the time of the test
            busy = await asyncio.get_running_loop().run_in_executor(None, b.backend, "slow")
            over.set()
            await asyncio.gather(*running)
            return busy
        during = asyncio.run(main())
        assert during["busy"] == 2 and during["queued"] > 0, "there was always more to do than could be done"
        assert [c.drop for c in clients if c.drop] == []
        assert all(c.answers > 0 for c in clients[:BUSY])
        assert all(c.pongs > SECONDS * 5 / 4 / SLOW for c in clients)


# ---- dead ------------------------------------------------------------------------------------------------------------

def assert_answered(ws):
    """Whoever reads our messages is alive, and so is the connection."""
    ws.ping(b"there?")
    assert (got := ws.frame()).opcode == PONG and got.payload == b"there?"


def kill_workers(b, name):
    pids = [w["pid"] for w in b.backend(name)["workers"]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), "workers are dead")
    eventually(lambda: all(w["pid"] not in (0, *pids) for w in b.backend(name)["workers"]), "replacements")
    b.wait_workers(name, 2)


@pytest.mark.parametrize("name", BACKENDS)
def test_no_connection_is_lost_with_its_worker(name):
    conf = {"backends": {"mortal": backend(name)}, "routes": [route("/mortal", "plain", backend="mortal")]}
    with Bulkhead(conf) as b:
        b.wait_workers("mortal", 2)
        blocked = [connect(("127.0.0.1", b.port), "/mortal?ms=600000") for _ in range(2)]
        waiting, idle = [[connect(("127.0.0.1", b.port), "/mortal?ms=0") for _ in range(3)] for _ in range(2)]
        for ws in blocked:
            ws.text("block")
        eventually(lambda: b.backend("mortal")["busy"] == 2, "both workers are blocked")
        for ws in waiting:
            ws.text("waiting")
        eventually(lambda: b.backend("mortal")["queued"] == 3, "the others wait")
        kill_workers(b, "mortal")
        for ws in blocked:
            error = json.loads(ws.message())["error"]
            assert error["reason"] == "worker-lost" and error["status"] == 502
            assert_answered(ws)
        answer = "waiting" if name == "http" else "0\n"
        for ws in waiting:
            assert ws.message() == answer
        for ws in [*idle, *waiting]:
            ws.text("waiting")
            assert ws.message() == answer
        for ws in [*blocked, *idle, *waiting]:
            assert_answered(ws)
            ws.close()
            assert ws.end().code == 1000


# ---- greedy ----------------------------------------------------------------------------------------------------------

def narrow_socket(port):
    """One that holds little of what nobody reads."""
    sock = socket.socket()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 32768)
    sock.connect(("127.0.0.1", port))
    return sock


def flood(sockets, data):
    """Sends on all of them, without ever reading, until none has taken a byte for a while."""
    taken = dict.fromkeys(sockets, 0)
    while writable := select.select([], sockets, [], 0.5 * SLOW)[1]:
        for sock in writable:
            at = taken[sock] % len(data)
            taken[sock] += sock.send(data[at:])
            assert taken[sock] < 64 * MIB, "somebody takes all that is sent"


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [500, 60000])
def test_clients_that_send_without_end_and_never_read(mode, size):
    with Echoes() as echoes, Bulkhead({"backends": echoes.backends, "routes": [route("/echo", mode)]}) as b:
        with connect(("127.0.0.1", b.port), "/echo") as other:
            greedy = [connect(path="/echo", sock=narrow_socket(b.port)) for _ in range(4)]
            before = resident(b.front_pid())
            for ws in greedy:
                ws.stream.sock.setblocking(False)
            flood([ws.stream.sock for ws in greedy], frame(b"x" * size, BINARY))
            if KIND == "plain":  # a sanitizer keeps what was freed
                # each: what is unsent, what was read ahead, one message at a time
                assert resident(b.front_pid()) - before < len(greedy) * 2 * MIB
            other.text("still here")
            assert other.message() == "still here"
            for ws in greedy:
                ws.leave()
            eventually(lambda: b.status()["websockets"][0]["open"] == 1, "those who left are gone")
            other.text("still here")
            assert other.message() == "still here"
