import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Pair } from './events';

const PROGRAM =
  process.env.R1_FRAMES ?? fileURLToPath(new URL('../../../../target/debug/r1-frames', import.meta.url));

/** What the server's own strict reader makes of a body. It refuses whatever the server never sends. */
export async function strictly(body: Uint8Array): Promise<Pair[]> {
  const program = spawn(PROGRAM, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  program.stdin.end(body);
  const parts: Buffer[] = [];
  for await (const part of program.stdout) parts.push(part as Buffer);
  const code = program.exitCode ?? (await new Promise((resolve) => program.once('exit', resolve)));
  if (code !== 0) throw new Error(`r1-frames refused the body (${code})`);
  const lines = Buffer.concat(parts).toString('utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Pair);
}
