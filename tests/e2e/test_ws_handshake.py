# SPDX-License-Identifier: MIT
"""The way from a request to an open WebSocket: what is let through (RFC 6455 §4.2), what is refused and how, on every kind of
listener, and what the log says of it."""
import json

import pytest

from harness import Bulkhead, Client, RecordingBackend, eventually, free_port
from test_front_door import Http2, make_certificate, tls_connect
from ws_client import KEY, TEXT, connect, frame, handshake, refusal
from ws_rig import MODES, Echoes, route

RESPOND = {"path": "/hello", "respond": {"body": "hello"}}
RULES = {"set": {"X-Kind": "socket"}, "remove": ["X-Inner"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tls = make_certificate(tmp_path_factory.mktemp("tls"), "site", ["site.example"])
    plain, secure, path = free_port(), free_port(), str(tmp_path_factory.mktemp("listener") / "http.sock")
    with Echoes(fields=["X-Inner: 1", "X-Shown: 1"]) as echoes, RecordingBackend() as up:
        routes = [route(f"/{mode}", mode) for mode in MODES]
        routes += [
            route("/pages", "plain", {"origins": ["https://example.org", "null"]}),
            route("/spoken", "plain", {"protocols": ["v2", "v1"]}),
            *(route(f"/decorated/{mode}", mode, response_headers=RULES) for mode in MODES),
            route("/two", "plain", {"max_connections": 2}),
            RESPOND, {"path": "/http", "backend": "http"}]
        conf = {"backends": {**echoes.backends, "http": {"run": "loop", "proxy": up.address}}, "routes": routes}
        listeners = [{"bind": f"127.0.0.1:{plain}", "http2": True}, {"bind": f"unix:{path}"},
                     {"bind": f"127.0.0.1:{secure}", "tls": [tls], "http2": True}]
        with Bulkhead(conf, listeners=listeners) as b:
            b.address, b.tls_port, b.path, b.up = ("127.0.0.1", plain), secure, path, up
            yield b


@pytest.fixture(params=MODES)
def path(request):
    return f"/{request.param}"


def assert_echo(ws, text="hello"):
    ws.text(text)
    assert ws.message() == text


def assert_refused(answer, status, reason):
    assert answer.status == status and answer.json["reason"] == reason and answer.json["status"] == status
    assert answer.header("content-type") == "application/problem+json"
    assert reason in answer.header("proxy-status")
    assert answer.header("sec-websocket-accept") is None


# ---- what is let through ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fields", [
    {"Connection": "keep-alive, Upgrade"}, {"Connection": "upgrade"}, {"Connection": ["keep-alive", "Upgrade"]},
    {"Upgrade": "WebSocket"}, {"Origin": "https://anywhere.example"}, {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
    {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}, {"Cookie": "a=" + "x" * 8000},
    {"Sec-WebSocket-Version": " 13 "},
], ids=lambda fields: "-".join(fields))
def test_handshakes_that_browsers_and_libraries_send(server, path, fields):
    with connect(server.address, path, fields) as ws:
        assert_echo(ws)


def test_the_query_is_no_part_of_the_route(server, path):
    with connect(server.address, path + "?token=1") as ws:
        assert_echo(ws)


def test_over_tls(server, path):
    with connect(path=path, sock=tls_connect(server.tls_port), early=frame("early")) as ws:
        assert ws.message() == "early"
        assert_echo(ws, "x" * 100000)
        ws.close()
        assert ws.end().code == 1000


def test_on_a_unix_socket(server, path):
    with connect(server.path, path) as ws:
        assert_echo(ws)


@pytest.mark.parametrize("before", [
    b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n",
    b"POST /http HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345",
    b"POST /http HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
], ids=["get", "post", "chunked"])
@pytest.mark.parametrize("together", [False, True])
def test_a_connection_upgrades_after_ordinary_requests(server, path, before, together):
    with Client(server.address) as c:
        if together:
            c.send(before * 2 + handshake(path) + frame("early"))
        for _ in range(2):
            if not together:
                c.send(before)
            assert c.response().status == 200
        if not together:
            c.send(handshake(path) + frame("early"))
        assert c.response(skip_interim=False).status == 101
        data, _ = c._exactly(7)
        assert data == frame("early", TEXT, mask=None)


def test_nothing_is_read_as_a_request_behind_a_handshake(server, path):
    with connect(server.address, path, early=b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n") as ws:
        assert ws.end().code == 1002


def test_response_headers_of_the_route(server, path):
    with connect(server.address, f"/decorated{path}") as ws:
        assert ws.response.header("x-kind") == "socket"
        assert_echo(ws)


def test_what_the_backend_adds_to_the_handshake(server):
    with connect(server.address, "/bridge") as ws:
        assert ws.response.header("x-inner") == "1" and ws.response.header("x-shown") == "1"
        assert len([1 for name, _ in ws.response.headers if name.lower() == "sec-websocket-accept"]) == 1
    with connect(server.address, "/decorated/bridge") as ws:
        assert ws.response.header("x-inner") is None and ws.response.header("x-shown") == "1"


@pytest.mark.parametrize("offered, chosen", [("v1, v2", "v2"), ("v1", "v1"), (["v1", "v3,v2"], "v2"), ("v3", None), (None, None),
                                             ("V2", None), ("v22, v", None)])
def test_the_subprotocol_is_the_one_that_the_conf_wants_most(server, offered, chosen):
    with connect(server.address, "/spoken", {"Sec-WebSocket-Protocol": offered}) as ws:
        assert ws.response.header("sec-websocket-protocol") == chosen
        assert_echo(ws)


def test_no_subprotocol_without_a_list_of_them(server):
    with connect(server.address, "/plain", {"Sec-WebSocket-Protocol": "v1"}) as ws:
        assert ws.response.header("sec-websocket-protocol") is None


@pytest.mark.parametrize("origin", ["https://example.org", "null", None])
def test_origins_of_the_list_and_clients_that_are_no_browsers(server, origin):
    with connect(server.address, "/pages", {"Origin": origin}) as ws:
        assert_echo(ws)


# ---- what is refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("origin", ["https://evil.example", "http://example.org", "https://example.org:8443", "",
                                    "https://example.org.evil.example", "https://sub.example.org"])
def test_pages_of_other_origins(server, origin):
    answer = refusal(server.address, "/pages", {"Origin": origin})
    assert_refused(answer, 403, "origin-not-allowed")


def test_two_origins(server):
    assert refusal(server.address, "/pages", {"Origin": ["https://example.org", "https://evil.example"]}).status in (400, 403)


@pytest.mark.parametrize("version", ["8", "12", "14", "0", "1300", "013", "13a", "8, 13", "", None])
def test_other_versions(server, path, version):
    answer = refusal(server.address, path, {"Sec-WebSocket-Version": version})
    assert_refused(answer, 426, "upgrade-required")
    assert answer.header("sec-websocket-version") == "13"


@pytest.mark.parametrize("key", [None, "", "AAAA", "AAAAAAAAAAAAAAAAAAAAA===", "A" * 24, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                 "A" * 4000, KEY * 2, "!!!!!!!!!!!!!!!!!!!!!!==", [KEY, KEY]])
def test_keys_that_are_no_16_bytes(server, path, key):
    assert_refused(refusal(server.address, path, {"Sec-WebSocket-Key": key}), 400, "bad-request")


@pytest.mark.parametrize("connection", [None, "keep-alive", "upgraded"])
def test_an_upgrade_that_the_connection_field_does_not_name(server, connection):
    answer = refusal(server.address, "/plain", {"Connection": connection})
    assert answer.status in (400, 426)


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "PATCH"])
def test_handshakes_are_gets(server, path, method):
    fields = {"Content-Length": "0"} if method in ("POST", "PUT", "PATCH") else {}
    answer = refusal(server.address, path, fields, method=method)
    assert answer.status in (400, 405, 426)


def test_http_1_0_has_no_upgrades(server, path):
    assert refusal(server.address, path, version="1.0").status in (400, 426)


@pytest.mark.parametrize("fields, body", [({"Content-Length": "5"}, b"hello"),
                                          ({"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n")])
def test_a_body_of_a_handshake_is_never_read_as_frames(server, path, fields, body):
    with Client(server.address) as c:
        c.send(handshake(path, fields) + body + frame("first", mask=b"\0\0\0\0"))
        answer = c.response(skip_interim=False)
        assert answer.status in (101, 400)
        if answer.status == 101:
            data, _ = c._exactly(7)
            assert data == frame("first", mask=None)


@pytest.mark.parametrize("head, status", [({"X-Long": "x" * 17000}, 431), ({f"X-{i}": "x" for i in range(110)}, 431)])
def test_handshakes_over_the_limits_of_requests(server, path, head, status):
    assert refusal(server.address, path, head).status == status
    assert refusal(server.address, path + "?" + "x" * 9000).status == 414


@pytest.mark.parametrize("target", ["/plain", "/events"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
def test_requests_that_are_no_handshake_on_a_route_of_messages(server, target, method):
    with Client(server.address) as c:
        c.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        answer = c.response(method)
        assert answer.status == 426 and answer.header("upgrade").lower() == "websocket"
        assert "upgrade" in answer.header("connection").lower()
        if method != "HEAD":
            assert_refused(answer, 426, "upgrade-required")


def test_requests_that_are_no_handshake_on_a_route_of_bridge(server):
    with Client(server.address) as c:
        c.send("GET /bridge HTTP/1.1\r\nHost: test\r\n\r\n")
        assert c.response().body == b"ordinary\n"
        c.send("GET /bridge HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        assert c.response().body == b"ordinary\n"


@pytest.mark.parametrize("target", ["/plain", "/events"])
def test_http_2_has_no_upgrades(server, target):
    status, body = Http2(tls_connect(server.tls_port, alpn=["h2"])).get(target)
    assert status == 426 and json.loads(body)["reason"] == "upgrade-required"


def test_routes_without_websocket_do_not_upgrade(server):
    with Client(server.address) as c:
        c.send(handshake("/hello"))
        answer = c.response(skip_interim=False)
        assert answer.status == 200 and answer.body == b"hello"
    server.up.seen.clear()
    with Client(server.address) as c:
        c.send(handshake("/http"))
        assert c.response(skip_interim=False).status == 200
    assert server.up.seen[0].header("upgrade") is None


# ---- how many --------------------------------------------------------------------------------------------------------

def websockets(server, path):
    """What the status page says of the route, which it lists as the conf does."""
    names = [*(f"/{mode}" for mode in MODES), "/pages", "/spoken", *(f"/decorated/{mode}" for mode in MODES), "/two"]
    return server.status()["websockets"][names.index(path)]


def test_max_connections(server):
    eventually(lambda: websockets(server, "/two")["open"] == 0, "no others are left")
    with connect(server.address, "/two") as first, connect(server.address, "/two") as second:
        answer = refusal(server.address, "/two")
        assert_refused(answer, 503, "websockets-full")
        assert_echo(first)
        assert websockets(server, "/two")["open"] == 2
        first.close()
        assert first.end().code == 1000
        eventually(lambda: websockets(server, "/two")["open"] == 1, "room again")
        with connect(server.address, "/two") as third:
            assert_echo(third)
            assert_echo(second)
    eventually(lambda: websockets(server, "/two")["open"] == 0, "all have left")


def test_refused_handshakes_take_no_room(server):
    for _ in range(10):
        assert refusal(server.address, "/two", {"Sec-WebSocket-Key": "short"}).status == 400
    with Client(server.address) as c:
        c.send(handshake("/two")[:-2])
    with connect(server.address, "/two") as first, connect(server.address, "/two") as second:
        assert_echo(first)
        assert_echo(second)
    eventually(lambda: websockets(server, "/two")["open"] == 0, "all have left")


# ---- the log ---------------------------------------------------------------------------------------------------------

def lines_of(server, target, count):
    return eventually(lambda: (lambda found: found if len(found) >= count else None)(
        [line for line in server.access() if line["path"] == target]), f"{count} lines of {target}")


def test_a_line_when_it_opens_and_one_when_it_closes(server, path):
    target = f"{path}?log=closed"
    with connect(server.address, target) as ws:
        opened = lines_of(server, target, 1)[0]
        assert opened["method"] == "OPEN" and opened["status"] == 101 and opened["outcome"] == "ok"
        assert_echo(ws, "four")
        assert_echo(ws, "seventeen letters")
        ws.close(3001)
        ws.end()
    closed = lines_of(server, target, 2)[1]
    assert closed["method"] == "CLOSE" and closed["status"] == 3001 and closed["by"] == "client"
    assert closed["connection"] == opened["connection"] != ""
    assert closed["messages_in"] == closed["messages_out"] == 2 and closed["bytes_in"] == closed["bytes"] == 21
    assert closed["total_us"] > 0 and closed["backend"] == opened["backend"]
    assert len(lines_of(server, target, 2)) == 2


def test_the_line_of_one_that_broke(server, path):
    target = f"{path}?log=broken"
    with connect(server.address, target) as ws:
        assert_echo(ws)
    closed = lines_of(server, target, 2)[1]
    assert closed["status"] == 1006 and closed["by"] == "lost"


def test_the_line_of_one_that_was_closed_here(server, path):
    target = f"{path}?log=violation"
    with connect(server.address, target) as ws:
        ws.send_frame("x", 3)
        assert ws.end().code == 1002
    closed = lines_of(server, target, 2)[1]
    assert closed["status"] == 1002 and closed["by"] == "bulkhead" and closed["why"]


def test_the_line_of_one_that_was_refused(server, path):
    target = f"{path}?log=refused"
    assert refusal(server.address, target, {"Sec-WebSocket-Key": "short"}).status == 400
    line = lines_of(server, target, 1)[0]
    assert line["status"] == 400 and line["reason"] == "bad-request" and line["outcome"] == "refused"
