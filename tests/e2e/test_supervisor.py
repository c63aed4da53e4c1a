# SPDX-License-Identifier: MIT
"""The supervisor with a front that serves nobody (tests/unit/fake_front.c): what it starts, watches, kills, replaces and tells.

The fake front writes down every message that it gets; a test reads them as dicts from Run.told().
"""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from harness import (BUILD, BULKHEAD, KIND, PYTHON, alive, assert_nothing_undefined, die_with_parent, eventually,
                     processes_of_group_or_child)

FAKE_FRONT = os.path.join(BUILD, "tests", "unit", "fake_front")
LIFE = "import os, socket, sys, time\ns = socket.socket(fileno=3)\n"
SERVE = "while True:\n    c, _ = s.accept()\n    c.close()\n"

if not os.path.exists(FAKE_FRONT):
    subprocess.run(["make", "-s", "-C", BUILD, "tests/unit/fake_front"], check=True)


class Run:
    """A bulkhead with the fake front on a conf with these backends; ready when its front is, unless told otherwise."""

    def __init__(self, tmp_path, backends, front="", ready=True, **conf):
        self.dir = tmp_path
        self.control = str(tmp_path / "c.sock")
        self.notes = tmp_path / "front.log"
        self.log_path = tmp_path / "stderr.log"
        self.ready = ready
        libexec = tmp_path / "libexec"
        libexec.mkdir(exist_ok=True)
        if not (libexec / "bulkhead-front").exists():
            (libexec / "bulkhead-front").symlink_to(FAKE_FRONT)
        self.conf = {"listeners": [{"bind": f"unix:{tmp_path}/http.sock"}], "control": self.control,
                     "runtime_directory": str(tmp_path), "backends": backends,
                     "routes": [{"path": "/", "respond": {}}], **conf}
        self.env = dict(os.environ, BULKHEAD_LIBEXEC=str(libexec), FAKE_FRONT_LOG=str(self.notes), FAKE_FRONT=front)

    def start(self):
        path = self.dir / "test.conf"
        path.write_text(json.dumps(self.conf))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BULKHEAD, "run", "-c", str(path)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env, cwd=self.dir, preexec_fn=die_with_parent)
        if self.ready:
            eventually(lambda: self.status()["front"]["state"] == "serving", "the front is ready")
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        left = processes_of_group_or_child(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                kind = kind or True
        if kind:
            print(self.log())
            print("\n".join(map(str, self.told())))
        eventually(lambda: not [p for p in left if alive(p)], "all children are gone")
        assert_nothing_undefined(self.log())

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern, count=1):
        return eventually(lambda: (lambda f: f if len(f) >= count else None)(re.findall(pattern, self.log())),
                          f"log lines with {pattern!r}")

    def told(self, kind=None):
        if not self.notes.exists():
            return []
        messages = []
        for line in self.notes.read_text().splitlines():
            front, name, *rest = line.split(" ", 8)
            m = {"front": int(front), "type": name}
            for item in rest:
                key, _, value = item.partition("=")
                m[key] = value if key == "text" else int(value)
            messages.append(m)
        return [m for m in messages if kind in (None, m["type"])]

    def wait_told(self, kind, count=1, **match):
        def found():
            f = [m for m in self.told(kind) if all(m[k] == v for k, v in match.items())]
            return f if len(f) >= count else None
        return eventually(found, f"{count} messages {kind} {match}")

    def status(self):
        return ask(self.control) or {"front": {"state": "none"}, "supervisor_workers": []}

    def workers(self):
        return self.status()["supervisor_workers"]

    def wait_ready(self, count=None):
        def ready():
            workers = self.workers()
            return workers if workers and all(w["state"] == "ready" for w in workers) else None
        return eventually(ready, "all workers are ready", 20)


def ask(control, request=b'{"command":"status"}\n'):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)  # a limit for hangs: behind other clients an answer may well take ten seconds
        try:
            s.connect(control)
        except OSError:
            return None
        answer = b""
        try:
            s.sendall(request)
            while not answer.endswith(b"\n"):
                data = s.recv(65536)
                if not data:
                    return None
                answer += data
        except ConnectionError:
            return None
        return json.loads(answer)


def python(code, **backend):
    return {"run": "workers", "command": [PYTHON, "-c", LIFE + code], "workers": 1, **backend}


def shell(code, **backend):
    return {"run": "workers", "command": ["/bin/sh", "-c", code], "workers": 1, **backend}


def stat(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


# ---- what a worker is born with --------------------------------------------------------------------------------------

REPORT = """import json, resource, signal
print("born " + json.dumps({
    "fds": sorted(int(f) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)),
    "pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0), "nice": os.nice(0), "cwd": os.getcwd(),
    "listen_pid": int(os.environ["LISTEN_PID"]), "listen_fds": os.environ["LISTEN_FDS"],
    "names": os.environ["LISTEN_FDNAMES"], "socket": os.environ["BULKHEAD_SOCKET"], "own": s.getsockname(),
    "backend": os.environ["BULKHEAD_BACKEND"], "worker": os.environ["BULKHEAD_WORKER"], "set": os.environ["SET"],
    "notify": "NOTIFY_SOCKET" in os.environ, "blocking": os.get_blocking(3),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "stdin": os.readlink("/proc/self/fd/0"),
    "status": dict(l.split(":\\t", 1) for l in open("/proc/self/status").read().splitlines() if ":\\t" in l)}), flush=True)
""" + SERVE


def test_what_a_worker_is_born_with(tmp_path):
    (tmp_path / "work").mkdir()
    backend = python(REPORT, workers=2, nice=7, directory=str(tmp_path / "work"), environment={"SET": "yes"})
    run = Run(tmp_path, {"shop": backend})
    run.env["NOTIFY_SOCKET"] = "/nowhere"
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        with run:
            births = [json.loads(b) for b in run.wait_log(r"born (\{.*\})", 2)]
            supervisor = run.process.pid
    finally:
        os.close(leak)
    for birth in births:
        # the directory that is being listed is one more descriptor while it is open, and gone when it is looked at
        assert birth["fds"] == [0, 1, 2, 3]
        assert birth["listen_pid"] == birth["pid"] == birth["pgid"]
        assert birth["sid"] == os.getsid(0) and birth["sid"] != birth["pid"]
        assert birth["listen_fds"] == "1" and birth["names"] == "bulkhead" and birth["backend"] == "shop"
        assert birth["socket"] == birth["own"] and birth["blocking"]
        assert birth["nice"] == 7 + os.nice(0) and birth["cwd"] == str(tmp_path / "work") and birth["set"] == "yes"
        assert not birth["notify"] and birth["core"] == [0, 0] and birth["stdin"] == "/dev/null"
        status = birth["status"]
        assert status["NoNewPrivs"] == "1" and int(status["PPid"]) == supervisor
        assert int(status["SigBlk"], 16) == 0
        assert int(status["SigIgn"], 16) & ~(1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)) == 0  # Python's own
    assert {b["worker"] for b in births} == {"0", "1"}


def test_a_worker_is_limited_as_its_backend_says(tmp_path):
    code = "cat /proc/self/limits; umask; grep NoNewPrivs /proc/self/status; exec sleep 1000"
    limits = {"as": "8GiB", "core": "1KiB", "cpu": "90500ms", "data": "2GiB", "fsize": "4MiB", "memlock": "64KiB",
              "nofile": 77, "nproc": 3000, "stack": "1MiB"}
    with Run(tmp_path, {"w": shell(code, umask="0027", no_new_privileges=False, rlimits=limits)}) as run:
        assert run.wait_log(r"NoNewPrivs:\\x09(\d)") == ["0"]
        said = {name: (soft, hard) for name, soft, hard in re.findall(r": Max (.*?) {2,}(\w+) +(\w+) ", run.log())}
        assert re.search(r"worker: w\[0\] pid \d+: 0027\n", run.log())
    wanted = {"address space": 8 << 30, "core file size": 1024, "cpu time": 91, "data size": 2 << 30, "file size": 4 << 20,
              "locked memory": 64 << 10, "open files": 77, "processes": 3000, "stack size": 1 << 20}
    assert {name: said[name] for name in wanted} == {name: (str(n), str(n)) for name, n in wanted.items()}


def test_a_limit_may_be_lifted_and_what_is_not_named_stays(tmp_path):
    code = "grep -e '^Max core' -e '^Max open files' -e '^Max file size' /proc/self/limits; exec sleep 1000"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[1], resource.getrlimit(resource.RLIMIT_NOFILE)
    with Run(tmp_path, {"w": shell(code, rlimits={"core": "unlimited", "fsize": "unlimited"})}) as run:
        run.wait_log("Max open files")
        assert before[0] == resource.RLIM_INFINITY and len(run.wait_log(r"Max (?:core )?file size +unlimited +unlimited", 2)) == 2
        assert run.wait_log(r"Max open files +(\d+) +(\d+)")[0] == tuple(str(n) for n in before[1])


def test_a_limit_that_cannot_be_set_is_named(tmp_path):
    with open("/proc/sys/fs/nr_open") as f:
        most = int(f.read())
    if most >= 1073741816:
        pytest.skip("fs.nr_open is as high as a conf can ask for")
    with Run(tmp_path, {"w": shell("exec sleep 1000", rlimits={"nofile": most + 1})}) as run:
        run.wait_log("cannot set the resource limit 'nofile'")


def test_the_front_dumps_no_core(tmp_path):
    with Run(tmp_path, {}) as run:
        with open(f"/proc/{run.status()['front']['pid']}/limits") as f:
            assert re.search(r"Max core file size +0 +0 ", f.read())
        with open(f"/proc/{run.process.pid}/limits") as f:
            assert re.search(r"Max core file size +0 ", f.read())


def test_ignored_signals_are_not_inherited(tmp_path):
    with Run(tmp_path, {"w": shell("grep SigIgn /proc/self/status; exec sleep 1000")}) as run:
        assert run.wait_log(r"SigIgn:\\x09(\w+)")[0] == "0" * 16


def test_a_fastcgi_worker_has_its_socket_as_stdin(tmp_path):
    code = "print('same', os.fstat(0).st_ino == os.fstat(3).st_ino, flush=True)\n" + SERVE
    with Run(tmp_path, {"php": python(code, protocol="fastcgi")}) as run:
        run.wait_log("same True")


def test_a_worker_of_another_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may change users")
    code = "id -un; id -G; grep NoNewPrivs /proc/self/status; exec sleep 1000"
    with Run(tmp_path, {"w": shell(code, user="nobody", directory="/")}) as run:
        run.wait_log(r"pid \d+: nobody")
        worker = run.workers()[0]["pid"]
        groups = eventually(lambda: re.findall(r"pid \d+: ([\d ]+)\n", run.log()), "groups")
        assert "0" not in groups[0].split()
        # the kernel forgets the parent-death signal when the user changes; it must have been set after that
        run.process.kill()
        eventually(lambda: not alive(worker), "the worker dies with the supervisor")


def test_native_workers_get_their_arguments(tmp_path):
    run = Run(tmp_path, {"t": {"run": "threads", "module": "/somewhere/m.so", "threads": 3, "options": {"a": [1]}},
                         "p": {"run": "workers", "module": "/somewhere/m.so", "workers": 2, "concurrency": 2}})
    (tmp_path / "somewhere").mkdir()
    module = tmp_path / "somewhere" / "m.so"
    module.write_text("not loaded by this test")
    for backend in run.conf["backends"].values():
        backend["module"] = str(module)
    host = tmp_path / "libexec" / "bulkhead-worker"
    host.write_text('#!/bin/sh\necho "args $*"\nexec sleep 1000\n')
    host.chmod(0o755)
    with run:
        lines = run.wait_log(r"(\w)\[(\d)\] pid \d+: args (.*)", 3)
    options = '{"a":[1]}'
    assert sorted(lines) == [
        ("p", "0", f"--threads 2 --module {module} --options {{}} --name p"),
        ("p", "1", f"--threads 2 --module {module} --options {{}} --name p"),
        ("t", "0", f"--threads 3 --module {module} --options {options} --name t")]


# ---- readiness -------------------------------------------------------------------------------------------------------

def test_a_worker_is_ready_when_it_accepts_and_not_before(tmp_path):
    gate = tmp_path / "gate"
    code = f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n" + SERVE
    with Run(tmp_path, {"late": python(code)}) as run:
        run.wait_told("worker", text="starting")
        time.sleep(0.3)  # long enough for a probe that takes a connection in the backlog for an accepted one
        assert run.workers()[0]["state"] == "starting" and not run.told("grant")
        gate.touch()
        grant = run.wait_told("grant")[0]
        worker = run.wait_ready()[0]
        assert grant["pid"] == worker["pid"] and grant["generation"] == 1 and grant["count"] == 1
        assert grant["text"].endswith(".late.0.sock") and os.path.exists(grant["text"])


def test_a_worker_that_never_accepts_is_stopped_and_the_backend_down(tmp_path):
    with Run(tmp_path, {"deaf": python("time.sleep(1000)", start_timeout="300ms")}) as run:
        down = run.wait_told("down", count=1)[0]
        assert "start_timeout" in down["text"] and down["count"] != 0
        assert not run.told("grant")


# ---- the end of workers ----------------------------------------------------------------------------------------------

def test_a_dead_worker_is_lost_at_once_and_replaced_on_the_same_socket(tmp_path):
    serve = "while True:\n    c, _ = s.accept()\n    d = c.recv(1)\n    if d: print('served', os.getpid(), flush=True)\n    c.close()\n"
    with Run(tmp_path, {"w": python(serve)}) as run:
        first = run.wait_told("grant")[0]
        inode = os.stat(first["text"]).st_ino
        with socket.socket(socket.AF_UNIX) as waiting:
            os.kill(first["pid"], signal.SIGSTOP)
            eventually(lambda: stat(first["pid"])[0] == "T", "it is stopped")
            waiting.connect(first["text"])
            waiting.sendall(b"x")
            os.kill(first["pid"], signal.SIGKILL)
            second = run.wait_told("grant", count=2)[1]
            waiting.settimeout(10)
            with pytest.raises(ConnectionError):  # closed with its byte unread
                waiting.recv(1)
        assert second["text"] == first["text"] and os.stat(first["text"]).st_ino == inode
        assert second["pid"] != first["pid"] and second["generation"] == 2
        assert "served" not in run.log(), "what was in the backlog of the dead is not served by its successor"
        kinds = [m["type"] for m in run.told() if m["type"] in ("grant", "lost")]
        assert kinds == ["grant", "lost", "grant"]
        assert "signal 9" in run.told("lost")[0]["text"] and run.told("lost")[0]["generation"] == 1
        assert run.workers()[0]["restarts"] == 1


def test_what_a_dead_worker_has_started_dies_with_it(tmp_path):
    code = "import subprocess\np = subprocess.Popen(['sleep', '1000'])\nprint('child', p.pid, flush=True)\n" + SERVE
    with Run(tmp_path, {"w": python(code)}) as run:
        grant = run.wait_told("grant")[0]
        child = int(run.wait_log(r"child (\d+)")[0])
        assert alive(child)
        os.kill(grant["pid"], signal.SIGKILL)
        eventually(lambda: not alive(child), "the grandchild is gone")


def test_the_front_may_have_a_worker_replaced(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, workers=2)}) as run:
        run.wait_told("grant", count=2)
        front = run.status()["front"]["pid"]
        last = run.told("grant")[-1]
        os.kill(front, signal.SIGUSR2)
        lost = run.wait_told("lost")[0]
        assert (lost["slot"], lost["generation"], lost["text"]) == (last["slot"], 1, "the test wants it")
        again = run.wait_told("grant", count=3)[-1]
        assert again["slot"] == 2 and again["generation"] == 1, "in the spare place"
        eventually(lambda: not alive(last["pid"]), "it has ended")


def test_the_kill_ladder_ends_with_sigkill_to_the_group(tmp_path):
    code = ("import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "p = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; echo child $$; sleep 1000; sleep 1000'])\n" + SERVE)
    with Run(tmp_path, {"w": python(code, stop_timeout="300ms")}) as run:
        grant = run.wait_told("grant")[0]
        child = int(run.wait_log(r": child (\d+)")[0])
        started = time.monotonic()
        os.kill(run.status()["front"]["pid"], signal.SIGUSR2)
        run.wait_told("grant", count=2)  # of one in the spare place, which need not wait for the end of the other
        eventually(lambda: not alive(grant["pid"]), "it is gone")
        assert time.monotonic() - started >= 0.3
        run.wait_log("did not end within stop_timeout")
        eventually(lambda: not alive(child), "the child that ignores TERM is gone too")


def test_a_stale_request_to_kill_hits_nobody(tmp_path):
    with Run(tmp_path, {"w": python(SERVE)}) as run:
        first = run.wait_told("grant")[0]
        front = run.status()["front"]["pid"]
        os.kill(front, signal.SIGSTOP)
        os.kill(front, signal.SIGUSR2)  # when it goes on it asks for generation 1, before it reads of generation 2
        os.kill(first["pid"], signal.SIGKILL)
        second = eventually(lambda: next((w for w in run.workers() if w["state"] == "ready" and w["generation"] == 2), None),
                            "a successor")
        os.kill(front, signal.SIGCONT)
        run.wait_told("grant", generation=2)
        run.status()  # what the front sent before it answered has been read
        assert run.workers()[0]["pid"] == second["pid"] and alive(second["pid"])


def test_many_crashes_leak_nothing(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, workers=2), "x": shell("exit 1")}) as run:
        supervisor = run.process.pid

        def ready():
            return [w["pid"] for w in run.workers() if w["backend"] == "w" and w["state"] == "ready"]

        def use():
            with open(f"/proc/{supervisor}/status") as f:
                rss = int(re.search(r"VmRSS:\s*(\d+)", f.read())[1])
            return len(os.listdir(f"/proc/{supervisor}/fd")), rss

        def crash(times):
            for _ in range(times):
                victim = eventually(ready, "a ready worker")[0]
                os.kill(victim, signal.SIGKILL)
                eventually(lambda pid=victim: not alive(pid), "it is dead")
            eventually(lambda: len(ready()) == 2, "both are back")
        crash(20)
        fds, rss = use()
        crash(int(os.environ.get("BULKHEAD_CRASHES", "100")))
        eventually(lambda: use()[0] <= fds, "no descriptor has leaked")
        if KIND == "plain":  # a sanitizer keeps what has been freed for a while
            assert use()[1] <= rss * 1.05 + 256
        assert len(processes_of_group_or_child(supervisor)) <= 5  # guardian, front, two workers, one being tried


def test_a_crash_loop_is_slowed_down_and_shows_as_down(tmp_path):
    with Run(tmp_path, {"bad": shell("echo no such luck >&2; exit 3", workers=2), "good": python(SERVE)}) as run:
        down = run.wait_told("down", backend=1)[0]
        assert down["count"] == 1 and "status 3" in down["text"] and "no such luck" in down["text"]
        time.sleep(1)  # what is counted here happens in time
        restarts = max(w["restarts"] for w in run.workers() if w["backend"] == "bad")
        assert 1 <= restarts <= 5, "delays double from 100 ms"
        assert [m["count"] for m in run.told("down")] == [1], "said once"
        assert any(w["backend"] == "good" and w["state"] == "ready" for w in run.workers())


def test_a_backend_that_comes_back_is_up_before_its_worker_is_granted(tmp_path):
    cure = tmp_path / "cure"
    code = f"if not os.path.exists({str(cure)!r}): sys.exit(1)\n" + SERVE
    with Run(tmp_path, {"w": python(code)}) as run:
        run.wait_told("down")
        cure.touch()
        run.wait_told("grant")
        assert [m["type"] for m in run.told() if m["type"] in ("down", "grant")] == ["down", "down", "grant"]
        assert [m["count"] for m in run.told("down")] == [1, 0]


def test_a_command_that_does_not_exist_is_named(tmp_path):
    conf = Run(tmp_path, {"w": {"run": "workers", "command": ["/bin/sh", "-c", "x"], "workers": 1}})
    program = tmp_path / "program"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o755)
    conf.conf["backends"]["w"]["command"] = [str(program)]
    with conf as run:
        down = run.wait_told("down")[0]
        assert "status 127" in down["text"] and str(program) in down["text"] and "No such file" in down["text"]


# ---- polite replacement ----------------------------------------------------------------------------------------------

def test_the_replacement_is_granted_before_the_old_one_is_recalled(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, max_lifetime="1s")}) as run:
        first = run.wait_told("grant")[0]
        run.wait_told("recall")
        kinds = [(m["type"], m["slot"]) for m in run.told() if m["type"] in ("grant", "recall", "lost")]
        assert kinds[:3] == [("grant", 0), ("grant", 1), ("recall", 0)]
        eventually(lambda: not alive(first["pid"]), "it has been stopped")
        run.wait_log(r"w\[0\] pid \d+ has ended after \d\.\d+ s: killed by signal 15 \(Terminated\) \(max_lifetime: ")


def test_a_recalled_worker_is_not_stopped_before_the_front_has_given_it_back(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, max_lifetime="1s")}, front="keep") as run:
        first = run.wait_told("grant")[0]
        run.wait_told("recall")
        assert [w["state"] for w in run.workers()] == ["recalled", "ready"] and alive(first["pid"])
        os.kill(run.status()["front"]["pid"], signal.SIGKILL)
        eventually(lambda: not alive(first["pid"]), "the call that it had is gone with the front")


def test_a_worker_that_the_front_does_not_give_back_is_stopped_in_the_end(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, max_lifetime="1s", timeout="100ms")}, front="keep") as run:
        first = run.wait_told("grant")[0]
        run.wait_log("was not given back by the front within 5.1 s")
        eventually(lambda: not alive(first["pid"]), "it has been stopped")


def test_a_recalled_worker_that_dies_is_lost_and_not_replaced(tmp_path):
    with Run(tmp_path, {"w": python(SERVE, max_lifetime="2s")}, front="keep") as run:
        first = run.wait_told("grant")[0]
        run.wait_told("recall")
        os.kill(first["pid"], signal.SIGKILL)
        run.wait_told("lost", slot=0)
        eventually(lambda: [w["slot"] for w in run.workers()] == [1], "its place is empty")


# ---- output ----------------------------------------------------------------------------------------------------------

def test_output_is_logged_line_by_line_with_backend_and_pid(tmp_path):
    code = "os.write(1, b'to stdout\\nhalf'); os.write(2, b' a line\\n'); os.write(2, b'esc \\x1b[31m nul \\0 end\\n')\n" + SERVE
    with Run(tmp_path, {"shop": python(code)}) as run:
        pid = run.wait_ready()[0]["pid"]
        run.wait_log(rf"shop\[0\] pid {pid}: to stdout\n")
        run.wait_log(rf"shop\[0\] pid {pid}: half a line\n")
        run.wait_log(rf"shop\[0\] pid {pid}: esc ")
        assert "\x1b" not in run.log()


def test_long_lines_are_cut_and_marked(tmp_path):
    with Run(tmp_path, {"w": python("print('x' * 30000 + '\\nafter', flush=True)\n" + SERVE)},
             limits={"log_line": "1KiB"}) as run:
        run.wait_log(": after")
        assert [len(x) for x in re.findall(r"(x{100,}) \[cut\]", run.log())] == [1024]


def test_the_last_words_of_a_worker_are_not_lost(tmp_path):
    with Run(tmp_path, {"w": shell("seq 1 200; printf 'no newline'; exit 1")}) as run:
        run.wait_log(": 200\n")
        run.wait_log(": no newline\n")
        run.wait_log("its last words: no newline")


def test_a_worker_that_writes_without_end_is_limited_and_stalls_nobody(tmp_path):
    with Run(tmp_path, {"loud": shell("exec yes this is a line"), "calm": python(SERVE)},
             limits={"log_lines_per_second": 50}) as run:
        run.wait_log(r"\d+ lines dropped \(limit 50 a second", 2)
        for _ in range(20):
            started = time.monotonic()
            assert run.status()["front"]["state"] == "serving"
            assert time.monotonic() - started < 2
        lines = len(re.findall("this is a line", run.log()))
        age = run.status()["uptime_s"]
        assert lines <= 50 * (age + 2)


# ---- the front -------------------------------------------------------------------------------------------------------

def test_the_front_is_given_conf_listeners_and_then_told_of_workers(tmp_path):
    run = Run(tmp_path, {"w": python(SERVE)}, admin={"bind": f"unix:{tmp_path}/admin.sock"},
              log={"access": {"path": str(tmp_path / "access.log")}})
    with run:
        run.wait_told("grant")
        kinds = [m["type"] for m in run.told()]
        assert kinds[:6] == ["conf", "backend", "listener", "listener", "reopen", "conf-end"]
        assert [m["slot"] for m in run.told("listener")] == [0, 0xffffffff]
        assert [m["fds"] for m in run.told()[:5]] == [1, 0, 1, 1, 1]
        front = run.status()["front"]["pid"]
        assert stat(front)[2] == str(front), "a process group of its own"


@pytest.mark.usefixtures("deliberate_segv")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_front_that_dies_is_replaced_and_workers_keep_their_pids(tmp_path, how):
    with Run(tmp_path, {"w": python(SERVE, workers=2)}) as run:
        before = {w["pid"] for w in run.wait_ready()}
        old = run.status()["front"]["pid"]
        os.kill(old, how)
        run.wait_told("grant", count=4)
        new = run.status()["front"]
        assert new["pid"] != old and new["restarts"] == 1 and new["state"] == "serving"
        later = [m for m in run.told("grant") if m["front"] == new["pid"]]
        assert {m["pid"] for m in later} == before == {w["pid"] for w in run.wait_ready()}


def test_a_front_that_hangs_is_replaced(tmp_path):
    with Run(tmp_path, {"w": python(SERVE)}, heartbeat_timeout="1s") as run:
        before = run.wait_ready()[0]["pid"]
        old = run.status()["front"]["pid"]
        os.kill(old, signal.SIGSTOP)
        run.wait_log("no heartbeat for heartbeat_timeout")
        run.wait_told("grant", count=2)
        assert not alive(old) and run.workers()[0]["pid"] == before


def test_a_front_without_heartbeat_is_replaced_again_and_again(tmp_path):
    with Run(tmp_path, {}, front="mute", heartbeat_timeout="1s") as run:
        run.wait_log("no heartbeat for heartbeat_timeout", 3)


def test_a_supervisor_that_was_stopped_does_not_blame_the_front(tmp_path):
    with Run(tmp_path, {}, heartbeat_timeout="1s") as run:
        front = run.status()["front"]["pid"]
        os.kill(run.process.pid, signal.SIGSTOP)
        time.sleep(2.5)  # longer than heartbeat_timeout
        os.kill(run.process.pid, signal.SIGCONT)
        for _ in range(10):  # each answer takes turns of its loop, in which it could have killed
            assert run.status()["front"]["pid"] == front


def test_a_worker_still_busy_for_a_dead_front_is_granted_only_when_it_accepts_again(tmp_path):
    gate = tmp_path / "gate"
    code = (f"while True:\n    c, _ = s.accept()\n    if c.recv(1) == b'w':\n"
            f"        while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n    c.close()\n")
    with Run(tmp_path, {"w": python(code)}) as run:
        grant = run.wait_told("grant")[0]
        with socket.socket(socket.AF_UNIX) as call, socket.socket(socket.AF_UNIX) as pending:
            call.connect(grant["text"])
            call.sendall(b"w")
            pending.connect(grant["text"])
            eventually(lambda: stat(grant["pid"])[0] == "S", "it waits")
            os.kill(run.status()["front"]["pid"], signal.SIGKILL)
            eventually(lambda: run.status()["front"]["restarts"] == 1, "another front")
            eventually(lambda: run.workers()[0]["state"] == "probing", "it is probed")
            pending.settimeout(10)
            assert pending.recv(1) == b"", "the backlog of the dead front is gone"
            time.sleep(0.2)  # long enough for a wrong grant
            assert len(run.told("grant")) == 1
            gate.touch()
            again = run.wait_told("grant", count=2)[1]
            assert again["pid"] == grant["pid"] and again["generation"] == grant["generation"]


def test_garbage_from_the_front_is_its_death(tmp_path):
    with Run(tmp_path, {}, front="garbage", ready=False) as run:
        run.wait_log("it sent a malformed message", 2)


@pytest.mark.parametrize("how,words", [("fail", "told to fail"), ("exit", "exited with status 3")])
def test_a_front_that_never_gets_ready_ends_the_start(tmp_path, how, words):
    with Run(tmp_path, {"w": python(SERVE)}, front=how, ready=False) as run:
        assert run.process.wait(30) == 1
        assert "cannot start" in run.log() and words in run.log()
        assert not os.path.exists(run.control) and not list(tmp_path.glob("bulkhead-*"))


def test_usr1_hands_a_new_access_log_to_the_front(tmp_path):
    log = tmp_path / "access.log"
    with Run(tmp_path, {}, log={"access": {"path": str(log)}}) as run:
        log.rename(tmp_path / "access.log.1")
        run.process.send_signal(signal.SIGUSR1)
        message = run.wait_told("reopen", count=2)[1]
        assert message["fds"] == 1 and log.exists()


def test_hup_reads_the_conf_again_and_keeps_what_has_not_changed(tmp_path):
    with Run(tmp_path, {"w": python(SERVE)}) as run:
        before = run.wait_ready()[0]["pid"]
        run.process.send_signal(signal.SIGHUP)
        run.wait_log("generation 2 in force: 1 listener, 1 route, 1 backend as before")
        assert run.workers()[0]["pid"] == before
        first, second = [m for m in run.told("backend")]
        assert first["backend"] == second["backend"]


@pytest.mark.parametrize("front, why", [("refuse reload", "told to refuse"), ("die on reload", "the front has ended while it prepared")])
def test_a_front_that_cannot_take_a_conf_leaves_all_as_it_was(tmp_path, front, why):
    with Run(tmp_path, {"w": python(SERVE)}, front=front) as run:
        before = run.wait_ready()[0]["pid"]
        run.process.send_signal(signal.SIGHUP)
        run.wait_log(why)
        run.wait_log("nothing has changed, generation 1 stays in force")
        assert run.wait_ready()[0]["pid"] == before


# ---- the end ---------------------------------------------------------------------------------------------------------

def test_stop_drains_the_front_then_stops_the_workers(tmp_path):
    with Run(tmp_path, {"w": python("import signal\nsignal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), sys.exit(0)))\n" + SERVE)}) as run:
        run.wait_ready()
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(30) == 0
        assert run.told("drain") and "asked" in run.log()
        assert run.log().index("front pid") < run.log().index("asked")
        assert not os.path.exists(run.control) and not os.path.exists(tmp_path / "http.sock")
        assert not list(tmp_path.glob("bulkhead-*")), "the runtime directory is gone"


def test_a_front_that_does_not_drain_is_killed(tmp_path):
    with Run(tmp_path, {}, front="stubborn", drain_timeout="300ms") as run:
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(30) == 0 and "not drained within drain_timeout" in run.log()


def test_a_second_signal_stops_at_once(tmp_path):
    stubborn = python("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE, stop_timeout="60s")
    with Run(tmp_path, {"w": stubborn}, front="stubborn", drain_timeout="60s") as run:
        run.wait_ready()
        run.process.send_signal(signal.SIGINT)
        run.wait_told("drain")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(20) == 0


def test_signals_without_end_do_not_keep_it_from_ending_well(tmp_path):
    for _ in range(5):
        with Run(tmp_path, {"w": python(SERVE)}) as run:
            run.wait_ready()
            while run.process.poll() is None:
                run.process.send_signal(signal.SIGTERM)
            assert run.process.returncode == 0


# one in the group that nothing else tells, one that has left it, one that heeds no signal
GRANDCHILDREN = ("env -i sleep 1000 & echo member $!; setsid sleep 1000 & echo daemon $!; (trap '' TERM HUP; sleep 1000) & echo deaf $!; "
                 "exec " + PYTHON + " -c \"import socket\ns=socket.socket(fileno=3)\nwhile True: s.accept()[0].close()\"")


@pytest.mark.usefixtures("deliberate_segv")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_nothing_outlives_the_supervisor(tmp_path, how):
    with Run(tmp_path, {"w": shell(GRANDCHILDREN, workers=2)}) as run:
        run.wait_ready()
        grandchildren = [int(p) for p in re.findall(r": (?:member|daemon|deaf) (\d+)", run.log())]
        everybody = processes_of_group_or_child(run.process.pid)
        assert len(grandchildren) == 6 and set(grandchildren) <= set(everybody)
        run.process.send_signal(getattr(signal, how))
        run.process.wait(60)
        eventually(lambda: not [p for p in everybody if alive(p)], "everybody is gone")
        eventually(lambda: not list(tmp_path.glob("bulkhead-*")), "the runtime directory is gone")
        assert not os.path.exists(run.control) and not os.path.exists(tmp_path / "http.sock")


def fds_of(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))


def guardian_of(run):
    for pid in processes_of_group_or_child(run.process.pid):
        with open(f"/proc/{pid}/comm") as f:
            if f.read().strip() == "bulkhead-guard":
                return pid
    return None


def test_a_dead_guardian_is_replaced_and_knows_everything(tmp_path):
    with Run(tmp_path, {"w": shell(GRANDCHILDREN)}) as run:
        run.wait_ready()
        first = eventually(lambda: guardian_of(run), "a guardian")
        os.kill(first, signal.SIGKILL)
        second = eventually(lambda: (lambda g: g if g and g != first else None)(guardian_of(run)), "another guardian")
        eventually(lambda: fds_of(second) == [0, 1, 2, 3], "it holds its socket and nothing else")
        everybody = processes_of_group_or_child(run.process.pid)
        run.process.kill()
        run.process.wait()
        eventually(lambda: not [p for p in everybody if alive(p)], "everybody is gone")


def test_the_guardian_holds_no_descriptor_and_heeds_no_signal(tmp_path):
    with Run(tmp_path, {}) as run:
        guardian = eventually(lambda: guardian_of(run), "the guardian has its name")
        eventually(lambda: fds_of(guardian) == [0, 1, 2, 3], "it holds its socket and nothing else")
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian, s)
        time.sleep(0.1)  # the time to die in; nothing is waited for
        assert alive(guardian)


def test_what_a_dead_supervisor_left_is_cleared_away(tmp_path):
    dead = tmp_path / "bulkhead-999999"
    dead.mkdir()
    (dead / "lock").touch()
    socket.socket(socket.AF_UNIX).bind(str(dead / "w.0.sock"))
    for name in ("bulkhead-notes", "2024"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "http.sock"))
    stale.close()
    with Run(tmp_path, {"w": python(SERVE)}) as run:
        run.wait_ready()
        assert not dead.exists()
        assert (tmp_path / "bulkhead-notes" / "precious").exists() and (tmp_path / "2024" / "precious").exists()


# ---- refusals at the start -------------------------------------------------------------------------------------------

def test_a_live_socket_is_refused_and_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "http.sock"))
        live.listen()
        with Run(tmp_path, {"w": shell(f"touch {tmp_path}/started")}, ready=False) as run:
            assert run.process.wait(30) == 1
            assert "http.sock" in run.log() and "another process listens there" in run.log()
        assert os.path.exists(tmp_path / "http.sock") and not os.path.exists(tmp_path / "started")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "http.sock").write_text("precious")
    with Run(tmp_path, {}, ready=False) as run:
        assert run.process.wait(30) == 1 and "http.sock" in run.log()
    assert (tmp_path / "http.sock").read_text() == "precious"


def test_two_supervisors_cannot_share_a_control_socket(tmp_path):
    with Run(tmp_path, {}):
        other = tmp_path / "other"
        other.mkdir()
        second = Run(other, {}, ready=False)
        second.conf["control"] = str(tmp_path / "c.sock")
        with second:
            assert second.process.wait(30) == 1
            assert "c.sock" in second.log() and "--control" in second.log()
        assert ask(str(tmp_path / "c.sock"))["front"]["state"] == "serving"


def test_a_bad_conf_starts_nothing(tmp_path):
    with Run(tmp_path, {"w": shell(f"touch {tmp_path}/started", nonsense=1)}, ready=False) as run:
        assert run.process.wait(30) == 2
    assert not run.notes.exists() and not (tmp_path / "started").exists() and not list(tmp_path.glob("*.sock"))


def test_unix_listeners_have_the_mode_that_the_conf_says(tmp_path):
    run = Run(tmp_path, {})
    run.conf["listeners"] = [{"bind": f"unix:{tmp_path}/http.sock", "mode": "0622"}]
    with run:
        assert os.stat(tmp_path / "http.sock").st_mode & 0o777 == 0o622
        assert os.stat(run.control).st_mode & 0o777 == 0o600


def test_sockets_of_the_service_manager_are_taken_by_name(tmp_path):
    run = Run(tmp_path, {}, ready=False)
    run.conf["listeners"] = [{"systemd": "web"}]
    (tmp_path / "test.conf").write_text(json.dumps(run.conf))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        code = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.set_inheritable(3, True)\n"
                "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='web')\n"
                "os.execv(sys.argv[2], sys.argv[2:])\n")
        with open(run.log_path, "ab") as log:
            run.process = subprocess.Popen([PYTHON, "-c", code, str(s.fileno()), BULKHEAD, "run", "-c", str(tmp_path / "test.conf")],
                                           pass_fds=[s.fileno()], stdout=log, stderr=log, env=run.env, preexec_fn=die_with_parent)
        try:
            run.wait_log(f"serving on 127.0.0.1:{port}")
            assert run.told("listener")[0]["fds"] == 1
        finally:
            run.process.terminate()
            assert run.process.wait(30) == 0


def test_a_missing_socket_of_the_service_manager_is_named(tmp_path):
    run = Run(tmp_path, {}, ready=False)
    run.conf["listeners"] = [{"systemd": "web"}]
    with run:
        assert run.process.wait(30) == 1
        assert "systemd socket web" in run.log() and "there is: none" in run.log()


# ---- the control socket ----------------------------------------------------------------------------------------------

def test_status_has_the_fronts_page_in_it(tmp_path):
    with Run(tmp_path, {"w": python(SERVE)}) as run:
        worker = run.wait_ready()[0]
        status = run.status()
        assert status["pid"] == run.process.pid and status["generation"] == 1 and status["uptime_s"] > 0
        assert status["front_status"] == {"backends": [], "requests": 42}
        assert worker["backend"] == "w" and worker["slot"] == 0 and alive(worker["pid"]) and worker["uptime_s"] > 0


@pytest.mark.parametrize("how", ["silent", "lie"])
def test_status_without_the_fronts_page(tmp_path, how):
    with Run(tmp_path, {}, front=how, ready=False) as run:
        status = eventually(lambda: (lambda s: s if s and s["front"]["state"] == "serving" else None)(ask(run.control)), "serving")
        assert status["front_status"] is None
        shown = subprocess.run([BULKHEAD, "status", "--control", run.control], capture_output=True, text=True, timeout=30)
        assert shown.returncode == 0 and "does not answer" in shown.stdout


def test_requests_that_are_none_are_answered_with_words(tmp_path):
    with Run(tmp_path, {}) as run:
        assert "there is: status" in ask(run.control, b'{"command":"explode"}\n')["error"]
        assert "JSON" in ask(run.control, b"status\n")["error"]
        assert ask(run.control, b"x" * 5000) is None, "too long a line is hung up on"
        two = b'{"command":"status"}\n{"command":"status"}\n'
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(run.control)
            s.sendall(two)
            answers = b""
            while answers.count(b"\n") < 2:
                data = s.recv(65536)
                assert data
                answers += data


def test_clients_of_the_control_socket_hold_up_nobody(tmp_path):
    with Run(tmp_path, {"w": python(SERVE)}) as run:
        run.wait_ready()
        idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for s in idle:
            s.connect(run.control)
        greedy = idle[0]
        greedy.setblocking(False)
        try:
            while True:
                greedy.send(b'{"command":"status"}\n' * 100)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        started = time.monotonic()
        assert ask(run.control)["pid"] == run.process.pid, "those before it are closed in time"
        assert time.monotonic() - started < 60
        for s in idle:
            s.close()


def converse(control, request):
    """All that comes back for these bytes until the connection ends."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(control)
        s.sendall(request)
        answer = b""
        try:
            while data := s.recv(65536):
                answer += data
        except ConnectionResetError:
            pass  # closed with what it sent unread
        return answer


def test_who_speaks_http_is_handed_to_the_front_unread(tmp_path):
    with Run(tmp_path, {}) as run:
        assert converse(run.control, b"GET / HTTP/1.1\r\n\r\n") == b"", "the fake front just closes it"
        assert run.wait_told("admin-client")[0]["fds"] == 1
        assert ask(run.control, b'\t {"command":"status"}\n')["pid"] == run.process.pid, "space begins a line"


def test_who_speaks_http_is_told_when_no_front_serves(tmp_path):
    with Run(tmp_path, {}, front="late", ready=False) as run:
        eventually(lambda: run.status()["front"]["state"] == "starting", "a front that is not ready")
        head, _, body = converse(run.control, b"POST /ws/x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and json.loads(body)["status"] == 503
        assert f"content-length: {len(body)}" in head.decode().lower()


@pytest.fixture
def open_path():
    """A directory that every user gets at, unlike tmp_path."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="bulkhead-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_other_users_may_not_ask(open_path):
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with Run(open_path, {}) as run:
        os.chmod(run.control, 0o666)  # even where the file's mode lets them in
        code = ("import os, socket, sys\nos.setgroups([])\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                "s.settimeout(10)\n"
                "try:\n    s.sendall(b'{\"command\":\"status\"}\\n')\n    print(len(s.recv(100)))\nexcept OSError:\n    print(0)\n")
        done = subprocess.run([PYTHON, "-c", code, run.control], capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == "0", done


def test_a_log_that_nobody_reads_does_not_stop_the_supervisor(tmp_path):
    run = Run(tmp_path, {"loud": shell("exec yes this is a line"), "w": python(SERVE)})
    (tmp_path / "test.conf").write_text(json.dumps(run.conf))
    reader, writer = os.pipe()
    try:
        run.process = subprocess.Popen([BULKHEAD, "run", "-c", str(tmp_path / "test.conf")], stdin=subprocess.DEVNULL,
                                       stdout=writer, stderr=writer, env=run.env, cwd=tmp_path, preexec_fn=die_with_parent)
        os.close(writer)
        eventually(lambda: run.workers() and run.workers()[1]["state"] == "ready", "ready")
        old = run.workers()[1]["pid"]
        time.sleep(1)  # the pipe is full by then
        os.kill(old, signal.SIGKILL)
        eventually(lambda: (lambda w: w["state"] == "ready" and w["pid"] != old)(run.workers()[1]), "replaced")
        threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")], daemon=True).start()
        run.process.terminate()
        assert run.process.wait(30) == 0
    finally:
        run.process.kill()
        run.process.wait()
