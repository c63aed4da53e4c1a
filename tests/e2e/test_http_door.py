# SPDX-License-Identifier: MIT
"""What a route can answer by itself, what its overrides do, and how answers that are long, late or cut reach a client."""
import os
import re
import socket
import threading

import pytest

from harness import Bulkhead, Client, RecordingBackend, eventually, respond


# ---- respond and redirect -------------------------------------------------------------------------------------------

ROUTES = [
    {"path": "/teapot", "respond": {"status": 418, "body": "short\n", "content_type": "text/x-tea"},
     "response_headers": {"set": {"X-Kind": "tea"}}},
    {"path": "/empty", "respond": {"status": 204}},
    {"path": "/long", "respond": {"status": 200, "body": "x" * 20000}},
    {"path_prefix": "/old/", "redirect": {"status": 308, "to": "https://$host$path$query"}},
    {"path_prefix": "/", "redirect": {"status": 302, "to": "$path$query"}},
]


@pytest.fixture(scope="module")
def fixed():
    with Bulkhead({"routes": ROUTES}) as b:
        yield b


def test_fixed_answer(fixed):
    response = fixed.get("/teapot")
    assert (response.status, response.body) == (418, b"short\n")
    assert response.header("content-type") == "text/x-tea" and response.header("x-kind") == "tea"
    assert fixed.get("/long").body == b"x" * 20000
    empty = fixed.get("/empty")
    assert empty.status == 204 and empty.header("content-length") is None


def test_redirect_target_is_composed(fixed):
    response = fixed.get("/old/a?b=c", headers={"Host": "example.org"})
    assert response.status == 308 and response.header("location") == "https://example.org/old/a?b=c"
    assert fixed.get("/old/a").header("location") == "https://test/old/a"


def test_redirect_does_not_lead_to_another_host(fixed):
    assert fixed.get("//evil.example/x").header("location") == "/evil.example/x"


# ---- files ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("<h1>index</h1>")
    (root / "a.css").write_text("body{}")
    (root / "big.bin").write_bytes(os.urandom(3 << 20))
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("sub")
    (root / "bare").mkdir()
    (root / ".secret").write_text("secret")
    (root / "with space").write_text("space")
    (root / "out").symlink_to("/etc/passwd")
    (root / "in").symlink_to("a.css")
    os.mkfifo(root / "fifo")
    with Bulkhead({"routes": [{"path_prefix": "/files/", "files": str(root)}]}) as b:
        b.root = root
        yield b


def test_file_and_index(site):
    response = site.get("/files/a.css")
    assert response.status == 200 and response.body == b"body{}"
    assert response.header("content-type") == "text/css; charset=utf-8"
    assert response.header("accept-ranges") == "bytes"
    assert site.get("/files/").body == b"<h1>index</h1>"
    assert site.get("/files/sub/").body == b"sub"
    assert site.get("/files/with%20space").body == b"space"
    assert site.get("/files/in").body == b"body{}", "a link that stays inside is followed"


def test_directory_without_slash_is_redirected(site):
    response = site.get("/files/sub?x=1")
    assert response.status == 301 and response.header("location") == "/files/sub/?x=1"


@pytest.mark.parametrize("path", ["nothing", ".secret", "sub/../.secret", "out", "fifo", "bare/", "a.css/", "a%2Fb", "a.css%2F",
                                  "sub/..%2F..%2Fetc/passwd", "/etc/passwd"])
def test_what_is_never_served(site, path):
    response = site.get("/files/" + path)
    assert response.status == 404 and response.json["reason"] in ("not-found", "no-route")
    assert b"secret" not in response.body and b"root:" not in response.body


def test_files_are_read_only(site):
    response = site.request("POST", "/files/a.css", body="x")
    assert response.status == 405 and response.header("allow") == "GET, HEAD"


def test_long_file_arrives_whole(site):
    content = (site.root / "big.bin").read_bytes()
    with site.connect() as client:
        client.send("GET /files/big.bin HTTP/1.1\r\nHost: t\r\n\r\n" * 2)
        assert client.response().body == content
        assert client.response().body == content


@pytest.mark.parametrize("field, status, part", [
    ("bytes=0-99", 206, slice(0, 100)), ("bytes=-100", 206, slice(-100, None)), ("bytes=3145720-", 206, slice(3145720, None)),
    ("bytes=100-200,300-400", 200, slice(None)), ("lines=1-2", 200, slice(None))])
def test_ranges(site, field, status, part):
    content = (site.root / "big.bin").read_bytes()
    response = site.get("/files/big.bin", headers={"Range": field})
    assert response.status == status and response.body == content[part]
    if status == 206:
        start = part.indices(len(content))[0]
        assert response.header("content-range") == f"bytes {start}-{start + len(response.body) - 1}/{len(content)}"


def test_range_behind_the_end(site):
    response = site.get("/files/a.css", headers={"Range": "bytes=6-"})
    assert response.status == 416 and response.header("content-range") == "bytes */6" and response.body == b""


def test_conditional_requests(site):
    first = site.get("/files/a.css")
    tag, date = first.header("etag"), first.header("last-modified")
    for headers in ({"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}, {"If-None-Match": "*"},
                    {"If-Modified-Since": date}):
        response = site.get("/files/a.css", headers=headers)
        assert response.status == 304 and response.body == b"", headers
        assert response.header("etag") == tag
    for headers in ({"If-None-Match": '"x"'}, {"If-None-Match": '"x"', "If-Modified-Since": date},
                    {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"If-Modified-Since": "yesterday"}):
        assert site.get("/files/a.css", headers=headers).status == 200, headers


def test_range_of_a_changed_file_is_the_whole(site):
    tag = site.get("/files/a.css").header("etag")
    assert site.get("/files/a.css", headers={"Range": "bytes=0-1", "If-Range": tag}).status == 206
    assert site.get("/files/a.css", headers={"Range": "bytes=0-1", "If-Range": '"old"'}).status == 200


def test_file_that_shrinks_is_cut_visibly(site, tmp_path):
    victim = site.root / "victim.bin"
    victim.write_bytes(b"x" * (64 << 20))
    with site.connect() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send("GET /files/victim.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        client._fill()
        os.truncate(victim, 1000)
        response = client.response()
        assert not response.complete and client.eof
    victim.unlink()


# ---- overrides of routes to backends --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def rules():
    with RecordingBackend(lambda seen, conn: respond("ok", headers=["X-Inner: 1", "X-Shown: 1", "Server: inner"])) as up:
        conf = {"backends": {"up": {"run": "loop", "proxy": up.address}},
                "routes": [{"path_prefix": "/api/", "strip_prefix": "/api", "backend": "up",
                            "request_headers": {"set": {"X-Set": "new"}, "add": {"X-Added": "1"}, "remove": ["Cookie"]},
                            "response_headers": {"set": {"X-Frame-Options": "DENY"}, "remove": ["X-Inner"]}},
                           {"path_regex": "^/shop/[0-9]+$", "methods": ["GET"], "backend": "up"},
                           {"headers": {"X-Go": "up"}, "backend": "up"}]}
        with Bulkhead(conf) as b:
            b.up = up
            yield b


def test_header_rules_and_strip_prefix(rules):
    response = rules.get("/api/x?y", headers={"X-Set": "old", "Cookie": "a=b"})
    seen = rules.up.seen[-1]
    assert seen.target == "/x?y"
    assert seen.header("x-set") == "new" and seen.header("x-added") == "1" and seen.header("cookie") is None
    assert response.header("x-frame-options") == "DENY" and response.header("x-shown") == "1"
    assert response.header("x-inner") is None
    assert response.header("server") == "bulkhead", "one Server field, ours"


def test_route_keys(rules):
    assert rules.get("/shop/12").status == 200
    assert rules.get("/shop/x").status == 404
    assert rules.request("DELETE", "/shop/12").status == 404
    assert rules.get("/elsewhere", headers={"X-Go": "up"}).status == 200
    assert rules.get("/elsewhere", headers={"X-Go": "down"}).status == 404


def test_what_is_routed_is_what_is_forwarded(rules):
    assert rules.get("/api/%61/./b/../%2f%c3%a9").status == 200
    assert rules.up.seen[-1].target == "/a/%2F%C3%A9"


# ---- answers that come in pieces, or not at all ---------------------------------------------------------------------

class Pieces:
    """Says what the path asks for, and the second half only when the test lets it."""

    def __init__(self):
        self.go_on = threading.Event()
        self.backend = RecordingBackend(self.answer)

    def answer(self, seen, conn):
        path = seen.target
        if path == "/chunked404":
            conn.sendall(b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        elif path == "/chunked":
            conn.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        elif path == "/length":
            conn.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf")
        elif path == "/close":
            conn.sendall(b"HTTP/1.1 200 X\r\n\r\nhalf")
        self.go_on.wait(30)
        if seen.header("x-cut"):
            return None
        return None if path == "/close" else b"4\r\nhalf\r\n0\r\n\r\n"


@pytest.fixture
def pieces():
    p = Pieces()
    with Bulkhead({"backends": {"up": {"run": "loop", "proxy": p.backend.address}},
                   "routes": [{"path_prefix": "/", "backend": "up"}]}) as b:
        b.pieces = p
        yield b
    p.go_on.set()
    p.backend.close()


def half(b, path, version="1.1", fields=""):
    client = b.connect()
    client.send(f"GET {path} HTTP/{version}\r\nHost: t\r\n{fields}\r\n")
    while b"half" not in client.buffer:
        assert client._fill()
    b.pieces.go_on.set()
    return client


def test_late_answers_of_any_status_keep_the_connection(pieces):
    client = half(pieces, "/chunked404")
    response = client.response()
    assert response.status == 404 and response.complete and response.body == b"halfhalf"
    client.send("GET /chunked HTTP/1.1\r\nHost: t\r\n\r\n")
    assert client.response().body == b"halfhalf"


@pytest.mark.parametrize("path", ["/chunked", "/length"])
def test_cut_answer_is_cut_for_the_client_too(pieces, path):
    client = half(pieces, path, fields="X-Cut: 1\r\n")
    response = client.response()
    assert not response.complete and response.body == b"half"
    assert pieces.access_of(path)[0]["reason"] == "upstream-reset"


def test_cut_answer_without_framing_is_reset(pieces):
    client = half(pieces, "/chunked", version="1.0", fields="X-Cut: 1\r\n")
    with pytest.raises(ConnectionResetError):
        while client.sock.recv(65536):
            pass


def test_whole_answer_without_framing_is_closed(pieces):
    client = half(pieces, "/close", version="1.0")
    response = client.response()
    assert response.body == b"half" and response.header("transfer-encoding") is None


def test_client_that_leaves_in_the_middle_ends_the_call(pieces):
    client = pieces.connect()
    client.send("GET /chunked HTTP/1.1\r\nHost: t\r\n\r\n")
    while b"half" not in client.buffer:
        assert client._fill()
    client.close()
    eventually(lambda: pieces.backend("up")["busy"] == 0, "the slot is free although the backend says nothing")
    assert pieces.access_of("/chunked")[0]["outcome"] == "abandoned"


def test_slow_clients_answers_are_spooled_not_held():
    body = os.urandom(1 << 20) * 12
    with RecordingBackend(lambda seen, conn: respond(body)) as up:
        with Bulkhead({"backends": {"up": {"run": "loop", "proxy": up.address, "limit": 2}},
                       "routes": [{"path_prefix": "/", "backend": "up"}]}) as b:
            slow = [b.connect(timeout=60) for _ in range(4)]
            for client in slow:
                client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            eventually(lambda: len(up.seen) == 4 and b.backend("up")["busy"] == 0, "all four were served through two slots")
            front = b.front_pid()
            with open(f"/proc/{front}/status") as f:
                resident_kib = int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])
            assert resident_kib < 30 * 1024, "what is kept for them is in files"
            for client in slow:
                assert client.response().body == body
            spools = [os.readlink(f"/proc/{front}/fd/{fd}") for fd in os.listdir(f"/proc/{front}/fd")]
            assert not [name for name in spools if "spool" in name or "(deleted)" in name]


# ---- log and admin --------------------------------------------------------------------------------------------------

def test_text_log():
    b = Bulkhead({"routes": [{"path": "/a", "respond": {"body": "ok"}}]})
    with open(b.conf_path) as f:
        text = f.read().replace('"format": "json"', '"format": "text"')
    with open(b.conf_path, "w") as f:
        f.write(text)
    with b:
        assert b.get("/a?q=%22").status == 200

        def line():
            try:
                with open(b.access_path) as f:
                    return f.readline()
            except FileNotFoundError:
                return None
        assert re.match(r'\d{4}-\d\d-\d\dT[\d:.]+Z 127\.0\.0\.1 "GET /a\?q=%22 HTTP/1\.1" 200 2 ok - test\.conf:\d+ - - ',
                        eventually(line, "a line"))


def test_every_end_has_a_log_line():
    with Bulkhead({"routes": [{"path": "/a", "respond": {"body": "ok"}}]}) as b:
        b.get("/a")
        b.get("/nowhere")
        b.get("/../b")
        with Client(("127.0.0.1", b.port)) as client:
            client.send("POST /expect HTTP/1.1\r\nHost: t\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\nx")
            assert client.response().status == 417
        lines = eventually(lambda: b.access() if len(b.access()) == 4 else None, "four lines")
        assert [line["reason"] for line in lines] == ["", "no-route", "bad-request", "expectation-failed"]
        assert [line["outcome"] for line in lines] == ["ok", "refused", "refused", "refused"]


def test_readiness_names_what_is_missing():
    conf = {"backends": {"never": {"run": "workers", "command": ["sleep", "1000"], "workers": 1, "start_timeout": "60s"}},
            "routes": [{"path_prefix": "/", "backend": "never"}]}
    b = Bulkhead(conf, ready=False)
    with b:
        def asked():
            try:
                return b.admin("/readyz")
            except OSError:
                return None
        response = eventually(asked, "admin answers")
        assert response.status == 503 and response.body == b"not ready: never\n"
        assert b.admin("/healthz").status == 200
        status = b.status()["backends"][0]
        assert (status["limit"], status["busy"], status["queued"]) == (0, 0, 0)
        assert b.admin("/nothing").status == 404
