# SPDX-License-Identifier: MIT
"""What the replacing of workers must not break: never more calls at once than the limit, old and new workers taken together;
and whatever happens to workers, front and orders at the same time, all is as before afterwards.
"""
import os
import random
import re
import signal
import threading
import time
from collections import Counter

import pytest

from harness import SLOW, Bulkhead, eventually, python_worker
from test_lifecycle import Load, born, conf_of, pids
from test_orders import in_background, run

# An HTTP server of one connection at a time: what ends in ?N takes N ms. The file of its argument gets a '+' when a call begins
# and a '-' before it is answered, whichever worker runs it.
SERVER = """
import os, socket, sys, time
s = socket.socket(fileno=3)
tally = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def serve(c):
    data = b''
    while True:
        more = c.recv(65536)
        if not more:
            return
        data += more
        while b'\\r\\n\\r\\n' in data:
            head, data = data.split(b'\\r\\n\\r\\n', 1)
            os.write(tally, b'+')
            time.sleep(int(head.split()[1].split(b'?')[1]) / 1000)
            os.write(tally, b'-')
            c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
print('born', os.getpid(), flush=True)
while True:
    c, _ = s.accept()
    try:
        serve(c)
    except OSError:
        pass
    c.close()
"""


def most_at_once(tally):
    running = most = 0
    for sign in tally.read_text():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    return most


# ---- the limit -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [{"max_requests": 1}, {"max_requests": 3, "max_surge": 3}, {}, {"max_surge": 3}],
                         ids=["each call its worker", "many at a time", "by order", "by order, many at a time"])
def test_old_and_new_workers_together_run_no_more_calls_than_the_limit(how, tmp_path):
    tally = tmp_path / "tally"
    with Bulkhead(conf_of({"command": python_worker(SERVER) + [str(tally)], "workers": 2, **how})) as b:
        b.wait_workers("w", 2)
        with Load(b, clients=8, path="/?20") as load:
            for _ in range(0 if "max_requests" in how else 5):
                assert run(b, "recycle", "w").returncode == 0
            eventually(lambda: born(b) >= 12, "ten replaced", 30)
        assert not load.wrong
        assert most_at_once(tally) == 2


def test_a_worker_that_ends_a_call_of_a_front_that_is_gone_is_not_replaced_meanwhile(tmp_path):
    tally = tmp_path / "tally"
    with Bulkhead(conf_of({"command": python_worker(SERVER) + [str(tally)], "workers": 1})) as b:
        with b.connect() as c:
            c.send("GET /?2000 HTTP/1.1\r\nHost: test\r\n\r\n")
            eventually(lambda: tally.exists() and tally.read_text() == "+", "it runs")
            os.kill(b.front_pid(), signal.SIGKILL)
            eventually(lambda: re.search(r"killed by signal 9.*front pid \d+ is ready", b.log(), re.S), "another front serves")
        recycling = in_background(b, "recycle", "w")
        assert b.get("/?100", timeout=30).status == 200
        assert recycling.communicate(timeout=30 * SLOW)[1] == "" and most_at_once(tally) == 1


# ---- everything at once ----------------------------------------------------------------------------------------------

class Client(threading.Thread):
    """Asks for what takes now more, now less, leaves at times, and counts what comes back; never waits for long."""

    def __init__(self, b, seed, stop):
        super().__init__(daemon=True)
        self.b, self.random, self.stop, self.seen, self.longest = b, random.Random(seed), stop, Counter(), 0
        self.start()

    def ask(self, c):
        method = self.random.choice(["GET", "POST"])
        c.send(f"{method} /?{self.random.choice([0, 1, 5, 30, 200])} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        if self.random.random() < 0.05:
            return False
        response = c.response()
        self.seen[response.status if response.status == 200 else response.json["reason"]] += 1
        return (response.header("Connection") or "").lower() != "close"

    def run(self):
        while not self.stop.is_set():
            started = time.monotonic()
            try:
                with self.b.connect(timeout=30) as c:
                    while not self.stop.is_set() and self.ask(c):
                        self.longest = max(self.longest, time.monotonic() - started)
                        started = time.monotonic()
            except TimeoutError:
                self.seen["nothing"] += 1
            except (OSError, EOFError):
                time.sleep(0.02)  # the front is being replaced


def workers(b):
    found = []
    for pid in b.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"tally" in f.read():
                    found.append(pid)
        except OSError:
            pass
    return found


SIGNALS = {"dies": signal.SIGKILL, "ends": signal.SIGTERM, "stands still": signal.SIGSTOP, "the front dies": signal.SIGKILL}
STRIKES = [*SIGNALS, "dies", "kill", "recycle", "recycle", "recycle and leave"]


def strike(b, what, dice, recyclings):
    victim = b.front_pid() if what == "the front dies" else dice.choice(workers(b) or [None])
    if what in ("recycle", "recycle and leave"):
        recyclings.append(in_background(b, "recycle", "w"))
        if what == "recycle and leave":
            recyclings[-1].kill()
    elif what == "kill" and victim is not None:
        run(b, "kill", str(victim))
    elif victim is not None:
        try:
            os.kill(victim, SIGNALS[what])
        except ProcessLookupError:
            pass


def descriptors(b):
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (b.process.pid, b.front_pid())]


@pytest.mark.parametrize("seed", range(4))
def test_after_a_storm_all_is_as_before(seed, tmp_path):
    dice, stop = random.Random(seed), threading.Event()
    backend = {"command": python_worker(SERVER) + [str(tmp_path / "tally")], "workers": 3, "timeout": "2s",
               "stop_timeout": "300ms", "queue": 1000, "max_surge": dice.choice([1, 3]), "max_requests": dice.choice([0, 10]),
               "on_abandon": dice.choice(["finish", "kill"]), "kill_only_if_queued": dice.choice([False, True])}
    with Bulkhead(conf_of(backend, threads=dice.choice([1, 2]))) as b:
        b.wait_workers("w", 3)
        assert run(b, "recycle", "w").returncode == 0
        before = descriptors(b)
        clients = [Client(b, seed * 100 + i, stop) for i in range(8)]
        recyclings, until = [], time.monotonic() + 4
        while time.monotonic() < until:
            strike(b, dice.choice(STRIKES), dice, recyclings)
            time.sleep(dice.random() * 0.1)  # the storm's own rhythm
        stop.set()
        for client in clients:
            client.join(60 * SLOW)
            assert not client.is_alive() and client.longest < 10 * SLOW
        for recycling in recyclings:
            recycling.communicate(timeout=60 * SLOW)
        seen = sum((client.seen for client in clients), Counter())
        assert seen[200] > 0 and set(seen) <= {200, "worker-lost", "deadline", "queue-timeout", "backend-down"}, seen
        b.wait_workers("w", 3)
        assert run(b, "recycle", "w").returncode == 0
        eventually(lambda: len(pids(b)) == 3 and len(b.pids()) == 5, "three workers, the front, the guardian")
        w = b.backend("w")
        assert (w["limit"], w["busy"], w["queued"]) == (3, 0, 0)
        eventually(lambda: all(now <= then + 2 for now, then in zip(descriptors(b), before)), "no descriptor is left open")
        with Load(b, clients=3, path="/?1") as load:
            eventually(lambda: load.answers >= 50, "all serve")
        assert not load.wrong
