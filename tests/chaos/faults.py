# SPDX-License-Identifier: MIT
"""The faults, and the plan that chooses among them. A fault is a function of the rig and a random generator, made known by
@fault; it does its harm, and says with rig.ledger.excused() what that may cost whom until it is over. What it says is
what is judged: a fault that excuses nothing must cost nobody anything.
"""
import contextlib
import os
import random
import re
import resource
import signal
import socket
import threading
import time

from harness import SLOW, Client, alive, eventually
from rig import BRIDGED, HEARTBEAT_TIMEOUT, SERVES, TIMEOUT, WORKERS

FAULTS = []  # (weight, function)
# what a backend's calls may see while places of it are missing
SHORT_OF_PLACES = ["queue-full", "queue-timeout"]
# an end of a bridge that is gone: told with 1012, or with 1011 where it had not even answered; a message on its way; and a
# handshake, which does not wait for a worker as a call does
BRIDGE_BROKEN = ["closed 1012", "closed 1011", "lost", "backend-down"]
SERVING_AGAIN = 3 * SLOW  # what a new front may take on a machine that does other things; alone it takes some milliseconds
BURST = 90


def fault(weight=1, plain_only=False):
    """plain_only: it needs what a sanitized build has not."""
    def add(function):
        if not (plain_only and SLOW > 1):
            FAULTS.append((weight, function))
        return function
    return add


class Plan:
    """Faults one after the other, sometimes two at once, with pauses; the seed says which."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def run(self, rig, seconds):
        first = self.rng.sample(FAULTS, len(FAULTS))  # each once, then by weight
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chosen = [first.pop()[1] if first else self.choose()]
            if self.rng.random() < 0.25:
                chosen.append(self.choose())
            threads = [threading.Thread(target=self.do, args=(rig, function, self.rng.random())) for function in chosen]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(self.rng.uniform(0, 0.3))  # the pause is part of the plan

    def choose(self):
        weights, functions = zip(*FAULTS)
        return self.rng.choices(functions, weights)[0]

    @staticmethod
    def do(rig, function, seed):
        try:
            function(rig, random.Random(seed))
        except (ProcessLookupError, FileNotFoundError):
            pass  # another fault was there first
        except Exception as error:  # a fault that could not be done is told, and the plan goes on
            rig.ledger.violation(f"{function.__name__}: {type(error).__name__}: {error}")


def a_front(rig):
    """The pid of the present one; there may be none for some milliseconds."""
    return eventually(rig.b.front_pid, "a front")


def kill(rig, pid):
    """A worker or thread host."""
    rig.ledger.killed.add(pid)
    os.kill(pid, signal.SIGKILL)


def cost_of(backend):
    return BRIDGE_BROKEN if SERVES[backend] & BRIDGED else []


# ---- workers and thread hosts ----------------------------------------------------------------------------------------

@fault(weight=4)
def kill_workers(rig, rng):
    backend = rng.choice(sorted(WORKERS))
    for _ in range(rng.randint(1, 6)):
        with rig.ledger.excused("kill_workers", SERVES[backend], ["worker-lost", *SHORT_OF_PLACES, *cost_of(backend)]):
            kill(rig, rng.choice(rig.pids(backend)))
            time.sleep(0.1)  # the rate at which they are killed
            rig.wait_whole("kill_workers")


@fault(weight=2)
def kill_thread_host(rig, rng):
    with rig.ledger.excused("kill_thread_host", SERVES["threads"], ["worker-lost", *SHORT_OF_PLACES]):
        for pid in rig.pids("threads"):
            kill(rig, pid)
        rig.wait_whole("kill_thread_host")


@fault(weight=2)
def stop_worker(rig, rng):
    """For a moment, or for longer than a call may take: then it is killed and replaced."""
    backend = rng.choice(sorted(WORKERS))
    seconds = rng.choice((0.3, TIMEOUT + 1))
    pid = rng.choice(rig.pids(backend))
    rig.ledger.killed.add(pid)
    costs = [*SHORT_OF_PLACES, *(["deadline", "worker-lost", *cost_of(backend)] if seconds > TIMEOUT else [])]
    with rig.ledger.excused(f"stop_worker: {backend} {seconds} s", SERVES[backend], costs):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)  # this is the fault
        if alive(pid):
            os.kill(pid, signal.SIGCONT)
        rig.wait_whole("stop_worker")


@fault()
def stop_thread_host(rig, rng):
    """For longer than a call may take: a thread cannot be killed, so its call keeps the place until it ends."""
    pid, = rig.pids("threads")
    rig.ledger.killed.add(pid)
    with rig.ledger.excused("stop_thread_host", SERVES["threads"], ["deadline", *SHORT_OF_PLACES]):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(TIMEOUT + 0.5)  # this is the fault
        os.kill(pid, signal.SIGCONT)
        rig.wait_whole("stop_thread_host")


@fault(weight=2)
def recycle(rig, rng):
    """Costs no call. A bridge without reconnect is told when its worker goes."""
    backend = rng.choice(("native", "http", "threads"))
    with rig.ledger.excused(f"recycle: {backend}", SERVES[backend], cost_of(backend)):
        done = rig.command("recycle", backend)
        if done.returncode != 0:
            rig.ledger.violation(f"recycle {backend}: {done.stdout}{done.stderr}")
        rig.wait_whole("recycle")


# ---- memory and queues -----------------------------------------------------------------------------------------------

def call_native(rig, call, query):
    """One call beside those of the clients."""
    start = rig.ledger.now()
    with Client(rig.address, 20) as c:
        c.send(f"POST /native/{call}?{query} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        outcome = outcome_of(c, call)
    rig.ledger.record(call, "native", False, start, outcome)
    return outcome


@fault(plain_only=True)
def leak_past_the_soft_limit(rig, rng):
    """The worker is replaced when its call has ended: that costs nobody anything."""
    with rig.ledger.excused("leak_past_the_soft_limit", (), ()):
        call_native(rig, f"leak{rng.randrange(1 << 60)}", f"leak={100 << 20}")
        eventually(lambda: "memory_limit: it holds" in rig.b.log(), "a worker is replaced for its memory")
        rig.wait_whole("leak_past_the_soft_limit")


@fault(plain_only=True)
def leak_past_the_hard_limit(rig, rng):
    costs = ["worker-lost", "deadline", *SHORT_OF_PLACES]  # deadline: where memory comes slowly, that is first
    with rig.ledger.excused("leak_past_the_hard_limit", SERVES["native"], costs):
        call = f"leak{rng.randrange(1 << 60)}"
        if call_native(rig, call, f"leak={600 << 20}&ms={TIMEOUT * 900}") == "ok":
            rig.ledger.violation("a worker past memory_limit_hard was let finish its call")
        rig.ledger.killed |= set(map(int, re.findall(r"pid (\d+) .*being killed: memory_limit_hard", rig.b.log())))
        rig.wait_whole("leak_past_the_hard_limit")


@fault(weight=2)
def overload(rig, rng):
    """More calls at once than there are places and room in the queue."""
    backend = rng.choice(("native", "http", "threads", "proxy"))
    with rig.ledger.excused(f"overload: {backend}", SERVES[backend], SHORT_OF_PLACES):
        burst = [Client(rig.address, 20) for _ in range(BURST)]
        calls = [f"burst{rng.randrange(1 << 60)}" for _ in burst]
        start = rig.ledger.now()
        for c, call in zip(burst, calls):
            c.send(f"POST /{backend}/{call}?ms=100 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        for c, call in zip(burst, calls):
            rig.ledger.record(call, backend, False, start, outcome_of(c, call))
            c.close()


def outcome_of(client, call):
    try:
        response = client.response()
    except socket.timeout:
        return "silent"
    except (EOFError, OSError):
        return "cut"
    return "ok" if response.body == f"{call} 0".encode() else response.json["reason"]


# ---- the front -------------------------------------------------------------------------------------------------------

FRONT_GONE = ["cut", "upload cut", "closed 1006"]


@contextlib.contextmanager
def front_replaced(rig, what, *more):
    """Gives the front's pid. What is connected to it breaks, and no worker; the new one has to be granted them before a bridge
    can begin."""
    with rig.ledger.excused(what, None, [*FRONT_GONE, *more]), \
            rig.ledger.excused(f"{what}: bridges", BRIDGED, ["backend-down"]):
        old = a_front(rig)
        yield old
        rig.wait_whole(what)


def expect_new_front(rig, old, since):
    eventually(rig.serves, "serving again", 20)
    took = time.monotonic() - since
    if took > SERVING_AGAIN:
        rig.ledger.violation(f"serving again after {took:.2f} s")
    eventually(lambda: rig.b.front_pid() not in (None, old), "a new front")


@fault(weight=2)
def kill_front(rig, rng):
    with front_replaced(rig, "kill_front") as old:
        os.kill(old, signal.SIGKILL)
        expect_new_front(rig, old, time.monotonic())


@fault()
def stop_front_briefly(rig, rng):
    """For less than heartbeat_timeout: everything waits, and goes on."""
    with rig.front_stopped, rig.ledger.excused("stop_front_briefly", None, ["deadline", *SHORT_OF_PLACES]):
        front = a_front(rig)
        os.kill(front, signal.SIGSTOP)
        time.sleep(HEARTBEAT_TIMEOUT / 4)  # this is the fault
        os.kill(front, signal.SIGCONT)
        eventually(rig.serves, "serving again")


@fault()
def hang_front(rig, rng):
    """It is killed at heartbeat_timeout and replaced."""
    with rig.front_stopped, front_replaced(rig, "hang_front", "deadline") as old:
        os.kill(old, signal.SIGSTOP)
        eventually(lambda: not alive(old), "the supervisor kills it", 20)
        expect_new_front(rig, old, time.monotonic())


@fault()
def starve_front_of_descriptors(rig, rng):
    """New connections wait, or are told; those that are open go on."""
    front = a_front(rig)
    soft, hard = resource.prlimit(front, resource.RLIMIT_NOFILE)
    waiting = []
    with rig.ledger.excused("starve_front_of_descriptors", None, ["internal", "upload cut"]):
        try:
            resource.prlimit(front, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{front}/fd")) + 2, hard))
            for _ in range(20):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(rig.address)
                waiting.append(s)
            time.sleep(0.7)  # this is the fault
        finally:
            if alive(front):
                resource.prlimit(front, resource.RLIMIT_NOFILE, (soft, hard))
            for s in waiting:
                s.close()
        eventually(rig.serves, "accepting again")


@fault()
def fill_disk(rig, rng):
    """Of the access log and the spool files: what a full disk does, without one. Large bodies cannot be taken."""
    front = a_front(rig)
    limits = resource.prlimit(front, resource.RLIMIT_FSIZE)
    with rig.ledger.excused("fill_disk", None, ["internal", "upload cut"]), \
            rig.ledger.excused("fill_disk: the journal", SERVES["inloop"], ["handler-failed"]):
        resource.prlimit(front, resource.RLIMIT_FSIZE, (0, limits[1]))
        time.sleep(0.7)  # this is the fault
        if alive(front):
            resource.prlimit(front, resource.RLIMIT_FSIZE, limits)
    size = os.path.getsize(rig.b.access_path)
    eventually(lambda: rig.serves() and os.path.getsize(rig.b.access_path) > size, "the access log is written again")


# ---- around it -------------------------------------------------------------------------------------------------------

@fault(plain_only=True)
def step_clock(rig, rng):
    with rig.ledger.excused("step_clock", (), ()):
        rig.clock.step(rng.choice((-7200, -30, 30, 7200)))
        time.sleep(0.3)  # what must not happen has this time to happen
        rig.clock.step(0)


@fault()
def kill_upstream(rig, rng):
    with rig.ledger.excused("kill_upstream", SERVES["proxy"], ["upstream-reset", "upstream-refused", *SHORT_OF_PLACES]):
        rig.upstream.kill()
        rig.upstream.start()
        eventually(lambda: not (rig.backend("proxy") or {"queued": 1})["queued"], "its queue is empty")
