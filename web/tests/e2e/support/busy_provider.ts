import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A provider that has always too much to do, and says after how many seconds to come back. */
export class BusyProvider {
  /** How often it was asked for an answer. */
  asked = 0;
  readonly #server: Server;

  private constructor(retryAfter: number) {
    this.#server = createServer((request, response) => {
      request.resume();
      response.setHeader('content-type', 'application/json');
      if (request.method === 'GET') {
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'full', object: 'model' }] }));
        return;
      }
      this.asked += 1;
      response.writeHead(429, { 'retry-after': String(retryAfter) });
      response.end(
        JSON.stringify({ error: { message: 'Rate limit reached.', code: 'rate_limit_exceeded' } }),
      );
    });
  }

  static async start(retryAfter: number): Promise<BusyProvider> {
    const provider = new BusyProvider(retryAfter);
    await new Promise<void>((listening) => provider.#server.listen(0, '127.0.0.1', listening));
    return provider;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}
