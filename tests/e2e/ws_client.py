# SPDX-License-Identifier: MIT
"""A WebSocket client and a backend for tests (RFC 6455) that send whatever bytes they are told, well-formed or not, and
are strict about what they read: every frame that arrives is checked against the rules for its sender.

    with connect(("127.0.0.1", port), "/echo") as ws:      # the path of a Unix socket, or sock=… for TLS, work as well
        ws.text("hello")
        assert ws.message() == "hello"
        ws.send(frame(b"x", PING, fin=False))              # any bytes; frame() says what can be wrong with a frame
        assert ws.end().code == 1002
"""
import base64
import hashlib
import re
import socket
import struct
import threading
from typing import NamedTuple

from harness import Client

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 §1.3
MASK = b"\x37\xfa\x21\x3d"


def accept_of(key):
    """The Sec-WebSocket-Accept that answers this key, RFC 6455 §4.2.2."""
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def masked(data, mask):
    """Masking and its undoing, RFC 6455 §5.3."""
    key = (mask * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def frame(payload=b"", opcode=TEXT, fin=True, rsv=0, mask=MASK, declared=None, form=None):
    """The bytes of one frame. mask None: unmasked. declared: this length is said instead of the payload's. form: the
    length is written in 7, 16 or 64 bits instead of the fewest that hold it."""
    payload = payload.encode() if isinstance(payload, str) else payload
    length = len(payload) if declared is None else declared
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    head = struct.pack("!B", fin << 7 | rsv << 4 | opcode)
    bit = 0 if mask is None else 128
    head += {7: lambda: struct.pack("!B", bit | length), 16: lambda: struct.pack("!BH", bit | 126, length),
             64: lambda: struct.pack("!BQ", bit | 127, length)}[form]()
    return head + payload if mask is None else head + mask + masked(payload, mask)


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + (reason.encode() if isinstance(reason, str) else reason)


def handshake(path="/", fields=None, method="GET", version="1.1"):
    """A request for an upgrade. fields: replace or add to the usual ones; None takes a field out, a list repeats it."""
    usual = {"Host": "test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY,
             "Sec-WebSocket-Version": "13"}
    lines = [f"{method} {path} HTTP/{version}"]
    for name, value in {**usual, **(fields or {})}.items():
        lines += [f"{name}: {v}" for v in (value if isinstance(value, list) else [value]) if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def code(self):
        """Of a close frame; 1005: it has none."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 1005

    @property
    def reason(self):
        return self.payload[2:].decode()


class End(NamedTuple):
    """How the peer ended a connection: the code (1006: without a close frame), its reason, and the data frames before."""
    code: int
    reason: str
    frames: list


class WebSocket:
    """One end of an open connection, on a harness.Client; the other end's frames must be masked if `peer_masks`."""

    def __init__(self, stream, mask=MASK, peer_masks=False):
        self.stream, self.mask, self.peer_masks = stream, mask, peer_masks
        self.response = None   # to the handshake
        self.sent_close = False
        self.pings = self.pongs = 0  # that arrived while something else was read

    # sending

    def send(self, data):
        self.stream.send(data)

    def send_frame(self, payload=b"", opcode=TEXT, **how):
        self.send(frame(payload, opcode, **{"mask": self.mask, **how}))

    def text(self, payload, **how):
        self.send_frame(payload, TEXT, **how)

    def binary(self, payload, **how):
        self.send_frame(payload, BINARY, **how)

    def ping(self, payload=b""):
        self.send_frame(payload, PING)

    def close(self, code=1000, reason=b""):
        """Begins the closing handshake; code None: a close frame without one."""
        self.sent_close = True
        self.send_frame(b"" if code is None else close_payload(code, reason), CLOSE)

    # receiving

    def _bytes(self, n):
        data, whole = self.stream._exactly(n)
        if not whole:
            raise EOFError(f"connection closed, with {data!r} of {n} bytes")
        return data

    def frame(self):
        """The next frame; EOFError where the connection ends."""
        first, second = self._bytes(2)
        opcode, length = first & 15, second & 127
        assert first & 0x70 == 0, "no extension was negotiated: reserved bits must be zero"
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}"
        assert bool(second & 128) == self.peer_masks, "masked frames are the client's, and only they"
        if length == 126:
            length = struct.unpack("!H", self._bytes(2))[0]
            assert length > 125, "the shortest form of a length"
        elif length == 127:
            length = struct.unpack("!Q", self._bytes(8))[0]
            assert 65535 < length < 1 << 63, "the shortest form of a length"
        mask = self._bytes(4) if self.peer_masks else None
        payload = self._bytes(length)
        got = Frame(opcode, masked(payload, mask) if mask else payload, bool(first & 128))
        if opcode >= CLOSE:
            assert got.fin and length <= 125, "control frames are short and whole"
        if opcode == CLOSE and payload:
            assert length >= 2, "a close frame's payload begins with a code"
            got.reason  # must be UTF-8
        return got

    def data_frame(self):
        """The next frame that is no ping (it is answered) and no pong."""
        while True:
            got = self.frame()
            if got.opcode == PING:
                self.pings += 1
                self.send_frame(got.payload, PONG)
            elif got.opcode == PONG:
                self.pongs += 1
            else:
                return got

    def message(self):
        """The next message, put together: str or bytes. Pings are answered; a close is an EOFError."""
        whole, opcode = b"", None
        while True:
            got = self.data_frame()
            if got.opcode == CLOSE:
                raise EOFError(f"closed with {got.code} {got.reason!r}")
            assert (got.opcode == CONTINUATION) == (opcode is not None), "a fragment out of its place"
            opcode = opcode or got.opcode
            whole += got.payload
            if got.fin:
                return whole.decode() if opcode == TEXT else whole

    def end(self):
        """Reads to the peer's close frame, answers it, and waits for the end of the connection."""
        frames = []
        try:
            while (got := self.data_frame()).opcode != CLOSE:
                frames.append(got)
        except EOFError:
            return End(1006, "", frames)
        if not self.sent_close:
            self.sent_close = True
            try:
                self.send_frame(got.payload, CLOSE)
            except OSError:
                pass  # it did not wait for the answer
        assert self.stream.closed(), f"bytes behind the close frame: {self.stream.buffer!r}"
        return End(got.code, got.reason, frames)

    def leave(self):
        """Without a word."""
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()


def connect(address=None, path="/", fields=None, early=b"", timeout=10, sock=None):
    """A WebSocket to `address` (host and port, or a Unix socket's path), or on the connected `sock`. early: bytes that are
    sent in one piece with the handshake."""
    stream = Client(address, timeout, sock)
    stream.send(handshake(path, fields) + early)
    response = stream.response(skip_interim=False)
    assert response.status == 101, response
    assert response.header("upgrade", "").lower() == "websocket" and response.header("connection", "").lower() == "upgrade"
    assert response.header("sec-websocket-accept") == accept_of((fields or {}).get("Sec-WebSocket-Key", KEY))
    assert response.header("sec-websocket-extensions") is None
    ws = WebSocket(stream)
    ws.response = response
    return ws


def refusal(address, path="/", fields=None, **request):
    """The answer to a handshake that is not to be let through."""
    with Client(address) as stream:
        stream.send(handshake(path, fields, **request))
        return stream.response(request.get("method", "GET"), skip_interim=False)


def echo(ws):
    """A peer that sends every message back as it came, in frames as it got them, and answers the closing handshake."""
    while (got := ws.data_frame()).opcode != CLOSE:
        ws.send_frame(got.payload, got.opcode, fin=got.fin)
    ws.send_frame(got.payload, CLOSE)


class WebSocketBackend:
    """An upstream in this process that speaks WebSocket: `serve(ws)` runs in a thread of its own for every connection
    (ws.head: the bytes of its handshake); the connection is closed when it returns. fields: added to the 101."""

    def __init__(self, serve=echo, fields=(), path=None):
        self.serve, self.fields = serve, fields
        self.open = []    # of every connection that was upgraded, and is still being served
        self.failures = []  # what the strict reader had to say
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            self.address = f"unix:{path}"
        else:
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.sock.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            if conn.family == socket.AF_INET:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it writes frame by frame
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        stream = Client(None, 60, conn)
        ws = WebSocket(stream, mask=None, peer_masks=True)
        try:
            while b"\r\n\r\n" not in stream.buffer:
                if not stream._fill():
                    return
            ws.head, stream.buffer = stream.buffer.split(b"\r\n\r\n", 1)
            key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", ws.head)
            if not key:
                ws.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nordinary\n")
                return
            lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                     f"Sec-WebSocket-Accept: {accept_of(key[1].decode())}", *self.fields]
            ws.send("\r\n".join(lines) + "\r\n\r\n")
            self.open.append(ws)
            self.serve(ws)
        except AssertionError as error:
            self.failures.append(error)
        except (EOFError, OSError):
            pass
        finally:
            if ws in self.open:
                self.open.remove(ws)
            conn.close()

    def close(self):
        for sock in [self.sock, *(ws.stream.sock for ws in self.open)]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            assert not self.failures, self.failures
