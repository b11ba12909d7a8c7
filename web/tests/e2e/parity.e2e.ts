import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import { expect, test } from 'vitest';
import { readEvents } from '../../src/api/sse';
import type { Api } from './support/api';
import { BARE, BrowserSource, type Pair } from './support/events';
import { strictly } from './support/strict';
import { useWorld } from './support/world';

const world = useWorld();

/** Everything that a parser of event streams could take for its own. */
const NASTY = [
  '\uFEFF',
  '\uFEFFbyte order mark first',
  'line\nfeed',
  'carriage\rreturn',
  'both\r\nof\n\rthem',
  '\n',
  '\r',
  '\n\n',
  '\r\n\r\n',
  '\u2028line\u2028separators\u2029\u2029 and \u0085 and \u000b\u000c\u001c\u001d\u001e',
  'NUL \u0000 and its name \\u0000',
  '\u0000',
  ...Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)),
  '\u007f\u0080\u009f',
  'data:',
  'data: ',
  '\ndata: {"type": "end"}\n\n',
  'id: x',
  '\nid: x\n\ndata: y\n\n',
  'id\u0000',
  ':',
  ': comment',
  '::: a:b : c',
  'retry: 1',
  'event: end',
  '[DONE]',
  '{"type": "error"}',
  '\\"quoted\\" and "plain" \\ \\\\ \\n /',
  '</script><!--',
  '👩‍🚀👨‍👩‍👧‍👦🏳️‍🌈🇩🇪',
  'e\u0301 n\u0303 a\u0308\u0323 Z̷̢̛͙̈́a̶l̸g̷o̶',
  '\u0301',
  '\u200b',
  '\u200d',
  ' ',
  '\t',
  '\u{10FFFF}\uFFFD\uFFFE\uFFFF\uE000',
  'עברית \u202Eright to left\u202C العربية',
  '漢字かな交じり文',
  'trailing space ',
  ' leading space',
  '+1 %0A %0D%0A &amp; \\u000a',
];

/** The bytes of an answer with these chunks, as they come from the server. */
async function answered(user: Api, chunks: (string | [string, number])[]): Promise<Uint8Array> {
  const message = `chunks\n${ascii(chunks)}`;
  const response = await user.request('POST', '/chat/stream', { message });
  return new Uint8Array(await response.arrayBuffer());
}

/** JSON that no hop on the way to the model could change. */
function ascii(value: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replaceAll(/[^ -~]/g, escaped);
}

/** A body as a network may bring it: in the pieces between these cuts. */
function pieces(body: Uint8Array, cuts: number[]): Uint8Array[] {
  return [0, ...cuts].map((from, n) => body.subarray(from, cuts[n] ?? body.length));
}

async function byPage(parts: Uint8Array[]): Promise<Pair[]> {
  const events: Pair[] = [];
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const part of parts) if (part.length > 0) controller.enqueue(part);
      controller.close();
    },
  });
  await readEvents(stream, { onEvent: ({ id, data }) => events.push([id ?? '', data]), onBeat: () => {} });
  return events;
}

function byPackage(parts: Uint8Array[]): Pair[] {
  const events: Pair[] = [];
  const faults: unknown[] = [];
  const parser = createParser({
    onEvent: ({ id, data }) => events.push([id ?? '', data]),
    onError: (error) => faults.push(error),
  });
  const decoder = new TextDecoder();
  for (const part of parts) parser.feed(decoder.decode(part, { stream: true }));
  expect(faults).toEqual([]);
  return events;
}

/** The npm package's EventSource on the server itself, to the 204 that ends it. */
async function byPackageSource(user: Api, generation: string): Promise<Pair[]> {
  const events: Pair[] = [];
  const source = new EventSource(`${world.server.api}/chat/stream?generation_id=${generation}`, {
    fetch: (url, init) =>
      fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${user.token}` } }),
  });
  source.addEventListener('message', (event) => events.push([event.lastEventId, event.data as string]));
  await expect.poll(() => source.readyState, { timeout: 60_000, interval: 20 }).toBe(source.CLOSED);
  return events;
}

/** All readers' events of the same bytes; they are the strict reader's. */
async function readByAll(user: Api, body: Uint8Array): Promise<Pair[]> {
  const expected = await strictly(body);
  expect(await byPage([body]), 'the page').toEqual(expected);
  expect(byPackage([body]), 'eventsource-parser').toEqual(expected);
  const generation = expected[0]?.[0].split(':')[0] ?? '';
  expect(await byPackageSource(user, generation), 'eventsource').toEqual(expected);
  const tab = await world.tab(BARE, { user });
  const source = await BrowserSource.open(tab.page, `/api/v1/chat/stream?generation_id=${generation}`);
  expect(await source.closed(), 'Chromium').toEqual(expected);
  return expected;
}

function chunksOf(events: Pair[]): string[] {
  const payloads = events.map(([, data]) => JSON.parse(data) as { type: string; content: string });
  return payloads.filter(({ type }) => type === 'chunk').map(({ content }) => content);
}

test('every reader takes the same events out of a nasty answer, wherever it is cut', async () => {
  const user = await world.user();
  const body = await answered(user, NASTY);
  const expected = await readByAll(user, body);
  expect(chunksOf(expected)).toEqual(NASTY);
  // As text: ten thousand comparisons of what is the same.
  const same = JSON.stringify(expected);
  for (let cut = 1; cut < body.length; cut += 1) {
    const parts = pieces(body, [cut]);
    expect(JSON.stringify(byPackage(parts)), `eventsource-parser, cut at ${cut}`).toBe(same);
    expect(JSON.stringify(await byPage(parts)), `the page, cut at ${cut}`).toBe(same);
  }
  const bytes = pieces(
    body,
    Array.from({ length: body.length - 1 }, (_, n) => n + 1),
  );
  expect(byPackage(bytes), 'eventsource-parser, byte by byte').toEqual(expected);
  expect(await byPage(bytes), 'the page, byte by byte').toEqual(expected);
});

test('every reader takes a chunk of 200 kB as one event', async () => {
  const user = await world.user();
  const body = await answered(user, ['before', ['0123456789\r\né👩‍🚀', 10_000], 'after']);
  const expected = await readByAll(user, body);
  expect(chunksOf(expected)).toEqual(['before', '0123456789\r\né👩‍🚀'.repeat(10_000), 'after']);
  // In reads of any size from one byte to all of it, which is not a multiple of any of them.
  for (let size = 7; size < body.length; size = size * 3 + 1) {
    const cuts = Array.from({ length: Math.ceil(body.length / size) - 1 }, (_, n) => (n + 1) * size);
    expect(byPackage(pieces(body, cuts)), `eventsource-parser, ${size} at a time`).toEqual(expected);
    expect(await byPage(pieces(body, cuts)), `the page, ${size} at a time`).toEqual(expected);
  }
});
