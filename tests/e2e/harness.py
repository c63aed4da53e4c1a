# SPDX-License-Identifier: MIT
"""What every end-to-end test needs: a running bulkhead on a conf of the test's own, raw HTTP clients that see bytes, and
backends that record what they were sent and answer what they are told.

Everything is started on ports or Unix sockets of its own, so that tests run side by side. Nothing sleeps to synchronise:
`eventually` polls a condition with a deadline. Children die with the test process (PR_SET_PDEATHSIG) and their output is
printed when a test fails.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("BULKHEAD_BUILD", os.path.join(TOP, "build"))
KIND = os.environ.get("BULKHEAD_KIND", "plain")
BULKHEAD = os.path.join(BUILD, "bulkhead")
HANDLERS = os.path.join(BUILD, "contrib", "handlers")
# sanitized builds are several times slower; limits in time are for hangs only, never for speed
SLOW = 6 if KIND in ("asan", "tsan") else 1
PYTHON = "/usr/bin/python3"

_libc = ctypes.CDLL(None)
PORTS_PER_PROCESS = 400


def _reserve_ports():
    """The first of a range of ports that is this process's as long as it lives: the name of the socket says so to others."""
    for first in range(20000, 32000, PORTS_PER_PROCESS):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0bulkhead-test-ports-{first}")
            return first, mark
        except OSError:
            mark.close()
    raise RuntimeError("no range of ports left for this test process")


_first_port, _port_mark = _reserve_ports()
_ports_used = 0
_port_lock = threading.Lock()


def free_port():
    """A TCP port that nothing listens on, out of this process's own range; it comes again only after all others."""
    global _ports_used
    with _port_lock:
        for _ in range(PORTS_PER_PROCESS):
            port = _first_port + _ports_used % PORTS_PER_PROCESS
            _ports_used += 1
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
    raise RuntimeError("every port of this test process is in use")


def assert_nothing_undefined(log):
    """Fails where UndefinedBehaviorSanitizer has reported something of any process that writes to this log."""
    assert "runtime error:" not in log, log


def die_with_parent():
    _libc.prctl(1, signal.SIGKILL)


def eventually(condition, what, timeout=10):
    """Returns condition()'s first true value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {timeout * SLOW} s: {what}")
        time.sleep(0.01)  # between two looks, not for synchronisation


def processes_of_group_or_child(pid):
    """All live descendants of pid (from /proc)."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Bulkhead:
    """A bulkhead on `conf` (a dict without listeners and admin: they are added), ready when __enter__ returns."""

    def __init__(self, conf=None, args=None, ready=True, env=None, listeners=None, text=None, cwd=None):
        self.dir = tempfile.mkdtemp(prefix="bulkhead-test-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.admin_port = free_port()
        self.control = os.path.join(self.dir, "control.sock")
        self.access_path = os.path.join(self.dir, "access.log")
        self.ready = ready
        self.env = dict(os.environ, **(env or {}))
        self.cwd = cwd
        if conf is not None:
            conf = dict(conf)
            conf.setdefault("listeners", listeners or [{"bind": f"127.0.0.1:{self.port}"}])
            conf.setdefault("admin", {"bind": f"127.0.0.1:{self.admin_port}"})
            conf.setdefault("control", self.control)
            conf.setdefault("log", {"level": "debug", "access": {"path": self.access_path, "format": "json"}})
            self.conf_path = os.path.join(self.dir, "test.conf")
            with open(self.conf_path, "w") as f:
                f.write(text if text is not None else json.dumps(conf, indent=2))
            args = ["run", "-c", self.conf_path]
        self.args = args
        self.process = None

    def start(self):
        self.log_path = os.path.join(self.dir, "stderr.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BULKHEAD, *self.args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, cwd=self.cwd or self.dir, preexec_fn=die_with_parent)
        if self.ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        def check():
            if self.process.poll() is not None:
                raise AssertionError(f"bulkhead ended with {self.process.returncode}:\n{self.log()}")
            try:
                return self.admin("/readyz").status == 200
            except OSError:
                return False
        try:
            eventually(check, "bulkhead ready", timeout)
        except AssertionError:
            print(self.log())
            raise

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def access(self):
        """The access log so far, a dict a line."""
        try:
            with open(self.access_path) as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def access_of(self, path, count=1):
        """Waits for `count` access-log lines of that path."""
        return eventually(lambda: (lambda l: l if len(l) >= count else None)(
            [line for line in self.access() if line["path"].split("?")[0] == path]), f"access log of {path}")

    def admin(self, path):
        return request(("127.0.0.1", self.admin_port), "GET", path)

    def status(self):
        return json.loads(self.admin("/status").body)

    def backend(self, name):
        return next(b for b in self.status()["backends"] if b["name"] == name)

    def wait_workers(self, name, slots, timeout=30):
        """All workers of a backend are ready: its limit has reached `slots`."""
        eventually(lambda: self.backend(name)["limit"] == slots, f"{slots} slots of {name}", timeout)

    def get(self, path, **kw):
        return request(("127.0.0.1", self.port), "GET", path, **kw)

    def request(self, method, path, **kw):
        return request(("127.0.0.1", self.port), method, path, **kw)

    def connect(self, timeout=10):
        return Client(("127.0.0.1", self.port), timeout)

    def pids(self):
        return processes_of_group_or_child(self.process.pid)

    def front_pid(self):
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().startswith("bulkhead-front"):
                        return pid
            except OSError:
                pass
        return None

    def stop(self, expect=0):
        if self.process is None:
            return
        left = self.pids()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                print(self.log())
                raise AssertionError("bulkhead did not stop within 30 s of SIGTERM")
        code = self.process.returncode
        self.process = None
        eventually(lambda: not [p for p in left if alive(p)], "no process left behind")
        if expect is not None and code != expect:
            print(self.log())
            raise AssertionError(f"bulkhead ended with {code}, expected {expect}")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, traceback):
        try:
            if kind is not None:
                print(f"--- log of bulkhead ({self.args})\n{self.log()[-20000:]}")
                self.stop(expect=None)
            else:
                self.stop()
                assert_nothing_undefined(self.log())
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


class Response:
    def __init__(self, status, reason, version, headers, body, complete):
        self.status, self.reason, self.version = status, reason, version
        self.headers, self.body, self.complete = headers, body, complete

    def header(self, name, default=None):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return ", ".join(values) if values else default

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Response {self.status} {self.headers} {self.body[:200]!r} complete={self.complete}>"


class Client:
    """An HTTP/1.1 client that shows bytes; strict about what it reads."""

    def __init__(self, address, timeout=10, sock=None):
        if sock is not None:
            self.sock = sock
        elif isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout * SLOW)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout * SLOW)
        self.sock.settimeout(timeout * SLOW)
        self.buffer = b""
        self.eof = False

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.eof = True
            return False
        self.buffer += data
        return True

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._fill():
                raise EOFError(f"connection closed after {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, n):
        while len(self.buffer) < n:
            if not self._fill():
                data, self.buffer = self.buffer, b""
                return data, False
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data, True

    def response(self, method="GET", skip_interim=True):
        while True:
            match = re.fullmatch(rb"HTTP/(1\.[01]) (\d{3}) (.*)", self._line())
            assert match, "not a status line"
            status = int(match[2])
            headers = []
            while True:
                line = self._line()
                if not line:
                    break
                name, value = line.split(b":", 1)
                headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
            if status >= 200 or not skip_interim:
                break
        lower = {n.lower(): v for n, v in headers}
        complete, body = True, b""
        if method == "HEAD" or status in (204, 304) or status < 200:
            pass
        elif lower.get("transfer-encoding", "").lower() == "chunked":
            complete = False
            while True:
                try:
                    size = int(self._line().split(b";")[0], 16)
                except (EOFError, ValueError):
                    break  # cut: the connection ends, or what comes is visibly no chunk
                if size == 0:
                    while self._line():
                        pass
                    complete = True
                    break
                data, whole = self._exactly(size)
                body += data
                if not whole:
                    break
                self._exactly(2)
        elif "content-length" in lower:
            body, complete = self._exactly(int(lower["content-length"]))
        else:
            while self._fill():
                pass
            body, self.buffer = self.buffer, b""
        return Response(status, match[3].decode("latin-1"), match[1].decode(), headers, body, complete)

    def closed(self):
        """Waits for the server's close; true when nothing more came before it."""
        while self._fill():
            pass
        return self.buffer == b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(address, method, path, headers=None, body=None, timeout=10):
    with Client(address, timeout) as c:
        lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
        for name, value in (headers or {}).items():
            if name.lower() == "host":
                lines[1] = f"Host: {value}"
            else:
                lines.append(f"{name}: {value}")
        if body is not None:
            body = body.encode() if isinstance(body, str) else body
            lines.append(f"Content-Length: {len(body)}")
        c.send("\r\n".join(lines) + "\r\n\r\n")
        if body:
            try:
                c.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused early: the answer is there to read
        return c.response(method)


class Seen:
    """One request as a recording backend received it."""

    def __init__(self, raw_head, body):
        self.raw_head, self.body = raw_head, body
        lines = raw_head.split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        self.method, self.target, self.version = self.line.split(" ")
        self.headers = [tuple(p.strip().decode("latin-1") for p in line.split(b":", 1)) for line in lines[1:] if line]

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return ", ".join(values) if values else None


class RecordingBackend:
    """An upstream in this process, on TCP or a Unix socket. `answer(seen, connection)` returns bytes to send, or None to close
    the connection; the default answers 200 with the request line. Keeps connections unless told to close."""

    def __init__(self, answer=None, path=None):
        self.seen = []
        self.connections = 0
        self.answer = answer or (lambda seen, conn: respond(seen.line))
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            self.address = f"unix:{path}"
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.sock.listen(128)
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = conn.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = re.search(rb"(?im)^content-length: *(\d+)", head)
                need = int(length[1]) if length else 0
                while len(buffer) < need:
                    data = conn.recv(65536)
                    if not data:
                        return
                    buffer += data
                seen = Seen(head, buffer[:need])
                buffer = buffer[need:]
                self.seen.append(seen)
                out = self.answer(seen, conn)
                if out is None:
                    return
                conn.sendall(out)
        except OSError:
            pass
        finally:
            self.open.discard(conn)
            conn.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for conn in list(self.open):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def respond(body="ok", status=200, headers=()):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def module(name):
    return os.path.join(HANDLERS, f"{name}.so")


class WallClock:
    """A wall clock that steps, for what is started with `env` (files/clock.c, preloaded)."""

    def __init__(self, directory):
        library, self.path = os.path.join(directory, "clock.so"), os.path.join(directory, "clock")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files", "clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source], check=True)
        self.env = {"LD_PRELOAD": library, "TEST_CLOCK": self.path}
        self.step(0)

    def step(self, seconds):
        """So many seconds from the true time."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:  # never shorter: it is mapped
            f.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def python_worker(code, name="worker.py", directory=None):
    """Writes a Python program and returns the command that runs it with Debian's Python."""
    path = os.path.join(directory or tempfile.mkdtemp(prefix="bulkhead-worker-"), name)
    with open(path, "w") as f:
        f.write(code)
    return [PYTHON, path]
