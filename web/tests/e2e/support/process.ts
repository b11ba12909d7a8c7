import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Longest wait for anything that must happen, in milliseconds. */
export const PATIENCE = 20_000;

/** A child process whose output is kept and whose lines can be awaited. */
export class Process {
  readonly child: ChildProcess;
  /** Everything it wrote, both streams. */
  log = '';
  readonly ended: Promise<number | null>;
  #lines: string[] = [];
  #waiting: (() => void)[] = [];
  #over = false;

  constructor(command: string, args: string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
    // Nothing of our environment but what any program needs: nobody's provider key.
    const env: Record<string, string> = {};
    for (const name of ['PATH', 'HOME', 'XDG_CACHE_HOME', 'TMPDIR', 'LLVM_PROFILE_FILE']) {
      const value = process.env[name];
      if (value !== undefined) env[name] = value;
    }
    this.child = spawn(command, args, { cwd: options.cwd, env: { ...env, ...options.env } });
    this.ended = new Promise((resolve) => {
      const over = (code: number | null) => {
        this.#over = true;
        this.#wake();
        resolve(code);
      };
      this.child.once('exit', over);
      this.child.once('error', (error) => {
        this.log += `${error}\n`;
        over(null);
      });
    });
    this.child.stderr?.on('data', (data) => {
      this.log += data;
    });
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        this.log += `${line}\n`;
        this.#lines.push(line);
        this.#wake();
      });
    }
  }

  /** The first line of standard output that matches. Throws when the process ends, or takes too long. */
  async line(pattern: RegExp): Promise<RegExpMatchArray> {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      for (const line of this.#lines) {
        const match = line.match(pattern);
        if (match) return match;
      }
      if (this.#over) throw new Error(`it ended before it said ${pattern}:\n${this.log}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`it did not say ${pattern}:\n${this.log}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Sends the signal and waits for the end. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.#over) this.child.kill(signal);
    return this.ended;
  }

  #wake() {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
