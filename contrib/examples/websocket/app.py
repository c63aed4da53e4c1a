"""A WebSocket application without a WebSocket library: every message is a POST, its answer is the message that goes back.

Synchronous from end to end. It may block as long as it likes: whoever else is connected keeps an answered ping, and the
next message goes to another process."""
import os
import time

import requests
from flask import Flask, Response, request

app = Flask(__name__)


def fetch(url):
    return requests.get(url, timeout=30).text


def compute(turns):
    total = 0
    for i in range(int(turns)):
        total += i
    return str(total)


def sleep(seconds):
    time.sleep(float(seconds))
    return f"slept {seconds} s"


def crash(_):
    os._exit(1)


JOBS = {"fetch": fetch, "compute": compute, "sleep": sleep, "crash": crash}


@app.post("/work")
def work():
    word, _, rest = request.get_data(as_text=True).partition(" ")
    if word not in JOBS:
        return Response(f"say one of: {', '.join(JOBS)}", mimetype="text/plain")
    return Response(JOBS[word](rest), mimetype="text/plain")


@app.post("/notes")
def notes():
    """The same on a route with "format": "events": the opening and the end of a connection are calls, too, and one call may
    send several messages."""
    events = []
    for name, content in read_events(request.get_data()):
        if name == "OPEN":
            events += [b"OPEN\r\n", event("TEXT", b"welcome")]
        elif name == "TEXT":
            events += [event("TEXT", b"noted " + line) for line in content.split(b"\n")]
        elif name in ("CLOSE", "DISCONNECT"):
            app.logger.info("%s has left", request.headers["Connection-Id"])
            events += [event("CLOSE", content)] if name == "CLOSE" else []
    return Response(b"".join(events), mimetype="application/websocket-events")


def event(name, content):
    return b"%s %x\r\n%s\r\n" % (name.encode(), len(content), content)


def read_events(body):
    while body:
        line, body = body.split(b"\r\n", 1)
        name, _, size = line.decode().partition(" ")
        content = b""
        if size:
            content, body = body[:int(size, 16)], body[int(size, 16) + 2:]
        yield name, content
