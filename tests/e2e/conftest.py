# SPDX-License-Identifier: MIT
import glob
import os
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(scope="session", autouse=True)
def built():
    from harness import BULKHEAD
    if not os.path.exists(BULKHEAD):
        pytest.exit(f"no {BULKHEAD}: build first, or set BULKHEAD_BUILD to the build directory", 2)


class Reports:
    """What sanitizers write, one file a process, wherever that process's standard error leads."""

    def __init__(self, directory):
        os.chmod(directory, 0o777)  # for workers that run as somebody else
        self.prefix = os.path.join(directory, "report")
        # not UBSAN: linked beside ASAN it writes to standard error whatever it is told, see harness.assert_nothing_undefined
        for sanitizer in ("ASAN", "LSAN", "TSAN"):
            options = os.environ.get(f"{sanitizer}_OPTIONS", "")
            os.environ[f"{sanitizer}_OPTIONS"] = f"{options}:log_path={self.prefix}-{sanitizer.lower()}"

    def take(self):
        """The text of all reports since the last time."""
        texts = []
        for path in glob.glob(glob.escape(self.prefix) + "*"):
            with open(path, errors="replace") as f:
                texts.append(f.read())
            os.unlink(path)
        return "\n".join(texts)


@pytest.fixture(scope="session")
def reports():
    with tempfile.TemporaryDirectory(prefix="bulkhead-sanitizer-") as directory:
        yield Reports(directory)


@pytest.fixture(scope="module", autouse=True)
def no_sanitizer_report_at_the_end_of_a_module(reports):
    """The same for the processes that the tests of a module share: they end after the last of these tests."""
    yield
    assert not (text := reports.take()), f"sanitizer reports of processes that several tests share:\n{text}"


@pytest.fixture(autouse=True)
def no_sanitizer_report(reports):
    """A report of any process that a test started fails this test."""
    yield
    assert not (text := reports.take()), f"sanitizer reports:\n{text}"


@pytest.fixture
def deliberate_segv(reports, monkeypatch):
    """For tests that end processes by SIGSEGV: a sanitizer is to report only those that nobody sent."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ["ASAN_OPTIONS"] + ":handle_segv=0")
