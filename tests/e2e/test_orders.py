# SPDX-License-Identifier: MIT
"""The commands that have a running bulkhead do something: bulkhead workers, kill, recycle, log-level, drain; each as a person
reads it and with --json, and what they say when it cannot be done.
"""
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from harness import BULKHEAD, SLOW, Bulkhead, Client, alive, eventually, module, python_worker
from test_lifecycle import Load, pids, server


def run(b, command, *arguments, control=True):
    where = ["--control", b.control] if control else []
    return subprocess.run([BULKHEAD, command, *where, *arguments], capture_output=True, text=True, timeout=60 * SLOW)


def in_background(b, command, *arguments):
    return subprocess.Popen([BULKHEAD, command, "--control", b.control, *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def sleepers(**backend):
    return {"backends": {"w": {"run": "workers", "module": module("sleep"), "workers": 2, **backend},
                         "front": {"run": "loop", "proxy": "127.0.0.1:1"}},
            "routes": [{"path": "/front", "backend": "front"}, {"path_prefix": "/", "backend": "w"}]}


@pytest.fixture(scope="module")
def running():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        yield b


# ---- workers ---------------------------------------------------------------------------------------------------------

def test_workers_are_shown_as_a_table(running):
    shown = run(running, "workers")
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0 and not shown.stderr
    assert lines[0].split()[:4] == ["BACKEND", "WORKER", "PID", "STATE"] and len(lines) == 3
    assert sorted(int(line.split()[2]) for line in lines[1:]) == pids(running)


def test_workers_are_shown_as_json_with_what_the_front_sees(running):
    workers = json.loads(run(running, "workers", "--json").stdout)["workers"]
    assert sorted(w["pid"] for w in workers) == pids(running)
    assert {w["state"] for w in workers} == {"ready"} and all("calls" in w and "generation" in w for w in workers)


# ---- kill ------------------------------------------------------------------------------------------------------------

def test_a_worker_is_killed_by_its_pid_and_replaced(running):
    victim = pids(running)[0]
    done = run(running, "kill", str(victim))
    assert done.returncode == 0 and f"worker {victim} of w has been told to end" in done.stdout
    eventually(lambda: not alive(victim) and len(pids(running)) == 2, "another is there")
    assert f"pid {victim} is being replaced: killed by order (bulkhead kill)" in running.log()


def test_a_pid_that_is_no_workers_is_refused_and_those_are_named(running):
    refused = run(running, "kill", str(os.getpid()))
    assert refused.returncode == 1 and not refused.stdout
    assert f"no worker has the pid {os.getpid()}; the workers are: w {pids(running)[0]}" in refused.stderr or \
        f"w {pids(running)[1]}" in refused.stderr
    as_json = run(running, "kill", "--json", "1")
    assert as_json.returncode == 1 and "no worker has the pid 1" in json.loads(as_json.stdout)["error"]


def test_a_worker_that_ignores_term_is_killed_in_the_end():
    code = "import signal, socket, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" \
           "p = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; echo child $$; sleep 1000; sleep 1000'])\n" \
           "s = socket.socket(fileno=3)\nwhile True:\n    c, _ = s.accept()\n"
    conf = {"backends": {"w": {"run": "workers", "command": python_worker(code), "workers": 1, "stop_timeout": "300ms"}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        child = int(eventually(lambda: re.search(r"child (\d+)", b.log()), "its child")[1])
        victim, = pids(b)
        done = json.loads(run(b, "kill", "--json", str(victim)).stdout)
        assert done == {"ok": True, "backend": "w", "slot": 0, "pid": victim, "stop_timeout_s": 0.3}
        eventually(lambda: "is being stopped already" in run(b, "kill", str(victim)).stderr or not alive(victim), "once only")
        eventually(lambda: not alive(victim) and not alive(child), "neither is left")


# ---- recycle ---------------------------------------------------------------------------------------------------------

def test_all_workers_of_a_backend_are_replaced_under_load():
    with Bulkhead(server(workers=3)) as b:
        b.wait_workers("w", 3)
        with Load(b) as load:
            for _ in range(3):
                before = pids(b)
                done = run(b, "recycle", "w")
                assert done.returncode == 0 and re.fullmatch(r"w: 3 workers replaced in \d+\.\d s\n", done.stdout)
                assert not [p for p in before if alive(p)], "the verdict comes when they are gone"
                assert len(pids(b)) == 3
        assert not load.wrong
        assert json.loads(run(b, "recycle", "w", "--json").stdout)["workers"] == 3


def test_a_recycling_waits_for_the_call_that_runs(running):
    with running.connect(timeout=30) as c:
        c.send("GET /?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n")
        eventually(lambda: [w for w in running.backend("w")["workers"] if w["busy"]], "it runs")
        done = json.loads(run(running, "recycle", "w", "--json").stdout)
        assert done["ok"] and c.response().status == 200


def test_a_recycling_that_fails_says_why_and_the_old_ones_serve_on(tmp_path):
    says = tmp_path / "says"
    says.write_text("200 Yes")
    with Bulkhead(server(str(says), workers=2, ready_path="/ready", start_timeout="400ms")) as b:
        b.wait_workers("w", 2)
        before = pids(b)
        says.write_text("503 No")
        failed = run(b, "recycle", "w")
        assert failed.returncode == 1 and "answered 503 to GET /ready" in failed.stderr
        assert "the old ones go on serving" in failed.stderr and pids(b) == before
        says.write_text("200 Yes")
        eventually(lambda: not set(pids(b)) & set(before), "it has been tried again", 20)


@pytest.mark.parametrize("name, words", [("shop", 'there is no backend "shop"; those with workers are: w'),
                                         ("front", 'backend "front" runs in the front and has no workers; those with')])
def test_what_cannot_be_recycled_is_refused(running, name, words):
    refused = run(running, "recycle", name)
    assert refused.returncode == 1 and words in refused.stderr


def test_who_does_not_wait_for_a_recycling_costs_nothing():
    with Bulkhead(server(workers=1)) as b:
        with b.connect(timeout=30) as c:
            c.send("GET /slow?2000 HTTP/1.1\r\nHost: test\r\n\r\n")
            eventually(lambda: [w for w in b.backend("w")["workers"] if w["busy"]], "it runs")
            for _ in range(20):  # more than there may be clients at a time
                waiting = in_background(b, "recycle", "w")
                eventually(lambda: run(b, "workers").returncode == 0, "others are served")
                waiting.kill()
                waiting.communicate()
            assert c.response().status == 200


def test_those_who_wait_do_not_keep_out_who_would_end_their_waiting():
    with Bulkhead(server(workers=1)) as b:
        victim, = pids(b)
        with b.connect(timeout=30) as c:
            c.send("POST /slow?60000 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
            eventually(lambda: [w for w in b.backend("w")["workers"] if w["busy"]], "it runs")
            waiting = [Client(b.control, 60) for _ in range(50)]
            for client in waiting:
                client.send('{"command": "recycle", "backend": "w"}\n')
            assert run(b, "kill", str(victim)).returncode == 0
            assert c.response().status == 502
            answers = [json.loads(client.sock.makefile().readline()) for client in waiting]
        done = [a for a in answers if "ok" in a]
        assert len(done) >= 16
        assert {a["error"] for a in answers if a not in done} == {
            "it is under way; too many wait already to be told when it is done"}
        for client in waiting:
            client.close()


# ---- log level and drain ---------------------------------------------------------------------------------------------

def test_the_log_level_is_set_in_all_processes(running):
    assert run(running, "log-level", "error").stdout == "the log level is error, until bulkhead is started again\n"
    before = len(running.log())
    victim = pids(running)[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: not alive(victim) and len(pids(running)) == 2, "it is replaced")
    assert "has ended" not in running.log()[before:] and "is lost" not in running.log()[before:]
    assert json.loads(run(running, "log-level", "--json", "debug").stdout) == {"ok": True, "level": "debug"}
    os.kill(pids(running)[0], signal.SIGKILL)
    eventually(lambda: "debug front" in running.log()[before:], "the front says more again")


def test_a_log_level_that_is_none_is_refused(running):
    refused = run(running, "log-level", "loud")
    assert refused.returncode == 1
    assert 'there is no log level "loud"; there is: error, warning, info, debug' in refused.stderr


def test_a_drain_waits_for_the_end_and_says_so():
    with Bulkhead(sleepers()) as b:
        with b.connect(timeout=30) as c:
            c.send("GET /?ms=700 HTTP/1.1\r\nHost: test\r\n\r\n")
            eventually(lambda: [w for w in b.backend("w")["workers"] if w["busy"]], "it runs")
            done = run(b, "drain")
            assert c.response().status == 200
        assert done.returncode == 0 and done.stdout.startswith("drained")
        b.process.wait(10 * SLOW)


def test_a_drain_that_cuts_something_off_says_so():
    with Bulkhead(dict(sleepers(), drain_timeout="300ms")) as b:
        with b.connect(timeout=30) as c:
            c.send("GET /?ms=30000 HTTP/1.1\r\nHost: test\r\n\r\n")
            eventually(lambda: [w for w in b.backend("w")["workers"] if w["busy"]], "it runs")
            done = run(b, "drain", "--json")
        assert done.returncode == 1 and "not drained within drain_timeout" in json.loads(done.stdout)["error"]
        b.process.wait(10 * SLOW)


# ---- what is typed wrong ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, words", [
    (["kill"], "an argument is missing"),
    (["kill", "x"], '"x" is no process id: a whole number'),
    (["kill", "1", "2"], "there are too many arguments"),
    (["drain", "now"], "there are too many arguments"),
    (["recycle", "--what", "w"], "--what"),
    (["recycle", "-c", "x", "w"], "give one of them"),
    (["workers", "w"], 'unexpected argument "w"'),
])
def test_bad_usage_is_2(running, arguments, words):
    bad = run(running, *arguments)
    assert bad.returncode == 2 and words in bad.stderr and not bad.stdout


@pytest.mark.parametrize("command", ["workers", "kill", "recycle", "log-level", "drain"])
def test_each_says_more_about_itself(running, command):
    shown = run(running, command, "--help")
    assert shown.returncode == 0 and f"Usage: bulkhead {command} " in shown.stdout
    listed = subprocess.run([BULKHEAD, "--help"], capture_output=True, text=True, timeout=30)
    assert re.search(rf"^  {command} ", listed.stdout, re.M)


def test_where_nobody_answers_is_1(tmp_path):
    failed = subprocess.run([BULKHEAD, "drain", "--control", str(tmp_path / "none")], capture_output=True, text=True,
                            timeout=30)
    assert failed.returncode == 1 and "no bulkhead runs with it" in failed.stderr
