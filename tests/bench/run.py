#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bulkhead side by side with nginx on the same core, in rounds that alternate; prints CPU per request and ratios.

    tests/bench/run.py [--build DIR] [--rounds N] [--seconds S] [cpu] [isolation] [overload] [parked]

cpu         CPU per request of all the server's processes, from the scheduler's accounting (/proc/*/schedstat): fixed answer, proxy
            to a Unix socket, worker hop, thread hop, the access log's share
isolation   /health and another backend's route probed 100 times a second while 50 clients hammer a blocking handler
overload    goodput at 1, 2, 5 and 10 times the capacity, clients that leave after a second
parked      memory of a request that waits in the queue

Needs nginx and h2load (Debian: nginx-light nghttp2-client). Servers are pinned to CPU 0, load to CPU 1. Nothing here asserts
anything: read the ratios.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TMP = tempfile.mkdtemp(prefix="bulkhead-bench-")
os.chmod(TMP, 0o755)
children = []


def start(argv, cpu="0", **kw):
    p = subprocess.Popen(["taskset", "-c", cpu, *argv], stdin=kw.pop("stdin", subprocess.DEVNULL),
                         stdout=kw.pop("stdout", subprocess.DEVNULL), stderr=kw.pop("stderr", sys.stderr), **kw)
    children.append(p)
    return p


def tree(pid):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parents.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, queue = [pid], [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def cpu_ns(pids):
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def wait_for(address, path="/health"):
    for _ in range(400):
        try:
            if fetch(address, path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"bench: {address} does not answer")


def fetch(address, path, timeout=10):
    s = socket.create_connection(address, timeout)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        data += piece
    s.close()
    return int(data.split()[1]), data


class Server:
    def __init__(self, name, port, process, extra=()):
        self.name, self.port, self.process, self.extra = name, port, process, list(extra)

    def pids(self):
        pids = tree(self.process.pid)
        for p in self.extra:
            pids += tree(p.pid)
        return pids


def nginx(port, unix):
    conf = os.path.join(TMP, "nginx.conf")
    with open(conf, "w") as f:
        f.write(f"""daemon off; user root; worker_processes 1; pid {TMP}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {TMP}/b; proxy_temp_path {TMP}/p;
 fastcgi_temp_path {TMP}/f; uwsgi_temp_path {TMP}/u; scgi_temp_path {TMP}/s; default_type text/plain;
 upstream tiny {{ {''.join(f'server unix:{u};' for u in unix)} keepalive 64; keepalive_requests 100000000; }}
 server {{ listen 127.0.0.1:{port};
  location = /health {{ return 200 "ok\\n"; }}
  location / {{ proxy_pass http://tiny; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")
    return start(["nginx", "-c", conf, "-p", TMP])


def bulkhead(build, port, conf, name, **kw):
    path = os.path.join(TMP, f"{name}.conf")
    conf = dict(conf, listeners=[{"bind": f"127.0.0.1:{port}"}], control=os.path.join(TMP, f"{name}.sock"),
                admin={"bind": f"127.0.0.1:{port + 1}"})
    conf.setdefault("log", {"level": "error", "access": False})
    conf.setdefault("limits", {})["requests_per_connection"] = 100000000
    with open(path, "w") as f:
        json.dump(conf, f)
    p = start([os.path.join(build, "bulkhead"), "run", "-c", path], **kw)
    wait_for(("127.0.0.1", port + 1), "/readyz")
    return p


def h2load(port, path, seconds, clients):
    out = subprocess.run(["taskset", "-c", "1", "h2load", "--h1", "-t1", f"-c{clients}", f"-D{seconds}", "--warm-up-time=0",
                          f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True).stdout
    done = int(re.search(r"(\d+) succeeded", out)[1])
    failed = int(re.search(r"(\d+) failed", out)[1])
    return done, failed


def cpu_per_request(server, path, seconds, clients):
    before = cpu_ns(server.pids())
    started = time.monotonic()
    done, failed = h2load(server.port, path, seconds, clients)
    took = time.monotonic() - started
    return (cpu_ns(server.pids()) - before) / max(done, 1) / 1000, done / took, failed


def tiny_workers(a, name):
    """Sixteen single-connection servers of one front's own: a kept connection occupies its server."""
    unix = [os.path.join(TMP, f"{name}{i}.sock") for i in range(16)]
    return unix, [start([os.path.join(a.build, "tests/bench/tiny_worker"), u]) for u in unix]


def bulkhead_conf(a, unix):
    empty = os.path.join(a.build, "tests/bench/empty.so")
    names = ("tiny", "worker", "thread", "front", "inloop")
    return {
        "backends": {
            "tiny": {"run": "loop", "proxy": [f"unix:{u}" for u in unix], "limit": 16, "queue": 1000},
            "worker": {"run": "workers", "module": empty, "workers": 16, "queue": 1000},
            "thread": {"run": "threads", "module": empty, "threads": 16, "queue": 1000},
            "front": {"run": "threads", "module": empty, "threads": 16, "queue": 1000, "in_front": True},
            "inloop": {"run": "loop", "module": empty, "limit": 100},
        },
        "routes": [{"path": "/health", "respond": {"body": "ok\n"}}] + [{"path": f"/{n}", "backend": n} for n in names],
    }


def bench_cpu(a):
    unix, tiny = tiny_workers(a, "n")
    ngx = Server("nginx", a.port, nginx(a.port, unix), tiny)
    unix, tiny = tiny_workers(a, "b")
    bh = Server("bulkhead", a.port + 10, bulkhead(a.build, a.port + 10, bulkhead_conf(a, unix), "cpu"), tiny)
    unix, tiny = tiny_workers(a, "l")
    logged = dict(bulkhead_conf(a, unix),
                  log={"level": "error", "access": {"path": os.path.join(TMP, "access.log"), "format": "json"}})
    bhl = Server("bulkhead+log", a.port + 20, bulkhead(a.build, a.port + 20, logged, "cpulog"), tiny)
    wait_for(("127.0.0.1", a.port))
    cases = [("fixed answer", ngx, "/health"), ("fixed answer", bh, "/health"), ("fixed answer", bhl, "/health"),
             ("unix proxy", ngx, "/"), ("unix proxy", bh, "/tiny"), ("unix proxy", bhl, "/tiny"),
             ("worker hop", bh, "/worker"), ("thread hop", bh, "/thread"), ("in_front hop", bh, "/front"), ("loop module", bh, "/inloop")]
    figures = {}
    for clients in (1, 16):
        for _ in range(a.rounds):
            for what, server, path in cases:
                us, rate, failed = cpu_per_request(server, path, a.seconds, clients)
                figures.setdefault((clients, what, server.name), []).append(us)
                if failed:
                    print(f"bench: {failed} failed requests: {what} {server.name}")
    for clients in (1, 16):
        med = {k[1:]: statistics.median(v) for k, v in figures.items() if k[0] == clients}
        print(f"\nCPU per request, {clients} client(s), µs (median of {a.rounds} rounds, min–max)")
        for k, v in figures.items():
            if k[0] == clients:
                print(f"  {k[1]:14} {k[2]:13} {statistics.median(v):7.2f}   {min(v):.2f}–{max(v):.2f}")
        fixed = med["fixed answer", "nginx"]
        hop = med["unix proxy", "nginx"] - fixed
        mine = med["fixed answer", "bulkhead"]
        print(f"  fixed answer: {mine / fixed:.2f} × nginx (goal ≤ 1.05)")
        print(f"  unix proxy:   {med['unix proxy', 'bulkhead'] / med['unix proxy', 'nginx']:.2f} × nginx (goal ≤ 1.1), "
              "tiny worker included on both sides")
        for what in ("worker hop", "thread hop", "in_front hop"):
            add = med[what, "bulkhead"] - mine
            print(f"  {what:13} +{add:.1f} µs = {add / hop:.2f} × nginx → tiny C worker's +{hop:.1f} (goal ≤ 1.2)")
        print(f"  access log:   +{med['fixed answer', 'bulkhead+log'] - mine:.2f} µs fixed, "
              f"+{med['unix proxy', 'bulkhead+log'] - med['unix proxy', 'bulkhead']:.2f} µs proxied (goal ≤ 0.7)")


def probe(a, port, path):
    """p50, p95, p99 and maximum in ms, 100 a second, counted from when each request was due (prober.c)."""
    out = subprocess.run([os.path.join(a.build, "tests/bench/prober"), str(port), path, "100", str(a.seconds)],
                         capture_output=True, text=True, check=True).stdout
    return [float(x) for x in out.split()]


def hammer(port, path, seconds):
    return subprocess.Popen(["h2load", "--h1", "-t1", "-c50", f"-D{seconds}", "--warm-up-time=0", f"http://127.0.0.1:{port}{path}"],
                            stdout=subprocess.PIPE, text=True)


APP = """
import time
from fastapi import FastAPI
app = FastAPI()
@app.get("/sleep")
async def sleep():
    time.sleep(0.1)
    return {}
@app.get("/compute")
async def compute():
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
    return {}
"""


def isolation_conf(a, directory, nice):
    empty = os.path.join(a.build, "tests/bench/empty.so")
    uvicorn = ["uvicorn", "--fd", "3", "--log-level", "error", "--no-access-log", "app:app"]
    return {
        "backends": {
            "app": {"run": "workers", "command": uvicorn, "workers": 4, "directory": directory, "queue": 100,
                    "queue_timeout": "30s", "nice": nice},
            "other": {"run": "workers", "module": empty, "workers": 2, "nice": nice},
        },
        "routes": [{"path": "/health", "respond": {"body": "ok\n"}}, {"path": "/other", "backend": "other"},
                   {"path_prefix": "/", "backend": "app"}],
    }


def row(what, q, reference=None):
    ratio = f"   p99 {q[2] / reference[2]:.2f} × unloaded" if reference else ""
    print(f"  {what:26} p50 {q[0]:.2f}  p95 {q[1]:.2f}  p99 {q[2]:.2f}  max {q[3]:.2f} ms{ratio}")


def bench_isolation(a):
    directory = os.path.join(TMP, "app")
    os.mkdir(directory)
    with open(os.path.join(directory, "app.py"), "w") as f:
        f.write(APP)
    port = a.port + 40
    for nice in a.nice:
        p = bulkhead(a.build, port, isolation_conf(a, directory, nice), f"isolation{nice}", cpu="0,1")
        wait_for(("127.0.0.1", port))
        wait_for(("127.0.0.1", port), "/sleep")
        time.sleep(5)  # the other workers start
        print(f"\nisolation, workers at nice {nice}: 100 probes a second; 50 clients hammer a handler of 100 ms, 4 workers")
        idle = {path: probe(a, port, path) for path in ("/health", "/other")}
        for path, q in idle.items():
            row(f"unloaded, {path}", q)
        for load in ("/sleep", "/compute"):
            seconds = 2 * a.seconds + 2
            hammering = hammer(port, load, seconds)
            time.sleep(1)
            for path in ("/health", "/other"):
                row(f"{load} load, {path}", probe(a, port, path), idle[path])
            done = int(re.search(r"(\d+) succeeded", hammering.communicate()[0])[1])
            print(f"  {load} work done: {done / seconds:.1f}/s")
        p.send_signal(signal.SIGINT)
        p.wait()


def bench_overload(a):
    port = a.port + 60
    conf = {"backends": {"app": {"run": "workers", "module": os.path.join(a.build, "contrib/handlers/sleep.so"), "workers": 4}},
            "routes": [{"path": "/health", "respond": {"body": "ok\n"}}, {"path_prefix": "/", "backend": "app"}]}
    p = bulkhead(a.build, port, conf, "overload", cpu="0,1")
    print("\noverload, capacity 80/s (4 workers × 50 ms), clients leave after 1 s, shipped defaults")
    for factor in (1, 2, 5, 10):
        results = []
        lock = threading.Lock()

        def one(intended):
            try:
                status, _ = fetch(("127.0.0.1", port), "/?ms=50", 1.0)
            except OSError:
                status = 0
            with lock:
                results.append((status, (time.monotonic() - intended) * 1000))
        threads, begin, seconds = [], time.monotonic(), max(5, a.seconds)
        for i in range(int(80 * factor * seconds)):
            intended = begin + i / (80 * factor)
            if (delay := intended - time.monotonic()) > 0:
                time.sleep(delay)
            t = threading.Thread(target=one, args=(intended,))
            t.start()
            threads.append(t)
        for t in threads:
            t.join()
        took = time.monotonic() - begin
        good = sorted(ms for s, ms in results if s == 200)
        shed = sorted(ms for s, ms in results if s == 503)
        lost = sum(1 for s, _ in results if s == 0)
        print(f"  {factor:2}×: goodput {100 * len(good) / (80 * seconds):.1f} %  p99 {good[int(len(good) * .99)]:.0f} ms   refused {len(shed)} "
              f"p99 {shed[int(len(shed) * .99)] if shed else 0:.1f} ms   left {lost}")
    p.send_signal(signal.SIGINT)
    p.wait()


def rss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"(?m)^Pss_Anon: *(\d+)", f.read())[1])


def bench_parked(a):
    port, n = a.port + 80, 4000
    conf = {"backends": {"w": {"run": "workers", "module": os.path.join(a.build, "contrib/handlers/sleep.so"), "workers": 1, "queue": 5000,
                               "queue_timeout": "60s"}},
            "limits": {"connections_per_address": 10000},
            "routes": [{"path": "/health", "respond": {"body": "ok\n"}}, {"path_prefix": "/", "backend": "w"}]}
    p = bulkhead(a.build, port, conf, "parked")
    front = next(pid for pid in tree(p.pid) if open(f"/proc/{pid}/comm").read().startswith("bulkhead-front"))
    blocker = socket.create_connection(("127.0.0.1", port))
    blocker.sendall(b"GET /?ms=50000 HTTP/1.1\r\nHost: bench\r\n\r\n")
    before = rss(front)
    socks = []
    for i in range(n):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /?ms=1 HTTP/1.1\r\nHost: bench\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n")
        socks.append(s)
    for _ in range(200):
        if json.loads(fetch(("127.0.0.1", port + 1), "/status")[1].split(b"\r\n\r\n", 1)[1])["backends"][0]["queued"] == n:
            break
        time.sleep(0.05)
    print(f"\nparked request: {(rss(front) - before) / n:.1f} KiB each ({n} waiting; goal ≤ 10)")
    p.kill()


def stop_all():
    for p in children:
        if p.poll() is None:
            p.terminate()
    for p in children:
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
    shutil.rmtree(TMP, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["cpu", "isolation", "overload", "parked"])
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--port", type=int, default=18100)
    parser.add_argument("--nice", type=lambda s: [int(x) for x in s.split(",")], default=[10])
    a = parser.parse_args()
    a.build = os.path.abspath(a.build)
    try:
        for what in a.what:
            {"cpu": bench_cpu, "isolation": bench_isolation, "overload": bench_overload, "parked": bench_parked}[what](a)
    finally:
        stop_all()


if __name__ == "__main__":
    main()
