# SPDX-License-Identifier: MIT
"""The request path when something goes wrong in its middle: what is given back, what the log says, and who else notices."""
import contextlib
import os
import re
import resource
import signal
import threading
import time

import pytest

from harness import KIND, Bulkhead, RecordingBackend, eventually, module, respond

MIB = 1 << 20


def proxied(up, **backend):
    options = {"run": "loop", "proxy": up.address, "limit": 2}
    options.update(backend)
    return {"backends": {"up": options}, "routes": [{"path_prefix": "/", "backend": "up"}]}


def get(b, path, timeout=60):
    """Sends a request and reads nothing."""
    client = b.connect(timeout)
    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    return client


def read_long(client):
    """Reads an answer with Content-Length to its end or the connection's. Returns how long it should be, and how long it is."""
    while b"\r\n\r\n" not in client.buffer:
        assert client._fill()
    head, body = client.buffer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    announced = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    length = len(body)
    while length < announced:
        try:
            data = client.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            break
        length += len(data)
    return announced, length


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))


def limit_files(pid, size):
    """What a full disk does, without one: writes past this size fail."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def descriptors(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed just now
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
    return sorted(found)


# ---- the log --------------------------------------------------------------------------------------------------------

def test_the_log_counts_the_bytes_of_every_answer():
    release = threading.Event()

    def answer(seen, conn):
        release.wait(30)
        return respond("late")
    with RecordingBackend(answer) as up:
        conf = proxied(up, limit=1, queue=0, timeout="700ms")
        conf["routes"].insert(0, {"path": "/fixed", "respond": {"body": "12345"}})
        conf["routes"].insert(0, {"path": "/small", "respond": {"body": "x"}, "max_body": 1})
        conf["routes"][-1]["path_prefix"] = "/up/"
        with Bulkhead(conf) as b:
            late = get(b, "/up/late")
            eventually(lambda: len(up.seen) == 1, "a call is running")
            sent = {"/up/full": b.get("/up/full"), "/nowhere": b.get("/nowhere"), "/fixed": b.get("/fixed"),
                    "/small": b.request("POST", "/small", body="too long"), "/up/late": late.response()}
            assert [r.status for r in sent.values()] == [503, 404, 200, 413, 504]
            for path, response in sent.items():
                assert b.access_of(path)[0]["bytes"] == len(response.body) > 0, path
            b.request("HEAD", "/fixed")
            b.request("HEAD", "/nowhere")
            assert [b.access_of(path, 2)[1]["bytes"] for path in ("/fixed", "/nowhere")] == [0, 0]
            release.set()


def test_who_leaves_the_queue_has_an_id_in_the_log():
    release = threading.Event()

    def answer(seen, conn):
        release.wait(30)
        return respond("late")
    with RecordingBackend(answer) as up:
        with Bulkhead(proxied(up, limit=1, queue=5)) as b:
            first = get(b, "/first")
            eventually(lambda: b.backend("up")["busy"] == 1, "one runs")
            waiting = get(b, "/waiting")
            eventually(lambda: b.backend("up")["queued"] == 1, "one waits")
            waiting.close()
            line = b.access_of("/waiting")[0]
            assert line["outcome"] == "abandoned" and line["id"] != ""
            release.set()
            assert first.response().status == 200


# ---- answers that cannot be kept ------------------------------------------------------------------------------------

def test_a_full_spool_costs_its_own_call_only():
    """The limit on file sizes stands in for a full disk. The answer is cut, its backend's work ended, its slot and its file given
    back; the front lives on, and says in the log what happened."""
    def answer(seen, conn):
        if "big" not in seen.target:
            return respond("small")
        conn.sendall(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        while True:
            conn.sendall(bytes(65536))
    with RecordingBackend(answer) as up, Bulkhead(proxied(up, limit=1)) as b:
        front = b.front_pid()
        b.get("/warm")
        before = descriptors(front)
        limit_files(front, MIB)
        slow = get(b, "/big")
        eventually(lambda: len(up.seen) == 2 and b.backend("up")["busy"] == 0, "the slot came back while nobody reads")
        assert b.get("/other").body == b"small"
        announced, length = read_long(slow)
        assert MIB / 2 < length < 32 * MIB < announced
        line = b.access_of("/big")[0]
        assert (line["outcome"], line["reason"]) == ("failed", "internal")
        assert "cannot write to a spool file" in b.log()
        assert b.front_pid() == front
        eventually(lambda: len(descriptors(front)) <= len(before), "no descriptor is left behind")
        assert not [name for name in descriptors(front) if "deleted" in name]


@pytest.mark.parametrize("framing", ["Content-Length: %d" % (16 * MIB), "Transfer-Encoding: chunked"])
def test_a_full_disk_under_a_long_upload_costs_its_connection_only(framing):
    with RecordingBackend() as up:
        conf = proxied(up)
        conf["routes"][0]["max_body"] = "64MiB"
        with Bulkhead(conf) as b:
            front = b.front_pid()
            limit_files(front, MIB)
            client = b.connect(60)
            client.send(f"POST /long HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n")
            with pytest.raises(ConnectionError):
                for _ in range(16):
                    client.send(b"100000\r\n" + bytes(MIB) + b"\r\n" if "chunked" in framing else bytes(MIB))
                while client.sock.recv(1) != b"":
                    pass
                raise ConnectionError("closed")
            assert b.get("/other").status == 200
            assert b.front_pid() == front and [seen.target for seen in up.seen] == ["/other"]


def test_a_full_disk_leaves_no_descriptor_of_the_uploads_that_it_costs():
    with RecordingBackend() as up, Bulkhead(proxied(up)) as b:
        front = b.front_pid()
        limit_files(front, 0)
        for _ in range(5):
            with b.connect() as client, pytest.raises((EOFError, OSError)):
                client.send(b"POST /long HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % MIB + bytes(MIB))
                client.response()
        assert b.get("/other").status == 200
        assert not [name for name in descriptors(front) if "deleted" in name or "bulkhead-body" in name]


def test_without_a_spool_directory_a_slow_client_takes_little_memory(tmp_path):
    """max_response_buffer bounds the file. Where there is none, a little is kept in memory and the backend has to wait."""
    size = 96 * MIB
    spool = tmp_path / "spool"
    spool.mkdir()
    with RecordingBackend(lambda seen, conn: respond(bytes(size) if seen.target == "/big" else "small")) as up:
        with Bulkhead({**proxied(up, max_response_buffer="1GiB"), "spool_directory": str(spool)}) as b:
            front = b.front_pid()
            b.get("/warm")
            before = resident_kib(front)
            spool.rmdir()
            slow = get(b, "/big")
            eventually(lambda: "cannot open a spool file" in b.log(), "it was tried")
            assert b.get("/other").body == b"small"
            assert resident_kib(front) - before < 16 * 1024
            assert b.backend("up")["busy"] == 1
            assert read_long(slow) == (size, size)
            assert b.access_of("/big")[0]["outcome"] == "ok"


def test_a_file_that_shrinks_while_it_is_sent(tmp_path):
    name = tmp_path / "file"
    name.write_bytes(bytes(64 * MIB))
    with Bulkhead({"routes": [{"path_prefix": "/", "files": str(tmp_path)}]}) as b:
        slow = get(b, "/file")
        while b"\r\n\r\n" not in slow.buffer:
            assert slow._fill()
        os.truncate(name, 48 * MIB)
        assert read_long(slow) == (64 * MIB, 48 * MIB)
        line = b.access_of("/file")[0]
        assert (line["outcome"], line["reason"]) == ("failed", "internal")


# ---- who leaves -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("on_abandon, killed", [("kill", True), ("finish", False)])
def test_what_becomes_of_abandoned_work_is_the_confs_choice(on_abandon, killed):
    conf = {"backends": {"w": {"run": "workers", "module": module("sleep"), "workers": 1, "on_abandon": on_abandon,
                               "queue_timeout": "25s", "stop_timeout": "200ms"}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        pid = b.backend("w")["workers"][0]["pid"]
        client = get(b, "/?ms=60000" if killed else "/?ms=1000")
        eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
        client.close()
        assert b.access_of("/")[0]["outcome"] == "abandoned"
        assert b.get("/?ms=1", timeout=30).status == 200
        assert (b.access_of("/", 2)[1]["worker"] != pid) == killed


def test_a_client_that_leaves_a_stream_ends_it():
    """buffer: false, and the backend says nothing more: nobody but the watch for the client's departure can tell."""
    gone = threading.Event()

    def answer(seen, conn):
        conn.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        if conn.recv(1) == b"":
            gone.set()
    with RecordingBackend(answer) as up:
        conf = proxied(up, limit=1)
        conf["routes"][0]["buffer"] = False
        with Bulkhead(conf) as b:
            client = get(b, "/")
            while b"hello" not in client.buffer:
                assert client._fill()
            client.close()
            assert gone.wait(30)
            eventually(lambda: b.backend("up")["busy"] == 0, "the slot is free")
            line = b.access_of("/")[0]
            assert (line["status"], line["outcome"]) == (200, "abandoned")


def test_an_answer_that_breaks_off_is_logged_as_failed_and_closes():
    def answer(seen, conn):
        conn.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        return None
    with RecordingBackend(answer) as up, Bulkhead(proxied(up)) as b:
        client = get(b, "/")
        response = client.response()
        assert not response.complete and response.body.startswith(b"hello")
        client.closed()
        line = b.access_of("/")[0]
        assert (line["status"], line["outcome"], line["reason"]) == (200, "failed", "upstream-reset")


# ---- limits ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("of_backend, of_route", [("30s", "300ms"), ("300ms", "30s")])
def test_the_routes_timeout_counts_whichever_is_longer(of_backend, of_route):
    def answer(seen, conn):
        time.sleep(1)  # longer than the short limit, shorter than the long one
        return respond("done")
    with RecordingBackend(answer) as up:
        conf = proxied(up, timeout=of_backend)
        conf["routes"][0]["timeout"] = of_route
        with Bulkhead(conf) as b:
            assert b.get("/").status == (504 if of_route == "300ms" else 200)


def test_an_upstream_never_has_more_calls_than_its_limit():
    lock, now, most = threading.Lock(), [0], [0]

    def answer(seen, conn):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)  # the work
        with lock:
            now[0] -= 1
        return respond("x")
    with RecordingBackend(answer) as up:
        with Bulkhead({**proxied(up, limit=3, queue=100), "threads": 3}) as b:
            clients = [get(b, f"/{i}") for i in range(60)]
            assert {c.response().status for c in clients} == {200}
            assert most[0] == 3


# ---- all at once ----------------------------------------------------------------------------------------------------

class Clients:
    """Threads that call, leave, or come too late, until the time is over. What they see is counted by status; what must not be
    is kept in `wrong`."""

    def __init__(self, b, seconds):
        self.b, self.until = b, time.monotonic() + seconds
        self.lock, self.seen, self.wrong = threading.Lock(), {}, []

    def run(self, paths):
        threads = [threading.Thread(target=self._call, args=(path, may)) for path, may in paths]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def _call(self, path, may):
        leaves = "leave" in path
        while time.monotonic() < self.until:
            try:
                with get(self.b, path) as client:
                    if leaves:
                        client.sock.settimeout(0.015)  # is the client's patience
                    for _ in range(20):
                        self._note(path, may, client.response().status)
                        client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
            except (TimeoutError, EOFError, ConnectionError) as e:
                if not leaves:
                    self._note(path, may, repr(e))

    def _note(self, path, may, status):
        with self.lock:
            self.seen[status] = self.seen.get(status, 0) + 1
            if status not in may:
                self.wrong.append((path, status))


def test_four_loop_threads_under_everything_at_once():
    """Calls of all classes on four loop threads, with time-outs in the queue and in execution, clients that leave, and workers that
    are killed. Afterwards everything has been given back. (Its worth is in the builds with a sanitizer.) A loop that got no
    processor for long finds both an answer and its time-out over, and may take the answer: hence 200 wherever 504 is."""
    seconds = 12 if KIND in ("asan", "tsan") else 4
    conf = {
        "threads": 4,
        "limits": {"connections_per_address": 1000},
        "backends": {
            "w": {"run": "workers", "module": module("sleep"), "workers": 3, "queue": 1, "queue_timeout": "30ms",
                  "stop_timeout": "100ms"},
            "k": {"run": "workers", "module": module("sleep"), "workers": 2, "on_abandon": "kill", "stop_timeout": "100ms"},
            "t": {"run": "threads", "module": module("sleep"), "threads": 3, "queue_timeout": "50ms", "timeout": "60ms"},
            "f": {"run": "threads", "module": module("echo"), "threads": 3, "in_front": True},
            "l": {"run": "loop", "module": module("echo"), "limit": 2}},
        "routes": [{"path_prefix": f"/{name}/", "backend": name} for name in "wktfl"],
    }
    with Bulkhead(conf) as b:
        for name, slots in (("w", 3), ("k", 2), ("t", 3)):
            b.wait_workers(name, slots)
        clients = Clients(b, seconds)
        killing = threading.Thread(target=kill_workers, args=(b, "w", clients.until))
        killing.start()
        clients.run([("/w/?ms=5", (200, 502, 503))] * 6 + [("/w/leave?ms=40", (200, 502, 503))] * 2 +
                    [("/k/leave?ms=30", (200, 502, 503))] * 2 + [("/t/?ms=5", (200, 503, 504))] * 4 +
                    [("/t/?ms=150", (200, 503, 504))] * 2 + [("/f/?size=100000", (200, 503))] * 2 + [("/l/?size=200000", (200,))] * 2)
        killing.join()
        assert clients.wrong == []
        assert clients.seen[200] > 100 and clients.seen.get(503, 0) > 0 and clients.seen.get(504, 0) > 0, clients.seen
        for name in "wktfl":
            eventually(lambda: (b.backend(name)["busy"], b.backend(name)["queued"]) == (0, 0), f"{name} gave all back", 20)
        for name, slots in (("w", 3), ("k", 2), ("t", 3), ("f", 3)):
            b.wait_workers(name, slots)
            assert b.get(f"/{name}/?ms=1").status == 200


def kill_workers(b, name, until):
    while time.monotonic() < until:
        for worker in b.backend(name)["workers"][:1]:
            if worker["pid"]:
                try:
                    os.kill(worker["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        time.sleep(0.4)  # between two kills
