"""Serves app.py with nothing but the standard library, on the socket that bulkhead hands over as fd 3."""
import socket
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from app import app


class Handler(WSGIRequestHandler):
    def address_string(self):  # the peer is a Unix socket
        return "bulkhead"


class Server(WSGIServer):
    def __init__(self):
        super().__init__(("bulkhead", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)
        self.server_name, self.server_port = "bulkhead", 0
        self.setup_environ()
        self.set_app(app)

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("bulkhead", 0)


Server().serve_forever()
