# SPDX-License-Identifier: MIT
"""One test for each defect of libh2o 2.2.5 that bulkhead keeps away from its users."""
import os
import resource
import shutil
import signal
import socket
import struct
import threading
import time

import pytest

from harness import SLOW, Bulkhead, Client, RecordingBackend, WallClock, alive, eventually, module, python_worker, respond

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing, not Huffman-coded (RFC 7541 §6.2.2)."""
    def string(s):
        assert len(s) < 127
        return bytes([len(s)]) + s
    return b"\0" + string(name) + string(value)


def get(path=b"/", authority=b"test"):
    return literal(b":method", b"GET") + literal(b":scheme", b"http") + literal(b":path", path) + literal(b":authority", authority)


class H2:
    """Just enough HTTP/2 to be impolite."""

    def __init__(self, b):
        self.sock = socket.create_connection(("127.0.0.1", b.port), 10)
        self.sock.settimeout(10 * SLOW)
        self.buffer = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data):
        self.sock.sendall(data)

    def next(self):
        """(type, flags, stream, payload) or None when the connection ended."""
        try:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                data = self.sock.recv(65536)
                if not data:
                    return None
                self.buffer += data
        except ConnectionResetError:
            return None
        n = int.from_bytes(self.buffer[:3], "big")
        f = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff, self.buffer[9:9 + n]
        self.buffer = self.buffer[9 + n:]
        return f

    def until(self, kind, stream=None):
        while True:
            f = self.next()
            if f is None or (f[0] == kind and stream in (None, f[2])):
                return f


def h2_conf(up, **more):
    return dict({"backends": {"up": {"run": "loop", "proxy": up.address, "limit": 4, "queue": 10}},
                 "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "backend": "up"}]}, **more)


def h2_bulkhead(conf):
    b = Bulkhead(dict(conf, listeners=[]))
    import json
    with open(b.conf_path) as f:
        c = json.load(f)
    c["listeners"] = [{"bind": f"127.0.0.1:{b.port}", "http2": True}]
    with open(b.conf_path, "w") as f:
        json.dump(c, f)
    return b


def rss(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * 4096


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_rapid_reset_is_cut():
    hold = threading.Event()

    def answer(seen, conn):
        hold.wait(30)
        return respond("x")
    with RecordingBackend(answer) as up, h2_bulkhead(h2_conf(up)) as b:
        attacker = H2(b)
        try:
            for i in range(5000):
                stream = 2 * i + 1
                attacker.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, get(b"/attack")) + frame(RST, 0, stream, b"\0\0\0\x08"))
        except OSError:
            pass
        assert attacker.until(255) is None, "the connection is cut"
        assert b.get("/health").status == 200
        assert len([s for s in up.seen if s.target == "/attack"]) <= 4, "no more than the limit was ever executed at once"
        hold.set()
        assert b.get("/polite").status == 200
        eventually(lambda: b.backend("up")["busy"] == 0, "all slots are given back")


def test_one_http2_connection_gets_half_of_the_slots():
    hold = threading.Event()

    def answer(seen, conn):
        if "hold" in seen.target:
            hold.wait(30)
        return respond("x")
    with RecordingBackend(answer) as up, h2_bulkhead(h2_conf(up)) as b:
        greedy = H2(b)
        for i in range(6):
            greedy.send(frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, get(b"/hold")))
        eventually(lambda: b.backend("up")["busy"] == 2, "half of four slots")
        assert b.get("/polite").status == 200
        assert b.backend("up")["busy"] == 2
        hold.set()
        for i in range(6):
            assert greedy.until(HEADERS, None) is not None


def test_hpack_bomb_is_refused():
    with RecordingBackend() as up, h2_bulkhead(h2_conf(up)) as b:
        front = b.front_pid()
        before = rss(front)
        attacker = H2(b)
        value = b"A" * 3900
        # one entry of 4000 bytes in the dynamic table, then thousands of one-byte references to it
        entry = b"\x40" + b"\x01a" + b"\x7f" + bytes([(len(value) - 127) % 128 | 0x80, (len(value) - 127) // 128]) + value
        block = get(b"/bomb") + entry + b"\xbe" * 12000
        attacker.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block[:16000]))
        f = attacker.until(HEADERS, 1)
        assert f is None or b"431" in f[3] or f[1], "refused or cut"
        assert not [s for s in up.seen if s.target == "/bomb"]
        assert b.get("/health").status == 200
        assert rss(front) - before < (200 << 20 if SLOW > 1 else 96 << 20)


def test_drain_ends_although_a_client_makes_the_library_spin():
    hold = threading.Event()

    def answer(seen, conn):
        hold.wait(30)
        return respond("x")
    with RecordingBackend(answer) as up:
        b = h2_bulkhead(h2_conf(up, drain_timeout="2s"))
        with b:
            attacker = H2(b)
            attacker.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, get(b"/run")))
            eventually(lambda: b.backend("up")["busy"] == 1, "a running request")
            attacker.send(frame(HEADERS, END_STREAM, 3, get(b"/half")))  # END_HEADERS is missing
            everybody = b.pids()
            b.process.send_signal(signal.SIGTERM)
            seen = 0
            while seen < 2:  # both GOAWAYs, the second a second later
                f = attacker.until(GOAWAY)
                if f is None:
                    break
                seen += 1
            try:
                attacker.send(frame(CONTINUATION, END_HEADERS, 3))
            except OSError:
                pass
            b.process.wait(30 * SLOW)
            eventually(lambda: not [p for p in everybody if alive(p)], "nothing is left")
            b.process = None
        hold.set()


def test_http2_is_off_unless_asked_for():
    with RecordingBackend() as up, Bulkhead(h2_conf(up)) as b:
        with b.connect() as c:
            c.send(PREFACE + frame(SETTINGS, 0, 0))
            assert c.response().status in (400, 505)
        with b.connect() as c:
            c.send("GET /health HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                   "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
            assert c.response().status == 200


def test_empty_chunked_answer_ends():
    def answer(seen, conn):
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.05)  # the head and the end arrive in two reads
        return b"0\r\n\r\n"
    with RecordingBackend(answer) as up:
        conf = {"backends": {"up": {"run": "loop", "proxy": up.address}},
                "routes": [{"path": "/stream", "backend": "up", "buffer": False}, {"path_prefix": "/", "backend": "up"}]}
        with Bulkhead(conf) as b, b.connect() as c:
            for path in ("/a", "/stream", "/b"):
                c.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
                response = c.response()
                assert response.status == 200 and response.complete and response.body == b""


def test_head_of_a_file_and_of_a_long_answer(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (3 << 20))
    conf = {"routes": [{"path_prefix": "/", "files": str(tmp_path)}]}
    with Bulkhead(conf) as b, b.connect() as c:
        for _ in range(3):
            c.send("HEAD /big HTTP/1.1\r\nHost: test\r\n\r\n")
            response = c.response("HEAD")
            assert response.status == 200 and response.header("content-length") == str(3 << 20)
        c.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        assert len(c.response().body) == 3 << 20


@pytest.mark.skipif(SLOW > 1, reason="a preloaded clock and a sanitizer do not mix")
@pytest.mark.parametrize("step", [-7200, 7200])
def test_wall_clock_steps_change_nothing(tmp_path, step):
    clock = WallClock(tmp_path)
    conf = {"limits": {"idle_timeout": "2s"}, "backends": {"t": {"run": "threads", "module": module("sleep"), "timeout": "700ms"}},
            "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "backend": "t"}]}
    with Bulkhead(conf, env=clock.env) as b, b.connect() as kept, b.connect() as idle:
        front = b.front_pid()
        kept.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        assert kept.response().status == 200
        uploading = b.connect()
        uploading.send("POST /?ms=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\na")
        clock.step(step)
        # deadlines keep their time
        assert b.get("/?ms=5000").status == 504
        # neither kept nor uploading connections were cut by the step
        kept.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        assert kept.response().status == 200
        uploading.send("bc")
        assert uploading.response().status == 200
        # and idle ones still end
        assert idle.closed()
        assert b.front_pid() == front


def test_running_out_of_descriptors_is_survived():
    conf = {"limits": {"connections": 10000, "connections_per_address": 10000},
            "routes": [{"path": "/health", "respond": {"body": "ok"}}]}
    b = Bulkhead(conf)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with b:
        front = b.front_pid()
        with b.connect() as kept:
            resource.prlimit(front, resource.RLIMIT_NOFILE, (64, hard))
            many = []
            for _ in range(100):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", b.port))
                many.append(s)
            kept.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
            assert kept.response().status == 200, "who is connected is served"
            before, started = cpu(front), time.monotonic()
            time.sleep(1)  # the time over which CPU is measured
            assert cpu(front) - before < 0.5 * (time.monotonic() - started), "the loop does not spin"
            for s in many:
                s.close()
        eventually(lambda: b.get("/health").status == 200, "accepting again")
        assert b.front_pid() == front


def test_stalled_reader_is_cut(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (32 << 20))
    conf = {"limits": {"write_timeout": "1s"}, "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "files": str(tmp_path)}]}
    with Bulkhead(conf) as b:
        front = b.front_pid()
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", b.port))
        s.sendall(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        eventually(lambda: b.status()["connections"]["open"] <= 1, "the stalled connection is gone", 20)
        assert b.get("/health").status == 200 and b.front_pid() == front


def test_worker_killed_in_the_middle_of_an_answer():
    code = "import socket,time\ns=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept()\n d=c.recv(65536)\n" \
           " if not d: c.close(); continue\n" \
           " c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n' + b'x' * 1000)\n time.sleep(1000)\n"
    conf = {"backends": {"w": {"run": "workers", "command": python_worker(code), "workers": 1}},
            "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "backend": "w", "buffer": False}]}
    with Bulkhead(conf) as b, b.connect() as c:
        front = b.front_pid()
        c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        while b"xxx" not in c.buffer:
            assert c._fill()
        os.kill(b.backend("w")["workers"][0]["pid"], signal.SIGKILL)
        response = c.response()
        assert response.status == 200 and not response.complete
        assert b.get("/health").status == 200 and b.front_pid() == front


def test_full_backlog_of_a_unix_upstream(tmp_path):
    path = str(tmp_path / "full.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(0)  # nobody accepts
    conf = {"backends": {"up": {"run": "loop", "proxy": f"unix:{path}", "connect_timeout": "300ms", "timeout": "1s", "limit": 20}},
            "routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "backend": "up"}]}
    with Bulkhead(conf) as b:
        clients = []
        for i in range(10):
            c = b.connect(20)
            c.send(f"GET /{i} HTTP/1.1\r\nHost: test\r\n\r\n")
            clients.append(c)
        assert b.get("/health").status == 200
        assert {c.response().status for c in clients} <= {502, 504}
        eventually(lambda: b.backend("up")["busy"] == 0, "slots are given back")


def test_a_big_download_does_not_stop_the_loop(tmp_path):
    with open(tmp_path / "gib", "wb") as f:
        f.truncate(1 << 30)
    conf = {"routes": [{"path": "/health", "respond": {"body": "ok"}}, {"path_prefix": "/", "files": str(tmp_path)}]}
    with Bulkhead(conf) as b:
        def download():
            with b.connect(60) as c:
                c.send("GET /gib HTTP/1.1\r\nHost: test\r\n\r\n")
                got = 0
                while got < (1 << 30) // (8 if SLOW > 1 else 2):
                    n = len(c.sock.recv(1 << 20))
                    if not n:
                        break
                    got += n
        readers = [threading.Thread(target=download) for _ in range(2)]
        for r in readers:
            r.start()
        answered = 0
        while any(r.is_alive() for r in readers):
            assert b.get("/health").status == 200
            answered += 1
        assert answered > 5, "the loop answered others all along"


def test_requests_that_vanish_while_work_runs_for_them():
    """The likeliest serious bug: the library frees a request that work is still running for. Meant for the sanitized build."""
    conf = {"backends": {"t": {"run": "threads", "module": module("sleep"), "threads": 4, "queue": 50},
                         "w": {"run": "workers", "module": module("echo"), "workers": 2, "queue": 50}},
            "routes": [{"path_prefix": "/w", "backend": "w"}, {"path_prefix": "/", "backend": "t"}]}
    b = h2_bulkhead(conf)
    with b:
        front = b.front_pid()

        def client(n):
            for i in range(20):
                try:
                    if i % 2:
                        h = H2(b)
                        for stream in (1, 3, 5):
                            h.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, get(b"/?ms=%d" % (i % 4) if n % 2 else b"/w?crash=exit")))
                        if i % 4 == 1:
                            h.send(frame(RST, 0, 3, b"\0\0\0\x08"))
                        else:
                            h.until(HEADERS)
                        h.sock.close()
                    else:
                        with b.connect() as c:
                            body = b"x" * (100000 if i % 3 == 0 else 10)
                            c.send(b"POST /%s?ms=%d HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % (b"w" if n % 3 else b"", i % 5, len(body)) + body)
                            if i % 6:
                                c.response()
                except (OSError, EOFError):
                    pass
        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert b.front_pid() == front, "the front never died"
        eventually(lambda: all(x["busy"] == 0 and x["queued"] == 0 for x in b.status()["backends"]), "every slot is given back")
