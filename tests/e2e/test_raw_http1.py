# SPDX-License-Identifier: MIT
"""Requests as raw bytes: what must be refused is refused before any backend sees it, on in-loop and on forwarded routes; what
is let through reaches the backend in one unambiguous form (RFC 9112)."""
import re

import pytest

from harness import Bulkhead, Client, RecordingBackend, respond

HOST = "Host: test\r\n"


@pytest.fixture(scope="module")
def backend():
    with RecordingBackend() as b:
        yield b


@pytest.fixture(scope="module")
def bulkhead(backend):
    conf = {
        "backends": {"up": {"run": "loop", "proxy": backend.address}},
        "routes": [
            {"path_prefix": "/in/", "respond": {"body": "in loop"}},
            {"path_prefix": "/fwd/", "backend": "up"},
            {"path": "/secret", "respond": {"status": 403, "body": "no"}},
        ],
        "limits": {"max_body": "1MiB"},
    }
    with Bulkhead(conf) as b:
        yield b


def case(name, raw, status, closes=True):
    return pytest.param(raw, status, closes, id=name)


BIG = "x" * 20000
# {P} stands for the route's prefix
REFUSED = [
    case("cl-and-te", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    case("te-and-cl", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    case("cl-twice-different", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    case("cl-twice-equal", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    case("cl-list", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 3, 3\r\n\r\nabc", 400),
    case("cl-plus", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: +3\r\n\r\nabc", 400),
    case("cl-minus", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n", 400),
    case("cl-empty", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length:\r\n\r\n", 400),
    case("cl-hex", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 0x3\r\n\r\nabc", 400),
    case("cl-blank-inside", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 1 1\r\n\r\n", 400),
    case("cl-overflow", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999999\r\n\r\n", (400, 413)),
    case("cl-over-limit", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 2000000\r\n\r\n", 413),
    case("te-unknown", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    case("te-gzip-chunked", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    case("te-identity", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: identity\r\n\r\n", (400, 501)),
    case("te-chunked-twice", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    case("te-list-twice", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    case("te-identity-chunked", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    case("te-empty", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding:\r\n\r\n", (400, 501)),
    case("te-vertical-tab", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    case("te-on-1.0", f"POST {{P}} HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    case("te-space-before-colon", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    case("bare-lf-line", "GET {P} HTTP/1.1\nHost: test\n\n", 400),
    case("bare-lf-field", f"GET {{P}} HTTP/1.1\r\nHost: test\nX: y\r\n\r\n", 400),
    case("bare-lf-end", f"GET {{P}} HTTP/1.1\r\n{HOST}\n", 400),
    case("bare-cr-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n", 400),
    case("bare-cr-line", f"GET {{P}} HTTP/1.1\r{HOST}\r\n\r\n", 400),
    case("nul-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n", 400),
    case("nul-name", f"GET {{P}} HTTP/1.1\r\n{HOST}X\0: a\r\n\r\n", 400),
    case("nul-target", f"GET {{P}}\0 HTTP/1.1\r\n{HOST}\r\n", 400),
    case("control-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\x01b\r\n\r\n", 400),
    case("del-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\x7fb\r\n\r\n", 400),
    case("obs-fold", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n", 400),
    case("obs-fold-tab", f"GET {{P}} HTTP/1.1\r\n{HOST}X: a\r\n\tb\r\n\r\n", 400),
    case("fold-first", f"GET {{P}} HTTP/1.1\r\n X: a\r\n{HOST}\r\n", 400),
    case("space-before-colon", f"GET {{P}} HTTP/1.1\r\n{HOST}X : a\r\n\r\n", 400),
    case("tab-before-colon", f"GET {{P}} HTTP/1.1\r\n{HOST}X\t: a\r\n\r\n", 400),
    case("no-colon", f"GET {{P}} HTTP/1.1\r\n{HOST}X a\r\n\r\n", 400),
    case("empty-name", f"GET {{P}} HTTP/1.1\r\n{HOST}: a\r\n\r\n", 400),
    case("name-not-token", f"GET {{P}} HTTP/1.1\r\n{HOST}X@y: a\r\n\r\n", 400),
    case("name-high-bit", f"GET {{P}} HTTP/1.1\r\n{HOST}X\xe9: a\r\n\r\n", 400),
    case("name-quote", f"GET {{P}} HTTP/1.1\r\n{HOST}\"X\": a\r\n\r\n", 400),
    case("no-host", "GET {P} HTTP/1.1\r\n\r\n", 400),
    case("two-hosts", f"GET {{P}} HTTP/1.1\r\n{HOST}Host: other\r\n\r\n", 400),
    case("two-hosts-equal", f"GET {{P}} HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    case("host-with-path", "GET {P} HTTP/1.1\r\nHost: test/x\r\n\r\n", 400),
    case("host-with-space", "GET {P} HTTP/1.1\r\nHost: te st\r\n\r\n", 400),
    case("host-userinfo", "GET {P} HTTP/1.1\r\nHost: a@test\r\n\r\n", 400),
    case("host-comma", "GET {P} HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    case("host-bad-port", "GET {P} HTTP/1.1\r\nHost: test:8x\r\n\r\n", 400),
    case("method-not-token", f"G<>T {{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("method-empty", f" {{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("method-long", f"{'A' * 200} {{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("method-colon", f"GET: {{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("connect", f"CONNECT test:80 HTTP/1.1\r\n{HOST}\r\n", (400, 405, 501)),
    case("target-relative", f"GET x{{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-empty", f"GET  HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-two-spaces", f"GET  {{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-trailing-space", f"GET {{P}}  HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-tab", f"GET {{P}}\ta HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-space", f"GET {{P}}a b HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-control", f"GET {{P}}\x01 HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-fragment", f"GET {{P}}#a HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-absolute-other-host", f"GET http://other{{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-absolute-ftp", f"GET ftp://test{{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-absolute-userinfo", f"GET http://a@test{{P}} HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-star-get", f"GET * HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-percent-nul", f"GET {{P}}%00 HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-percent-broken", f"GET {{P}}%zz HTTP/1.1\r\n{HOST}\r\n", 400),
    case("target-long", f"GET {{P}}{'a' * 9000} HTTP/1.1\r\n{HOST}\r\n", 414),
    case("version-2.0", f"GET {{P}} HTTP/2.0\r\n{HOST}\r\n", (400, 505)),
    case("version-lower", f"GET {{P}} http/1.1\r\n{HOST}\r\n", 400),
    case("version-missing", f"GET {{P}}\r\n{HOST}\r\n", 400),
    case("version-garbage", f"GET {{P}} HTTP/x.y\r\n{HOST}\r\n", 400),
    case("version-long", f"GET {{P}} HTTP/1.10\r\n{HOST}\r\n", (400, 505)),
    case("head-long-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X: {BIG}\r\n\r\n", 431),
    case("head-long-unfinished", f"GET {{P}} HTTP/1.1\r\n{HOST}X: {BIG}", 431),
    case("head-many-fields", f"GET {{P}} HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 150 + "\r\n", 431),
    case("expect-unknown", f"POST {{P}} HTTP/1.1\r\n{HOST}Expect: magic\r\nContent-Length: 3\r\n\r\nabc", 417),
    case("garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    case("chunk-size-garbage", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    case("chunk-size-signed", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 400),
    case("chunk-size-0x", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    case("chunk-size-blank", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400),
    case("chunk-size-overflow", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1{'0' * 16}\r\nabc\r\n0\r\n\r\n", (400, 413)),
    case("chunk-bare-lf", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
    case("chunk-data-bare-lf", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 400),
    case("chunk-data-short", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400),
    case("chunk-extension-flood", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3;{'a' * 9000}\r\nabc\r\n0\r\n\r\n", 400),
    case("chunk-extension-nul", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3;a=\0\r\nabc\r\n0\r\n\r\n", 400),
    case("trailer-flood", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n" + "X: " + "y" * 9000 + "\r\n\r\n", 400),
    case("trailer-bare-lf", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400),
    case("chunked-over-limit", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n200000\r\n" + "y" * 0x200000, 413),
]


@pytest.mark.parametrize("prefix", ["/in/a", "/fwd/a"])
@pytest.mark.parametrize("raw,status,closes", REFUSED)
def test_refused(bulkhead, backend, prefix, raw, status, closes):
    before = len(backend.seen)
    with bulkhead.connect() as c:
        # a second request behind it must never be answered: that would be desynchronisation
        data = raw.replace("{P}", prefix).encode("latin-1") + b"GET /secret HTTP/1.1\r\nHost: test\r\n\r\n"
        if raw.endswith("X: " + BIG):
            data = raw.replace("{P}", prefix).encode("latin-1")
        try:
            c.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        response = c.response()
        assert response.status in (status if isinstance(status, tuple) else (status,)), response
        assert c.closed(), f"something followed the refusal: {c.buffer!r}"
    assert len(backend.seen) == before, f"the backend saw {backend.seen[-1].raw_head!r}"


def test_refusal_is_a_problem_document(bulkhead):
    with bulkhead.connect() as c:
        c.send("GET /in/a HTTP/1.1\r\n\r\n")
        response = c.response()
    assert response.header("content-type") == "application/problem+json"
    assert response.json["reason"] == "bad-request" and response.json["status"] == 400
    assert "host" in response.json["detail"].lower()
    assert response.header("connection") == "close"


def test_refusals_are_counted(bulkhead):
    def count():
        return bulkhead.status()["refused"].get("bad-request", 0)
    before = count()
    with bulkhead.connect() as c:
        c.send("GET /in/a HTTP/1.1\r\n\r\n")
        c.response()
    assert count() == before + 1


# name, what the client sends, request line and headers that the backend must see (regex on the raw head), body
FORWARDED = [
    ("plain", f"GET {{P}} HTTP/1.1\r\n{HOST}\r\n", r"^GET {P} HTTP/1\.1\r\n", b""),
    ("http-1.0", "GET {P} HTTP/1.0\r\n\r\n", r"^GET {P} HTTP/1\.1\r\n", b""),
    ("higher minor version", f"GET {{P}} HTTP/1.2\r\n{HOST}\r\n", r"^GET {P} HTTP/1\.1\r\n", b""),
    ("query", f"GET {{P}}?a=b&c=%20 HTTP/1.1\r\n{HOST}\r\n", r"^GET {P}\?a=b&c=%20 HTTP/1\.1\r\n", b""),
    ("empty-query", f"GET {{P}}? HTTP/1.1\r\n{HOST}\r\n", r"^GET {P}\? HTTP/1\.1\r\n", b""),
    ("absolute-form", f"GET http://test{{P}} HTTP/1.1\r\n{HOST}\r\n", r"^GET {P} HTTP/1\.1\r\n", b""),
    ("absolute-form-case", f"GET http://TEST{{P}} HTTP/1.1\r\n{HOST}\r\n", r"^GET {P} HTTP/1\.1\r\n", b""),
    ("dot-segments", f"GET /fwd/x/../a HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/a HTTP/1\.1\r\n", b""),
    ("encoded-dot-segments", f"GET /fwd/x/%2e%2e/a HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/a HTTP/1\.1\r\n", b""),
    ("encoded-letter", f"GET /fw%64/%61 HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/a HTTP/1\.1\r\n", b""),
    ("encoded-slash-kept", f"GET /fwd/a%2Fb HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/a%2[Ff]b HTTP/1\.1\r\n", b""),
    ("double-encoding-kept", f"GET /fwd/%2561 HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/%2561 HTTP/1\.1\r\n", b""),
    ("encoded-space-kept", f"GET /fwd/a%20b HTTP/1.1\r\n{HOST}\r\n", r"^GET /fwd/a%20b HTTP/1\.1\r\n", b""),
    ("body", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc", r"(?i)\r\ncontent-length: 3(\r\n|$)", b"abc"),
    ("body-zero", f"POST {{P}} HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n", r"(?i)\r\ncontent-length: 0(\r\n|$)", b""),
    ("body-none", f"POST {{P}} HTTP/1.1\r\n{HOST}\r\n", r"(?i)\r\ncontent-length: 0(\r\n|$)", b""),
    ("chunked", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
     r"(?i)\r\ncontent-length: 5(\r\n|$)", b"abcde"),
    ("chunked-capital", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     r"(?i)\r\ncontent-length: 3(\r\n|$)", b"abc"),
    ("chunked-extension", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
     r"(?i)\r\ncontent-length: 3(\r\n|$)", b"abc"),
    ("chunked-trailer", f"POST {{P}} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: y\r\n\r\n",
     r"(?i)\r\ncontent-length: 3(\r\n|$)", b"abc"),
    ("get-with-body", f"GET {{P}} HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\nhi", r"(?i)\r\ncontent-length: 2(\r\n|$)", b"hi"),
    ("high-bit-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X-A: caf\xe9\r\n\r\n", r"(?i)\r\nx-a: caf\xe9(\r\n|$)", b""),
    ("value-trimmed", f"GET {{P}} HTTP/1.1\r\n{HOST}X-A: \t b c \t\r\n\r\n", r"(?i)\r\nx-a: b c(\r\n|$)", b""),
    ("empty-value", f"GET {{P}} HTTP/1.1\r\n{HOST}X-A:\r\n\r\n", r"(?i)\r\nx-a: ?(\r\n|$)", b""),
    ("no-space-after-colon", f"GET {{P}} HTTP/1.1\r\n{HOST}X-A:b\r\n\r\n", r"(?i)\r\nx-a: b(\r\n|$)", b""),
    ("repeated-field", f"GET {{P}} HTTP/1.1\r\n{HOST}X-A: 1\r\nX-A: 2\r\n\r\n", r"(?is)x-a: 1.*x-a: 2", b""),
    ("odd-method", f"PROPFIND {{P}} HTTP/1.1\r\n{HOST}\r\n", r"^PROPFIND {P} HTTP/1\.1\r\n", b""),
    ("host-port", "GET {P} HTTP/1.1\r\nHost: test:81\r\n\r\n", r"(?i)\r\nhost: test:81(\r\n|$)", b""),
    ("host-ipv6", "GET {P} HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", r"(?i)\r\nhost: \[::1\]:81(\r\n|$)", b""),
]


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name,raw,pattern,body", FORWARDED, ids=[f[0] for f in FORWARDED])
def test_forwarded(bulkhead, backend, name, raw, pattern, body, split):
    before = len(backend.seen)
    data = raw.replace("{P}", "/fwd/a").encode("latin-1")
    with bulkhead.connect() as c:
        if split:
            for i in range(len(data)):
                c.send(data[i:i + 1])
        else:
            c.send(data)
        assert c.response().status == 200
    assert len(backend.seen) == before + 1
    seen = backend.seen[-1]
    head = seen.raw_head.decode("latin-1")
    assert re.search(pattern.replace("{P}", "/fwd/a"), head), head
    assert seen.body == body
    assert "transfer-encoding" not in head.lower()


HOP_BY_HOP = ["Connection: close, x-named", "X-Named: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
              "Trailer: X-T", "Upgrade: foo", "Proxy-Authorization: Basic x", "Expect: 100-continue"]


def test_hop_by_hop_fields_are_stripped(bulkhead, backend):
    with bulkhead.connect() as c:
        c.send(f"POST /fwd/a HTTP/1.1\r\n{HOST}" + "".join(h + "\r\n" for h in HOP_BY_HOP) + "X-Kept: 1\r\nContent-Length: 2\r\n\r\nhi")
        assert c.response().status == 200
    seen = backend.seen[-1]
    names = {n.lower() for n, _ in seen.headers}
    assert not names & {"x-named", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect"}, seen.headers
    assert seen.header("x-kept") == "1" and seen.header("content-length") == "2" and seen.header("host") == "test"


@pytest.mark.parametrize("named", ["host", "content-length", "x-forwarded-for", "x-request-id"])
def test_connection_cannot_strip_what_is_ours(bulkhead, backend, named):
    before = len(backend.seen)
    with bulkhead.connect() as c:
        c.send(f"POST /fwd/a HTTP/1.1\r\n{HOST}Connection: {named}\r\nContent-Length: 2\r\n\r\nhi")
        status = c.response().status
    if status == 200:
        seen = backend.seen[-1]
        assert seen.header(named), seen.headers
        assert seen.body == b"hi"
    else:
        assert status == 400 and len(backend.seen) == before


def test_forwarding_fields(bulkhead, backend):
    with bulkhead.connect() as c:
        c.send(f"GET /fwd/a HTTP/1.1\r\n{HOST}X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
               "X-Forwarded-Host: evil\r\nX-Request-Id: abc-123\r\n\r\n")
        assert c.response().status == 200
    seen = backend.seen[-1]
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-forwarded-proto") == "http"
    assert seen.header("x-forwarded-host") == "test"
    assert "6.6.6.6" not in seen.header("forwarded") and "for=127.0.0.1" in seen.header("forwarded").replace('"', "")
    assert seen.header("x-request-id") == "abc-123"
    assert "1.1" in seen.header("via")
    assert seen.header("x-request-start")


def test_request_id_is_made_and_returned_to_log(bulkhead, backend):
    with bulkhead.connect() as c:
        c.send(f"GET /fwd/made-id HTTP/1.1\r\n{HOST}\r\n")
        assert c.response().status == 200
    made = backend.seen[-1].header("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,64}", made)
    assert bulkhead.access_of("/fwd/made-id")[0]["id"] == made


def test_pipelined_requests_are_answered_in_order(bulkhead):
    with bulkhead.connect() as c:
        c.send("".join(f"GET /fwd/{i} HTTP/1.1\r\n{HOST}\r\n" for i in range(20)))
        for i in range(20):
            response = c.response()
            assert response.status == 200 and response.body.decode() == f"GET /fwd/{i} HTTP/1.1"


def test_pipelined_mix_of_loop_and_forwarded(bulkhead):
    with bulkhead.connect() as c:
        c.send("".join(f"GET /{'in' if i % 2 else 'fwd'}/{i} HTTP/1.1\r\n{HOST}\r\n" for i in range(10)))
        for i in range(10):
            response = c.response()
            assert response.body.decode() == ("in loop" if i % 2 else f"GET /fwd/{i} HTTP/1.1")


def test_dot_segments_cannot_reach_around_a_route(bulkhead, backend):
    before = len(backend.seen)
    for target in ("/fwd/../secret", "/fwd/%2e%2e/secret", "/fwd/%2E./secret", "/%73ecret", "/./secret"):
        with bulkhead.connect() as c:
            c.send(f"GET {target} HTTP/1.1\r\n{HOST}\r\n")
            assert c.response().status == 403, target
    assert len(backend.seen) == before


def test_head_has_no_body(bulkhead):
    for prefix in ("/in/a", "/fwd/a"):
        with bulkhead.connect() as c:
            c.send(f"HEAD {prefix} HTTP/1.1\r\n{HOST}\r\nGET {prefix} HTTP/1.1\r\n{HOST}\r\n")
            assert c.response("HEAD").status == 200
            assert c.response().status == 200


def test_expect_100_continue(bulkhead, backend):
    with bulkhead.connect() as c:
        c.send(f"POST /fwd/a HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert c.response(skip_interim=False).status == 100
        c.send("abc")
        assert c.response().status == 200
    assert backend.seen[-1].body == b"abc"


def test_options_star(bulkhead):
    with bulkhead.connect() as c:
        c.send(f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n")
        assert c.response().status in (200, 204, 404)


def test_leading_crlf_is_skipped(bulkhead):
    with bulkhead.connect() as c:
        c.send(f"\r\nGET /in/a HTTP/1.1\r\n{HOST}\r\n")
        assert c.response().status == 200
        c.send(f"\r\n\r\nGET /in/a HTTP/1.1\r\n{HOST}\r\n")
        assert c.response().status == 200


def test_http_1_0_closes(bulkhead):
    with bulkhead.connect() as c:
        c.send("GET /in/a HTTP/1.0\r\n\r\n")
        assert c.response().status == 200
        assert c.closed()


def test_keep_alive_over_both_kinds_of_route(bulkhead):
    with bulkhead.connect() as c:
        for i in range(50):
            c.send(f"GET /{'in' if i % 3 else 'fwd'}/a HTTP/1.1\r\n{HOST}\r\n")
            assert c.response().status == 200
