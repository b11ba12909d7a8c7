import { beforeEach, describe, expect, test, vi } from 'vitest';
import { MessageView } from '$/state/message.svelte';
import { type Content, contentsOf, plain, ReasoningView } from '$/state/part.svelte';
import { generator } from '../stream/faulty_server';

const ended = { status: 'completed' as const, finishReason: 'stop', error: null };
const row = {
  id: 'a1',
  role: 'assistant',
  content: 'Hello',
  status: 'running',
  created_at: '2026-03-12T12:00:00Z',
};
const thought = (content: string, more = {}) => ({ type: 'reasoning', content, ...more });
const said = (content: string) => ({ type: 'text', content });

/** What a message shows, as `reasoning:…`, `text:…`; the empty text at the end left out. */
function shown(view: MessageView): string[] {
  const parts = view.parts.map(({ kind, text }) => `${kind}:${text}`);
  return parts.at(-1) === 'text:' ? parts.slice(0, -1) : parts;
}

function asked(): MessageView {
  const view = new MessageView('assistant', 'a1', 'q1');
  view.status = 'running';
  view.restart(true);
  return view;
}

/** The part that was thought, of a message that has one. */
function thoughts(view: MessageView): ReasoningView {
  const part = view.parts.find((each) => each instanceof ReasoningView);
  if (!part) throw new Error('nothing was thought');
  return part;
}

/** Everything that a follower of each part has seen, in order. */
function watched(view: MessageView): string[] {
  const calls: string[] = [];
  for (const [n, part] of view.parts.entries()) {
    part.follow({
      reset: (text) => calls.push(`${n} reset ${text}`),
      append: (text) => calls.push(`${n} append ${text}`),
      finish: () => calls.push(`${n} finish`),
    });
  }
  calls.length = 0;
  return calls;
}

beforeEach(() => {
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

describe('a row', () => {
  test('holds what it says, in order; what this page does not know is passed over', () => {
    const parts = [
      thought('Hm', { duration_ms: 4200 }),
      { type: 'of_tomorrow', x: 1 },
      said('Hel'),
      said('lo'),
    ];
    const view = MessageView.of({ ...row, status: 'completed', parts } as typeof row);
    expect(shown(view)).toEqual(['reasoning:Hm', 'text:Hello']);
    expect([view.text, view.length, thoughts(view).duration]).toEqual(['Hello', 5, 4200]);
    expect([thoughts(view).live, view.untimed]).toEqual([false, false]);
  });

  test('without parts is its text, and so is one whose parts say something else', () => {
    expect(contentsOf(row)).toEqual(plain('Hello'));
    for (const parts of [
      null,
      [],
      [{ type: 'of_tomorrow' }],
      [thought('Hm'), said('Bye')],
      [thought('Hm')],
    ]) {
      expect(contentsOf({ ...row, parts } as typeof row)).toEqual(plain('Hello'));
    }
  });

  test('of an answer that has only thoughts has the place of its first word, and thinks on', () => {
    const view = MessageView.of({ ...row, content: '', parts: [thought('Hm')] } as typeof row);
    expect(view.parts.map(({ kind }) => kind)).toEqual(['reasoning', 'text']);
    expect([view.length, thoughts(view).live, thoughts(view).began]).toEqual([0, true, null]);
    view.append('reasoning', ', yes');
    view.append('text', 'Hi');
    expect(shown(view)).toEqual(['reasoning:Hm, yes', 'text:Hi']);
    expect(thoughts(view).live).toBe(false);
  });

  test('that only grows touches nothing that is shown', () => {
    const view = MessageView.of({ ...row, parts: [thought('Hm'), said('Hello')] } as typeof row);
    const parts = view.parts;
    const calls = watched(view);
    view.take({ ...row, content: 'Hello you', parts: [thought('Hm'), said('Hello you')] } as typeof row);
    expect(calls.filter((call) => !call.endsWith('finish'))).toEqual(['1 append  you']);
    expect(view.parts).toBe(parts);
  });

  test('that tells of thoughts that this page has not seen keeps its text where it is', () => {
    const view = MessageView.of({ ...row, status: 'completed' });
    const text = view.parts[0];
    view.take({ ...row, status: 'completed', parts: [thought('Hm'), said('Hello')] } as typeof row);
    expect(shown(view)).toEqual(['reasoning:Hm', 'text:Hello']);
    expect(view.parts[1]).toBe(text);
  });
});

describe('a stream', () => {
  test('makes a part of each kind in turn; the place of the text stays the same', () => {
    const view = asked();
    const place = view.parts[0];
    for (const word of ['Let', ' me', ' see']) view.append('reasoning', word);
    expect(shown(view)).toEqual(['reasoning:Let me see']);
    expect(view.parts[1], 'nothing below it is made anew').toBe(place);
    view.append('text', 'Yes. ');
    view.append('reasoning', 'Or?');
    view.append('text', 'No.');
    expect(shown(view)).toEqual(['reasoning:Let me see', 'text:Yes. ', 'reasoning:Or?', 'text:No.']);
    expect(view.text).toBe('Yes. No.');
    view.end(ended);
    expect(view.length).toBe(8);
  });

  test('changes no reactive state with each word', () => {
    const view = asked();
    view.append('reasoning', 'one');
    const parts = view.parts;
    for (let n = 0; n < 50; n += 1) view.append('reasoning', ' more');
    expect(view.parts).toBe(parts);
    view.append('text', 'one');
    for (let n = 0; n < 50; n += 1) view.append('text', ' more');
    expect(view.parts).toBe(parts);
    expect(view.length).toBe(0);
    vi.advanceTimersByTime(20);
    expect(view.length).toBe(253);
  });

  test('drops the thoughts since the last text, and nothing else', () => {
    const view = asked();
    view.discard();
    view.append('reasoning', 'void');
    view.discard();
    expect(shown(view)).toEqual([]);
    view.append('reasoning', 'kept');
    view.append('text', 'One');
    view.discard();
    view.append('reasoning', 'void too');
    view.discard();
    expect(shown(view)).toEqual(['reasoning:kept', 'text:One']);
    const calls = watched(view);
    view.append('text', ', two');
    expect(shown(view)).toEqual(['reasoning:kept', 'text:One, two']);
    expect(calls).toEqual(['1 append , two']);
  });
});

describe('the time of a thought', () => {
  test('is what this page has heard of it', () => {
    const view = asked();
    vi.advanceTimersByTime(900);
    view.append('reasoning', 'Hm');
    expect(thoughts(view).live).toBe(true);
    vi.advanceTimersByTime(4_000);
    view.append('text', 'Hi');
    expect([thoughts(view).live, thoughts(view).duration]).toEqual([false, 4_000]);
    vi.advanceTimersByTime(4_000);
    view.end(ended);
    expect([thoughts(view).duration, view.untimed]).toEqual([4_000, false]);
  });

  test('ends with the answer, however that ends', () => {
    const view = asked();
    view.append('reasoning', 'Hm');
    vi.advanceTimersByTime(2_000);
    view.end({ ...ended, status: 'stopped' });
    expect([thoughts(view).live, thoughts(view).duration, view.length]).toEqual([false, 2_000, 0]);
  });

  test('is unknown where it is read later than it was thought, or the device slept', () => {
    const replayed = new MessageView('assistant', 'a1', 'q1');
    replayed.status = 'running';
    replayed.restart(false);
    replayed.append('reasoning', 'Hm');
    replayed.append('text', 'Hi');
    const slept = asked();
    slept.append('reasoning', 'Hm');
    vi.advanceTimersByTime(3_600_000);
    slept.append('reasoning', '…');
    slept.append('text', 'Hi');
    for (const view of [replayed, slept])
      expect([thoughts(view).duration, view.untimed]).toEqual([null, true]);
  });

  test('is the server’s where it says so', () => {
    const view = asked();
    view.append('reasoning', 'Hm');
    vi.advanceTimersByTime(4_000);
    view.append('text', 'Hello');
    view.end(ended);
    const parts = [thought('Hm', { duration_ms: 3_700 }), said('Hello')];
    view.take({ ...row, status: 'completed', parts } as typeof row);
    expect(thoughts(view).duration).toBe(3_700);
    view.take({ ...row, status: 'completed', parts: [thought('Hm'), said('Hello')] } as typeof row);
    expect(thoughts(view).duration, 'known stays known').toBe(3_700);
  });
});

describe('a log that is read again', () => {
  test('takes nothing away that it then confirms, in all parts', () => {
    const view = asked();
    const pieces: [Content['kind'], string][] = [
      ['reasoning', 'Let me see'],
      ['text', 'Yes. '],
      ['reasoning', 'Or?'],
      ['text', 'No'],
    ];
    for (const [kind, text] of pieces) view.append(kind, text);
    const parts = view.parts;
    const calls = watched(view);
    view.restart();
    for (const [kind, text] of pieces) for (const letter of text) view.append(kind, letter);
    view.append('text', ', indeed');
    expect(calls.filter((call) => !call.endsWith('finish'))).toEqual(['3 append , indeed']);
    expect(view.parts).toBe(parts);
    expect(thoughts(view).live, 'what was over is over').toBe(false);
  });

  test('in mid-thought goes on thinking', () => {
    const view = asked();
    view.append('reasoning', 'Let me');
    vi.advanceTimersByTime(1_000);
    const calls = watched(view);
    view.restart();
    view.append('reasoning', 'Let');
    view.append('reasoning', ' me see');
    expect(calls).toEqual(['0 append  see']);
    vi.advanceTimersByTime(1_000);
    view.append('text', 'Yes');
    expect(thoughts(view).duration, 'since its first word').toBe(2_000);
  });

  test('has the last word where it says less, or something else', () => {
    for (const [log, expected] of [
      [[['text', 'B']], ['text:B']],
      [[['reasoning', 'R1']], ['reasoning:R1']],
      [
        [
          ['reasoning', 'R'],
          ['text', 'A'],
        ],
        ['reasoning:R', 'text:A'],
      ],
      [
        [
          ['reasoning', 'X'],
          ['text', 'A1'],
          ['text', 'A2'],
        ],
        ['reasoning:X', 'text:A1A2'],
      ],
      [[], []],
    ] as [[Content['kind'], string][], string[]][]) {
      const view = asked();
      view.append('reasoning', 'R1');
      view.append('text', 'A1');
      view.append('reasoning', 'R2');
      view.append('text', 'A2');
      view.restart();
      for (const [kind, text] of log) view.append(kind, text);
      view.end(ended);
      expect(shown(view)).toEqual(expected);
      expect(view.parts.at(-1)?.kind).toBe('text');
    }
  });

  test('that thinks before words which are shown leaves these in sight until it says others', () => {
    const view = asked();
    view.append('text', 'Hello world');
    view.restart();
    view.append('reasoning', 'Hm');
    expect(shown(view)).toEqual(['reasoning:Hm', 'text:Hello world']);
    view.append('text', 'Hello moon');
    expect(shown(view)).toEqual(['reasoning:Hm', 'text:Hello moon']);
  });

  test('comes to what it says, whatever is shown, cut anywhere', () => {
    const random = generator(17);
    const below = (limit: number) => Math.floor(random() * limit);
    /** Events as a log has them; `discard` now and then. */
    const log = () =>
      Array.from({ length: below(9) }, (): [Content['kind'] | 'discard', string] => [
        (['text', 'reasoning', 'reasoning', 'text', 'discard'] as const)[below(5)] ?? 'text',
        'abc'.slice(0, 1 + below(3)),
      ]);
    const play = (view: MessageView, events: ReturnType<typeof log>) => {
      for (const [kind, text] of events) {
        if (kind === 'discard') view.discard();
        else view.append(kind, text);
        const kinds = view.parts.map((part) => part.kind);
        expect(kinds.at(-1)).toBe('text');
        expect(kinds.some((each, n) => each === kinds[n + 1])).toBe(false);
      }
    };
    for (let run = 0; run < 1_000; run += 1) {
      const first = log();
      const second = below(2) === 0 ? log() : first.slice(0, below(first.length + 1));
      const plainly = asked();
      play(plainly, second);
      plainly.end(ended);
      const view = asked();
      play(view, first);
      view.restart();
      play(view, second);
      view.end(ended);
      expect(shown(view), JSON.stringify([first, second])).toEqual(shown(plainly));
    }
  });
});
