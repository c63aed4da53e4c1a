"""A WSGI application without any framework (PEP 3333)."""
import os
import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(0.5)
    body = ("%s %s from %d\n" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], os.getpid())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
