import { expect, it } from 'vitest';
import { readEvents, UnreadableStream } from '$/api/sse';

const encoder = new TextEncoder();

function body(...reads: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const read of reads) controller.enqueue(typeof read === 'string' ? encoder.encode(read) : read);
      controller.close();
    },
  });
}

async function heard(stream: ReadableStream<Uint8Array>): Promise<string[]> {
  const calls: string[] = [];
  await readEvents(stream, {
    onEvent: ({ id, data }) => calls.push(`${id ?? '-'}=${data}`),
    onBeat: () => calls.push('beat'),
    onRetry: (milliseconds) => calls.push(`retry ${milliseconds}`),
    onRead: () => calls.push('|'),
  });
  return calls;
}

it('gives events, beats and pauses in their order, and says where a read ends', async () => {
  expect(await heard(body('id: 1\ndata: a\n\n: beat\n\nid: 2\nda', 'ta: b\n\n', 'retry: 5000\n\n'))).toEqual([
    '1=a',
    'beat',
    '|',
    '2=b',
    '|',
    'retry 5000',
    '|',
  ]);
});

it('drops what a cut leaves half said', async () => {
  expect(await heard(body('id: 1\ndata: a\n\nid: 2\ndata: b\n'))).toEqual(['1=a', '|']);
});

it('joins a character that two reads share', async () => {
  const bytes = encoder.encode('data: 👩‍🚀\n\n');
  const reads = Array.from(bytes, (byte) => Uint8Array.of(byte));
  expect((await heard(body(...reads))).filter((call) => call !== '|')).toEqual(['-=👩‍🚀']);
});

it('takes a byte order mark and any line end', async () => {
  expect(await heard(body('\uFEFFdata: a\r\n\r\ndata: b\n\n'))).toEqual(['-=a', '-=b', '|']);
});

it('refuses bytes that are not UTF-8', async () => {
  await expect(heard(body(Uint8Array.of(0x64, 0xc3, 0x28)))).rejects.toBeInstanceOf(UnreadableStream);
});

it('refuses an event that does not end, and lets the body go', async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encoder.encode('data: '.padEnd(1024 * 1024, 'x'))),
    cancel: () => {
      cancelled = true;
    },
  });
  await expect(heard(endless)).rejects.toBeInstanceOf(UnreadableStream);
  expect(cancelled).toBe(true);
});

it('takes an event of a megabyte', async () => {
  const text = 'y'.repeat(1024 * 1024);
  expect(await heard(body('data: ', text, '\n\n'))).toContain(`-=${text}`);
});

it('fails as the body fails', async () => {
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new TypeError('Load failed')),
  });
  await expect(heard(broken)).rejects.toThrow('Load failed');
});
