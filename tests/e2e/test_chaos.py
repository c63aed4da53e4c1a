# SPDX-License-Identifier: MIT
"""The short form of tests/chaos/run.py: each fault at least once, in an order that stays the same; and its judge, which has to
notice what it is there for.
"""
import os
import subprocess
import sys

import pytest

from harness import PYTHON, TOP

CHAOS = os.path.join(TOP, "tests", "chaos")
sys.path.insert(0, CHAOS)
from ledger import Ledger  # noqa: E402


def test_no_answer_is_lost_doubled_or_wrong_under_faults():
    run = subprocess.run([PYTHON, os.path.join(CHAOS, "run.py"), "--seconds", "20", "--seed", "1"], capture_output=True, text=True,
                         timeout=240)
    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-5000:]
    print(run.stdout)


@pytest.mark.parametrize("outcome, idempotent, executed, told", [
    ("ok", False, ["a"], None),
    ("ok", True, ["a", "a"], None),
    ("worker-lost", False, ["a"], None),
    ("worker-lost", False, [], None),
    ("queue-full", False, [], None),
    ("ok", False, ["a", "a"], "executed 2 times"),
    ("worker-lost", False, ["a", "a"], "executed 2 times"),
    ("ok", False, [], "answered, and not executed"),
    ("queue-full", False, ["a"], "refused as not begun, and executed"),
    ("the answer is b'b 0'", False, ["a"], "not excused"),
    ("silent", False, ["a"], "not excused"),
    ("ok", False, ["a", "b"], "nobody asked for it: 'b'"),
])
def test_the_judge(outcome, idempotent, executed, told):
    ledger = Ledger()
    with ledger.excused("a fault", {"lane"}, {"worker-lost", "queue-full"}):
        ledger.record("a", "lane", idempotent, ledger.now(), outcome)
    found = list(ledger.judge(executed))
    assert (found == []) if told is None else (len(found) == 1 and told in found[0])


def test_the_judge_excuses_only_what_the_fault_may_cost_whom_and_when():
    ledger = Ledger()
    before = ledger.now()
    ledger.record("before", "lane", False, before, "worker-lost")
    with ledger.excused("a fault", {"lane"}, {"worker-lost"}):
        start = ledger.now()
    ledger.record("overlapping", "lane", False, start, "worker-lost")
    ledger.record("elsewhere", "another", False, start, "worker-lost")
    ledger.record("otherwise", "lane", False, start, "deadline")
    ledger.record("behind", "lane", False, ledger.now(), "worker-lost")
    found = ledger.judge([])
    assert len(found) == 4 and not [text for text in found if "overlapping" in text]


def test_the_judge_asks_who_was_killed():
    ledger = Ledger()
    ledger.killed.add(11)
    lost = [{"reason": "worker-lost", "worker": pid} for pid in (11, 12)]
    found = ledger.judge([], lost)
    assert len(found) == 1 and "worker-lost on worker 12" in found[0]
