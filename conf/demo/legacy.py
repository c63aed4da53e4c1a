"""The demo's legacy service: plain standard library, one request at a time, and it blocks."""
import json
import os
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlparse(self.path)
        query = parse_qs(url.query)
        started = time.monotonic()
        if url.path.endswith("/slow"):
            time.sleep(float(query.get("seconds", ["1"])[0]))
        elif url.path.endswith("/compute"):
            sum(range(10_000_000))
        elif url.path.endswith("/crash"):
            os._exit(1)
        body = json.dumps({"path": self.path, "pid": os.getpid(), "took": round(time.monotonic() - started, 3)}) + "\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def address_string(self):
        return "bulkhead"

    def log_message(self, format, *args):
        pass


class Server(HTTPServer):
    def __init__(self):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)  # the socket that bulkhead hands over

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("bulkhead", 0)


Server().serve_forever()
