# SPDX-License-Identifier: MIT
"""Reload: another conf in force without an interruption, or, where it is bad, nothing changed at all."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading

from harness import (BULKHEAD, SLOW, Bulkhead, Client, RecordingBackend, alive, eventually, free_port, module,
                     processes_of_group_or_child, python_worker)
from test_front_door import certificate_name, make_certificate, tls_connect
from ws_client import connect

# answers with its name, its pid, and how many calls run in all processes that share the directory; ?ms=N takes that long
WORKER = r"""
import os, socket, sys, time
from urllib.parse import urlsplit, parse_qs
listener = socket.socket(fileno=3)
name, shared = sys.argv[1], sys.argv[2]
while True:
    c = listener.accept()[0]
    buffered = c.makefile("rb")
    while line := buffered.readline():
        while buffered.readline().strip():
            pass
        query = parse_qs(urlsplit(line.split()[1].decode()).query)
        mark = os.path.join(shared, f"running-{os.getpid()}")
        open(mark, "w").close()
        running = len([f for f in os.listdir(shared) if f.startswith("running-")])
        time.sleep(int(query.get("ms", ["0"])[0]) / 1000)
        os.remove(mark)
        body = f"{name} {os.getpid()} {running}".encode()
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
"""


def worker(directory, name, **keys):
    """A backend whose workers are what WORKER says."""
    return {"run": "workers", "command": python_worker(WORKER, f"{name}.py", str(directory)) + [name, str(directory)],
            "workers": 1, **keys}


def write(b, change):
    """Changes the conf file."""
    with open(b.conf_path) as f:
        conf = json.load(f)
    change(conf)
    with open(b.conf_path, "w") as f:
        json.dump(conf, f, indent=2)


def reload(b, change=None, expect=0):
    """The words of `bulkhead reload`."""
    if change is not None:
        write(b, change)
    done = subprocess.run([BULKHEAD, "reload", "--control", b.control], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == expect, (done, b.log())
    return done.stdout if expect == 0 else done.stderr


def pid_of(response):
    return int(response.body.split()[1])


def get(client, path):
    """On a connection that is kept."""
    client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client.response()


@contextlib.contextmanager
def load(b, path, clients=4):
    """Keep-alive clients that ask again and again; yields the list of what they got."""
    got, over = [], threading.Event()

    def run():
        with b.connect() as client:
            while not over.is_set():
                response = get(client, path)
                got.append((response.status, response.body))
            got.append(("connections", 1))

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for t in threads:
        t.start()
    try:
        yield got
    finally:
        over.set()
        for t in threads:
            t.join(60)
    assert [g for g in got if g[0] == "connections"] == [("connections", 1)] * clients, "a connection was lost"


def test_routes_are_others_and_kept_connections_see_it():
    conf = {"routes": [{"path": "/a", "respond": {"body": "one"}}]}
    with Bulkhead(conf) as b, b.connect() as client:
        assert get(client, "/a").body == b"one"

        def change(c):
            c["routes"] = [{"path": "/b", "respond": {"body": "two"}}]
        assert reload(b, change) == "generation 2 in force: 1 listener, 1 route\n"
        assert get(client, "/a").status == 404
        assert get(client, "/b").body == b"two"
        assert b.status()["generation"] == 2


def test_json_and_exit_status():
    with Bulkhead({"routes": [{"path": "/a", "respond": {}}]}) as b:
        ask = [BULKHEAD, "reload", "--json", "--control", b.control]
        done = subprocess.run(ask, capture_output=True, text=True)
        assert done.returncode == 0
        assert json.loads(done.stdout) == {"ok": True, "generation": 2, "changes": "1 listener, 1 route"}
        write(b, lambda c: c.update(thraeds=1))
        done = subprocess.run(ask, capture_output=True, text=True)
        assert done.returncode == 1 and "unknown key" in json.loads(done.stdout)["error"]


def test_a_bad_conf_is_refused_with_its_place_and_nothing_changes(tmp_path):
    conf = {"backends": {"w": worker(tmp_path, "w")}, "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        before = pid_of(b.get("/"))
        words = reload(b, lambda c: c["backends"]["w"].update(workers="many"), expect=1)
        assert re.search(r"test\.conf:\d+:\d+: error: backends\.w\.workers: must be a whole number", words), words
        assert "\\x0a" not in words
        write(b, lambda c: c["backends"]["w"].update(workers=1))
        words = reload(b, lambda c: c.update(threads=2), expect=1)
        assert re.search(r"test\.conf:\d+:\d+: error: threads: cannot change while bulkhead runs; restart it", words), words
        b.process.send_signal(signal.SIGHUP)
        eventually(lambda: b.log().count("nothing has changed, generation 1 stays in force") == 3, "so does HUP")
        assert pid_of(b.get("/")) == before and b.status()["generation"] == 1


def test_unchanged_backends_keep_their_workers_and_changed_ones_get_new_ones(tmp_path):
    conf = {"backends": {"same": worker(tmp_path, "same", workers=2), "other": worker(tmp_path, "other", workers=2),
                         "gone": worker(tmp_path, "gone")},
            "routes": [{"path": "/same", "backend": "same"}, {"path": "/other", "backend": "other"}, {"path": "/gone", "backend": "gone"}]}
    with Bulkhead(conf) as b, load(b, "/same") as same, load(b, "/other") as other:
        b.wait_workers("same", 2), b.wait_workers("other", 2)
        before = {pid_of(b.get("/same")) for _ in range(20)}
        gone = pid_of(b.get("/gone"))

        def change(c):
            c["backends"]["same"].update(queue=99, timeout="50s")
            c["backends"]["other"]["environment"] = {"NEW": "1"}
            c["backends"]["added"] = worker(tmp_path, "added")
            del c["backends"]["gone"]
            c["routes"][2] = {"path": "/added", "backend": "added"}
        words = reload(b, change)
        assert "1 backend as before, 1 backend changed, 1 backend added, 1 backend gone (other, added)" in words, words
        old = {int(body.split()[1]) for status, body in other if status == 200}
        eventually(lambda: not alive(gone) and not any(alive(p) for p in old - {pid_of(b.get("/other")) for _ in range(20)}),
                   "the old workers have ended")
        assert {pid_of(b.get("/same")) for _ in range(20)} <= before | {int(x.split()[1]) for s, x in same if s == 200}
        assert all(alive(p) for p in before)
        assert b.backend("same")["queue"] == 99
        assert b.get("/added").body.startswith(b"added")
    assert all(status == 200 for status, _ in same + other if status != "connections")


def test_running_calls_end_where_they_began_and_the_limit_holds_across_both(tmp_path):
    conf = {"backends": {"w": worker(tmp_path, "w", workers=2)}, "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        b.wait_workers("w", 2)
        with b.connect() as one, b.connect() as two:
            for client in (one, two):
                client.send(b"GET /?ms=1500 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: len([f for f in os.listdir(tmp_path) if f.startswith("running-")]) == 2, "both run")
            old = {int(f.split("-")[1]) for f in os.listdir(tmp_path) if f.startswith("running-")}
            reload(b, lambda c: c["backends"]["w"].update(environment={"A": "B"}))
            later = b.get("/")  # waits for one of them
            assert later.status == 200 and pid_of(later) not in old
            assert int(later.body.split()[2]) <= 2
            assert {pid_of(one.response()), pid_of(two.response())} == old
        eventually(lambda: not any(alive(p) for p in old), "the old workers end when their calls have")


def test_a_backend_that_cannot_start_leaves_the_old_one_in_place(tmp_path):
    conf = {"backends": {"w": worker(tmp_path, "w")}, "routes": [{"path_prefix": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        before, processes = pid_of(b.get("/")), len(processes_of_group_or_child(b.process.pid))
        words = reload(b, lambda c: c["backends"]["w"].update(command=["/bin/false"]), expect=1)
        assert "backend w: no worker of it can be started" in words
        assert pid_of(b.get("/")) == before
        eventually(lambda: len(processes_of_group_or_child(b.process.pid)) == processes, "nothing of it is left")


def test_a_module_that_cannot_be_loaded_is_rolled_back(tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF nothing")
    conf = {"backends": {"m": {"run": "loop", "module": module("echo")}}, "routes": [{"path_prefix": "/", "backend": "m"}]}
    with Bulkhead(conf) as b:
        port = free_port()

        def change(c):
            c["backends"]["m"]["module"] = str(broken)
            c["listeners"].append({"bind": f"127.0.0.1:{port}"})
        assert "broken.so" in reload(b, change, expect=1)
        assert b.request("POST", "/", body=b"x").status == 200
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, "the new listener is closed again"


def test_listeners_come_go_and_stay(tmp_path):
    first, second = free_port(), free_port()
    listeners = [{"bind": f"127.0.0.1:{first}"}, {"bind": f"unix:{tmp_path}/x.sock", "mode": "0600"}]
    conf = {"routes": [{"path": "/", "respond": {"body": "ok"}}]}
    with Bulkhead(conf, listeners=listeners, ready=False) as b:
        b.port = first
        eventually(lambda: "serving on" in b.log(), "it serves")
        with Client(("127.0.0.1", first)) as kept, Client(str(tmp_path / "x.sock")) as of_gone:
            assert get(kept, "/").body == get(of_gone, "/").body == b"ok"

            def change(c):
                c["listeners"] = [{"bind": f"127.0.0.1:{second}"}, {"bind": f"127.0.0.1:{first}"}]
                c["admin"] = {"bind": f"unix:{tmp_path}/admin.sock"}
            reload(b, change)
            assert get(kept, "/").body == b"ok"
            assert get(of_gone, "/").body == b"ok", "an open connection of a listener that is gone stays"
            for port in (first, second):
                with Client(("127.0.0.1", port)) as client:
                    assert get(client, "/").body == b"ok"
            assert not (tmp_path / "x.sock").exists()
            with Client(str(tmp_path / "admin.sock")) as client:
                assert get(client, "/healthz").status == 200


def test_certificates_are_read_again(tmp_path):
    port = free_port()
    tls = make_certificate(tmp_path, "old.example", ["old.example"])
    conf = {"routes": [{"path": "/", "respond": {"body": "ok"}}]}
    with Bulkhead(conf, listeners=[{"bind": f"127.0.0.1:{port}", "tls": tls}], ready=False) as b:
        eventually(lambda: "serving on" in b.log(), "it serves")
        with tls_connect(port) as before:
            assert certificate_name(before) == "old.example"
            new = make_certificate(tmp_path, "new.example", ["new.example"])
            for part in ("certificate", "key"):
                os.replace(new[part], tls[part])
            reload(b)
            with tls_connect(port) as after:
                assert certificate_name(after) == "new.example"
            before.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert before.recv(4096).startswith(b"HTTP/1.1 200")


def sockets_conf():
    backend = {"run": "threads", "module": module("echo"), "threads": 2}
    return {"backends": {"same": dict(backend), "other": dict(backend)},
            "routes": [{"path": "/same", "websocket": "messages", "backend": "same"},
                       {"path": "/route", "websocket": "messages", "backend": "same"},
                       {"path": "/other", "websocket": "messages", "backend": "other"}]}


def test_websockets_of_unchanged_routes_stay_and_of_others_get_1012():
    with Bulkhead(sockets_conf()) as b:
        sockets = {path: connect(("127.0.0.1", b.port), path) for path in ("/same", "/route", "/other")}
        for ws in sockets.values():
            ws.text(b"hello")
            assert ws.message() == "hello"

        def change(c):
            c["routes"].insert(0, {"path": "/new", "respond": {}})
            c["routes"][2]["websocket"] = {"mode": "messages", "in_flight": 2}
            c["backends"]["other"]["threads"] = 3
        reload(b, change)
        for path in ("/route", "/other"):
            end = sockets[path].end()
            assert end.code == 1012, (path, end)
        sockets["/same"].text(b"still here")
        assert sockets["/same"].message() == "still here"
        row = [w for w in b.status()["websockets"] if w["backend"] == "same"][0]
        assert (row["open"], row["opened"], row["messages_in"]) == (1, 1, 2)
        sockets["/same"].close()
        assert sockets["/same"].end().code == 1000


def test_a_message_that_runs_is_answered_before_1012():
    conf = {"backends": {"slow": {"run": "threads", "module": module("sleep"), "threads": 2, "options": {"ms": 700}}},
            "routes": [{"path": "/ws", "websocket": "messages", "backend": "slow"}]}
    with Bulkhead(conf) as b:
        ws = connect(("127.0.0.1", b.port), "/ws")
        ws.text(b"x")
        eventually(lambda: b.backend("slow")["busy"] == 1, "it runs")
        reload(b, lambda c: c["backends"]["slow"].update(threads=3))
        end = ws.end()
        assert end.code == 1012 and [f.payload for f in end.frames] == [b"700\n"], end


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def test_thirty_reloads_leave_nothing_behind(tmp_path):
    conf = sockets_conf()
    conf["backends"]["w"] = worker(tmp_path, "w")
    conf["routes"].append({"path_prefix": "/", "backend": "w"})
    with Bulkhead(conf) as b:
        sockets = [connect(("127.0.0.1", b.port), "/same") for _ in range(20)]
        front, supervisor = b.front_pid(), b.process.pid

        def once(i):
            if i % 3 == 2:
                write(b, lambda c: c["routes"][-1].update(path_prefix="no slash"))
                reload(b, expect=1)
                write(b, lambda c: c["routes"][-1].update(path_prefix="/"))
            else:
                reload(b, lambda c: c["backends"]["w"].update(environment={"N": str(i)}))

        def count():
            return fds(front), fds(supervisor), len(processes_of_group_or_child(supervisor)), len(os.listdir(b.dir))

        with load(b, "/?x") as got:
            for i in range(9):
                once(i)
            memory = resident(front)
            for i in range(30):
                once(i)
        assert all(status == 200 for status, _ in got if status != "connections")
        before = count()
        once(0)
        eventually(lambda: all(n <= m for n, m in zip(count(), before)), f"no more descriptors and processes than {before}")
        assert b.front_pid() == front
        if SLOW == 1:
            assert resident(front) < memory * 1.05 + 1024, (memory, resident(front))
        for ws in sockets:
            ws.text(b"there")
            assert ws.message() == "there"
            ws.leave()


def test_reloads_that_are_asked_for_at_once_are_carried_out_one_after_the_other():
    with Bulkhead({"routes": [{"path": "/", "respond": {}}]}) as b:
        asked = [subprocess.Popen([BULKHEAD, "reload", "--control", b.control], stdout=subprocess.PIPE) for _ in range(5)]
        assert [p.wait(30) for p in asked] == [0] * 5
        for p in asked:
            p.stdout.close()
        assert 2 <= b.status()["generation"] <= 6


def test_a_reload_while_draining_is_refused():
    conf = {"backends": {"slow": {"run": "threads", "module": module("sleep"), "threads": 2, "options": {"ms": 1500}}},
            "routes": [{"path": "/", "backend": "slow"}]}
    with Bulkhead(conf) as b, b.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: b.backend("slow")["busy"] == 1, "it runs")
        b.process.terminate()
        eventually(lambda: "stopping; requests in progress" in b.log(), "it drains")
        assert "bulkhead is stopping" in reload(b, expect=1)
        assert client.response().status == 200


def test_a_new_front_serves_the_conf_that_is_in_force(tmp_path):
    conf = {"backends": {"w": worker(tmp_path, "w")}, "routes": [{"path": "/", "backend": "w"}]}
    with Bulkhead(conf) as b:
        reload(b, lambda c: c["routes"].append({"path": "/new", "respond": {"body": "new"}}))
        worker_pid, front = pid_of(b.get("/")), b.front_pid()
        os.kill(front, signal.SIGKILL)
        eventually(lambda: b.front_pid() not in (None, front), "another front")
        eventually(lambda: b.get("/new").body == b"new", "it serves the later conf")
        assert pid_of(b.get("/")) == worker_pid


def test_the_log_level_is_that_of_the_conf_at_once():
    with Bulkhead({"routes": [{"path": "/", "respond": {}}], "log": {"level": "info", "access": {"path": "-"}}}) as b:
        reload(b, lambda c: c["log"].update(format="json"))
        line = eventually(lambda: [x for x in b.log().splitlines() if "generation 2 in force" in x], "its line")[-1]
        assert json.loads(line)["level"] == "info"
