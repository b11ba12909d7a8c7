import { expect, test } from 'vitest';
import { BARE, BrowserSource, dense, numbersOf, textOf } from './support/events';
import { words } from './support/tab';
import { useWorld } from './support/world';

// Limits are on: a passing refusal is one of the things that an EventSource has to live through.
const LIMIT = 2;
const world = useWorld({ LIMITS__ENABLED: 'true', LIMITS__ATTACHES_PER_USER: String(LIMIT) });

const STREAM = '/api/v1/chat/stream';

for (const end of ['kill', 'terminate'] as const) {
  test(`an EventSource resumes by itself over a ${end} in mid-answer, and ends for good`, async () => {
    const user = await world.user();
    const conversation = await user.askAndLeave(`words 120 every 5 hold 60 ${end}`);
    const tab = await world.tab(BARE, { user });
    const source = await BrowserSource.open(tab.page, `${STREAM}?conversation_id=${conversation}`);
    await source.until('sixty words', (events) => textOf(events).trim() === words(60));
    const [first] = await source.events();
    const generation = first?.[0].split(':')[0];
    // Its address says where it began for as long as it lives: what it has had by then counts.
    const stale = await BrowserSource.open(tab.page, `${STREAM}?generation_id=${generation}&after=1.2`);
    await stale.until('it is there', (events) => events.length > 0);

    if (end === 'kill') await world.server.kill();
    else await world.server.terminate();
    world.upstream.open(end);
    await world.server.startAgain();

    const events = await source.closed();
    expect(textOf(events)).toBe(words(120));
    expect(numbersOf(events), 'each event once').toEqual(dense(events));
    expect(events.filter(([, data]) => data.includes('"resumed"')).length).toBe(1);
    expect(await source.opened()).toBeGreaterThan(1);
    const rest = await stale.closed();
    expect(rest).toEqual(events.slice(2));
    // 204 has closed it: it asks no more.
    expect(await stale.readyState()).toBe(2);
  });
}

test('a plain EventSource follows what is being written', async () => {
  const user = await world.user();
  await user.askAndLeave('words 20 hold 10 plain');
  const tab = await world.tab(BARE, { user });
  const source = await BrowserSource.open(tab.page, STREAM);
  await source.until('ten words', (events) => textOf(events).trim() === words(10));
  world.upstream.open('plain');
  const events = await source.closed();
  expect(textOf(events)).toBe(words(20));
  expect(numbersOf(events)).toEqual(dense(events));
});

test('a refusal that passes does not end an EventSource', async () => {
  const user = await world.user();
  const conversation = await user.askAndLeave('words 20 hold 10 limit');
  const others = new AbortController();
  for (let n = 0; n < LIMIT; n += 1) {
    const response = await fetch(`${world.server.api}/chat/stream?conversation_id=${conversation}`, {
      headers: { authorization: `Bearer ${user.token}` },
      signal: others.signal,
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
  }
  const tab = await world.tab(BARE, { user });
  const source = await BrowserSource.open(tab.page, `${STREAM}?conversation_id=${conversation}`);
  // Refused, told when to come back, refused again.
  await expect.poll(() => source.opened(), { timeout: 60_000, interval: 50 }).toBeGreaterThan(1);
  expect(await source.events()).toEqual([]);
  expect(await source.readyState()).not.toBe(2);
  others.abort();
  await source.until('ten words', (events) => textOf(events).trim() === words(10));
  world.upstream.open('limit');
  const events = await source.closed();
  expect(textOf(events)).toBe(words(20));
  expect(numbersOf(events)).toEqual(dense(events));
});

test('what is not there ends it at once', async () => {
  const user = await world.user();
  const stranger = await world.user();
  const conversation = await stranger.askAndLeave('words 3');
  const tab = await world.tab(BARE, { user });
  for (const query of ['', `?conversation_id=${conversation}`, '?after=x']) {
    const source = await BrowserSource.open(tab.page, STREAM + query);
    expect(await source.closed()).toEqual([]);
  }
});
