import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Process } from './process';

const PROGRAM =
  process.env.GPT_R1_BIN ?? fileURLToPath(new URL('../../../../target/debug/gpt-r1', import.meta.url));

/** Settings as `SECTION__KEY`. */
export type Settings = Record<string, string>;

/** A default provider that can go on from a partial answer, and a second one that cannot. */
export function scriptedProviders(baseUrl: string): Settings {
  return {
    LOCAL_MODEL__ENABLED: 'off',
    DEFAULT_MODEL: 'steady/scripted',
    PROVIDERS__STEADY__BASE_URL: baseUrl,
    PROVIDERS__STEADY__CONTINUES: 'plain',
    PROVIDERS__BRITTLE__BASE_URL: baseUrl,
    PROVIDERS__BRITTLE__CONTINUES: 'none',
  };
}

/** The real binary with a data directory and ports of its own, which it keeps when it is started again. */
export class Server {
  #process: Process;
  #addresses: { api: string; web: string };

  private constructor(
    readonly directory: string,
    readonly settings: Settings,
    started: { process: Process; api: string; web: string },
  ) {
    this.#process = started.process;
    this.#addresses = { api: started.api, web: started.web };
  }

  static async start(settings: Settings): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), 'gpt-r1-e2e-'));
    const all = {
      LIMITS__ENABLED: 'false',
      LOCAL_SERVERS__LOOK: 'off',
      TITLES__ENABLED: 'off',
      SERVER__SHUTDOWN_DEADLINE: '1s',
      ...settings,
    };
    try {
      return new Server(directory, all, await run(directory, all, '127.0.0.1:0', '127.0.0.1:0'));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The page's origin: `http://127.0.0.1:PORT`. */
  get web(): string {
    return `http://${this.#addresses.web}`;
  }

  /** The API's root: `http://127.0.0.1:PORT/api/v1`. */
  get api(): string {
    return `http://${this.#addresses.api}/api/v1`;
  }

  get log(): string {
    return this.#process.log;
  }

  /** What makes the first administrator. */
  async setupCode(): Promise<string> {
    const [, code] = await this.#process.line(/setup code.*: ([A-Z0-9-]+)$/);
    return code ?? '';
  }

  /** `kill -9`. */
  async kill() {
    await this.#process.kill('SIGKILL');
  }

  /** SIGTERM; gives the exit code. */
  async terminate(): Promise<number | null> {
    return this.#process.kill('SIGTERM');
  }

  /** Starts it again after its end: same data, same addresses. */
  async startAgain() {
    const { api, web } = this.#addresses;
    this.#process = (await run(this.directory, this.settings, api, web)).process;
  }

  async stop() {
    await this.#process.kill('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function run(directory: string, settings: Settings, api: string, web: string) {
  const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`GPT_R1__${key}`, value]));
  const args = ['serve', '--data-dir', join(directory, 'data'), '--api-addr', api, '--web-addr', web];
  // In a directory without anybody's gpt-r1.toml.
  const process = new Process(PROGRAM, args, { env, cwd: directory });
  try {
    const [, page] = await process.line(/^ *page +http:\/\/(\S+?)\/?$/);
    const [, root] = await process.line(/^ *API +http:\/\/(\S+?)\/api\/v1$/);
    return { process, web: page ?? '', api: root ?? '' };
  } catch (error) {
    await process.kill('SIGKILL');
    throw error;
  }
}
