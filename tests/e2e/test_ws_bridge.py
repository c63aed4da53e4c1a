# SPDX-License-Identifier: MIT
"""`bridge`: a client's WebSocket goes on to a backend that speaks WebSocket itself."""
import os
import queue
import re
import select
import signal
import socket
import threading
import time

import pytest

from harness import KIND, SLOW, Bulkhead, RecordingBackend, Seen, alive, eventually, free_port, request, respond
from ws_client import (BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, WebSocketBackend, accept_of, close_payload,
                       connect, echo, frame, handshake, refusal)

MIB = 1 << 20


def bridge(address, websocket=None, route=None, **backend):
    """A bulkhead that bridges everything to that address, or those."""
    return Bulkhead({"backends": {"peer": {"run": "loop", "proxy": address, **backend}},
                     "routes": [{"path_prefix": "/", "backend": "peer", **(route or {}),
                                 "websocket": {"mode": "bridge", **(websocket or {})}}]})


def address(b):
    return "127.0.0.1", b.port


class Hands:
    """A backend whose ends of the connections are the test's: next() is the next one."""

    def __init__(self, path=None, fields=()):
        self.given, self.over = queue.Queue(), threading.Event()
        self.backend = WebSocketBackend(self._serve, fields, path)
        self.address = self.backend.address

    def _serve(self, ws):
        self.given.put(ws)
        self.over.wait(60 * SLOW)

    def next(self, timeout=10):
        return self.given.get(timeout=timeout * SLOW)

    def stop(self):
        """No connection any more, and none to be had."""
        self.backend.close()
        self.over.set()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        self.backend.__exit__(kind)


def closed_line(b, path="/"):
    """The log line of the one WebSocket's end."""
    return eventually(lambda: next((line for line in b.access() if line["method"] == "CLOSE" and
                                    line["path"].split("?")[0] == path), None), "a line in the log")


def open_count(b):
    return b.status()["websockets"][0]["open"]


# ---- the handshake ---------------------------------------------------------------------------------------------------

def test_the_backend_gets_the_clients_handshake_with_a_key_of_ours():
    with Hands() as hands, bridge(hands.address, route={"strip_prefix": "/app"}) as b:
        fields = {"Origin": "https://page.example", "Cookie": "a=1", "Sec-WebSocket-Protocol": "v2, v1",
                  "Sec-WebSocket-Extensions": "permessage-deflate", "X-Request-Id": "abc"}
        with connect(address(b), "/app/chat?room=1", fields):
            ws = hands.next()
            seen = Seen(ws.head, b"")
            assert seen.line == "GET /chat?room=1 HTTP/1.1"
            assert seen.header("origin") == "https://page.example" and seen.header("cookie") == "a=1"
            assert seen.header("host") == "test" and seen.header("x-request-id") == "abc"
            assert seen.header("x-forwarded-for") == "127.0.0.1" and seen.header("x-forwarded-proto") == "http"
            assert seen.header("upgrade") == "websocket" and seen.header("connection").lower() == "upgrade"
            assert seen.header("sec-websocket-version") == "13"
            assert seen.header("sec-websocket-protocol") == "v2, v1"
            assert seen.header("sec-websocket-extensions") is None
            assert re.fullmatch(r"[A-Za-z0-9+/]{22}==", seen.header("sec-websocket-key"))
            assert seen.header("sec-websocket-key") != KEY
            with connect(address(b), "/app/chat"):
                assert Seen(hands.next().head, b"").header("sec-websocket-key") != seen.header("sec-websocket-key")


def test_the_client_gets_what_the_backends_101_says():
    said = ["Sec-WebSocket-Protocol: v1", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-App: yes"]
    with WebSocketBackend(fields=said) as backend, bridge(backend.address) as b:
        with connect(address(b), fields={"Sec-WebSocket-Protocol": "v2, v1"}) as ws:
            assert ws.response.header("sec-websocket-protocol") == "v1"
            assert ws.response.header("set-cookie") == "a=1, b=2" and ws.response.header("x-app") == "yes"
            assert len([1 for name, _ in ws.response.headers if name.lower() == "sec-websocket-accept"]) == 1


def test_a_request_that_is_no_handshake_is_an_ordinary_call():
    with WebSocketBackend() as backend, bridge(backend.address) as b:
        assert b.get("/page").body == b"ordinary\n"


def test_the_backends_refusal_is_the_clients():
    def answer(seen, _):
        return respond(b"no entry", 403, ["Content-Type: text/plain", "X-Why: because", "Set-Cookie: a=1"])
    with RecordingBackend(answer) as backend, bridge(backend.address) as b:
        response = refusal(address(b))
        assert response.status == 403 and response.body == b"no entry"
        assert response.header("x-why") == "because" and response.header("set-cookie") == "a=1"
        assert open_count(b) == 0


def switching(*fields):
    """An answer of 101 with these fields."""
    def answer(seen, _):
        accept = accept_of(seen.header("sec-websocket-key"))
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", *(f.format(accept=accept) for f in fields)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()
    return answer


GOOD = ("Upgrade: websocket", "Sec-WebSocket-Accept: {accept}")


@pytest.mark.parametrize("answer", [
    switching("Upgrade: websocket"),
    switching("Upgrade: websocket", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    switching(*GOOD, "Sec-WebSocket-Accept: {accept}"),
    switching("Upgrade: h2c", "Sec-WebSocket-Accept: {accept}"),
    switching(*GOOD, "Sec-WebSocket-Extensions: permessage-deflate"),
    switching(*GOOD, "Sec-WebSocket-Protocol: never-offered"),
    switching(*GOOD, "Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Protocol: v1"),
    lambda *_: b"220 smtp.example ESMTP\r\n",
], ids=["no-accept", "another-accept", "two-accepts", "another-protocol", "extension", "subprotocol", "subprotocols", "smtp"])
def test_an_answer_that_is_none_to_our_handshake(answer):
    with RecordingBackend(answer) as backend, bridge(backend.address, bridges=1) as b:
        for _ in range(2):  # the berth came back
            response = refusal(address(b), fields={"Sec-WebSocket-Protocol": "v1"})
            assert response.status == 502 and response.json["reason"] == "upstream-garbage"


def test_a_backend_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with bridge("127.0.0.1:%d" % silent.getsockname()[1], bridges=1, timeout="500ms") as b:
            for _ in range(2):
                response = refusal(address(b))
                assert response.status == 504 and response.json["reason"] == "deadline"


def test_a_backend_that_is_not_there():
    with bridge("127.0.0.1:%d" % free_port(), bridges=1) as b:
        for _ in range(2):
            response = refusal(address(b))
            assert response.status == 502 and response.json["reason"] == "upstream-refused"


def test_a_server_that_is_not_there_leaves_it_to_the_next():
    with WebSocketBackend() as backend, bridge(["127.0.0.1:%d" % free_port(), backend.address]) as b:
        for _ in range(3):
            with connect(address(b)) as ws:
                ws.text("hello")
                assert ws.message() == "hello"


def test_a_backend_that_hangs_up_on_the_handshake():
    with RecordingBackend(lambda *_: None) as backend, bridge(backend.address, bridges=1) as b:
        for _ in range(2):
            response = refusal(address(b))
            assert response.status == 502 and response.json["reason"] == "upstream-reset"


def test_a_client_that_leaves_during_the_handshake_gives_its_berth_back():
    heard, gone = threading.Event(), threading.Event()

    def answer(_, conn):
        heard.set()
        conn.settimeout(30 * SLOW)
        if conn.recv(1) == b"":
            gone.set()
    with RecordingBackend(answer) as backend, bridge(backend.address, bridges=1) as b:
        client = b.connect()
        client.send(handshake())
        assert heard.wait(10 * SLOW)
        client.close()
        assert gone.wait(10 * SLOW), "the backend's connection is closed, too"
        eventually(lambda: open_count(b) == 0, "nobody is there any more")
        backend.answer = switching(*GOOD)
        with connect(address(b)):
            pass


def test_as_many_as_bridges_says():
    with WebSocketBackend() as backend, bridge(backend.address, bridges=2) as b:
        first, second = [connect(address(b)) for _ in range(2)]
        response = refusal(address(b))
        assert response.status == 503 and response.json["reason"] == "websockets-full"
        assert "bridges" in response.json["detail"]
        first.close()
        first.end()
        eventually(lambda: open_count(b) == 1, "one has gone")
        eventually(lambda: len(backend.open) == 1, "and its backend's end")
        third = eventually(lambda: try_connect(b), "its place is free")
        for ws in (second, third):
            ws.text("hello")
            assert ws.message() == "hello"
            ws.leave()


def try_connect(b):
    try:
        return connect(address(b))
    except AssertionError:
        return None


# ---- messages --------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["pieces", "whole"])
def echoing(request):
    """A bridge to an echo, by which messages pass in pieces; or, with `reconnect`, whole."""
    with WebSocketBackend() as backend, bridge(backend.address, {"reconnect": request.param == "whole"}) as b:
        b.echo = backend
        yield b


def test_echo(echoing):
    with connect(address(echoing)) as ws:
        for message in ("hello", "", "ä€😀" * 100, "x" * 100000):
            ws.text(message)
            assert ws.message() == message
        for message in (b"\0\xff", b"", os.urandom(MIB)):
            ws.binary(message)
            assert ws.message() == message
        ws.close()
        assert ws.end().code == 1000
    line = closed_line(echoing)
    assert line["messages_in"] == line["messages_out"] == 7 and line["by"] == "client"


def test_fragments(echoing):
    with connect(address(echoing)) as ws:
        ws.text("ä€😀".encode()[:1], fin=False)  # within a character
        ws.ping(b"between")
        ws.send_frame("ä€😀".encode()[1:4], CONTINUATION, fin=False)
        ws.send_frame(b"", CONTINUATION, fin=False)
        ws.send_frame("ä€😀".encode()[4:], CONTINUATION)
        assert ws.message() == "ä€😀"
        assert ws.pongs == 1


def test_messages_in_a_burst_with_the_handshake(echoing):
    early = b"".join(frame(f"message {i}") for i in range(200))
    with connect(address(echoing), early=early) as ws:
        assert [ws.message() for _ in range(200)] == [f"message {i}" for i in range(200)]


def test_a_piece_goes_on_before_the_message_is_whole():
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        ws.text("begin", fin=False)
        got = peer.data_frame()
        assert (got.opcode, got.payload, got.fin) == (TEXT, b"begin", False)
        ws.send_frame("end", CONTINUATION)
        assert peer.data_frame().payload == b"end"
        peer.binary(b"1", fin=False)
        assert ws.data_frame().payload == b"1"


def test_what_the_backend_says_right_behind_its_101():
    def serve(ws):
        ws.text("welcome")
        echo(ws)
    with WebSocketBackend(serve) as backend, bridge(backend.address) as b:
        with connect(address(b)) as ws:
            assert ws.message() == "welcome"


def test_pings_are_answered_on_either_side_and_not_passed_on():
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        ws.ping(b"client's")
        assert ws.frame()[:2] == (PONG, b"client's")
        peer.ping(b"backend's")
        assert peer.frame()[:2] == (PONG, b"backend's")
        ws.text("end")
        assert peer.frame()[:2] == (TEXT, b"end"), "and no ping before it"
        peer.text("end")
        assert ws.frame()[:2] == (TEXT, b"end")


def test_a_backend_that_blocks_is_not_lost_for_want_of_a_pong():
    with Hands() as hands:
        with bridge(hands.address, {"ping_interval": "100ms", "pong_timeout": "100ms"}) as b, connect(address(b)) as ws:
            peer = hands.next()
            for _ in range(10):  # pings of the front's, so a second has passed
                got = ws.frame()
                assert got.opcode == PING
                ws.send_frame(got.payload, PONG)
            peer.text("here again")
            assert ws.message() == "here again"


# ---- the end ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code, reason", [(4001, "x"), (1000, ""), (1011, "it broke"), (1001, "bye"), (None, "")])
def test_the_backends_close_is_carried_to_the_client(code, reason):
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        peer.text("last words")
        peer.close(code, reason)
        end = ws.end()
        assert (end.code, end.reason) == (code or 1005, reason)
        assert [f.payload for f in end.frames] == [b"last words"]
        assert closed_line(b)["by"] == "backend"


@pytest.mark.parametrize("code, reason", [(3000, "x"), (1000, ""), (None, "")])
def test_the_clients_close_is_carried_to_the_backend(code, reason):
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        ws.text("last words")
        ws.close(code, reason)
        assert ws.end().code == (code or 1005)
        end = peer.end()
        assert (end.code, end.reason) == (code or 1005, reason)
        assert [f.payload for f in end.frames] == [b"last words"]
        assert closed_line(b)["by"] == "client"


def test_a_client_that_is_lost_is_a_1001_to_the_backend():
    with Hands() as hands, bridge(hands.address) as b:
        ws = connect(address(b))
        peer = hands.next()
        ws.leave()
        assert peer.end().code == 1001
        line = closed_line(b)
        assert line["by"] == "lost" and line["status"] == 1006


def test_a_backend_that_is_lost_is_a_1012_to_the_client_at_once():
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        started = time.monotonic()
        peer.stream.sock.shutdown(socket.SHUT_RDWR)
        end = ws.end()
        assert (end.code, end.reason) == (1012, "backend lost")
        assert time.monotonic() - started < 1 * SLOW
        line = closed_line(b)
        assert line["reason"] == "upstream-reset" and line["by"] == "bulkhead"


@pytest.mark.parametrize("data", [frame("masked"), frame("rsv", rsv=4, mask=None), frame(b"\xff", mask=None),
                                  frame("x", 3, mask=None), frame("x", CONTINUATION, mask=None),
                                  frame(close_payload(1005), CLOSE, mask=None)],
                         ids=["masked", "reserved-bit", "utf8", "opcode", "continuation", "close-code"])
def test_a_backend_that_breaks_the_rules(data):
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        peer.send(data)
        assert peer.end().code in (1002, 1007)
        end = ws.end()
        assert (end.code, end.reason) == (1011, "upstream-garbage")
        assert closed_line(b)["reason"] == "upstream-garbage"


@pytest.mark.parametrize("reconnect", [False, True], ids=["pieces", "whole"])
def test_messages_over_the_limit(reconnect):
    with Hands() as hands, bridge(hands.address, {"max_message": "1KiB", "reconnect": reconnect}) as b:
        with connect(address(b)) as ws:
            peer = hands.next()
            ws.text("x" * 1024)
            assert peer.message() == "x" * 1024
            ws.text("x" * 1025)
            assert ws.end().code == 1009
            assert peer.end().code == 1001
        with connect(address(b)) as ws:
            peer = hands.next()
            peer.text("x" * 1024)
            assert ws.message() == "x" * 1024
            peer.text("x" * 1000, fin=False)
            peer.send_frame("x" * 25, CONTINUATION)
            assert peer.end().code == 1009
            end = ws.end()
            assert end.reason == "answer-too-large" and end.code in (1009, 1011)


def test_a_client_that_breaks_the_rules():
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        ws.send(frame("unmasked", mask=None))
        assert ws.end().code == 1002
        assert peer.end().code == 1001
        assert closed_line(b)["reason"] == "bad-request"


# ---- room ------------------------------------------------------------------------------------------------------------

def fill(sock, data, quiet=0.5):
    """Sends the frames over and over until nobody has taken a byte for a while; how many bytes went."""
    sock.setblocking(False)
    sent = 0
    while select.select([], [sock], [], quiet * SLOW)[1]:
        sent += sock.send(data[sent % len(data):])
        assert sent < 64 * MIB, "somebody takes all that is sent"
    sock.settimeout(10 * SLOW)
    return sent


def finish(sock, data, sent):
    """The rest of the frame in which fill() stopped."""
    if sent % len(data):
        sock.sendall(data[sent % len(data):])


@pytest.mark.parametrize("reconnect", [False, True], ids=["pieces", "whole"])
def test_a_client_that_is_faster_than_the_backend(reconnect):
    data = frame(b"x" * 10000, BINARY)
    with Hands() as hands, bridge(hands.address, {"reconnect": reconnect}) as b, connect(address(b)) as ws:
        peer = hands.next()
        sent = fill(ws.stream.sock, data)
        reader = threading.Thread(target=finish, args=(ws.stream.sock, data, sent))
        reader.start()
        for _ in range((sent + len(data) - 1) // len(data)):
            assert peer.message() == b"x" * 10000
        reader.join()
        peer.text("all of it")
        assert ws.message() == "all of it"


@pytest.mark.parametrize("reconnect", [False, True], ids=["pieces", "whole"])
def test_a_backend_that_is_faster_than_the_client(reconnect):
    data = frame(b"x" * 10000, BINARY, mask=None)
    with Hands() as hands, bridge(hands.address, {"reconnect": reconnect}) as b, connect(address(b)) as ws:
        peer = hands.next()
        sent = fill(peer.stream.sock, data)
        ws.text("not held by that")
        assert peer.message() == "not held by that"
        writer = threading.Thread(target=finish, args=(peer.stream.sock, data, sent))
        writer.start()
        for _ in range((sent + len(data) - 1) // len(data)):
            assert ws.message() == b"x" * 10000
        writer.join()


@pytest.mark.parametrize("reconnect", [False, True], ids=["pieces", "whole"])
def test_both_at_once_do_not_stand_still(reconnect):
    """A backend that says more than it is told, and hears nothing while it says it: what it says must be read even when
    it takes nothing."""
    def serve(ws):
        while True:
            message = ws.message()
            for _ in range(4):
                ws.binary(message)
    with WebSocketBackend(serve) as backend, bridge(backend.address, {"reconnect": reconnect}) as b:
        with connect(address(b), timeout=20) as ws:
            n, message = 600, os.urandom(20000)
            writer = threading.Thread(target=lambda: [ws.send(frame(message, BINARY)) for _ in range(n)], daemon=True)
            writer.start()
            for _ in range(4 * n):
                assert ws.message() == message
            writer.join()


def resident(b):
    with open(f"/proc/{b.front_pid()}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(KIND != "plain", reason="a sanitizer keeps what was freed")
@pytest.mark.parametrize("reconnect", [False, True], ids=["pieces", "whole"])
def test_memory_while_nobody_reads(reconnect):
    """Both sides send without end, and neither reads, their pings and pongs included."""
    with Hands() as hands, bridge(hands.address, {"reconnect": reconnect, "control_frames": 1000}) as b:
        with connect(address(b)) as first:
            first.text("the front has all that it needs once")
            hands.next().message()
        before, pairs = resident(b), []
        for _ in range(4):
            ws = connect(address(b))
            pairs.append((ws, hands.next()))
        for ws, peer in pairs:
            fill(peer.stream.sock, frame(b"x" * 10000, BINARY, mask=None) + frame(b"p" * 125, PING, mask=None))
            fill(ws.stream.sock, frame(b"x" * 10000, BINARY) + frame(b"p" * 125, PING))
        assert resident(b) - before < 4 * MIB, "a connection: max_unsent of 256 KiB for each side, and what was read"
        for ws, _ in pairs:
            ws.leave()


# ---- what the operator sends -----------------------------------------------------------------------------------------

def test_a_push_waits_for_the_end_of_the_message_under_way():
    def push(text):
        return request(("127.0.0.1", b.admin_port), "POST", f"/ws/{id}", {"Content-Type": "text/plain"}, text)
    with Hands() as hands, bridge(hands.address) as b, connect(address(b)) as ws:
        peer = hands.next()
        id = b.admin("/ws").json["websockets"][0]["id"]
        assert push("first").status == 200
        assert ws.message() == "first"
        peer.text("beg", fin=False)
        assert ws.data_frame().payload == b"beg"
        assert push("between").status == 200
        peer.send_frame("in", CONTINUATION)
        got = ws.data_frame()
        assert (got.opcode, got.payload, got.fin) == (CONTINUATION, b"in", True)
        assert ws.message() == "between"
        peer.text("after")
        assert ws.message() == "after"


def test_pushes_that_wait_are_bounded():
    with Hands() as hands, bridge(hands.address, {"max_unsent": "64KiB"}) as b, connect(address(b)) as ws:
        peer = hands.next()
        id = b.admin("/ws").json["websockets"][0]["id"]
        peer.text("beg", fin=False)
        assert ws.data_frame().payload == b"beg"
        answers = [request(("127.0.0.1", b.admin_port), "POST", f"/ws/{id}", body="x" * 10000).status for _ in range(10)]
        assert answers[:6] == [200] * 6 and 200 not in answers[7:]
        peer.send_frame("in", CONTINUATION)
        assert ws.data_frame().payload == b"in"
        assert [ws.message() for _ in range(answers.count(200))] == ["x" * 10000] * answers.count(200)


# ---- workers ---------------------------------------------------------------------------------------------------------

APP = '''
import os, signal, time
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()

@app.get("/plain")
async def plain():
    return {"pid": os.getpid()}

@app.websocket("/echo")
async def echo(ws: WebSocket):
    await ws.accept()
    try:
        while True:
            got = await ws.receive_text()
            if got == "pid":
                got = str(os.getpid())
            elif got == "block":
                time.sleep(3600)
            elif got.startswith("sleep "):
                time.sleep(float(got[6:]))
            elif got == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            await ws.send_text(got)
    except WebSocketDisconnect:
        pass

@app.websocket("/refused")
async def refused(ws: WebSocket):
    await ws.close()
'''


def uvicorn(websocket=None, workers=2, **backend):
    command = ["uvicorn", "--fd", "3", "--log-level", "warning", "app:app"]
    b = Bulkhead({"backends": {"app": {"run": "workers", "command": command, "workers": workers, "directory": ".",
                                       **backend}},
                  "routes": [{"path_prefix": "/", "backend": "app", "websocket": {"mode": "bridge", **(websocket or {})}}]})
    with open(os.path.join(b.dir, "app.py"), "w") as f:
        f.write(APP)
    return b


def ask(ws, message):
    ws.text(message)
    return ws.message()


def test_an_app_that_blocks_keeps_its_clients():
    with uvicorn() as b:
        b.wait_workers("app", 2)
        sockets = [connect(address(b), "/echo") for _ in range(4)]
        pids = [ask(ws, "pid") for ws in sockets]
        assert len(set(pids)) == 2, "the worker with the fewest gets the next"
        for ws in sockets:
            ws.text("sleep 2")
        started = time.monotonic()
        for ws in sockets:
            ws.ping(b"there?")
            assert ws.frame()[:2] == (PONG, b"there?")
        assert time.monotonic() - started < 1.5, "nobody waited for the app"
        for ws in sockets:
            assert ws.message() == "sleep 2"
        assert b.get("/plain").json["pid"] in map(int, pids)
        for ws in sockets:
            ws.close()
            assert ws.end().code == 1000


def test_fastapi_refuses_before_it_accepts():
    with uvicorn(workers=1) as b:
        b.wait_workers("app", 1)
        assert refusal(address(b), "/refused").status == 403


def test_a_worker_that_is_killed():
    with uvicorn(workers=2) as b:
        b.wait_workers("app", 2)
        first, second = [connect(address(b), "/echo") for _ in range(2)]
        doomed = int(ask(first, "pid"))
        first.text("block")
        os.kill(doomed, signal.SIGKILL)
        started = time.monotonic()
        end = first.end()
        assert (end.code, end.reason) == (1012, "backend lost")
        assert time.monotonic() - started < 1 * SLOW
        assert closed_line(b, "/echo")["reason"] == "worker-lost"
        assert ask(second, "still here") == "still here"
        second.leave()


# ---- reconnect -------------------------------------------------------------------------------------------------------

def test_a_worker_that_is_killed_and_a_client_that_stays():
    with uvicorn({"reconnect": True}) as b:
        b.wait_workers("app", 2)
        with connect(address(b), "/echo") as ws:
            pid = int(ask(ws, "pid"))
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not alive(pid), "it is dead")
            ws.ping(b"there?")
            assert ws.frame()[:2] == (PONG, b"there?")
            assert int(ask(ws, "pid")) != pid
            ws.close(3001)
            assert ws.end().code == 3001


def broken(ws):
    ws.stream.sock.shutdown(socket.SHUT_RDWR)


def test_messages_wait_for_the_next_connection(tmp_path):
    path = str(tmp_path / "s")
    first = Hands(path)
    with bridge(first.address, {"reconnect": True, "reconnect_timeout": "60s"}) as b:
        with connect(address(b), "/x?y", fields={"Cookie": "a=1"}) as ws:
            head = Seen(first.next().head, b"")
            first.stop()
            os.unlink(path)
            for i in range(3):
                ws.text(f"message {i}")
            ws.ping(b"there?")
            assert ws.frame()[:2] == (PONG, b"there?")
            with Hands(path) as second:
                peer = second.next(20)
                again = Seen(peer.head, b"")
                assert again.line == head.line == "GET /x?y HTTP/1.1" and again.header("cookie") == "a=1"
                assert [peer.message() for _ in range(3)] == [f"message {i}" for i in range(3)]
                peer.text("and back")
                assert ws.message() == "and back"


def test_what_waits_is_bounded(tmp_path):
    path = str(tmp_path / "s")
    first = Hands(path)
    data = frame(b"x" * 10000, BINARY)
    with bridge(first.address, {"reconnect": True, "reconnect_timeout": "60s", "max_unsent": "64KiB"}) as b:
        with connect(address(b)) as ws:
            first.next()
            first.stop()
            os.unlink(path)
            sent = fill(ws.stream.sock, data)
            with Hands(path) as second:
                peer = second.next(20)
                writer = threading.Thread(target=finish, args=(ws.stream.sock, data, sent))
                writer.start()
                for _ in range((sent + len(data) - 1) // len(data)):
                    assert peer.message() == b"x" * 10000
                writer.join()


def test_a_message_that_was_taken_is_not_sent_again():
    with Hands() as hands, bridge(hands.address, {"reconnect": True}) as b, connect(address(b)) as ws:
        peer = hands.next()
        ws.text("once")
        assert peer.message() == "once"
        broken(peer)
        ws.text("twice")
        assert hands.next().message() == "twice"


def test_a_message_that_was_not_taken_is_the_first_to_be_sent():
    """More than sockets hold, to a backend that does not read: it cannot have been read whole."""
    message = b"x" * (16 * MIB)
    with Hands() as hands, bridge(hands.address, {"reconnect": True, "max_message": "16MiB"}) as b:
        with connect(address(b), timeout=60) as ws:
            peer = hands.next()
            writer = threading.Thread(target=lambda: (ws.binary(message), ws.text("behind")))
            writer.start()
            assert peer.stream.sock.recv(1000, socket.MSG_WAITALL), "a part of it has come"
            writer.join()
            broken(peer)
            peer = hands.next()
            peer.stream.sock.settimeout(60 * SLOW)
            assert peer.message() == message
            assert peer.message() == "behind"


def test_a_message_of_the_backend_that_came_in_part_is_dropped():
    with Hands() as hands, bridge(hands.address, {"reconnect": True}) as b, connect(address(b)) as ws:
        peer = hands.next()
        peer.text("whole")
        peer.text("half", fin=False)
        broken(peer)
        hands.next().text("next")
        assert [ws.message(), ws.message()] == ["whole", "next"]


@pytest.mark.parametrize("code", [1001, 1012])
def test_a_backend_that_says_it_goes_away_is_replaced(code):
    with Hands() as hands, bridge(hands.address, {"reconnect": True}) as b, connect(address(b)) as ws:
        peer = hands.next()
        peer.close(code)
        peer.frame()
        broken(peer)
        hands.next().text("here I am")
        assert ws.message() == "here I am"


def test_a_backends_own_close_is_carried_all_the_same():
    with Hands() as hands, bridge(hands.address, {"reconnect": True}) as b, connect(address(b)) as ws:
        hands.next().close(4001, "x")
        end = ws.end()
        assert (end.code, end.reason) == (4001, "x")


def test_no_other_connection_within_the_time(tmp_path):
    path = str(tmp_path / "s")
    hands = Hands(path)
    with bridge(hands.address, {"reconnect": True, "reconnect_timeout": "500ms"}) as b:
        with connect(address(b)) as ws:
            hands.next()
            hands.stop()
            end = ws.end()
            assert (end.code, end.reason) == (1012, "backend lost")
            assert closed_line(b)["reason"] == "backend-down"


def test_a_backend_that_only_ever_hangs_up():
    """A connection that did not last does not begin the time anew."""
    with WebSocketBackend(lambda ws: None) as backend:
        with bridge(backend.address, {"reconnect": True, "reconnect_timeout": "500ms"}) as b, connect(address(b)) as ws:
            assert ws.end().code == 1012


def test_a_backend_that_never_answers_the_next_handshake():
    """The time limit of all attempts holds for the one that is under way, too."""
    def serve(ws):
        ws.frame()
    with WebSocketBackend(serve) as backend:
        with bridge(backend.address, {"reconnect": True, "reconnect_timeout": "500ms"}) as b:
            with connect(address(b)) as ws:
                backend.sock.listen(128)
                backend._serve = lambda conn: threading.Event().wait(30 * SLOW)
                ws.text("go")
                assert ws.end().code == 1012


def test_a_refusal_of_the_next_handshake_is_final():
    def answer(seen, conn):
        if len(backend.seen) > 1:
            return respond(b"", 401)
        conn.sendall(switching(*GOOD)(seen, conn))
        return None
    with RecordingBackend(answer) as backend:
        with bridge(backend.address, {"reconnect": True, "reconnect_timeout": "60s"}) as b, connect(address(b)) as ws:
            assert ws.end().code == 1012
        assert len(backend.seen) == 2


def test_another_subprotocol_the_next_time_will_not_do():
    with Hands(fields=["Sec-WebSocket-Protocol: v1"]) as hands:
        with bridge(hands.address, {"reconnect": True, "reconnect_timeout": "60s"}) as b:
            with connect(address(b), fields={"Sec-WebSocket-Protocol": "v2, v1"}) as ws:
                peer = hands.next()
                hands.backend.fields = []
                broken(peer)
                assert hands.next().stream.closed(), "not with this one"
                hands.backend.fields = ["Sec-WebSocket-Protocol: v1"]
                while not is_answered(peer := hands.next()):
                    pass  # one more without the subprotocol
                assert Seen(peer.head, b"").header("sec-websocket-protocol") == "v1", "what was chosen is what is offered"
                peer.text("v1 again")
                assert ws.message() == "v1 again"


def is_answered(peer):
    try:
        peer.ping()
        return peer.frame().opcode == PONG
    except (EOFError, OSError):
        return False


def test_a_client_that_leaves_while_there_is_no_backend(tmp_path):
    path = str(tmp_path / "s")
    hands = Hands(path)
    with bridge(hands.address, {"reconnect": True, "reconnect_timeout": "60s"}) as b:
        with connect(address(b)) as ws:
            hands.next()
            hands.stop()
            ws.text("waits")
            ws.close(3000)
            assert ws.end().code == 3000
        eventually(lambda: open_count(b) == 0, "it is gone")
        os.unlink(path)
        with Hands(path) as again:
            with connect(address(b)):
                again.next()
            assert again.given.empty(), "nobody else was still looking for a connection"


# ---- draining --------------------------------------------------------------------------------------------------------

def test_both_ends_are_told_when_the_front_goes():
    with Hands() as hands, bridge(hands.address) as b:
        ws = connect(address(b))
        peer = hands.next()
        peer.text("half", fin=False)
        stopping = threading.Thread(target=b.stop)
        stopping.start()
        end = ws.end()
        assert end.code == 1001
        assert peer.end().code == 1001
        stopping.join()
