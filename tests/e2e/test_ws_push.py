# SPDX-License-Identifier: MIT
"""What is sent to open WebSockets from the operator's side: /ws on the admin listener and on the control socket."""
import json
import socket
import struct
import subprocess
import threading

import pytest

import ws_client
from harness import BULKHEAD, Bulkhead, Client, RecordingBackend, eventually, request, respond

OCTETS = {"Content-Type": "application/octet-stream"}


class Chat:
    """A bulkhead with a route "chat", each message of which is a call to `backend`, and a like one called "news"."""

    def __init__(self, backend, threads=1, **websocket):
        conf = {"threads": threads, "backends": {"app": {"run": "loop", "proxy": [backend.address], "limit": 100}},
                "routes": [{"name": name, "path": f"/{name}", "backend": "app", "websocket": {"mode": "messages", **websocket}}
                           for name in ("chat", "news")]}
        self.b = Bulkhead(conf)

    def __enter__(self):
        self.b.__enter__()
        return self

    def __exit__(self, *error):
        self.b.__exit__(*error)

    def connect(self, path="/chat"):
        return ws_client.connect(("127.0.0.1", self.b.port), path)

    def admin(self, method, path, body=None, headers=None):
        return request(("127.0.0.1", self.b.admin_port), method, path, headers, body)

    def post(self, path, body=None, headers=None):
        return self.admin("POST", path, body, headers)

    def list(self, query=""):
        return self.admin("GET", f"/ws{query}").json

    def newest(self):
        return self.list("?limit=1")["websockets"][0]["id"]

    def counters(self, route="chat"):
        return next(w for w in self.b.status()["websockets"] if w["route"] == route)


@pytest.fixture(scope="module")
def backend():
    with RecordingBackend(lambda seen, conn: respond(seen.body, headers=["Content-Type: text/plain"])) as backend:
        yield backend


@pytest.fixture(scope="module")
def chat(backend):
    with Chat(backend) as chat:
        yield chat


def told(response, sent=0, full=0, closing=0):
    return response.json == {"sent": sent, "full": full, "closing": closing}


# ---- one -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("type, body, expected", [
    (None, "h\u00e9llo", "h\u00e9llo"), ("text/html; charset=utf-8", "<p>", "<p>"), ("application/json", "{}", "{}"),
    ("application/x-www-form-urlencoded", "a=b", "a=b"), ("application/octet-stream", b"\xff\0", b"\xff\0"),
    ("image/png", b"\x89PNG", b"\x89PNG"), (None, "", "")])
def test_the_type_of_the_body_is_the_messages(chat, type, body, expected):
    with chat.connect() as ws:
        done = chat.post(f"/ws/{chat.newest()}", body, {"Content-Type": type} if type else None)
        assert done.status == 200 and told(done, sent=1)
        assert ws.message() == expected


def test_the_id_is_what_the_backend_was_told(chat, backend):
    with chat.connect() as ws:
        ws.text("who am I?")
        assert ws.message() == "who am I?"
        connection = backend.seen[-1].header("connection-id")
        assert chat.post(f"/ws/{connection}", "you").status == 200
        assert ws.message() == "you"


def test_a_close_goes_behind_the_message(chat):
    with chat.connect() as ws:
        path = f"/ws/{chat.newest()}"
        assert told(chat.post(f"{path}?close=4000&reason=that+is+all", "last words"), sent=1)
        end = ws.end()
        assert (end.code, end.reason) == (4000, "that is all")
        assert [f.payload for f in end.frames] == [b"last words"]
        eventually(lambda: chat.post(path, "anybody?").status == 404, "the closed one is forgotten")


def test_a_close_without_a_message(chat):
    with chat.connect() as ws:
        assert told(chat.post(f"/ws/{chat.newest()}?close=1000"), sent=1)
        end = ws.end()
        assert (end.code, end.reason, end.frames) == (1000, "", [])


@pytest.mark.parametrize("path, body, headers, status, reason", [
    ("/ws/nonsense", "x", None, 404, "not-found"),
    ("/ws/" + "0" * 34, "x", None, 404, "not-found"),
    ("/ws/" + "f" * 34, "x", None, 404, "not-found"),
    ("/ws?route=none", "x", None, 404, "not-found"),
    ("/ws", "x", None, 400, "bad-request"),
    ("/ws?route=chat&close=1005", None, None, 400, "bad-request"),
    ("/ws?route=chat&close=70000", None, None, 400, "bad-request"),
    ("/ws?route=chat&clsoe=1000", None, None, 400, "bad-request"),
    ("/ws?route=chat", b"\xc3\x28", None, 400, "bad-request"),
    ("/ws?route=chat", "x", {"Origin": "http://127.0.0.1"}, 403, "origin-not-allowed"),
    ("/ws?route=chat", "x", {"Origin": "null"}, 403, "origin-not-allowed"),
    ("/ws?route=chat", "x", {"Sec-Fetch-Site": "cross-site"}, 403, "origin-not-allowed"),
    ("/ws?route=chat", "x", {"Sec-Fetch-Site": "same-origin"}, 403, "origin-not-allowed")])
def test_what_is_refused_reaches_nobody(chat, path, body, headers, status, reason):
    with chat.connect() as ws:
        refused = chat.post(path, body, headers)
        assert refused.status == status and refused.json["reason"] == reason
        assert chat.post(f"/ws/{chat.newest()}", "after it").status == 200
        assert ws.message() == "after it"


def test_other_methods_are_refused(chat):
    for method, path, allow in (("PUT", "/ws", "GET, HEAD, POST"), ("GET", "/ws/x", "POST"), ("DELETE", "/ws/x", "POST")):
        refused = chat.admin(method, path)
        assert refused.status == 405 and refused.header("allow") == allow


def test_a_message_has_the_routes_limit(backend):
    with Chat(backend, max_message="1KiB") as chat, chat.connect() as ws:
        path = f"/ws/{chat.newest()}"
        assert chat.post(path, "x" * 1025).json["reason"] == "body-too-large"
        assert chat.post("/ws?route=chat", "x" * 1025).status == 413
        assert chat.post(path, "y" * 1024).status == 200
        assert ws.message() == "y" * 1024


def test_messages_longer_than_any_request_may_be(backend):
    conf = {"limits": {"max_body": "1KiB"}, "backends": {"app": {"run": "loop", "proxy": [backend.address]}},
            "routes": [{"name": "chat", "path": "/chat", "backend": "app",
                        "websocket": {"mode": "messages", "max_message": "300KiB"}}]}
    with Bulkhead(conf) as b, ws_client.connect(("127.0.0.1", b.port), "/chat") as ws:
        message = b"z" * 300 * 1024
        assert request(("127.0.0.1", b.admin_port), "POST", "/ws?route=chat", OCTETS, message).json["sent"] == 1
        assert ws.message() == message
        assert b.request("POST", "/chat", body=b"z" * 2000).status in (413, 426), "others keep their limit"


def test_who_does_not_read_is_full_and_loses_nothing_that_was_taken(backend):
    with Chat(backend, max_unsent="64KiB") as chat, chat.connect() as ws:
        path, message, taken = f"/ws/{chat.newest()}", "m" * 60000, 0
        while (done := chat.post(path, message)).status == 200:
            taken += 1
            assert taken < 1000, "what is unsent is bounded"
        assert done.status == 503 and told(done, full=1)
        assert chat.post("/ws?route=chat", "x").status == 200, "of many, the numbers tell"
        for _ in range(taken):
            assert ws.message() == message
        eventually(lambda: chat.post(path, "again").status == 200, "there is room again")
        assert ws.message() == "again"


def test_who_takes_leave_gets_its_answer_but_nothing_more():
    arrived, go_on = threading.Event(), threading.Event()

    def answer(seen, conn):
        arrived.set()
        assert go_on.wait(60)
        return respond("the answer", headers=["Content-Type: text/plain"])

    with RecordingBackend(answer) as slow, Chat(slow) as chat, chat.connect() as ws:
        ws.text("the question")
        assert arrived.wait(60)
        path = f"/ws/{chat.newest()}"
        assert told(chat.post(f"{path}?close=4001"), sent=1)
        refused = chat.post(path, "too late")
        assert refused.status == 409 and told(refused, closing=1)
        go_on.set()
        end = ws.end()
        assert end.code == 4001 and [f.payload for f in end.frames] == [b"the answer"]


def test_requests_that_go_away_leave_nothing_behind(backend):
    with Chat(backend, threads=2) as chat, chat.connect() as ws:
        path = f"/ws/{chat.newest()}"
        for _ in range(100):
            with Client(("127.0.0.1", chat.b.admin_port)) as c:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
                       "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        assert chat.post(path, "the last").status == 200
        while ws.message() != "the last":
            pass
        assert chat.list()["open"] == 1


# ---- all of a route --------------------------------------------------------------------------------------------------

def on_both_threads(chat, stack):
    """Connections until both loop threads have some."""
    sockets = []
    while len(sockets) < 8 or len({w["id"][:2] for w in chat.list("?limit=1000")["websockets"]}) < 2:
        assert len(sockets) < 500, "each of two threads accepts now and then"
        sockets.append(stack.enter_context(chat.connect()))
    return sockets


def test_a_message_for_a_route_reaches_all_of_it_on_every_thread(backend):
    from contextlib import ExitStack
    with Chat(backend, threads=2) as chat, ExitStack() as stack:
        sockets = on_both_threads(chat, stack)
        other = stack.enter_context(chat.connect("/news"))
        assert told(chat.post("/ws?route=chat", "to all"), sent=len(sockets))
        assert [ws.message() for ws in sockets] == ["to all"] * len(sockets)
        assert told(chat.post("/ws?route=news", b"to one", OCTETS), sent=1)
        assert other.message() == b"to one", "and nothing before it"
        assert told(chat.post("/ws?route=chat&close=1013&reason=later"), sent=len(sockets))
        assert {ws.end()[:2] for ws in sockets} == {(1013, "later")}
        assert eventually(lambda: chat.counters()["open"] == 0, "all have gone")
        assert chat.counters()["closed"]["bulkhead"] == len(sockets) and chat.counters("news")["open"] == 1


def test_a_route_without_anybody_is_no_mistake(chat):
    assert told(chat.post("/ws?route=news", "anybody?"))


def test_many_are_told_a_slice_at_a_time(backend):
    """More of them than a slice has, and messages that are a slice by themselves."""
    from contextlib import ExitStack
    with Chat(backend) as chat, ExitStack() as stack:
        sockets = [stack.enter_context(chat.connect()) for _ in range(150)]
        for message in ("short", "l" * 300_000):
            assert told(chat.post("/ws?route=chat", message), sent=150)
            assert all(ws.message() == message for ws in sockets)


# ---- bridges ---------------------------------------------------------------------------------------------------------

def test_a_bridge_takes_messages_between_those_of_its_backend():
    with ws_client.WebSocketBackend() as backend:
        conf = {"backends": {"app": {"run": "loop", "proxy": [backend.address]}},
                "routes": [{"name": "live", "path": "/live", "backend": "app", "websocket": "bridge"}]}
        with Bulkhead(conf) as b, ws_client.connect(("127.0.0.1", b.port), "/live") as ws:
            def post(query, body=None):
                return request(("127.0.0.1", b.admin_port), "POST", f"/ws?route=live{query}", None, body)
            ws.text("echoed")
            assert ws.message() == "echoed"
            assert told(post("", "pushed"), sent=1)
            assert ws.message() == "pushed"
            ws.text("again")
            assert ws.message() == "again"
            assert told(post("&close=4000&reason=moved"), sent=1)
            assert ws.end()[:2] == (4000, "moved")
            eventually(lambda: not backend.open, "the backend's side ends as well")


# ---- the list --------------------------------------------------------------------------------------------------------

def test_the_list_names_the_newest_first(backend):
    with Chat(backend) as chat, chat.connect() as first, chat.connect("/news?a=b"):
        first.text("one")
        assert first.message() == "one"
        page = chat.list()
        assert page["open"] == 2
        newest, oldest = page["websockets"]
        assert (newest["route"], oldest["route"]) == ("news", "chat")
        assert oldest["mode"] == "messages" and oldest["backend"] == "app" and oldest["peer"] == "127.0.0.1"
        assert oldest["age_us"] >= newest["age_us"]
        assert [oldest[k] for k in ("messages_in", "messages_out", "bytes_in", "bytes_out")] == [1, 1, 3, 3]
        assert [w["id"] for w in chat.list("?route=chat")["websockets"]] == [oldest["id"]]
        page = chat.list("?limit=1")
        assert page["open"] == 2 and [w["id"] for w in page["websockets"]] == [newest["id"]]
        assert chat.list("?limit=0") == {"open": 2, "websockets": []}
        assert chat.admin("GET", "/ws?limit=1001").status == 400


# ---- the control socket ----------------------------------------------------------------------------------------------

def test_curl_on_the_control_socket(chat):
    with chat.connect() as ws:
        url = f"http://localhost/ws/{chat.newest()}"
        done = subprocess.run(["curl", "-sS", "--unix-socket", chat.b.control, "-d", "hello", url], capture_output=True,
                              text=True, timeout=60)
        assert json.loads(done.stdout) == {"sent": 1, "full": 0, "closing": 0}, done.stderr
        assert ws.message() == "hello"


def send(chat, *args, **kw):
    return subprocess.run([BULKHEAD, "send", "--control", chat.b.control, *args], capture_output=True, timeout=60, **kw)


def test_the_command(chat):
    with chat.connect() as ws:
        one = chat.newest()
        done = send(chat, one, "h\u00e9llo & co")
        assert done.returncode == 0 and done.stdout == b"sent to 1\n" and not done.stderr
        assert ws.message() == "h\u00e9llo & co"
        assert send(chat, one, "--binary", "-", input=b"\xff\0\n").returncode == 0
        assert ws.message() == b"\xff\0\n"
        assert send(chat, "--route", "chat", "--close", "4000", "--reason", "50% & more?", "bye").returncode == 0
        assert ws.message() == "bye"
        assert ws.end()[:2] == (4000, "50% & more?")


def test_the_command_says_what_went_wrong(chat):
    unknown = send(chat, "00ab", "x")
    assert unknown.returncode == 1 and b"no WebSocket with this id" in unknown.stderr and not unknown.stdout
    assert send(chat, "--route", "none", "x").returncode == 1
    wrong = send(chat, "--route", "chat", "--close", "1006")
    assert wrong.returncode == 2 and b"1000 to 1003" in wrong.stderr
    assert send(chat, "--route", "chat", "-", input=b"\xff").returncode == 2


# ---- log and counters ------------------------------------------------------------------------------------------------

def lines(chat, method, count=1):
    return eventually(lambda: (lambda l: l if len(l) >= count else None)(
        [line for line in chat.b.access() if line["method"] == method]), f"{count} lines {method}")


def test_a_websocket_in_the_log(backend):
    with Chat(backend, log_messages=True) as chat:
        with chat.connect("/chat?room=7") as ws:
            ws.text("four")
            assert ws.message() == "four"
            ws.binary(b"12345")
            ws.message()
            ws.close(4321)
            ws.end()
        opened, text, binary, closed = (lines(chat, method)[0] for method in ("OPEN", "TEXT", "BINARY", "CLOSE"))
        for line in (opened, text, binary, closed):
            assert line["protocol"] == "websocket" and line["path"] == "/chat?room=7" and line["route"] == "chat"
            assert line["backend"] == "app" and line["class"] == "loop" and line["peer"] == "127.0.0.1"
            assert line["connection"] == opened["connection"] and line["outcome"] == "ok" and line["reason"] == ""
        assert opened["status"] == 101 and closed["id"] == opened["id"]
        assert [text["id"], binary["id"]] == [seen.header("x-request-id") for seen in backend.seen[-2:]]
        assert text["id"].startswith(f"{opened['connection']}-") and text["status"] == 200
        assert (text["bytes_in"], text["bytes"]) == (4, 4) and text["service_us"] > 0
        assert binary["bytes_in"] == 5
        assert closed["status"] == 4321 and closed["by"] == "client" and closed["why"]
        assert (closed["messages_in"], closed["messages_out"], closed["bytes_in"], closed["bytes"]) == (2, 2, 9, 9)
        assert closed["total_us"] >= text["service_us"] + binary["service_us"]
        assert not [line for line in chat.b.access() if line["protocol"] != "websocket"], "no other line for it"


def test_messages_have_lines_only_where_the_route_says_so(chat):
    with chat.connect() as ws:
        ws.text("x")
        ws.message()
        ws.close()
        ws.end()
    lines(chat, "CLOSE")
    assert not [line for line in chat.b.access() if line["method"] == "TEXT"]


def test_who_leaves_without_a_word_is_lost(backend):
    with Chat(backend) as chat:
        chat.connect().leave()
        closed = lines(chat, "CLOSE")[0]
        assert closed["by"] == "lost" and closed["status"] == 1006
        assert chat.counters()["closed"] == {"client": 0, "bulkhead": 0, "backend": 0, "lost": 1}


def test_counters_of_a_route(backend):
    with Chat(backend, max_connections=1) as chat, chat.connect() as ws:
        ws.text("abc")
        ws.message()
        refused = ws_client.refusal(("127.0.0.1", chat.b.port), "/chat")
        assert refused.status == 503 and refused.json["reason"] == "websockets-full"
        now = chat.counters()
        assert now["mode"] == "messages" and now["backend"] == "app"
        assert (now["open"], now["opened"], now["refused"], now["errors"]) == (1, 1, 1, 0)
        assert (now["messages_in"], now["messages_out"], now["bytes_in"], now["bytes_out"]) == (1, 1, 3, 3), "while it is open"
        shown = subprocess.run([BULKHEAD, "status", "--control", chat.b.control], capture_output=True, text=True, timeout=60).stdout
        assert "WEBSOCKETS" in shown and "chat" in shown


def test_a_call_that_fails_counts_for_route_and_backend():
    with RecordingBackend(lambda seen, conn: None) as broken, Chat(broken, log_messages=True) as chat, chat.connect() as ws:
        ws.text("x")
        reason = json.loads(ws.message())["error"]["reason"]
        line = lines(chat, "TEXT")[0]
        assert line["reason"] == reason and line["outcome"] == "failed"
        assert chat.counters()["errors"] == 1 and chat.b.backend("app")["outcomes"][reason] == 1
