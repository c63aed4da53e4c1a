# SPDX-License-Identifier: MIT
"""Backends that are worked on while clients use them: paused, restarted by hand and resumed; made larger and smaller; and
bulkhead itself, which says that it is about to go before it does.
"""
import json
import os
import signal
import subprocess

import pytest

from harness import SLOW, Bulkhead, die_with_parent, eventually, free_port, module, python_worker
from test_lifecycle import Load, pids, server
from test_orders import in_background, run, sleepers

# An HTTP server with a thread for each connection; /?N takes N ms.
UPSTREAM = """
import os, socket, sys, threading, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(128)
def serve(c):
    data = b''
    while True:
        while b'\\r\\n\\r\\n' not in data:
            more = c.recv(65536)
            if not more:
                return
            data += more
        head, data = data.split(b'\\r\\n\\r\\n', 1)
        path = head.split()[1].decode()
        if '?' in path:
            time.sleep(int(path.split('?')[1]) / 1000)
        answer = b'%d' % os.getpid()
        c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(answer), answer))
print('up', flush=True)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""


class Upstream:
    """A backend of the operator's own, which is started and killed by hand."""

    def __init__(self):
        self.port = free_port()
        self.command = python_worker(UPSTREAM)
        self.start()

    def start(self):
        self.process = subprocess.Popen([*self.command, str(self.port)], stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        assert self.process.stdout.readline() == b"up\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def proxied(upstream, **more):
    return {"backends": {"w": {"run": "loop", "proxy": f"127.0.0.1:{upstream.port}", "limit": 4, "queue": 100, **more}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}


def ask(b, path="/", timeout=30):
    c = b.connect(timeout)
    c.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    return c


def paused(b):
    return b.backend("w")["paused"]


# ---- pause and resume ------------------------------------------------------------------------------------------------

def test_a_backend_is_restarted_by_hand_under_load_and_no_request_fails():
    with Upstream() as upstream, Bulkhead(proxied(upstream)) as b, Load(b, clients=16, path="/?5") as load:
        for _ in range(5):
            before = load.answers
            eventually(lambda: load.answers > before + 50, "it serves")
            done = run(b, "pause", "--hold", "60s", "w")
            assert done.returncode == 0 and "w is paused, and no call runs on it" in done.stdout
            assert b.backend("w")["busy"] == 0 and b.backend("w")["hold_us"] == 60_000_000
            upstream.kill()
            eventually(lambda: b.backend("w")["queued"] == 16, "all clients wait")
            upstream.start()
            assert run(b, "resume", "w").stdout == "w is resumed\n"
    assert load.answers > 250 and not load.wrong


def test_a_pause_is_over_for_the_operator_when_the_calls_that_run_have_ended():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=1000") as first:
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            pausing = in_background(b, "pause", "w", "--json")
            eventually(lambda: paused(b), "it is paused")
            with ask(b, "/?ms=0") as second:
                eventually(lambda: b.backend("w")["queued"] == 1, "who comes now waits, though a worker is free")
                assert pausing.poll() is None
                assert first.response().status == 200
                answer = json.loads(pausing.communicate(timeout=30 * SLOW)[0])
                assert answer["ok"] and answer["backend"] == "w" and b.backend("w")["queued"] == 1
                assert run(b, "resume", "w").returncode == 0
                assert second.response().status == 200
        assert run(b, "resume", "w").stdout == "w was not paused\n"


def test_calls_of_a_paused_backend_wait_for_queue_timeout():
    with Bulkhead(sleepers(queue_timeout="300ms")) as b:
        b.wait_workers("w", 2)
        assert run(b, "pause", "w").returncode == 0
        refused = b.get("/?ms=0")
        assert refused.status == 503 and refused.json["reason"] == "queue-timeout"


def test_hold_takes_the_place_of_queue_timeout():
    with Bulkhead(sleepers(queue_timeout="300ms")) as b:
        b.wait_workers("w", 2)
        assert run(b, "pause", "w", "--hold", "60s").returncode == 0
        with ask(b, "/?ms=0") as held:
            assert run(b, "pause", "w", "--hold", "200ms").returncode == 0
            refused = b.get("/?ms=0")
            assert refused.status == 503 and refused.json["reason"] == "queue-timeout"
            assert b.backend("w")["queued"] == 1, "what was promised 60 s waits on"
            run(b, "resume", "w")
            assert held.response().status == 200


def test_hold_is_for_those_who_waited_before_as_well():
    with Bulkhead(sleepers(queue_timeout="1s", workers=1)) as b:
        b.wait_workers("w", 1)
        with ask(b, "/?ms=1500") as running, ask(b, "/?ms=0") as waiting:
            eventually(lambda: b.backend("w")["queued"] == 1, "one waits")
            assert run(b, "pause", "w", "--hold", "60s").returncode == 0, "after more than queue_timeout"
            assert {running.response().status, run(b, "resume", "w").returncode, waiting.response().status} == {200, 0}


def test_the_queue_of_a_paused_backend_is_bounded():
    with Bulkhead(sleepers(queue=1)) as b:
        b.wait_workers("w", 2)
        run(b, "pause", "w", "--hold", "60s")
        with ask(b, "/?ms=0") as held:
            eventually(lambda: b.backend("w")["queued"] == 1, "one waits")
            refused = b.get("/?ms=0")
            assert refused.status == 503 and refused.json["reason"] == "queue-full"
            run(b, "resume", "w")
            assert held.response().status == 200


def test_a_client_that_leaves_a_paused_backend_leaves_its_queue():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        run(b, "pause", "w", "--hold", "60s")
        with ask(b, "/?ms=0"):
            eventually(lambda: b.backend("w")["queued"] == 1, "one waits")
        eventually(lambda: b.backend("w")["queued"] == 0, "nobody waits")


def test_a_pause_outlives_the_front():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        assert run(b, "pause", "w", "--hold", "60s").returncode == 0
        front = b.front_pid()
        os.kill(front, signal.SIGKILL)
        eventually(lambda: b.front_pid() not in (None, front), "another front")
        b.wait_ready()
        eventually(lambda: b.backend("w")["limit"] == 2 and paused(b), "it knows")
        with ask(b, "/?ms=0") as held:
            eventually(lambda: b.backend("w")["queued"] == 1, "it is held")
            assert run(b, "resume", "w").returncode == 0 and held.response().status == 200


def test_a_front_that_dies_while_a_pause_is_waited_for_does_not_keep_it_waiting():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=60000"):
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            pausing = in_background(b, "pause", "w")
            eventually(lambda: paused(b), "it is paused")
            os.kill(b.front_pid(), signal.SIGKILL)
            assert pausing.communicate(timeout=30 * SLOW)[0].startswith("w is paused")


def test_who_waits_for_a_pause_that_is_ended_is_told():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=4000") as running:
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            for i in range(20):  # more than there may be clients at a time
                gone = in_background(b, "pause", "w")
                eventually(lambda: b.log().count("backend w is paused by order") == i + 1, "it waits")
                gone.kill()
                gone.communicate()
            pausing = in_background(b, "pause", "w")
            eventually(lambda: b.log().count("backend w is paused by order") == 21, "it waits")
            assert run(b, "resume", "w").stdout == "w is resumed\n"
            assert "it was resumed while calls of before the pause still ran" in pausing.communicate(timeout=30 * SLOW)[1]
            assert running.response().status == 200


def test_a_pause_holds_across_a_reload_that_changes_the_backend():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=1500") as running:
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            pausing = in_background(b, "pause", "w", "--hold", "60s")
            eventually(lambda: paused(b), "it is paused")
            conf = json.load(open(b.conf_path))
            conf["backends"]["w"]["workers"] = 3
            with open(b.conf_path, "w") as f:
                json.dump(conf, f)
            assert run(b, "reload").returncode == 0
            assert "a reload has changed this backend" in pausing.communicate(timeout=30 * SLOW)[1]
            assert paused(b) and running.response().status == 200
        b.wait_workers("w", 3)
        with ask(b, "/?ms=0") as held:
            eventually(lambda: b.backend("w")["queued"] == 1, "it is held")
            assert run(b, "resume", "w").stdout == "w is resumed\n" and held.response().status == 200


def test_status_says_what_is_paused():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        run(b, "pause", "w")
        line = next(l for l in run(b, "status").stdout.splitlines() if l.startswith("w "))
        assert line.split()[:3] == ["w", "workers", "paused"] and b.admin("/readyz").status == 200


# ---- resize ----------------------------------------------------------------------------------------------------------

def test_workers_come_and_go_under_load_and_no_request_fails():
    with Bulkhead(server(workers=2)) as b:
        b.wait_workers("w", 2)
        with Load(b, clients=8) as load:
            for size in (5, 1, 3):
                before = pids(b)
                done = run(b, "resize", "w", str(size))
                assert done.returncode == 0 and done.stdout.startswith(f"w has {size} worker"), done
                assert len(pids(b)) == size and b.backend("w")["limit"] == size
                assert len(set(pids(b)) & set(before)) == min(size, len(before)), "no more than needed come or go"
        assert load.answers > 0 and not load.wrong
        assert json.loads(run(b, "resize", "w", "3", "--json").stdout)["workers"] == 3, "as it was"
        assert len([p for p in b.pids() if p in pids(b)]) == 3


def test_a_worker_that_is_one_too_many_ends_its_call_first():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=1000") as first, ask(b, "/?ms=1000") as second:
            eventually(lambda: b.backend("w")["busy"] == 2, "both are busy")
            assert run(b, "resize", "w", "1").stdout == "w has 1 worker\n"
            assert first.response().status == 200 and second.response().status == 200


def test_a_size_outlives_the_front():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        assert run(b, "resize", "w", "4").returncode == 0
        front = b.front_pid()
        os.kill(front, signal.SIGKILL)
        eventually(lambda: b.front_pid() not in (None, front), "another front")
        b.wait_ready()
        b.wait_workers("w", 4)


def test_more_workers_that_never_get_ready_are_told_of(tmp_path):
    says = tmp_path / "says"
    says.write_text("200 Yes")
    with Bulkhead(server(str(says), workers=2, ready_path="/ready", start_timeout="400ms")) as b:
        b.wait_workers("w", 2)
        says.write_text("503 No")
        failed = run(b, "resize", "w", "3")
        assert failed.returncode == 1 and "answered 503 to GET /ready" in failed.stderr and len(pids(b)) == 2
        assert run(b, "resize", "w", "2").returncode == 0, "and back"
        assert b.get("/").status == 200


def test_the_limit_of_a_proxied_backend_is_changed():
    with Upstream() as upstream, Bulkhead(proxied(upstream, limit=1)) as b:
        with ask(b, "/?2000") as first, ask(b, "/?0") as second:
            eventually(lambda: b.backend("w")["queued"] == 1, "one waits")
            assert run(b, "resize", "w", "2").stdout == "w runs at most 2 calls at a time\n"
            assert second.response().status == 200 and b.backend("w")["busy"] == 1
            assert json.loads(run(b, "resize", "--json", "w", "1").stdout) == {"ok": True, "backend": "w", "limit": 1}
            assert first.response().status == 200


def test_threads_can_be_fewer_but_not_more():
    conf = {"backends": {"w": {"run": "threads", "module": module("sleep"), "threads": 4}},
            "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        b.wait_workers("w", 4)
        assert run(b, "resize", "w", "2").returncode == 0 and b.backend("w")["limit"] == 2
        refused = run(b, "resize", "w", "5")
        assert refused.returncode == 1
        assert "w can run 1 to 4 calls at a time: as many as it has threads" in refused.stderr
        assert b.backend("w")["limit"] == 2


# ---- what cannot be done ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def running():
    with Bulkhead(sleepers()) as b:
        b.wait_workers("w", 2)
        yield b


@pytest.mark.parametrize("arguments", [["pause", "x"], ["resume", "x"], ["resize", "x", "1"]])
def test_a_backend_that_is_none_is_refused_and_those_are_named(running, arguments):
    refused = run(running, *arguments)
    assert refused.returncode == 1 and 'there is no backend "x"; there is: w, front' in refused.stderr


@pytest.mark.parametrize("size", ["0", "65", "99999999999"])
def test_a_size_out_of_bounds_is_refused(running, size):
    refused = run(running, "resize", "w", size)
    assert refused.returncode == 1 and "w can have 1 to 64 workers while bulkhead runs" in refused.stderr
    assert running.backend("w")["limit"] == 2


@pytest.mark.parametrize("arguments, code, words", [
    (["pause"], 2, "an argument is missing"),
    (["pause", "w", "--hold", "soon"], 2, '"soon" is no time: it must be a whole number with a unit'),
    (["pause", "w", "--hold", "2d"], 1, "calls cannot be held for longer than a day"),
    (["resume", "w", "--hold", "1s"], 2, '--hold is for "bulkhead pause"'),
    (["resize", "w"], 2, "an argument is missing"),
    (["resize", "w", "many"], 2, '"many" is no whole number'),
    (["resize", "w", "-1"], 2, "invalid option"),
])
def test_what_is_typed_wrong_is_told(running, arguments, code, words):
    bad = run(running, *arguments)
    assert bad.returncode == code and words in bad.stderr and not bad.stdout


# ---- drain_delay -----------------------------------------------------------------------------------------------------

def test_readyz_says_no_for_drain_delay_while_all_is_served():
    with Bulkhead(dict(sleepers(), drain_delay="60s")) as b:
        b.wait_workers("w", 2)
        with Load(b, path="/?ms=1") as load:
            draining = in_background(b, "drain")
            eventually(lambda: b.admin("/readyz").status == 503, "it says no")
            assert b.admin("/readyz").body == b"draining\n" and b.admin("/healthz").status == 200
            before = load.answers
            eventually(lambda: load.answers > before + 50, "it serves")
            assert b.get("/?ms=0").status == 200, "new connections too"
        assert not load.wrong and b.process.poll() is None
        b.process.send_signal(signal.SIGTERM)
        assert draining.communicate(timeout=30 * SLOW)[0].startswith("drained"), "a signal skips the rest"
        assert "not waiting for the rest of drain_delay" in b.log()
        assert b.process.wait(10 * SLOW) == 0


def test_the_drain_begins_when_drain_delay_is_over():
    with Bulkhead(dict(sleepers(), drain_delay="500ms")) as b:
        b.wait_workers("w", 2)
        with ask(b, "/?ms=1500") as running:
            eventually(lambda: b.backend("w")["busy"] == 1, "it runs")
            b.process.send_signal(signal.SIGTERM)
            answer = running.response()
            assert answer.status == 200 and answer.header("Connection") == "close"
        assert b.process.wait(10 * SLOW) == 0 and "drain_delay is over" in b.log()


def test_a_front_that_dies_in_drain_delay_is_replaced_and_says_no():
    with Bulkhead(dict(sleepers(), drain_delay="60s")) as b:
        b.wait_workers("w", 2)
        workers, front = pids(b), b.front_pid()
        b.process.send_signal(signal.SIGTERM)
        eventually(lambda: b.admin("/readyz").status == 503, "it says no")
        os.kill(front, signal.SIGKILL)
        eventually(lambda: b.front_pid() not in (None, front), "another front")
        eventually(lambda: pids(b) == workers, "which has the workers")
        eventually(lambda: b.admin("/readyz").body == b"draining\n", "and says no")
        assert b.get("/?ms=0").status == 200
        b.process.send_signal(signal.SIGTERM)
        assert b.process.wait(10 * SLOW) == 0
