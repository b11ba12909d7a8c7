import { describe, expect, it, vi } from 'vitest';
import { backoff, Retries } from '$/lib/backoff';
import { formatCursor, parseEventId, parsePlace } from '$/stream/cursor';
import { parsePayload } from '$/stream/payload';
import { claimSlot, SLOTS } from '$/stream/slots';
import { type Input, initialState, type State } from '$/stream/state';
import { transition } from '$/stream/transition';
import { chunk, frame, GENERATION, SEND, START } from './world';

describe('cursor', () => {
  it('reads what the server writes', () => {
    expect(parseEventId(`${GENERATION}:3.1020`)).toEqual({ generation: GENERATION, epoch: 3, seq: 1020 });
    expect(parsePlace(`${GENERATION}:3.1020`)).toEqual({ epoch: 3, seq: 1020 });
    expect(parsePlace('3.1020')).toEqual({ epoch: 3, seq: 1020 });
    expect(formatCursor({ epoch: 3, seq: 1020 })).toBe('3.1020');
  });

  it.each([
    '',
    'g',
    ':1.2',
    'g:',
    'g:1',
    'g:1.',
    'g:.1',
    'g:+1.2',
    'g:0.1',
    'g:1.0',
    'g:1.2.3',
    'g:1.-2',
    'g:1.2 ',
    'g:1.1234567890123456',
  ])('refuses %j', (text) => expect(parseEventId(text)).toBeNull());

  it('knows no id as none', () => expect(parseEventId(undefined)).toBeNull());
});

describe('backoff', () => {
  it('doubles its window to ten seconds and uses all of it', () => {
    expect([0, 1, 2, 3, 4, 5, 60].map((failures) => backoff(failures, 0.5))).toEqual([
      250, 500, 1_000, 2_000, 4_000, 5_000, 5_000,
    ]);
    expect(backoff(5, 0)).toBe(0);
    expect(backoff(5, 0.999)).toBeLessThan(10_000);
  });

  it('never comes back before it was asked to, nor much later', () => {
    expect(backoff(0, 0, 5_000)).toBe(5_000);
    expect(backoff(9, 0.999, 5_000)).toBeLessThan(6_000);
    expect(backoff(0, 0, 86_400_000)).toBe(60_000);
  });

  it('tries again at once, then ever more rarely, until it works', () => {
    vi.useFakeTimers();
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const retries = new Retries();
    let tries = 0;
    const again = () => retries.again(() => tries++);
    again();
    expect(tries, 'at once').toBe(1);
    for (const pause of [1_000, 2_000, 4_000]) {
      const before = tries;
      again();
      vi.advanceTimersByTime(pause - 1);
      expect(tries).toBe(before);
      vi.advanceTimersByTime(1);
      expect(tries).toBe(before + 1);
    }
    again();
    retries.cancel();
    vi.advanceTimersByTime(60_000);
    expect(tries, 'given up').toBe(4);
    retries.succeed();
    again();
    expect(tries, 'the first failure again').toBe(5);
    vi.useRealTimers();
  });
});

describe('payload', () => {
  it('takes a chunk as it is', () => {
    expect(parsePayload('{"type": "chunk", "content": "\\u00e9\\n"}')).toEqual({
      type: 'words',
      kind: 'text',
      text: 'é\n',
    });
  });

  it('takes a thought as it is, and knows when it is void', () => {
    expect(parsePayload('{"type": "reasoning", "content": "Hm"}')).toEqual({
      type: 'words',
      kind: 'reasoning',
      text: 'Hm',
    });
    expect(parsePayload('{"type": "resumed", "discard": "reasoning"}')).toEqual({ type: 'discard' });
    expect(parsePayload('{"type": "resumed"}')).toEqual({ type: 'other' });
    expect(parsePayload('{"type": "resumed", "discard": "tomorrow"}')).toEqual({ type: 'other' });
  });

  it('knows a type that it does not know', () => {
    expect(parsePayload('{"type": "notice", "content": 1}')).toEqual({ type: 'other' });
  });

  it.each([
    '',
    'null',
    '1',
    '"chunk"',
    '{}',
    '{"type": 1}',
    '{"type": "start"}',
    '{"type": "chunk"}',
    '{"type": "reasoning", "content": 1}',
    '{"type": "error"}',
    '{',
  ])('refuses %j', (data) => expect(parsePayload(data)).toBeNull());
});

/** Web Locks as far as slots use them. */
class Locks {
  readonly held = new Set<string>();
  async request(
    name: string,
    _options: LockOptions,
    use: (lock: Lock | null) => Promise<void> | undefined,
  ): Promise<void> {
    if (this.held.has(name)) return use(null);
    this.held.add(name);
    await use({ name, mode: 'exclusive' });
    this.held.delete(name);
  }
}

describe('slots', () => {
  const use = (locks: Locks) => claimSlot(locks as unknown as LockManager);

  it('there are four, and a released one can be had again', async () => {
    const locks = new Locks();
    const slots = await Promise.all(Array.from({ length: SLOTS }, () => use(locks)));
    expect(slots.every((slot) => slot !== null)).toBe(true);
    expect([...locks.held].sort()).toEqual(['stream-0', 'stream-1', 'stream-2', 'stream-3']);
    expect(await use(locks)).toBeNull();
    slots[2]?.();
    await Promise.resolve();
    await Promise.resolve();
    expect(locks.held.size).toBe(3);
    expect(await use(locks)).not.toBeNull();
    expect(locks.held.size).toBe(4);
  });

  it('everybody has one where there are no locks, or none that work', async () => {
    expect(await claimSlot(undefined)).toBeTypeOf('function');
    const broken = { request: () => Promise.reject(new DOMException('no', 'SecurityError')) };
    expect(await claimSlot(broken as unknown as LockManager)).toBeTypeOf('function');
  });
});

describe('transition', () => {
  const at = { now: 5_000, random: 0.5, late: 0 };
  const event = (text: string) => {
    const [id = '', data = ''] = text.split('\n');
    return { id: id.slice(4), data: data.slice(6) };
  };

  it('is a function: it changes nothing that it is given, and repeats itself', () => {
    let state: State = Object.freeze(initialState(SEND));
    const inputs: Input[] = [
      { type: 'open', visible: true, online: true },
      { type: 'slot', granted: true },
      { type: 'answered', connection: 1, found: true },
      { type: 'read', connection: 1, events: [event(frame(1, START)), event(frame(2, chunk('x')))] },
      { type: 'hidden' },
      { type: 'offline' },
      { type: 'closed', connection: 1, retry: 0 },
      { type: 'alarm' },
      { type: 'online' },
      { type: 'detach' },
    ];
    for (const input of inputs) {
      const once = transition(state, input, at);
      expect(transition(state, input, at)).toEqual(once);
      state = Object.freeze(once.state);
    }
    expect(state).toMatchObject({ step: 'closed', generationId: GENERATION, last: { epoch: 1, seq: 2 } });
  });

  it('takes no slot that it did not ask for, and gives none back that it does not have', () => {
    const at = { now: 5_000, random: 0.5, late: 0 };
    const hidden = transition(initialState(SEND), { type: 'open', visible: false, online: true }, at).state;
    expect(transition(hidden, { type: 'slot', granted: true }, at).state.slot).toBe('none');
    expect(transition(hidden, { type: 'detach' }, at).effects).toEqual([{ do: 'disconnect' }]);
  });

  it('hears nothing from a connection of the past', () => {
    const opened = transition(initialState(SEND), { type: 'open', visible: true, online: true }, at).state;
    const read: Input = { type: 'read', connection: 0, events: [event(frame(1, START))] };
    expect(transition(opened, read, at)).toEqual({ state: opened, effects: [] });
  });
});
