# SPDX-License-Identifier: MIT
"""contrib/examples/fastapi: an unmodified FastAPI application whose WebSocket handlers block, behind a bridge."""
import asyncio
import time

import pytest
import websockets

from harness import SLOW
from test_examples import example, slow_server  # noqa: F401: a fixture


async def pings(url, over):
    """Pings until the other has what it waits for; the longest wait for a pong, and how many came."""
    longest = count = 0
    async with websockets.connect(url, ping_interval=None) as ws:
        while not over.is_set():
            started = time.monotonic()
            await asyncio.wait_for(await ws.ping(), 10 * SLOW)
            longest, count = max(longest, time.monotonic() - started), count + 1
            await asyncio.sleep(0.02)
        assert ws.open
    return longest, count


async def asks(url, messages, over):
    try:
        async with websockets.connect(url, ping_interval=0.2, ping_timeout=5 * SLOW) as ws:
            answers = []
            for message in messages:
                await ws.send(message)
                answers.append(await ws.recv())
            return answers
    finally:
        over.set()


@pytest.mark.parametrize("path, message, answer", [("fetch", None, "slow"), ("compute", "10000000", "49999995000000")])
def test_clients_are_kept_while_every_process_is_blocked(path, message, answer, slow_server):  # noqa: F811
    def change(conf):
        conf["backends"]["app"]["workers"] = 1  # so that both clients have the same

    async def main(url):
        over = asyncio.Event()
        (longest, count), answers = await asyncio.gather(pings(url, over), asks(url, [message or slow_server] * 3, over))
        assert answers == [answer] * 3
        assert count > 10 and longest < 0.25 * SLOW, "no pong waited for the application"
    with example("fastapi", change) as b:
        b.wait_workers("app", 1)
        asyncio.run(main(f"ws://127.0.0.1:{b.port}/ws/{path}"))
        assert b.get("/sleep?seconds=0").json["slept"] == 0, "and ordinary requests go on"
