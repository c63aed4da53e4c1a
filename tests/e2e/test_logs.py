# SPDX-License-Identifier: MIT
"""Where the lines of the log end up: rotation of every file, and what the library prints by itself."""
import os
import re
import signal
import socket
import struct
import time

from harness import Bulkhead, eventually, free_port

HELLO = {"path": "/hello", "respond": {"status": 200, "body": "hello\n"}}


def make_the_front_warn(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(b"GET / HTTP/1.1\r\n")
        assert s.recv(1) == b""


def test_usr1_moves_supervisor_and_front_to_a_new_log_file(tmp_path):
    log, former, access = tmp_path / "bulkhead.log", tmp_path / "former.log", tmp_path / "access.log"
    port, proxied = free_port(), free_port()
    conf = {"listeners": [{"bind": f"127.0.0.1:{port}"}, {"bind": f"127.0.0.1:{proxied}", "proxy_protocol": True}],
            "log": {"target": str(log), "access": {"path": str(access)}}, "routes": [HELLO]}
    with Bulkhead(conf) as b:
        b.port = port
        b.access_path = str(access)
        front = b.front_pid()
        assert os.readlink(f"/proc/{front}/fd/2") == str(log)
        log.rename(former)
        access.rename(tmp_path / "former-access.log")
        b.process.send_signal(signal.SIGUSR1)
        eventually(lambda: os.readlink(f"/proc/{front}/fd/2") == str(log), "the front has the new file")
        make_the_front_warn(proxied)
        eventually(lambda: "without a valid PROXY line" in log.read_text(), "a line of the front in the new file")
        assert "log files opened anew" in log.read_text()
        assert "PROXY line" not in former.read_text() and "opened anew" not in former.read_text()
        assert b.get("/hello").status == 200
        b.access_of("/hello")
        assert b.front_pid() == front
        held = [os.readlink(f"/proc/{front}/fd/{fd}") for fd in os.listdir(f"/proc/{front}/fd")]
        assert not [name for name in held if "former" in name], "the former files are let go"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def read_until_pong(s):
    seen = b""
    while frame(6, 1, 0, b"12345678") not in seen:
        more = s.recv(65536)
        assert more, "the connection has ended"
        seen += more


def test_frames_that_the_library_does_not_know_do_not_fill_the_log():
    port = free_port()
    with Bulkhead({"listeners": [{"bind": f"127.0.0.1:{port}", "http2": True}], "routes": [HELLO]}) as b:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            s.sendall(frame(0x20, 0, 0) * 5000 + frame(6, 0, 0, b"12345678"))
            read_until_pong(s)
        lines = eventually(lambda: re.findall("libh2o: skipping frame", b.log()), "the first one is told")
        assert len(lines) <= 1 + time.monotonic() - started
        assert len(re.findall("skipping frame", b.log())) == len(lines), "and none past the log"
