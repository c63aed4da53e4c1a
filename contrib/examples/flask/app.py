"""A Flask application: synchronous, as Flask is meant to be."""
import os
import time

from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/sleep")
def sleep():
    seconds = float(request.args.get("seconds", 1))
    time.sleep(seconds)
    return jsonify(slept=seconds, pid=os.getpid())


@app.post("/form")
def form():
    return jsonify(request.form.to_dict())
