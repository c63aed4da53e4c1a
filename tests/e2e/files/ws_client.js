// SPDX-License-Identifier: MIT
//
// What a program with npm's ws sees of a server: node ws_client.js URL MESSAGE…. Pings every 100 ms until each message has
// been answered and ten pongs have come, closes with 3000, and prints all of it as JSON.
"use strict";
const { WebSocket } = require("ws");

const [url, ...messages] = process.argv.slice(2);
const seen = { answers: [], pongs: 0, error: null };
const socket = new WebSocket(url, { headers: { "X-Client": "node" } });

function closeWhenDone() {
    if (seen.answers.length === messages.length && seen.pongs >= 10)
        socket.close(3000, "seen enough");
}

socket.on("open", () => {
    messages.forEach((message) => socket.send(message));
    socket.send(Buffer.from([0, 255, 254]), { binary: true });
    messages.push("the binary one");
    const timer = setInterval(() => socket.ping("are you there"), 100);
    socket.on("close", () => clearInterval(timer));
});
socket.on("pong", (data) => {
    if (data.toString() === "are you there")
        seen.pongs++;
    closeWhenDone();
});
socket.on("message", (data, isBinary) => {
    seen.answers.push(isBinary ? [...data] : data.toString());
    closeWhenDone();
});
socket.on("error", (error) => { seen.error = error.message; });
socket.on("close", (code) => console.log(JSON.stringify({ ...seen, code })));
