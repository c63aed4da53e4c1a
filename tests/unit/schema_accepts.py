#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The JSON schema takes every conf file that is shipped, and what bulkhead itself would refuse, it refuses too."""
import copy
import glob
import json
import os
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

TOP = os.environ.get("srcdir", ".")
LEAST = {"listeners": [{"bind": ":8080"}], "backends": {"a": {"run": "loop", "proxy": "127.0.0.1:1"}},
         "routes": [{"path": "/", "backend": "a"}]}


def plain_json(path):
    """A conf file without its comments."""
    return json.loads(subprocess.run(["./bulkhead-keys", "json", path], capture_output=True, check=True).stdout)


def changed(*path, value):
    conf = copy.deepcopy(LEAST)
    at = conf
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return conf


GOOD = [
    LEAST,
    {"include": "conf.d/*.conf"},
    changed("$schema", value="bulkhead.schema.json"),
    changed("threads", value="${N}"),
    changed("log", value={"access": False}),
    changed("log", value={"access": {"path": "-", "format": "text"}}),
    changed("limits", value={"max_body": 5, "head_timeout": "${T}"}),
    changed("listeners", 0, "tls", value=[{"certificate": "c", "key": "k"}]),
    changed("listeners", 0, "tls", value={"certificate": "c", "key": "k"}),
    changed("backends", "a", "first_byte_timeout", value="none"),
    changed("routes", 0, value={"redirect": "/x"}),
    changed("routes", 0, value={"files": {"root": "/x", "index": "i"}}),
    changed("routes", 0, "headers", value={"x": True, "y": "z"}),
    changed("routes", 0, "methods", value="GET"),
    changed("routes", 0, "websocket", value="bridge"),
    changed("routes", 0, "websocket", value={"mode": "messages", "origins": "null", "idle_timeout": "none"}),
]
BAD = [
    {},
    changed("nonsense", value=1),
    changed("threads", value=0),
    changed("threads", value="2"),
    changed("drain_timeout", value=5),
    changed("drain_timeout", value="5 s"),
    changed("listeners", value=[]),
    changed("listeners", 0, "nonsense", value=1),
    changed("listeners", 0, "systemd", value="http"),
    changed("listeners", 0, "tls", value={"certificate": "c"}),
    changed("log", value={"level": "loud"}),
    changed("limits", value={"header_fields": 101}),
    changed("backends", "a", "run", value="wokers"),
    changed("backends", "a", "timeout", value="none"),
    changed("backends", "a", "command", value=["x"]),
    changed("backends", "a", "environment", value={"A": 1}),
    changed("backends", "a", value={"proxy": "127.0.0.1:1"}),
    changed("routes", 0, "respond", value={}),
    changed("routes", 0, "path_prefix", value="/"),
    changed("routes", 0, value={"path": "/"}),
    changed("routes", 0, value={"respond": {"status": 99}}),
    changed("routes", 0, "headers", value={"x": False}),
    changed("routes", 0, "websocket", value="brige"),
    changed("routes", 0, "websocket", value={"in_flight": 2}),
    changed("routes", 0, "websocket", value={"mode": "messages", "in_flight": 65}),
]


def main():
    with open(os.path.join(TOP, "conf/bulkhead.schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    shipped = sorted(glob.glob(os.path.join(TOP, "conf/*.conf")) +
                     glob.glob(os.path.join(TOP, "contrib/examples/*/*.conf")))
    failures = [f"refuses {path}: {error.message} at {list(error.path)}" for path in shipped
                for error in validator.iter_errors(plain_json(path))]
    failures += [f"refuses {conf}: {error.message}" for conf in GOOD for error in validator.iter_errors(conf)]
    failures += [f"takes {conf}" for conf in BAD if validator.is_valid(conf)]
    if len(shipped) < 2:
        failures.append(f"found only {shipped}")
    print("\n".join(failures) or f"{len(shipped)} files and {len(GOOD) + len(BAD)} small confs judged rightly")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
