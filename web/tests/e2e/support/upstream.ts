import { fileURLToPath } from 'node:url';
import { Process } from './process';

const PROGRAM =
  process.env.R1_UPSTREAM ?? fileURLToPath(new URL('../../../../target/debug/r1-upstream', import.meta.url));

/** The scripted model: answers as the question asks (see `crates/r1-testkit/src/bin/r1-upstream`). */
export class Upstream {
  private constructor(
    readonly process: Process,
    /** What a provider is configured with. */
    readonly baseUrl: string,
  ) {}

  static async start(): Promise<Upstream> {
    const process = new Process(PROGRAM, []);
    const [baseUrl] = await process.line(/^http:\S+$/);
    return new Upstream(process, baseUrl);
  }

  /** Lets every answer that waits, or will wait, at this gate go on. */
  open(gate: string) {
    this.process.child.stdin?.write(`open ${gate}\n`);
  }

  async stop() {
    await this.process.kill('SIGKILL');
  }
}
