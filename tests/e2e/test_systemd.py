# SPDX-License-Identifier: MIT
"""bulkhead as a service: what it tells the service manager over a real NOTIFY_SOCKET, and what it takes from it.

The tests are the manager: they bind the socket, keep the descriptors that come, and hand them over at the next start.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import (BUILD, BULKHEAD, PYTHON, SLOW, TOP, Bulkhead, die_with_parent, eventually, free_port, python_worker,
                     request)

SERVE = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = repr(dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.HTTPServer):
    address_family = socket.AF_UNIX
    def __init__(self):
        super().__init__("", Handler, bind_and_activate=False)
        self.socket = socket.socket(fileno=3)
    def get_request(self):
        return self.socket.accept()[0], ("worker", 0)
Server().serve_forever()
"""
# becomes the program in its arguments, with the descriptors named in HANDED ("name=fd …") as a manager hands them over
HAND_OVER = """
import fcntl, os, sys
handed = [item.rsplit("@", 1) for item in os.environ.pop("HANDED").split()]
moved = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 64) for _, fd in handed]
for i, fd in enumerate(moved):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.closerange(3 + len(moved), 1024)
os.environ.update(LISTEN_FDS=str(len(moved)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(n for n, _ in handed))
if "WATCHDOG_USEC" in os.environ:
    os.environ.setdefault("WATCHDOG_PID", str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""


class Manager:
    """The service manager's end: messages are (when, {name: value}, [fd]), and what is to be kept is in `store`."""

    def __init__(self, directory, listening=True):
        self.path = str(directory / "notify.sock")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.messages, self.store = [], {}
        self.thread = threading.Thread(target=self._read, daemon=True)
        if listening:
            self.thread.start()

    def _read(self):
        while True:
            text, fds, _, _ = socket.recv_fds(self.sock, 8192, 16)
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            if "FDSTORE" in fields:
                self.store.setdefault(fields["FDNAME"], []).extend(fds)
            elif "FDSTOREREMOVE" in fields:
                for fd in self.store.pop(fields["FDNAME"], []):
                    os.close(fd)
            self.messages.append((time.monotonic(), fields, fds))

    def all(self, name):
        return [fields[name] for _, fields, _ in list(self.messages) if name in fields]

    def times(self, name):
        return [when for when, fields, _ in list(self.messages) if name in fields]

    def wait(self, name, wanted=lambda value: True, timeout=20):
        return eventually(lambda: [v for v in self.all(name) if wanted(v)], f"{name} of {self.messages}", timeout)[-1]

    def status(self, *words):
        return self.wait("STATUS", lambda value: all(word in value for word in words))

    def close(self):
        for fds in self.store.values():
            for fd in fds:
                os.close(fd)


class Service(Bulkhead):
    """A bulkhead that is started as a service: with the manager's variables and what it has in store."""

    def __init__(self, conf, manager, watchdog_us=None, **kw):
        env = {"NOTIFY_SOCKET": manager.path}
        if watchdog_us is not None:
            env["WATCHDOG_USEC"] = str(watchdog_us)
        super().__init__(conf, env={**env, **kw.pop("env", {})}, **kw)
        self.manager = manager

    def start(self):
        handed = [(name, fd) for name, fds in self.manager.store.items() for fd in fds]
        env = {**self.env, "HANDED": " ".join(f"{name}@{fd}" for name, fd in handed)}
        self.log_path = os.path.join(self.dir, "stderr.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PYTHON, "-c", HAND_OVER, BULKHEAD, *self.args], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env, cwd=self.dir, preexec_fn=die_with_parent,
                                            pass_fds=[fd for _, fd in handed])
        if self.ready:
            self.wait_ready()
        return self


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def conf(backends=None, **more):
    routes = [{"path": f"/{name}", "backend": name} for name in backends or {}]
    return {"backends": backends or {}, "routes": [*routes, {"path": "/", "respond": {"body": "front"}}], **more}


def worker(code=SERVE, **more):
    return {"run": "workers", "command": python_worker(code), "workers": 1, **more}


# ---- ready, status, stopping -----------------------------------------------------------------------------------------

def test_ready_is_told_when_each_backend_has_a_worker_and_not_before(manager, tmp_path):
    os.mkfifo(tmp_path / "gate")
    late = worker(f"open({str(tmp_path / 'gate')!r}).read()\n{SERVE}")
    with Service(conf({"early": worker(), "late": late}), manager, ready=False):
        manager.status("Starting", "1 of 2 workers ready", "waiting for backend late")
        assert not manager.all("READY")
        (tmp_path / "gate").write_text("go")
        assert manager.wait("READY") == "1"
        manager.status("Serving", "2 of 2 workers ready")


def test_ready_is_told_without_any_worker(manager):
    with Service(conf(), manager, ready=False):
        manager.wait("READY")
        assert manager.status("Serving") == "Serving: no workers"


def test_a_backend_that_crashes_does_not_hold_up_the_start_and_is_named(manager):
    with Service(conf({"good": worker(), "bad": worker("raise SystemExit('no database')")}), manager, ready=False):
        manager.wait("READY")
        manager.status("Serving", "1 of 2 workers ready", "down: bad", "no database")


def test_a_backend_that_hangs_holds_up_the_start_for_its_start_timeout(manager):
    hung = worker("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('hangs', flush=True)\ntime.sleep(1000)",
                  start_timeout="2s", stop_timeout="60s")
    with Service(conf({"hung": hung}), manager, ready=False) as b:
        manager.wait("READY")
        manager.status("Serving", "down: hung", "start_timeout")
        os.kill(b.process.pid, signal.SIGTERM)
        eventually(lambda: "hung[0]" in b.log() and manager.all("STOPPING"), "it stops")
        os.kill(b.process.pid, signal.SIGTERM)
        b.process.wait(30)


def test_a_start_that_may_take_long_is_given_the_time(manager):
    with Service(conf({"slow": worker(start_timeout="10m")}), manager, ready=False):
        manager.wait("READY")
        assert int(manager.all("EXTEND_TIMEOUT_USEC")[0]) >= 600_000_000


def test_a_reload_is_told_with_its_end_whatever_comes_of_it(manager):
    with Service(conf(), manager) as b:
        manager.wait("READY")
        for round, text in enumerate((None, "no conf"), 1):
            if text:
                with open(b.conf_path, "w") as f:
                    f.write(text)
            b.process.send_signal(signal.SIGHUP)
            eventually(lambda: len(manager.all("READY")) == 1 + round, f"the end of a reload in {manager.messages}")
            assert len(manager.all("RELOADING")) == round
            assert manager.times("RELOADING")[-1] <= manager.times("READY")[-1]


def test_a_stop_is_told_with_the_time_that_it_may_take(manager):
    with Service(conf({"w": worker(stop_timeout="3m")}, drain_timeout="7m"), manager) as b:
        manager.wait("READY")
        before = len(manager.messages)
        b.stop()
        told = [fields for _, fields, _ in manager.messages[before:]]
    assert "STOPPING" in told[0]
    limits = [int(fields["EXTEND_TIMEOUT_USEC"]) for fields in told if "EXTEND_TIMEOUT_USEC" in fields]
    assert len(limits) == 2 and limits[0] >= 420_000_000 and 180_000_000 <= limits[1] < limits[0]


def test_status_is_told_once_a_second_at_most_and_the_last_one_always(manager):
    with Service(conf({"w": worker(workers=3)}), manager) as b:
        b.wait_workers("w", 3)
        for _ in range(6):
            pid = b.backend("w")["workers"][0]["pid"]
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: b.backend("w")["workers"][0]["pid"] not in (0, pid), "another process")
        b.wait_workers("w", 3)
        eventually(lambda: manager.all("STATUS")[-1].endswith("3 of 3 workers ready"), "the last status")
        times = manager.times("STATUS")
    assert len(times) <= times[-1] - times[0] + 2  # this end may have been late to read one of them


def test_words_of_a_worker_are_no_message_to_the_manager(manager):
    forged = "import sys\nsys.stderr.buffer.write(b'x\\rMAINPID=1\\x0b\\xff\\n')\nraise SystemExit(1)"
    with Service(conf({"bad": worker(forged)}), manager, ready=False):
        line = manager.status("down: bad")
        assert "\\x0d" in line and "\\xff" in line and not manager.all("MAINPID")


def test_a_manager_that_does_not_read_holds_up_nobody(tmp_path):
    manager = Manager(tmp_path, listening=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        other.connect(manager.path)
        with pytest.raises(BlockingIOError):
            for _ in range(100000):
                other.send(b"NOISE=1")
    with Service(conf({"w": worker()}), manager, watchdog_us=100_000) as b:
        assert b.get("/").body == b"front"
        manager.thread.start()
        manager.wait("READY")
        names = [name for _, fields, _ in manager.messages for name in fields if name in ("FDSTORE", "READY")]
        assert names[-1] == "READY" and "FDSTORE" in names
        manager.wait("WATCHDOG")
    manager.close()


def test_a_manager_that_is_not_there_is_no_reason_not_to_serve(manager):
    os.unlink(manager.path)
    with Service(conf(), manager) as b:
        assert "NOTIFY_SOCKET" in b.log()


def test_children_are_not_told_of_the_manager(manager):
    with Service(conf({"w": worker()}), manager, watchdog_us=30_000_000) as b:
        seen = b.get("/w").body.decode()
        with open(f"/proc/{b.front_pid()}/environ") as f:
            seen += f.read()
    assert "BULKHEAD_WORKER" in seen
    for name in ("NOTIFY_SOCKET", "WATCHDOG_", "notify.sock"):
        assert name not in seen


# ---- watchdog --------------------------------------------------------------------------------------------------------

def test_the_watchdog_hears_of_a_hung_front_until_it_is_replaced(manager):
    with Service(conf(heartbeat_timeout=f"{4 * SLOW}s"), manager, watchdog_us=5_000_000 * SLOW) as b:
        manager.wait("WATCHDOG")
        hung = b.front_pid()
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: b.front_pid() not in (None, hung), "another front", 20)
        replaced = time.monotonic()
        eventually(lambda: manager.times("WATCHDOG")[-1] > replaced, "signs of life again")
        times = manager.times("WATCHDOG")
    # signs come in quarters of the time; the last came before half of heartbeat_timeout had passed, 2 s before the kill
    assert max(later - sooner for sooner, later in zip(times, times[1:])) > 1.9 * SLOW


def test_the_watchdog_is_fed_several_times_in_its_time(manager):
    with Service(conf(heartbeat_timeout="10s"), manager, watchdog_us=2_000_000):
        eventually(lambda: len(manager.times("WATCHDOG")) >= 5, "signs of life")
        times = manager.times("WATCHDOG")
    assert times[4] - times[0] < 2 * 2 * SLOW


def test_no_watchdog_without_one_or_for_another_process(manager):
    for more in ({}, {"watchdog_us": 100_000, "env": {"WATCHDOG_PID": "1"}}):
        with Service(conf(), manager, **more):
            manager.wait("READY")
    assert not manager.all("WATCHDOG")


def test_a_watchdog_that_is_too_short_is_warned_of(manager):
    with Service(conf(heartbeat_timeout="5s"), manager, watchdog_us=4_000_000) as b:
        assert "WatchdogSec= (4 s)" in b.log()


# ---- sockets that the manager keeps ----------------------------------------------------------------------------------

def inode(fd):
    return os.fstat(fd).st_ino


def sockets_of(pid):
    return {os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{pid}/fd") if fd.isdigit()}


def test_listeners_are_kept_over_a_restart_and_lose_no_connection(manager):
    with Service(conf(), manager) as b:
        names = {f"bind=127.0.0.1_{port}" for port in (b.port, b.admin_port)}
        eventually(lambda: set(manager.store) == names, "both listeners are kept")
        kept = inode(manager.store[f"bind=127.0.0.1_{b.port}"][0])
        b.stop()
        with b.connect() as client:  # nobody serves; the kernel takes it
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            b.start()
            assert client.response().body == b"front"
            assert kept in sockets_of(b.process.pid)


def test_a_killed_supervisor_leaves_its_listeners_with_the_manager(manager):
    with Service(conf(), manager) as b:
        eventually(lambda: len(manager.store) == 2, "both listeners are kept")
        b.process.kill()
        b.process.wait()
        with b.connect() as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            b.start()
            assert client.response().body == b"front"


def test_a_kept_socket_that_no_listener_wants_is_given_up_and_its_address_free(manager):
    with Service(conf(), manager) as b:
        eventually(lambda: len(manager.store) == 2, "both listeners are kept")
        old, name = b.connect(), f"bind=127.0.0.1_{b.port}"
        fd = os.dup(manager.store[name][0])  # as if the manager were slow to forget
        with open(b.conf_path) as f:
            text = f.read()
        old.close()
        b.stop()
        with open(b.conf_path, "w") as f:
            f.write(text.replace(f"127.0.0.1:{b.port}", f"*:{b.port}"))
        b.start()
        assert b.get("/").body == b"front"
        eventually(lambda: f"bind=0.0.0.0_{b.port}" in manager.store and name not in manager.store, "the other is kept")
        assert "no listener" in b.log()
        os.close(fd)


def test_what_is_kept_under_the_name_of_another_address_is_not_taken(manager, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = free_port()
        manager.store[f"bind=127.0.0.1_{port}"] = [os.dup(other.fileno())]
        with Service(conf(), manager, listeners=[{"bind": f"127.0.0.1:{port}"}]) as b:
            assert request(("127.0.0.1", port), "GET", "/").body == b"front"


def test_unix_sockets_and_port_0_are_not_kept(manager, tmp_path):
    listeners = [{"bind": f"unix:{tmp_path}/http.sock"}, {"bind": "127.0.0.1:0"}]
    with Service(conf(), manager, listeners=listeners) as b:
        manager.wait("READY")
        assert list(manager.store) == [f"bind=127.0.0.1_{b.admin_port}"]


# ---- socket activation -----------------------------------------------------------------------------------------------

needs_activate = pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="Debian package systemd")


@needs_activate
def test_the_first_connection_starts_it_by_socket_activation(tmp_path):
    b = Bulkhead(conf(), listeners=[{"systemd": "http"}])
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{b.port}", "--fdname=http", BULKHEAD, *b.args]
    b.log_path = os.path.join(b.dir, "stderr.log")
    with open(b.log_path, "wb") as log:
        b.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def answered():
        try:
            return b.get("/")
        except OSError:
            return None
    try:
        assert eventually(answered, "an answer", 20).body == b"front"
        eventually(lambda: f"serving on 127.0.0.1:{b.port}" in b.log(), "its log line")
    finally:
        b.__exit__(None, None, None)


# ---- the journal -----------------------------------------------------------------------------------------------------

def journal_of(b):
    """Makes the file that takes fd 2 the journal, as far as processes can tell."""
    st = os.stat(os.open(os.path.join(b.dir, "stderr.log"), os.O_CREAT | os.O_RDWR))
    return f"{st.st_dev}:{st.st_ino}"


TALK = f"print('at your service', flush=True)\n{SERVE}"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_for_the_journal_carry_their_priority(log_format):
    b = Bulkhead(conf({"good": worker(TALK), "bad": worker("raise SystemExit(1)")}, limits={"connections_per_address": 1}),
                 ready=False)
    with open(b.conf_path) as f:
        text = f.read()
    with open(b.conf_path, "w") as f:
        f.write(text.replace('"level": "debug"', f'"level": "debug", "format": "{log_format}"'))
    b.env["JOURNAL_STREAM"] = journal_of(b)
    with b:
        eventually(lambda: "at your service" in b.log() and "is down" in b.log(), "lines of every kind")
        with b.connect(), b.connect():
            eventually(lambda: " front[" in b.log() or '"process":"front"' in b.log(), "a line of the front")
        lines = b.log().splitlines()
    wanted = {"error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}
    seen = set()
    for line in lines:
        level = next(w for w in wanted if f" {w} " in line[:60] or f'"level":"{w}"' in line)
        assert line.startswith(wanted[level] + ("{" if log_format == "json" else "2")), line
        seen.add(level)
    assert {"error", "warning", "info"} <= seen
    assert next(line for line in lines if "at your service" in line).startswith("<6>")


def test_lines_for_anything_else_carry_none():
    b = Bulkhead(conf())
    b.env["JOURNAL_STREAM"] = "1:" + journal_of(b).split(":")[1]  # inherited, of a service around this one
    with b:
        eventually(lambda: "serving on" in b.log(), "lines")
        assert not [line for line in b.log().splitlines() if line.startswith("<")]


def test_a_log_file_of_its_own_carries_none_when_fd_2_was_the_journal(tmp_path):
    b = Bulkhead(conf(log={"level": "debug", "target": str(tmp_path / "own.log"), "access": False}))
    b.env["JOURNAL_STREAM"] = journal_of(b)
    with b:
        eventually(lambda: "serving on" in (tmp_path / "own.log").read_text(), "its log")
        os.rename(tmp_path / "own.log", tmp_path / "own.log.1")
        b.process.send_signal(signal.SIGUSR1)
        eventually(lambda: (tmp_path / "own.log").exists() and "opened anew" in (tmp_path / "own.log").read_text(), "another")
    for name in ("own.log", "own.log.1"):
        assert not [line for line in (tmp_path / name).read_text().splitlines() if line.startswith("<")]


# ---- packages --------------------------------------------------------------------------------------------------------

def test_the_debian_packages_are_of_this_version():
    version = subprocess.run([BULKHEAD, "--version"], capture_output=True, text=True).stdout.split()[1]
    with open(os.path.join(TOP, "contrib", "debian", "changelog")) as f:
        assert f.readline().startswith(f"bulkhead ({version}-")


# ---- units -----------------------------------------------------------------------------------------------------------

UNITS = ["bulkhead.service", "bulkhead@one.service", "bulkhead.socket"]
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="Debian package systemd")


@pytest.fixture
def units(tmp_path):
    """The units as they are installed, but for where the program is."""
    made = os.path.join(BUILD, "contrib", "systemd")
    for unit in ("bulkhead.service", "bulkhead@.service"):
        with open(os.path.join(made, unit)) as f:
            text = re.sub(r"(?m)^Exec(Start|Reload)=\S+", rf"Exec\1={BULKHEAD}", f.read())
        assert not re.search(r"@[A-Z_a-z]+@", text)
        (tmp_path / unit).write_text(text)
    shutil.copy(os.path.join(TOP, "contrib", "systemd", "bulkhead.socket"), tmp_path)
    return tmp_path


@needs_analyze
def test_units_are_as_systemd_wants_them(units):
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *UNITS], cwd=units, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@needs_analyze
@pytest.mark.parametrize("unit", ["bulkhead.service", "bulkhead@one.service"])
def test_units_are_hardened(units, unit):
    result = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true", str(units / unit)], cwd=units,
                            capture_output=True, text=True)
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)[1]) <= 2.0, result.stderr


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="Debian package systemd")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_the_user_and_the_directories_of_the_units_can_be_made(tmp_path):
    made = os.path.join(BUILD, "contrib", "systemd")
    (tmp_path / "etc").mkdir()
    for program, of in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        command = [program, f"--root={tmp_path}", *(["--create"] if of == "tmpfiles" else []), f"{made}/{of}/bulkhead.conf"]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    assert "bulkhead:" in (tmp_path / "etc" / "passwd").read_text()
