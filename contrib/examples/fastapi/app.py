"""A FastAPI service as it is often found: `async def` handlers that block the event loop, WebSockets' as well."""
import os
import time

import requests
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.get("/sleep")
async def sleep(seconds: float = 1.0):
    time.sleep(seconds)  # nobody else is served meanwhile
    return {"slept": seconds, "pid": os.getpid()}


@app.get("/fetch")
async def fetch(url: str):
    answer = requests.get(url, timeout=30)  # a synchronous client in an async handler
    return {"status": answer.status_code, "body": answer.text, "pid": os.getpid()}


@app.get("/compute")
async def compute(turns: int = 10_000_000):
    total = 0
    for i in range(turns):  # pure Python, holds the interpreter lock
        total += i
    return {"total": total, "pid": os.getpid()}


@app.get("/crash")
async def crash():
    os._exit(1)


@app.post("/upload")
async def upload(body: dict):
    return {"keys": sorted(body)}


@app.websocket("/ws/fetch")
async def ws_fetch(ws: WebSocket):
    await ws.accept()
    try:
        while True:
            url = await ws.receive_text()
            answer = requests.get(url, timeout=30)  # nobody answers a ping meanwhile: not here
            await ws.send_text(answer.text)
    except WebSocketDisconnect:
        pass


@app.websocket("/ws/compute")
async def ws_compute(ws: WebSocket):
    await ws.accept()
    try:
        while True:
            total = 0
            for i in range(int(await ws.receive_text())):
                total += i
            await ws.send_text(str(total))
    except WebSocketDisconnect:
        pass
