# SPDX-License-Identifier: MIT
"""What the chaos tests run: one bulkhead with every kind of backend, an upstream that it proxies to, and the look at what
it holds: processes, descriptors, files, slots, memory.
"""
import json
import os
import socket
import subprocess
import sys
import threading
import uuid

from harness import BULKHEAD, PYTHON, SLOW, TOP, Bulkhead, WallClock, eventually, request
from clients import BODY_IN_MEMORY, HttpClient, Load, OneByOne, WebSocketClient

HERE = os.path.dirname(os.path.abspath(__file__))
MARK = "BULKHEAD_CHAOS"  # in the environment of every process of a run

# lane: what kind of clients, on which route, how many
LANES = {
    "native": (HttpClient, "/native", 4), "http": (HttpClient, "/http", 3), "threads": (HttpClient, "/threads", 4),
    "proxy": (HttpClient, "/proxy", 3), "inloop": (HttpClient, "/inloop", 2),
    "messages": (WebSocketClient, "/messages", 4), "stream": (WebSocketClient, "/stream", 3),
    "bridge": (WebSocketClient, "/bridge", 3), "steady": (OneByOne, "/steady", 3),
}
# which lanes a backend serves
SERVES = {"native": {"native", "messages"}, "http": {"http", "bridge", "steady"}, "threads": {"threads", "stream"},
          "proxy": {"proxy"}, "inloop": {"inloop"}}
BRIDGED = {"bridge", "steady"}
WORKERS = {"native": 3, "http": 2}
THREADS = 6
TIMEOUT = 2 * SLOW           # of a call
HEARTBEAT_TIMEOUT = 2 * SLOW
MIB = 1 << 20
GRACE_FDS = 8                # connections of the admin listener, and to workers, that come and go


def build_handler(directory):
    path = os.path.join(directory, "record.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{TOP}/src/include", "-o", path,
                    os.path.join(HERE, "record.c")], check=True)
    return path


class Upstream:
    """backend.py as a process of ours, on a TCP socket that outlives it."""

    def __init__(self, journal):
        self.journal = journal
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self.listening.getsockname()[1]
        self.process = None

    def start(self):
        listening = self.listening.fileno()
        self.process = subprocess.Popen([PYTHON, os.path.join(HERE, "backend.py"), self.journal, str(listening)],
                                        pass_fds=[listening], stdin=subprocess.PIPE)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def close(self):
        self.kill()
        self.listening.close()


class Rig:
    def __init__(self, directory, ledger, seed):
        self.ledger = ledger
        self.journal = os.path.join(directory, "journal")
        self.spool = os.path.join(directory, "spool")
        os.mkdir(self.spool)
        open(self.journal, "w").close()
        self.clock = None if SLOW > 1 else WallClock(directory)  # a preloaded clock and a sanitizer do not mix
        self.upstream = Upstream(self.journal)
        self.front_stopped = threading.Lock()  # who goes on with it must not wake it for somebody else
        self.mark = uuid.uuid4().hex
        self.b = Bulkhead(self.conf(build_handler(directory)), env={MARK: self.mark, **(self.clock.env if self.clock else {})})
        self.address = ("127.0.0.1", self.b.port)
        self.load = Load(self.address, ledger, seed)
        for lane, (kind, path, count) in LANES.items():
            self.load.add(kind, lane, path, count)

    def conf(self, handler):
        record = {"module": handler, "options": {"journal": self.journal}}
        bounds = {"timeout": f"{TIMEOUT}s", "queue": 40, "queue_timeout": f"{3 * SLOW}s", "warn_after": f"{SLOW}s"}
        child = {**bounds, "stop_timeout": "500ms", "nice": 0}
        server = {"command": [PYTHON, os.path.join(HERE, "backend.py"), self.journal]}
        backends = {
            "native": {"run": "workers", **record, **child, "workers": WORKERS["native"],
                       **({} if SLOW > 1 else {"memory_limit": "64MiB", "memory_limit_hard": "512MiB"})},
            "http": {"run": "workers", **server, **child, "workers": WORKERS["http"]},
            "threads": {"run": "threads", **record, **child, "threads": THREADS},
            "proxy": {"run": "loop", "proxy": self.upstream.address, **bounds, "limit": 8},
            "inloop": {"run": "loop", **record, "limit": 8},
        }
        sockets = {"messages": ("native", {"mode": "messages", "in_flight": 2}), "stream": ("threads", {"mode": "messages"}),
                   "bridge": ("http", {"mode": "bridge"}), "steady": ("http", {"mode": "bridge", "reconnect": True})}
        routes = [{"path": f"/{name}", "backend": backend, "websocket": websocket}
                  for name, (backend, websocket) in sockets.items()]
        routes += [{"path_prefix": f"/{name}/", "backend": name} for name in backends]
        return {"backends": backends, "routes": routes, "heartbeat_timeout": f"{HEARTBEAT_TIMEOUT}s",
                "spool_directory": self.spool, "limits": {"body_memory": f"{BODY_IN_MEMORY}B"},
                "drain_timeout": f"{10 * SLOW}s"}

    def __enter__(self):
        self.upstream.start()
        self.b.start()
        eventually(self.is_whole, "every worker is there", 30)
        self.before = self.holdings()
        self.load.start()
        return self

    def __exit__(self, *failure):
        self.load.finish()
        try:
            self.b.__exit__(*failure)
        finally:
            self.upstream.close()

    # what there is

    def command(self, *arguments):
        return subprocess.run([BULKHEAD, arguments[0], "--control", self.b.control, *arguments[1:]], capture_output=True,
                              text=True, timeout=60 * SLOW)

    def backend(self, name):
        """None: the front is being replaced."""
        try:
            return self.b.backend(name)
        except (OSError, EOFError):
            return None

    def pids(self, name):
        """Of a backend's processes; waits for one."""
        def those():
            backend = self.backend(name)
            return backend and sorted(w["pid"] for w in backend["workers"] if w["pid"])
        return eventually(those, f"a process of {name}")

    def is_whole(self):
        """Every worker and thread host is there and serves."""
        try:
            limits = {backend["name"]: backend["limit"] for backend in self.b.status()["backends"]}
            return all(limits[name] == count for name, count in {**WORKERS, "threads": THREADS}.items())
        except (OSError, EOFError):
            return False  # the front is being replaced

    def wait_whole(self, what, timeout=20):
        try:
            eventually(self.is_whole, f"all workers serve again after: {what}", timeout)
        except AssertionError as error:
            self.ledger.violation(str(error))

    def serves(self):
        """A request on a new connection is answered, by the front alone."""
        try:
            return request(self.address, "GET", "/nowhere", timeout=1).status == 404
        except (OSError, EOFError):
            return False

    # what it holds

    def holdings(self):
        front, supervisor = self.b.front_pid(), self.b.process.pid
        return {"fds of the front": fds(front), "fds of the supervisor": fds(supervisor), "files": self.files(),
                "memory of the front": memory(front), "memory of the supervisor": memory(supervisor),
                "processes": len(self.b.pids()), "spool": os.listdir(self.spool)}

    def files(self):
        """Of the runtime directory: sockets and whatever else."""
        found = []
        for directory, _, names in os.walk(self.b.dir):
            found += [os.path.relpath(os.path.join(directory, name), self.b.dir) for name in names]
        return sorted(found)

    def busy(self):
        return {backend["name"]: (backend["busy"], backend["queued"]) for backend in self.b.status()["backends"]
                if backend["busy"] or backend["queued"]}

    def check_holdings(self):
        """With all clients gone: no slot, process, descriptor, file or memory is held that was not held at the start."""
        if self.b.process.poll() is not None:
            self.ledger.violation(f"bulkhead has ended with {self.b.process.returncode}, and nobody told it to")
            return
        self._expect(lambda: not self.busy(), lambda: f"slots are held: {self.busy()}")
        self._expect(lambda: not self.grown(), lambda: f"more is held than at the start: {self.grown()}")

    def _expect(self, condition, text):
        try:
            eventually(condition, "", 10)
        except AssertionError:
            self.ledger.violation(text())

    def grown(self):
        now = self.holdings()
        allowed = {"fds of the front": GRACE_FDS + sum(WORKERS.values()) + THREADS, "fds of the supervisor": 0, "processes": 0,
                   "memory of the front": 24 * MIB if SLOW == 1 else sys.maxsize,
                   "memory of the supervisor": 4 * MIB if SLOW == 1 else sys.maxsize}
        found = {name: f"{self.before[name]} -> {now[name]}" for name, more in allowed.items()
                 if now[name] > self.before[name] + more}
        found.update({name: now[name] for name in ("files", "spool")
                      if set(now[name]) - set(self.before[name]) - {"access.log"}})
        return found

    def strays(self):
        """Processes of this run that are still there."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if f"{MARK}={self.mark}".encode() in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    # the end

    def stop_under_load(self):
        """SIGTERM while the clients go on: none of their calls fails for it."""
        with self.ledger.excused("drain", None, ["draining", "refused", "closed 1001", "closed 1012"]):
            self.b.process.terminate()
            try:
                self.b.process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.ledger.violation("it did not stop within drain_timeout")
                return
            self.load.finish()
        if self.b.process.returncode != 0:
            self.ledger.violation(f"it ended with {self.b.process.returncode}")
        self._expect(lambda: not self.strays(), lambda: f"processes are left: {self.strays()}")
        left = [name for name in self.files() if name not in ("test.conf", "access.log", "stderr.log")]
        if left or os.listdir(self.spool):
            self.ledger.violation(f"files are left: {left + os.listdir(self.spool)}")

    def executed(self):
        with open(self.journal) as f:
            return f.read().split("\n")[:-1]

    def access(self):
        """Lines that were cut when the disk was full are passed over."""
        with open(self.b.access_path, errors="replace") as f:
            return [line for line in map(parsed, f) if line is not None]


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return None


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """Its own resident bytes, without what files back."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))
