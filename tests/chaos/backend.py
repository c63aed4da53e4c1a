# SPDX-License-Identifier: MIT
"""The server of the chaos tests, on the listening socket that it inherits: what record.c is, in a program of its own that
speaks HTTP and WebSocket. A thread a connection.

    backend.py JOURNAL [DESCRIPTOR]       of the listening socket, 3 unless told; with it, it ends when its standard input does

A request's id is the last segment of its path, a WebSocket message is an id itself; ms=N in the query: N milliseconds of work.
"""
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import Client  # noqa: E402
from ws_client import CLOSE, WebSocket, accept_of  # noqa: E402

HOUR = 3600


class Connection:
    def __init__(self, sock, journal):
        self.stream, self.journal = Client(None, HOUR, sock), journal

    def head(self):
        lines = []
        while line := self.stream._line().decode("latin-1"):
            lines.append(line)
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        return lines[0].split(" ")[1], fields

    def work(self, call, target):
        """Writes the id down, with one write, and takes its time. Returns the answer, but for the length."""
        os.write(self.journal, call.encode() + b"\n")
        found = re.search(r"[?&]ms=(\d+)", target)
        time.sleep(int(found[1]) / 1000 if found else 0)
        return call

    def answer_request(self, target, fields):
        length = int(fields.get("content-length", 0))
        self.stream._exactly(length)
        body = f"{self.work(target.split('?')[0].rsplit('/', 1)[1], target)} {length}"
        self.stream.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}")

    def speak_websocket(self, target, key):
        self.stream.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n")
        ws = WebSocket(self.stream, mask=None, peer_masks=True)
        while (got := ws.data_frame()).opcode != CLOSE:
            ws.text(f"{self.work(got.payload.decode(), target)} {len(got.payload)}")
        ws.send_frame(got.payload, CLOSE)

    def serve(self):
        try:
            while True:
                target, fields = self.head()
                if "sec-websocket-key" in fields:
                    return self.speak_websocket(target, fields["sec-websocket-key"])
                self.answer_request(target, fields)
        except (EOFError, OSError):
            pass  # who was connected has gone
        finally:
            self.stream.close()


def end_with_parent():
    """It holds the other end of our standard input. (PR_SET_PDEATHSIG would tell of the end of its thread.)"""
    sys.stdin.read()
    os._exit(0)


def main():
    journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    listening = socket.socket(fileno=int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    if len(sys.argv) > 2:
        threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        sock, _ = listening.accept()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(sock, journal).serve, daemon=True).start()


main()
