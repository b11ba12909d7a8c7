import { type AddressInfo, createServer } from 'node:net';
import { vi } from 'vitest';
import { PATIENCE, Process } from '../../e2e/support/process';

/** How the protocol names an element. */
export type Element = Record<'element-6066-11e4-a52e-4f735466cecf', string>;

/** What a key without a letter is called on the wire. */
export const KEYS = {
  backspace: '\uE003',
  enter: '\uE007',
  shift: '\uE008',
  control: '\uE009',
  escape: '\uE00C',
  pageUp: '\uE00E',
  end: '\uE010',
  down: '\uE015',
};

const DRIVER = process.env.WEBKIT_DRIVER ?? 'WebKitWebDriver';

/**
 * WebKitGTK behind W3C WebDriver, on a display of its own. It has one session and one window, for the file that
 * started it.
 */
export class Driver {
  private constructor(
    private readonly processes: Process[],
    private readonly session: string,
  ) {}

  static async start(): Promise<Driver> {
    const processes = [
      // The display's number is the first free one, and is printed.
      new Process(process.env.XVFB ?? 'Xvfb', [
        '-displayfd',
        '1',
        '-screen',
        '0',
        '1400x1000x24',
        '-nolisten',
        'tcp',
      ]),
    ];
    try {
      const [display] = await started(processes[0] as Process, 'xvfb', (xvfb) => xvfb.line(/^\d+$/));
      const port = await freePort();
      const env = { DISPLAY: `:${display}`, LIBGL_ALWAYS_SOFTWARE: '1' };
      const driver = new Process(DRIVER, [`--port=${port}`, '--host=127.0.0.1'], { env });
      processes.push(driver);
      const root = `http://127.0.0.1:${port}`;
      await started(driver, 'webkit2gtk-driver', () => reachable(driver, `${root}/status`));
      const capabilities = { alwaysMatch: { browserName: 'MiniBrowser' } };
      const { sessionId } = await call<{ sessionId: string }>('POST', `${root}/session`, { capabilities });
      return new Driver(processes, `${root}/session/${sessionId}`);
    } catch (error) {
      await end(processes);
      throw error;
    }
  }

  async stop() {
    await call('DELETE', this.session).catch(() => {});
    await end(this.processes);
  }

  async resize(width: number, height: number) {
    await call('POST', `${this.session}/window/rect`, { width, height });
  }

  /** Returns once the page's `load` event is over. */
  async goto(url: string) {
    await call('POST', `${this.session}/url`, { url });
  }

  async reload() {
    await call('POST', `${this.session}/refresh`, {});
  }

  async url(): Promise<URL> {
    return new URL(await call<string>('GET', `${this.session}/url`));
  }

  /** Runs a function in the page, or in the frame chosen last. It is given JSON, and gives JSON or an element. */
  async run<A extends unknown[], R>(body: (...given: A) => R | Promise<R>, ...given: A): Promise<R> {
    const script = `return (${body}).apply(null, arguments)`;
    return call('POST', `${this.session}/execute/sync`, { script, args: given });
  }

  /** What `run` looks at from now on: a frame, or the page itself. */
  async lookInto(frame: Element | null) {
    await call('POST', `${this.session}/frame`, { id: frame });
  }

  /** A click as a mouse does it, in the element's middle. */
  async click(element: Element) {
    await call('POST', `${this.session}/element/${id(element)}/click`, {});
  }

  /** Focuses the element and types. */
  async type(element: Element, text: string) {
    await call('POST', `${this.session}/element/${id(element)}/value`, { text });
  }

  /** Presses keys together, where the focus is. */
  async press(...keys: string[]) {
    const actions = [
      ...keys.map((value) => ({ type: 'keyDown', value })),
      ...keys.toReversed().map((value) => ({ type: 'keyUp', value })),
    ];
    await call('POST', `${this.session}/actions`, { actions: [{ type: 'key', id: 'keyboard', actions }] });
  }

  async forgetCookies() {
    await call('DELETE', `${this.session}/cookie`);
  }

  /** A picture of the window, as PNG. */
  async screenshot(): Promise<Buffer> {
    return Buffer.from(await call<string>('GET', `${this.session}/screenshot`), 'base64');
  }
}

function id(element: Element): string {
  return element['element-6066-11e4-a52e-4f735466cecf'];
}

async function call<T>(method: string, url: string, body?: object): Promise<T> {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(PATIENCE),
    ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
  });
  const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
  if (response.ok) return value;
  throw new Error(`${method} ${new URL(url).pathname}: ${value.error}: ${value.message}`);
}

/** What a program says once it stands. If it does not start, the error names its package. */
async function started<T>(
  process: Process,
  debian: string,
  ready: (process: Process) => Promise<T>,
): Promise<T> {
  try {
    return await ready(process);
  } catch (error) {
    throw new Error(`It did not start (Debian: apt-get install ${debian}). ${process.log}`, { cause: error });
  }
}

/** Waits for an answer from there, as long as the process lives. */
async function reachable(process: Process, url: string) {
  const ended = process.ended.then((code) => {
    throw new Error(`it ended (${code})`);
  });
  await Promise.race([ended, vi.waitFor(() => call('GET', url), { timeout: PATIENCE, interval: 20 })]);
}

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/** The newest first: the browser goes before its display. */
async function end(processes: Process[]) {
  for (const process of processes.toReversed()) await process.kill('SIGTERM');
}
