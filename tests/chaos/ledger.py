# SPDX-License-Identifier: MIT
"""What was asked, what came back, what was executed, what was done to it meanwhile; and the verdict on all that.

A call's outcome is "ok", the reason word of a refusal or a failure, or what a client sees without any word:

    cut         the connection ended before the answer
    upload cut  the same, of a request whose body goes through a spool file
    refused     no connection came about
    silent      nothing came in the client's time, which is longer than every limit of the server's
    closed N    a WebSocket was closed with that code; N 1006: it ended without a close frame
    lost        a WebSocket went on, and the answer to one message did not come

A fault excuses certain outcomes in certain lanes while it lasts; any other outcome that is not "ok" is a violation.
"""
import collections
import contextlib
import threading
import time
from typing import NamedTuple

# a refusal with one of these words says that nothing was executed
NOT_BEGUN = {"queue-full", "queue-timeout", "backend-down", "draining", "upstream-refused"}
SHOWN = 40


class Call(NamedTuple):
    id: str
    lane: str
    idempotent: bool
    start: float
    end: float
    outcome: str

    def __str__(self):
        return f"{self.start:8.3f} .. {self.end:8.3f}  {self.lane:10} {self.id:12} {self.outcome}"


class Excuse:
    """What a fault may cost. lanes None: all; outcomes: a set; end: None while it lasts."""

    def __init__(self, what, lanes, outcomes, start):
        self.what, self.lanes, self.outcomes = what, lanes, outcomes
        self.start, self.end = start, None

    def covers(self, call):
        overlaps = call.end >= self.start and (self.end is None or call.start <= self.end)
        return overlaps and call.outcome in self.outcomes and (self.lanes is None or call.lane in self.lanes)

    def __str__(self):
        end = "" if self.end is None else f"{self.end:8.3f}"
        return f"{self.start:8.3f} .. {end}  {self.what}"


class Ledger:
    """Written by any thread."""

    def __init__(self):
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.calls, self.excuses, self.violations = [], [], []
        self.killed = set()  # pids of workers and thread hosts

    def now(self):
        return time.monotonic() - self.began

    def record(self, call, lane, idempotent, start, outcome):
        with self.lock:
            self.calls.append(Call(call, lane, idempotent, start, self.now(), outcome))

    def violation(self, text):
        with self.lock:
            self.violations.append(f"{self.now():8.3f} {text}")

    @contextlib.contextmanager
    def excused(self, what, lanes, outcomes):
        excuse = Excuse(what, lanes, frozenset(outcomes), self.now())
        with self.lock:
            self.excuses.append(excuse)
        try:
            yield excuse
        finally:
            excuse.end = self.now()

    # the verdict

    def judge(self, executed, access=()):
        """Returns the violations. executed: the ids of the journal, one for each execution; access: the access log's lines."""
        times = collections.Counter(executed)
        found = list(self.violations)
        found += [f"not excused: {call}" for call in self.calls if not self._is_excused(call)]
        found += self._executions(times)
        found += [f"worker-lost on worker {line.get('worker')}, which nobody had killed: {line}" for line in access
                  if line.get("reason") == "worker-lost" and line.get("worker", 0) not in self.killed | {0}]
        return found

    def _is_excused(self, call):
        return call.outcome == "ok" or any(excuse.covers(call) for excuse in self.excuses)

    def _executions(self, times):
        answered, begun, idempotent, known = set(), set(), set(), set()
        for call in self.calls:
            known.add(call.id)
            if call.outcome == "ok":
                answered.add(call.id)
            if call.outcome not in NOT_BEGUN:
                begun.add(call.id)
            if call.idempotent:
                idempotent.add(call.id)
        for call in sorted(known | times.keys()):
            if call not in known:
                yield f"executed, and nobody asked for it: {call!r}"
            elif call in answered and times[call] == 0:
                yield f"answered, and not executed: {call}"
            elif call not in begun and times[call] > 0:
                yield f"refused as not begun, and executed: {call}"
            elif call not in idempotent and times[call] > 1:
                yield f"executed {times[call]} times, though not idempotent: {call}"

    def summary(self):
        """Lines: how many calls ended how, lane by lane, and what was done."""
        lanes = collections.defaultdict(collections.Counter)
        for call in self.calls:
            lanes[call.lane][call.outcome] += 1
        for lane, outcomes in sorted(lanes.items()):
            yield f"{lane:10} " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        faults = collections.Counter(excuse.what.split(":")[0] for excuse in self.excuses)
        yield f"{'faults':10} " + ", ".join(f"{count} {what}" for what, count in faults.most_common())


def shown(violations):
    more = len(violations) - SHOWN
    return "\n".join(violations[:SHOWN] + ([f"and {more} more"] if more > 0 else []))
