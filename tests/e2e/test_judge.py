# SPDX-License-Identifier: MIT
"""What RFC 9110 asks of an intermediary and of a server of files, and what a user may expect of every command."""
import subprocess

import pytest

from harness import BULKHEAD, KIND, Bulkhead, RecordingBackend


@pytest.fixture(scope="module")
def forwarding():
    with RecordingBackend() as up:
        conf = {"backends": {"up": {"run": "loop", "proxy": up.address}},
                "routes": [{"path_prefix": "/", "backend": "up"}]}
        with Bulkhead(conf) as b:
            yield b, up


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    (root / "a.txt").write_text("hello\n")
    conf = {"backends": {}, "routes": [{"path_prefix": "/", "files": str(root)}]}
    with Bulkhead(conf) as b:
        yield b


@pytest.mark.parametrize("sent, received", [("1", "0"), ("10", "9"), ("100", "99"), ("007", "6"), ("many", "many")])
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_is_counted_down(forwarding, method, sent, received):
    b, up = forwarding
    up.seen.clear()
    assert b.request(method, "/x", headers={"Max-Forwards": sent}).status == 200
    assert up.seen[0].header("max-forwards") == received


def test_max_forwards_means_nothing_with_other_methods(forwarding):
    b, up = forwarding
    up.seen.clear()
    assert b.request("GET", "/x", headers={"Max-Forwards": "0"}).status == 200
    assert up.seen[0].header("max-forwards") == "0"


@pytest.mark.parametrize("method, status", [("OPTIONS", 204), ("TRACE", 405)])
@pytest.mark.parametrize("hops", ["0", "000"])
def test_max_forwards_zero_is_answered_here(forwarding, method, status, hops):
    b, up = forwarding
    up.seen.clear()
    answer = b.request(method, "/x", headers={"Max-Forwards": hops})
    assert answer.status == status
    assert answer.header("allow") == "OPTIONS"
    assert up.seen == []


PAST, FUTURE = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.mark.parametrize("field, value, status", [
    ("If-Match", "{etag}", 200), ("If-Match", '"x", {etag}', 200), ("If-Match", "*", 200),
    ("If-Match", '"x"', 412), ("If-Match", "W/{etag}", 412), ("If-Match", "", 412),
    ("If-Unmodified-Since", FUTURE, 200), ("If-Unmodified-Since", "{modified}", 200),
    ("If-Unmodified-Since", "no date", 200), ("If-Unmodified-Since", PAST, 412)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_sent_only_when_what_the_client_asks_of_it_holds(files, method, field, value, status):
    now = files.get("/a.txt")
    value = value.format(etag=now.header("etag"), modified=now.header("last-modified"))
    answer = files.request(method, "/a.txt", headers={field: value})
    assert answer.status == status
    if status == 412 and method == "GET":
        assert answer.json["reason"] == "precondition-failed"


def test_a_tag_that_matches_outweighs_the_date(files):
    etag = files.get("/a.txt").header("etag")
    assert files.get("/a.txt", headers={"If-Match": etag, "If-Unmodified-Since": PAST}).status == 200


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_every_command_knows_its_version(command):
    said = subprocess.run([BULKHEAD, command, "--version"], capture_output=True, text=True, timeout=20)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("bulkhead ")


def test_what_is_refused_outside_of_a_request_says_why_like_the_rest():
    conf = {"limits": {"head_timeout": "300ms", "connections_per_address": 1}, "backends": {},
            "routes": [{"path_prefix": "/", "respond": {}}]}
    with Bulkhead(conf) as b, b.connect() as late:
        late.send("GET / HT")
        with b.connect() as crowded:
            refused = crowded.response()
        assert (refused.status, refused.json["reason"]) == (503, "connections-per-address")
        assert 'details="connections-per-address"' in refused.header("proxy-status")
        timed_out = late.response()
        assert (timed_out.status, timed_out.json["reason"]) == (408, "client-timeout")
        assert 'details="client-timeout"' in timed_out.header("proxy-status")
        assert b.status()["responses"]["4xx"] == 1


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


@pytest.mark.skipif(KIND != "plain", reason="sanitizers keep what was freed")
def test_the_front_does_not_grow_with_the_calls_it_has_served(forwarding):
    b, _ = forwarding
    pid = b.front_pid()
    for _ in range(50):
        b.get("/warm")
    before = resident_kib(pid)
    for _ in range(1500):
        assert b.get("/x").status == 200
    assert resident_kib(pid) <= 1.05 * before
