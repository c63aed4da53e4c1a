# SPDX-License-Identifier: MIT
"""Tunnels: the backend upgrades the connection to what it likes, and bytes pass. What it is asked, what becomes of its
answers, how each end's end reaches the other, and that a slow reader costs no more than its buffers."""
import fcntl
import hashlib
import os
import signal
import socket
import ssl
import struct
import termios
import threading

import pytest

from harness import SLOW, Bulkhead, Client, Seen, eventually, free_port, python_worker, respond
from test_front_door import make_certificate, tls_connect
from test_judge import resident_kib
from ws_client import KEY, WebSocketBackend, connect, handshake

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
MIB = 1 << 20
READ_BYTES = 64 << 10  # in a turn of the loop, from one connection


class RawBackend:
    """An upstream whose connections the test itself holds the other end of."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(10 * SLOW)
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]

    def accept(self):
        """The next connection, as a Client whose `asked` is the head that came."""
        stream = Client(None, 10, self.sock.accept()[0])
        while b"\r\n\r\n" not in stream.buffer:
            assert stream._fill(), stream.buffer
        head, stream.buffer = stream.buffer.split(b"\r\n\r\n", 1)
        stream.asked = Seen(head, b"")
        return stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@pytest.fixture
def up():
    with RawBackend() as backend:
        yield backend


def tunnels(address, backend=None, **websocket):
    return {"backends": {"up": {"run": "loop", "proxy": address, **(backend or {})}},
            "routes": [{"path_prefix": "/", "backend": "up", "websocket": {"mode": "tunnel", **websocket}}]}


def ask(b, path="/t", fields=None, early=b"", sock=None):
    client = Client(("127.0.0.1", b.port), 10, sock)
    client.send(handshake(path, fields) + early)
    return client


def open_tunnel(b, up, sock=None):
    """Both ends of a tunnel, the client's and the backend's."""
    client = ask(b, sock=sock)
    server = up.accept()
    server.send(SWITCH + b"\r\n")
    assert client.response(skip_interim=False).status == 101
    return client, server


def receive(stream, n):
    data, whole = stream._exactly(n)
    assert whole, f"closed after {len(data)} of {n} bytes"
    return data


def end(stream):
    stream.sock.shutdown(socket.SHUT_WR)


def open_now(b):
    return sum(row["open"] for row in b.status()["websockets"])


def closed_line(b):
    return eventually(lambda: next((l for l in b.access() if l["method"] == "CLOSE"), None), "the end is logged")


# ---- handshake --------------------------------------------------------------------------------------------------------

def test_handshake_goes_to_the_backend_as_it_came_and_its_answer_to_the_client(up):
    with Bulkhead(tunnels(up.address)) as b:
        client = ask(b, "/t?a=b", {"Sec-WebSocket-Protocol": "x, y", "Sec-WebSocket-Extensions": "permessage-deflate"})
        server = up.accept()
        asked = server.asked
        assert asked.line == "GET /t?a=b HTTP/1.1"
        assert asked.header("upgrade") == "websocket" and asked.header("connection").lower() == "upgrade"
        assert asked.header("sec-websocket-key") == KEY and asked.header("sec-websocket-version") == "13"
        assert asked.header("sec-websocket-protocol") == "x, y"
        assert asked.header("sec-websocket-extensions") == "permessage-deflate"
        assert asked.header("host") == "test" and asked.header("x-forwarded-for") == "127.0.0.1"
        server.send(SWITCH + b"Sec-WebSocket-Accept: theirs\r\nSec-WebSocket-Protocol: y\r\nSet-Cookie: a=b\r\n\r\n")
        answer = client.response(skip_interim=False)
        assert answer.status == 101 and answer.header("upgrade") == "websocket"
        assert answer.header("connection").lower() == "upgrade"
        assert answer.header("sec-websocket-accept") == "theirs"
        assert answer.header("sec-websocket-protocol") == "y" and answer.header("set-cookie") == "a=b"


def test_bytes_in_one_piece_with_the_handshake_are_not_lost(up):
    with Bulkhead(tunnels(up.address)) as b:
        client = ask(b, early=b"GET / HTTP/1.1\r\n\r\n")
        server = up.accept()
        server.send(SWITCH + b"\r\nHTTP/1.1 200 OK\r\n\r\n")
        assert client.response(skip_interim=False).status == 101
        assert receive(server, 18) == b"GET / HTTP/1.1\r\n\r\n"
        assert receive(client, 19) == b"HTTP/1.1 200 OK\r\n\r\n"


def test_any_protocol_passes(up):
    with Bulkhead(tunnels(up.address)) as b:
        every_byte = bytes(range(256))
        client = ask(b, fields={"Upgrade": "games/2", "Sec-WebSocket-Key": None, "Sec-WebSocket-Version": None})
        server = up.accept()
        assert server.asked.header("upgrade") == "games/2"
        server.send(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: games/2\r\n\r\n" + every_byte)
        answer = client.response(skip_interim=False)
        assert answer.status == 101 and answer.header("upgrade") == "games/2"
        assert receive(client, 256) == every_byte
        client.send(every_byte)
        assert receive(server, 256) == every_byte


def test_websocket_through_a_tunnel():
    with WebSocketBackend() as up, Bulkhead(tunnels(up.address)) as b:
        with connect(("127.0.0.1", b.port), "/t") as ws:
            ws.text("hello")
            assert ws.message() == "hello"
            ws.close(1000, b"bye")
            assert ws.end().code == 1000


def test_other_requests_are_ordinary_calls(up):
    with Bulkhead(tunnels(up.address)) as b:
        ordinary = {
            "no upgrade": handshake(fields={"Upgrade": None, "Connection": None}),
            "HTTP/1.0": handshake(version="1.0"),
            "not GET": handshake(method="DELETE"),
            "HTTP/2": handshake(fields={"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}),
            "HTTP/2 among others": handshake(fields={"Upgrade": "websocket, h2c"}),
            "HTTP": handshake(fields={"Upgrade": "HTTP/2.0"}),
            "TLS": handshake(fields={"Upgrade": "TLS/1.2"}),
        }
        for what, bytes_ in ordinary.items():
            with b.connect() as client:
                client.send(bytes_)
                server = up.accept()
                assert server.asked.header("upgrade") is None, what
                server.send(respond("ordinary"))
                assert client.response().body == b"ordinary", what
                server.close()


def test_refusal_of_the_backend_is_the_clients_answer(up):
    with Bulkhead(tunnels(up.address)) as b:
        client = ask(b)
        up.accept().send(respond("not you", 403, ["X-Why: because", "Content-Type: text/plain"]))
        answer = client.response()
        assert (answer.status, answer.body) == (403, b"not you")
        assert answer.header("x-why") == "because" and answer.header("content-type") == "text/plain"
        assert open_now(b) == 0
        assert b.access_of("/t")[0]["status"] == 403


def expect_problem(client, status, reason):
    answer = client.response()
    assert (answer.status, answer.json["reason"]) == (status, reason)


@pytest.mark.parametrize("answer", [b"\0\1\2garbage\r\n\r\n", b"HTTP/1.1 101 Go\r\n\r\n",
                                    SWITCH.replace(b"websocket", b"games") + b"\r\n"])
def test_garbage_is_502(up, answer):
    with Bulkhead(tunnels(up.address)) as b:
        client = ask(b)
        up.accept().send(answer)
        expect_problem(client, 502, "upstream-garbage")


def test_backend_that_closes_is_502(up):
    with Bulkhead(tunnels(up.address)) as b:
        client = ask(b)
        up.accept().close()
        expect_problem(client, 502, "upstream-reset")


def test_backend_that_never_answers_is_504(up):
    with Bulkhead(tunnels(up.address, {"timeout": "300ms"})) as b:
        client = ask(b)
        server = up.accept()
        expect_problem(client, 504, "deadline")
        assert server.closed()


def test_backend_that_refuses_is_502_and_is_tried_again():
    with RawBackend() as closed:
        address = closed.address
    with Bulkhead(tunnels(address)) as b:
        expect_problem(ask(b), 502, "upstream-refused")
        with RawBackend() as up:
            up.sock.close()
            up.sock = socket.create_server(("127.0.0.1", int(address.rsplit(":")[1])))
            open_tunnel(b, up)


def test_another_server_is_asked_when_one_refuses(up):
    with RawBackend() as closed:
        address = closed.address
    with Bulkhead(tunnels([address, up.address])) as b:
        open_tunnel(b, up)
        open_tunnel(b, up)


def test_origin_of_another_page_is_refused(up):
    with Bulkhead(tunnels(up.address, origins=["https://good.example"])) as b:
        expect_problem(ask(b, fields={"Origin": "https://evil.example"}), 403, "origin-not-allowed")
        ask(b, fields={"Origin": "https://good.example"})
        assert up.accept().asked.header("origin") == "https://good.example"


# ---- places ----------------------------------------------------------------------------------------------------------

def test_place_of_a_client_that_leaves_during_the_handshake_is_given_back(up):
    with Bulkhead(tunnels(up.address, {"bridges": 1})) as b:
        client = ask(b)
        server = up.accept()
        expect_problem(ask(b), 503, "websockets-full")
        client.close()
        assert server.closed()
        open_tunnel(b, up)


def test_places_are_given_back_by_every_kind_of_end(up):
    with Bulkhead(tunnels(up.address, {"bridges": 1, "timeout": "200ms"})) as b:
        for kind in ("refused", "garbage", "late", "closed", "client", "backend"):
            client = ask(b)
            server = up.accept()
            if kind == "refused":
                server.send(respond("no", 403))
            elif kind == "garbage":
                server.send(b"garbage\r\n\r\n")
            elif kind == "closed":
                server.close()
            elif kind in ("client", "backend"):
                server.send(SWITCH + b"\r\n")
                assert client.response(skip_interim=False).status == 101
                first, second = (client, server) if kind == "client" else (server, client)
                first.close()
                assert second.closed()
                second.close()
                eventually(lambda: open_now(b) == 0, "the tunnel's end")
                continue
            assert client.response().status >= 400, kind
        open_tunnel(b, up)


def test_tunnels_of_a_route_are_limited(up):
    with Bulkhead(tunnels(up.address, max_connections=1)) as b:
        client, server = open_tunnel(b, up)
        assert open_now(b) == 1
        expect_problem(ask(b), 503, "websockets-full")


WORKER = """
import socket
listener = socket.socket(fileno=3)
listener.setblocking(True)
while True:
    conn, _ = listener.accept()
    head = b""
    while b"\\r\\n\\r\\n" not in head and (data := conn.recv(65536)):
        head += data
    if not head:
        continue
    conn.sendall(b"HTTP/1.1 101 Go\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n")
    while data := conn.recv(65536):
        conn.sendall(data)
    conn.close()
"""


def test_tunnel_to_a_worker_takes_no_slot_and_ends_with_it():
    conf = {"backends": {"up": {"run": "workers", "command": python_worker(WORKER), "workers": 1}},
            "routes": [{"path_prefix": "/", "backend": "up", "websocket": {"mode": "tunnel"}}]}
    with Bulkhead(conf) as b:
        client = ask(b)
        assert client.response(skip_interim=False).status == 101
        client.send(b"hello")
        assert receive(client, 5) == b"hello"
        row = b.backend("up")["workers"][0]
        assert row["bridged"] == 1 and row["busy"] == 0
        os.kill(row["pid"], signal.SIGKILL)
        assert client.closed()
        line = closed_line(b)
        assert line["by"] == "backend"
        client.close()

        def next_one():
            again = ask(b)
            try:
                return again.response(skip_interim=False).status == 101
            except EOFError:
                return False
            finally:
                again.close()
        eventually(next_one, "a tunnel to the next worker")


# ---- ends ------------------------------------------------------------------------------------------------------------

def test_end_of_the_clients_bytes_is_passed_on_and_the_backend_goes_on(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        client.send(b"question")
        end(client)
        assert receive(server, 8) == b"question" and server.closed()
        server.send(b"answer")
        assert receive(client, 6) == b"answer"
        end(server)
        assert client.closed()
        line = closed_line(b)
        assert (line["by"], line["bytes_in"], line["bytes"]) == ("client", 8, 6)
        assert open_now(b) == 0


def test_end_of_the_backends_bytes_is_passed_on_and_the_client_goes_on(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        server.send(b"hello")
        end(server)
        assert receive(client, 5) == b"hello" and client.closed()
        client.send(b"thanks")
        assert receive(server, 6) == b"thanks"
        end(client)
        assert server.closed()
        assert closed_line(b)["by"] == "backend"


def reset(stream):
    stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def test_client_that_breaks_ends_the_backends_connection(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        reset(client)
        assert server.closed()
        server.close()
        assert closed_line(b)["by"] == "lost"


def test_backend_that_breaks_ends_the_clients_connection(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        reset(server)
        assert client.closed()
        client.close()
        line = closed_line(b)
        assert (line["by"], line["reason"]) == ("backend", "upstream-reset")


def test_idle_tunnel_is_closed_on_both_sides(up):
    with Bulkhead(tunnels(up.address, idle_timeout="300ms")) as b:
        client, server = open_tunnel(b, up)
        assert client.closed() and server.closed()
        line = closed_line(b)
        assert (line["by"], line["why"]) == ("bulkhead", "idle")


def test_byte_in_either_direction_is_no_idleness(up):
    with Bulkhead(tunnels(up.address, idle_timeout="1s")) as b:
        client, server = open_tunnel(b, up)
        client.sock.settimeout(0.3)
        for i in range(6):
            (client if i % 2 == 0 else server).send(b"x")
            receive(server if i % 2 == 0 else client, 1)
            with pytest.raises(socket.timeout):  # 0.3 s of silence, six times
                client._fill()


def unacknowledged(stream):
    return struct.unpack("i", fcntl.ioctl(stream.sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def test_draining_ends_a_tunnel_behind_what_waits(up):
    b = Bulkhead({**tunnels(up.address, max_unsent="4MiB"), "drain_timeout": "20s"}).start()
    try:
        client, server = open_tunnel(b, up)
        data = os.urandom(2 * MIB)
        server.send(data)
        eventually(lambda: unacknowledged(server) == 0, "the bytes are with bulkhead")
        for _ in range(2 * len(data) // READ_BYTES):  # a turn of its loop each, in which it reads once
            client.send(b"x")
            receive(server, 1)
        b.process.send_signal(signal.SIGTERM)
        assert server.closed()
        got = receive(client, len(data))
        assert got == data and client.closed()
        client.close()
        assert closed_line(b)["by"] == "bulkhead"
    finally:
        b.stop()


# ---- speed and memory ------------------------------------------------------------------------------------------------

class Sender:
    """Sends as much as it is taken from it, and knows how much that was."""

    def __init__(self, stream, total):
        self.stream, self.total, self.sent, self.hash = stream, total, 0, hashlib.sha256()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        piece = os.urandom(MIB)
        self.stream.sock.settimeout(60 * SLOW)
        while self.sent < self.total:
            self.stream.sock.sendall(piece)
            self.hash.update(piece)
            self.sent += len(piece)

    def stalls(self):
        """Waits until it is taken no more; returns how much was."""
        seen = []

        def looks():
            seen.append(self.sent)
            return len(seen) > 50 and seen[-1] == seen[-50]
        eventually(looks, "the sender is held back", 30)
        return self.sent


def drain(stream, total):
    digest, got = hashlib.sha256(stream.buffer), len(stream.buffer)
    stream.sock.settimeout(60 * SLOW)
    while got < total:
        data = stream.sock.recv(MIB)
        assert data, f"closed after {got} of {total} bytes"
        digest.update(data)
        got += len(data)
    return digest.digest()


def check_slow_reader(b, sender_stream, reader_stream):
    front, total = b.front_pid(), 100 * MIB
    before = resident_kib(front)
    sender = Sender(sender_stream, total)
    assert sender.stalls() < 32 * MIB, "nobody holds the sender back"
    assert resident_kib(front) - before < (40 if SLOW > 1 else 4) * 1024, "what the reader leaves is heaped up here"
    assert b.admin("/healthz").status == 200
    got = drain(reader_stream, total)
    sender.thread.join()
    assert got == sender.hash.digest()


def test_client_that_reads_late_holds_the_backend_back(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        check_slow_reader(b, server, client)


def test_backend_that_reads_late_holds_the_client_back(up):
    with Bulkhead(tunnels(up.address)) as b:
        client, server = open_tunnel(b, up)
        check_slow_reader(b, client, server)


def test_both_directions_at_once(up):
    with Bulkhead(tunnels(up.address, max_unsent="16KiB")) as b:
        client, server = open_tunnel(b, up)
        total = 20 * MIB
        senders = Sender(client, total), Sender(server, total)
        results = {}
        readers = [threading.Thread(target=lambda s=s: results.__setitem__(s, drain(s, total))) for s in (client, server)]
        for t in readers:
            t.start()
        for t in readers:
            t.join()
        assert results[server] == senders[0].hash.digest() and results[client] == senders[1].hash.digest()


# ---- TLS -------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "a.example", [])


@pytest.fixture
def over_tls(up, certificate):
    port = free_port()
    with Bulkhead(tunnels(up.address), listeners=[{"bind": f"127.0.0.1:{port}", "tls": certificate}]) as b:
        b.port = port
        yield b


def open_tls_tunnel(b, up, **options):
    return open_tunnel(b, up, tls_connect(b.port, **options))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_end_of_the_backend_is_the_end(over_tls, up, version):
    client, server = open_tls_tunnel(over_tls, up, version=version)
    client.send(b"question")
    assert receive(server, 8) == b"question"
    server.send(b"answer" * 100000)
    server.close()
    assert receive(client, 600000) == b"answer" * 100000
    assert client.closed()  # with TLS's own goodbye: else this raises


def test_tls_end_of_the_client_is_passed_on(over_tls, up):
    client, server = open_tls_tunnel(over_tls, up)
    client.send(b"question" * 100000)
    end(client)  # without TLS's goodbye, of which the library says nothing
    assert receive(server, 800000) == b"question" * 100000
    assert server.closed()
    server.close()
    assert closed_line(over_tls)["by"] == "client"


def test_tls_client_that_reads_late_holds_the_backend_back(over_tls, up):
    client, server = open_tls_tunnel(over_tls, up)
    check_slow_reader(over_tls, server, client)


def test_tls_backend_that_reads_late_holds_the_client_back(over_tls, up):
    client, server = open_tls_tunnel(over_tls, up)
    check_slow_reader(over_tls, client, server)


def test_tls_draining_says_goodbye(over_tls, up):
    client, server = open_tls_tunnel(over_tls, up)
    over_tls.process.send_signal(signal.SIGTERM)
    assert client.closed() and server.closed()
    client.close()
