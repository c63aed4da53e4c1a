#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""WebSocket: bulkhead side by side with uvicorn and with libh2o's own glue.

    tests/bench/websocket.py [--build DIR] [--seconds S] [--rounds N] [pong] [idle] [handshake] [message]

pong        time from a ping to its pong, 5 idle and 50 busy connections that ping every 200 ms while each busy one sends one
            blocking message after the other (100 ms; asleep, then computing); a drop is a pong later than 2 s
idle        user-space memory of 20,000 idle connections, and the CPU that their pings take; fewer where the limit of
            open files is below 27,000
handshake   CPU of a handshake, beside libh2o's
message     CPU of the front, and of all processes, for a message through `messages` into a native handler

Servers share the machine's CPUs in `pong`; elsewhere they are pinned to CPU 0 and the clients to CPU 1. Nothing here asserts
anything: read the figures.
"""
import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import time

import run
from run import TMP, Server, bulkhead, cpu_ns, start, tree, wait_for

APP = """
import asyncio, concurrent.futures, time
from fastapi import FastAPI, WebSocket, Request
from starlette.websockets import WebSocketDisconnect
app = FastAPI()
pool = None

def sleep():
    time.sleep(0.1)

def compute():
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass

WORK = {"sleep": sleep, "compute": compute}

@app.get("/health")
async def health():
    return {}

@app.websocket("/inline")
async def inline(ws: WebSocket):
    await ws.accept()
    try:
        while True:
            WORK[await ws.receive_text()]()
            await ws.send_text("done")
    except WebSocketDisconnect:
        pass

@app.websocket("/offloaded")
async def offloaded(ws: WebSocket):
    global pool
    if pool is None:
        pool = {"sleep": concurrent.futures.ThreadPoolExecutor(4), "compute": concurrent.futures.ProcessPoolExecutor(4)}
    await ws.accept()
    loop = asyncio.get_running_loop()
    try:
        while True:
            job = await ws.receive_text()
            await loop.run_in_executor(pool[job], WORK[job])
            await ws.send_text("done")
    except WebSocketDisconnect:
        pass

@app.post("/message")
async def message(request: Request):
    WORK[(await request.body()).decode()]()
    return "done"
"""

MANY = {"connections": 100000, "connections_per_address": 100000}


def tool(a, name):
    return os.path.join(a.build, "tests/bench", name)


def load(a, port, path, *what, cpu="0,1"):
    out = subprocess.run(["taskset", "-c", cpu, tool(a, "ws_load"), str(port), path, *map(str, what)], capture_output=True,
                         text=True)
    if out.returncode != 0:
        raise SystemExit(f"bench: {out.stderr}")
    return json.loads(out.stdout)


def stop(*processes):
    for p in processes:
        p.send_signal(signal.SIGINT)
    for p in processes:
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def pong(a):
    directory = os.path.join(TMP, "app")
    os.mkdir(directory)
    with open(os.path.join(directory, "app.py"), "w") as f:
        f.write(APP)
    uvicorn = ["uvicorn", "--log-level", "error", "--no-access-log"]
    app = {"run": "workers", "command": [*uvicorn, "--fd", "3", "app:app"], "workers": 4, "directory": directory, "queue": 100,
           "queue_timeout": "60s"}
    conf = {"backends": {"app": app, "bridged": app},
            "routes": [{"path": "/inline", "websocket": "bridge", "backend": "bridged"},
                       {"path": "/message", "websocket": "messages", "backend": "app"},
                       {"path_prefix": "/", "backend": "app"}]}
    # what it says of the connections that it loses is not of interest
    plain = start([*uvicorn, "--port", str(a.port), "app:app"], cpu="0,1", cwd=directory, stderr=subprocess.DEVNULL)
    own = bulkhead(a.build, a.port + 10, conf, "pong", cpu="0,1")
    wait_for(("127.0.0.1", a.port))
    wait_for(("127.0.0.1", a.port + 10))
    time.sleep(5)  # the other workers start
    subjects = [("uvicorn inline", a.port, "/inline"), ("uvicorn offloaded by hand", a.port, "/offloaded"),
                ("bulkhead, messages", a.port + 10, "/message"), ("bulkhead, bridge", a.port + 10, "/inline")]
    for work in ("sleep", "compute"):
        print(f"\nping to pong while messages block ({work} 100 ms), 5 idle + 50 busy, {a.seconds} s")
        for name, port, path in subjects:
            r = load(a, port, path, "load", 5, 50, 200, a.seconds, work)
            print(f"  {name:26} p50 {r['p50']:.2f}  p99 {r['p99']:.2f}  max {r['max']:.2f} ms   dropped {r['dropped']}  "
                  f"lost {r['lost']}  answered {r['messages'] / a.seconds:.1f}/s")
    stop(plain, own)


def front_of(process):
    for pid in tree(process.pid):
        with open(f"/proc/{pid}/comm") as f:
            if f.read().strip() == "bulkhead-front":
                return pid
    raise SystemExit("bench: no front")


def native(a, name, **more):
    empty = tool(a, "empty.so")
    route = {"websocket": {"mode": "messages", **more}}
    conf = {"limits": dict(MANY), "backends": {"worker": {"run": "workers", "module": empty, "workers": 16, "queue": 1000},
                                               "thread": {"run": "threads", "module": empty, "threads": 16, "queue": 1000}},
            "routes": [{"path": "/worker", "backend": "worker", **route}, {"path": "/thread", "backend": "thread", **route}]}
    return bulkhead(a.build, a.port + 20, conf, name)


def idle(a):
    count, seconds = min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 3 // 4), 40
    own = native(a, "idle")
    floor = start([tool(a, "h2o_ws"), str(a.port + 30)])
    time.sleep(1)
    print(f"\n{count} idle connections")
    for name, port, path, pid in (("bulkhead", a.port + 20, "/worker", front_of(own)), ("libh2o's glue", a.port + 30, "/", floor.pid)):
        before = run.rss(pid)
        holder = start([tool(a, "ws_load"), str(port), path, "hold", str(count)], cpu="1", stdout=subprocess.PIPE,
                       stdin=subprocess.PIPE)
        holder.stdout.readline()
        time.sleep(2)
        after, cpu = run.rss(pid), cpu_ns([pid])
        time.sleep(seconds)
        used = (cpu_ns([pid]) - cpu) / seconds / 1e9
        print(f"  {name:14} {(after - before) / count:.2f} KiB each; CPU {100 * used:.2f} % of a core over {seconds} s")
        holder.stdin.close()
        holder.wait()
    stop(own, floor)


def handshake(a):
    own = native(a, "handshake")
    floor = start([tool(a, "h2o_ws"), str(a.port + 30)])
    time.sleep(1)
    figures = {}
    for _ in range(a.rounds):
        for name, port, path, pids in (("bulkhead", a.port + 20, "/worker", [front_of(own)]),
                                       ("libh2o's glue", a.port + 30, "/", [floor.pid])):
            before = cpu_ns(pids)
            done = load(a, port, path, "shake", 16, a.seconds, cpu="1")["handshakes"]
            figures.setdefault(name, []).append((cpu_ns(pids) - before) / done / 1000)
    print(f"\nCPU of connect + handshake + reset, µs (median of {a.rounds} rounds, min–max)")
    for name, us in figures.items():
        print(f"  {name:14} {statistics.median(us):.2f}   {min(us):.2f}–{max(us):.2f}")
    ratio = statistics.median(figures["bulkhead"]) / statistics.median(figures["libh2o's glue"])
    print(f"  {ratio:.2f} × libh2o's (goal ≤ 1.1)")
    stop(own, floor)


def message(a):
    own = native(a, "message")
    server, front = Server("bulkhead", a.port + 20, own), [front_of(own)]
    print(f"\nCPU of a message of 64 bytes into a native handler and its answer, µs (median of {a.rounds} rounds)")
    for clients in (1, 16):
        for path in ("/worker", "/thread"):
            us = []
            for _ in range(a.rounds):
                of_front, of_all = cpu_ns(front), cpu_ns(server.pids())
                done = load(a, a.port + 20, path, "echo", clients, a.seconds, 64, cpu="1")["messages"]
                us.append(((cpu_ns(front) - of_front) / done / 1000, (cpu_ns(server.pids()) - of_all) / done / 1000))
            print(f"  {clients:2} clients {path:8} front {statistics.median(x for x, _ in us):.2f} (goal ≤ 15), "
                  f"all {statistics.median(y for _, y in us):.2f}")
    stop(own)


def main():
    benches = {"pong": pong, "idle": idle, "handshake": handshake, "message": message}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="*", choices=[[], *benches], default=[])
    p.add_argument("--build", default=run.TOP)
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--port", type=int, default=19300)
    a = p.parse_args()
    a.build = os.path.abspath(a.build)
    try:
        for name in a.what or benches:
            benches[name](a)
    finally:
        run.stop_all()


if __name__ == "__main__":
    main()
