# SPDX-License-Identifier: MIT
"""The same echo behind every way in which the front speaks WebSocket: a backend of calls that sends each message back, in
both formats of `messages`, and one that speaks WebSocket itself, behind `bridge`."""
import re

from harness import RecordingBackend, respond
from ws_client import WebSocketBackend

EVENTS = "Content-Type: application/websocket-events"
MODES = {
    "plain": {"backend": "calls", "websocket": {"mode": "messages"}},
    "events": {"backend": "calls", "websocket": {"mode": "messages", "format": "events"}},
    "bridge": {"backend": "sockets", "websocket": {"mode": "bridge"}},
}


def event(name, content=None):
    """One event of the format application/websocket-events."""
    if content is None:
        return f"{name}\r\n".encode()
    content = content.encode() if isinstance(content, str) else content
    return b"%s %x\r\n%s\r\n" % (name.encode(), len(content), content)


def events(body):
    """The events of a body: (name, content); content None: it has none."""
    found = []
    while body:
        head, body = re.fullmatch(rb"([A-Z]+(?: [0-9a-fA-F]+)?)\r\n(.*)", body, re.S).groups()
        name, _, size = head.decode().partition(" ")
        content = None
        if size:
            size = int(size, 16)
            content, end, body = body[:size], body[size:size + 2], body[size + 2:]
            assert end == b"\r\n" and len(content) == size, "an event's content ends with a line end"
        found.append((name, content))
    return found


def echo_call(seen, _):
    """Answers a call with its message, in the format that it came in."""
    kind = seen.header("content-type")
    if kind == "application/websocket-events":
        back = [event(name, content) for name, content in events(seen.body) if name in ("OPEN", "TEXT", "BINARY", "CLOSE")]
        return respond(b"".join(back), headers=[EVENTS])
    if not seen.body:  # an empty answer is no message, an empty event is one
        return respond(event("TEXT" if kind.startswith("text/") else "BINARY", b""), headers=[EVENTS])
    return respond(seen.body, headers=[f"Content-Type: {kind}"])


class Echoes:
    """Both backends, and their part of a conf; the routes are made by route(). fields: of the 101 of the second."""

    def __init__(self, fields=()):
        self.calls, self.sockets = RecordingBackend(echo_call), WebSocketBackend(fields=fields)
        self.backends = {"calls": {"run": "loop", "proxy": self.calls.address, "limit": 64},
                         "sockets": {"run": "loop", "proxy": self.sockets.address, "limit": 64}}

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.calls.close()
        self.sockets.__exit__(*failure)


def route(path, mode, websocket=None, **keys):
    """A route of that mode at `path`, its websocket object with these changes."""
    return {"path": path, **MODES[mode], **keys, "websocket": {**MODES[mode]["websocket"], **(websocket or {})}}
