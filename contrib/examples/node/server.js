// A Node service whose handler computes: the event loop stops meanwhile.
'use strict';
const http = require('http');

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/compute') {
    const until = Date.now() + Number(url.searchParams.get('ms') || 200);
    while (Date.now() < until);
  }
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', () => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ pid: process.pid, method: request.method, url: request.url, body }) + '\n');
  });
}).listen({ fd: 3 });
