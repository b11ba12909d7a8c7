import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A provider that gives the same answer to everybody, once it is told to. */
export class NamingProvider {
  readonly #server: Server;
  #go: () => void = () => {};
  #told = new Promise<void>((go) => {
    this.#go = go;
  });

  private constructor(answer: string) {
    this.#server = createServer((request, response) => {
      request.resume();
      if (request.method === 'GET') {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'namer', object: 'model' }] }));
        return;
      }
      void this.#told.then(() => {
        const choice = { index: 0, delta: { content: answer }, finish_reason: 'stop' };
        response.setHeader('content-type', 'text/event-stream');
        response.end(`data: ${JSON.stringify({ choices: [choice] })}\n\ndata: [DONE]\n\n`);
      });
    });
  }

  static async start(answer: string): Promise<NamingProvider> {
    const provider = new NamingProvider(answer);
    await new Promise<void>((listening) => provider.#server.listen(0, '127.0.0.1', listening));
    return provider;
  }

  /** Lets all answers go. */
  tell() {
    this.#go();
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}
