# SPDX-License-Identifier: MIT
"""contrib/examples/websocket: synchronous code behind messages, as the conf there says."""
import json
import re

import pytest

from harness import eventually
from test_examples import example, slow_server  # noqa: F401: a fixture
from ws_client import PONG, connect


@pytest.fixture(scope="module")
def server():
    with example("websocket") as b:
        b.wait_workers("app", 4)
        b.wait_workers("hash", 2)
        b.wait_workers("wait", 16)
        b.address = ("127.0.0.1", b.port)
        yield b


def answer(ws, message):
    ws.text(message)
    return ws.message()


def test_the_page(server):
    page = server.get("/")
    assert page.status == 200 and page.header("content-type").startswith("text/html")
    for path in re.findall(rb"<option>([^<\n]+)", page.body):
        with connect(server.address, path.decode()):
            pass


def test_a_job_that_fetches_and_one_that_computes(server, slow_server):  # noqa: F811
    with connect(server.address, "/work") as ws:
        assert answer(ws, f"fetch {slow_server}") == "slow"
        assert answer(ws, "compute 10000000") == "49999995000000"
        assert answer(ws, "what?") == "say one of: fetch, compute, sleep, crash"


def test_pings_are_answered_while_all_four_processes_are_blocked(server):
    busy, idle = [[connect(server.address, "/work") for _ in range(4)] for _ in range(2)]
    for ws in busy:
        ws.text("sleep 2")
    eventually(lambda: server.backend("app")["busy"] == 4, "all of them are blocked")
    for ws in [*busy, *idle]:
        ws.ping(b"there?")
        assert ws.frame().opcode == PONG
    assert server.backend("app")["busy"] == 4, "nobody waited for a process"
    for ws in busy:
        assert ws.message() == "slept 2 s"
        ws.leave()


def test_a_crash_costs_its_own_message(server):
    with connect(server.address, "/work") as ws:
        error = json.loads(answer(ws, "crash"))["error"]
        assert error["reason"] == "worker-lost"
        assert answer(ws, "compute 10") == "45"


def test_events(server):
    with connect(server.address, "/notes") as ws:
        assert ws.message() == "welcome"
        ws.text("two\nlines")
        assert [ws.message(), ws.message()] == ["noted two", "noted lines"]
        ws.close(4001)
        assert ws.end().code == 4001


def test_a_handler_in_c_in_workers(server):
    with connect(server.address, "/hash") as ws:
        assert json.loads(answer(ws, "correct horse"))["hash"].startswith("$2b$10$")
        ws.text("")  # cannot be hashed
        end = ws.end()
        assert end.code not in (1000, 1006)
    with connect(server.address, "/hash") as ws:
        ws.text("x" * 1025)
        assert ws.end().code == 1009


def test_a_handler_in_c_in_threads(server):
    with connect(server.address, "/wait?ms=500") as ws:
        for _ in range(4):
            ws.text("wait")
        eventually(lambda: server.backend("wait")["busy"] == 4, "four of one connection at once")
        assert [ws.message() for _ in range(4)] == ["500\n"] * 4
