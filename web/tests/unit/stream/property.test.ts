import { expect, it } from 'vitest';
import { FaultyServer, generator } from './faulty_server';
import { attachFrom, Recorder, SEND, World } from './world';

const RUNS = Number(process.env.STREAM_RUNS ?? 400);
const FIRST = Number(process.env.STREAM_SEED ?? 1);
const ACTS = 80;

async function run(seed: number): Promise<Map<string, number>> {
  const chance = generator(seed);
  const world = new World();
  world.chance = chance;
  const sink = new Recorder();
  const server = new FaultyServer(world, sink, chance);
  world.open(seed % 3 === 0 ? attachFrom(null) : SEND, sink);
  for (let i = 0; i < ACTS; i++) {
    await server.act();
    expect(server.knows(sink.text), `seed ${seed}, act ${i}: ${JSON.stringify(sink.text)}`).toBe(true);
  }
  await server.heal();
  expect(sink.end, `seed ${seed}`).toMatchObject({ status: 'completed' });
  expect(sink.text, `seed ${seed}`).toBe(server.text);
  expect(sink.parts, `seed ${seed}`).toEqual(server.parts);
  expect([sink.finals, world.timers, world.listeners], `seed ${seed}`).toEqual([1, 0, 0]);
  return server.acts;
}

it(`the sink has the log's text, each word once and in order, and one end, over ${RUNS} bad days`, async () => {
  const acts = new Map<string, number>();
  for (let seed = FIRST; seed < FIRST + RUNS; seed++) {
    for (const [name, count] of await run(seed)) acts.set(name, (acts.get(name) ?? 0) + count);
  }
  expect(acts.size, 'every fault has happened').toBeGreaterThanOrEqual(RUNS > 20 ? 28 : 1);
});
