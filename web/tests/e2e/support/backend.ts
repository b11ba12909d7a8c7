import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, type Settings, scriptedProviders } from './server';
import { Upstream } from './upstream';

/** Where a failed test leaves pictures. */
const FAILURES = join(tmpdir(), 'gpt-r1-e2e-failures');

/** What a file of tests needs beside a browser: a scripted model, and a server that asks it. */
export class Backend {
  #upstream: Upstream | undefined;
  #server: Server | undefined;

  get server(): Server {
    if (!this.#server) throw new Error('the server is not started yet');
    return this.#server;
  }

  get upstream(): Upstream {
    if (!this.#upstream) throw new Error('the upstream is not started yet');
    return this.#upstream;
  }

  /** `null` in place of settings: the binary alone, as a fresh checkout has it. */
  async start(settings: Settings | null = {}) {
    if (settings === null) {
      this.#server = await Server.start({});
      return;
    }
    this.#upstream = await Upstream.start();
    this.#server = await Server.start({ ...scriptedProviders(this.#upstream.baseUrl), ...settings });
  }

  async stop() {
    await this.#server?.stop();
    await this.#upstream?.stop();
  }

  /** What is left of a failed test: pictures, which `take` puts where it is told, and the end of the server's log. */
  protected async keep(test: string, take: (path: (n: number) => string) => Promise<void>) {
    await mkdir(FAILURES, { recursive: true });
    const name = test.replaceAll(/\W+/g, '-').slice(0, 100);
    await take((n) => join(FAILURES, `${name}-${n}.png`));
    console.error(this.server.log.split('\n').slice(-30).join('\n'));
  }
}
