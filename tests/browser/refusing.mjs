/** A destination that refuses every document for good. */

import http from 'node:http';
import { REFUSING_PORT } from './world.mjs';

/** @returns {Promise<{close: () => void}>} */
export function startRefusing() {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(400, { 'content-type': 'text/plain' });
      response.end('refused by the test');
    });
  });
  const handle = {
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return new Promise((resolve) => server.listen(REFUSING_PORT, '127.0.0.1', () => resolve(handle)));
}
