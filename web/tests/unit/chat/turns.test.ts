import { describe, expect, it } from 'vitest';
import { guessHeight } from '$/features/chat/near';
import { keepSpot, spotOf } from '$/features/chat/scroll_memory';
import { beginning, eagerKeys, turnsOf } from '$/features/chat/turns';
import { MessageView } from '$/state/message.svelte';
import { plain } from '$/state/part.svelte';

const path = (...roles: MessageView['role'][]) =>
  roles.map((role, index) => new MessageView(role, `m${index}`, null));

describe('turns', () => {
  it('begin with a question and hold what follows it', () => {
    const messages = path('user', 'assistant', 'user', 'assistant', 'assistant');
    expect(turnsOf(messages).map((turn) => turn.messages.length)).toEqual([2, 3]);
    expect(turnsOf(messages).map((turn) => turn.key)).toEqual([messages[0]?.key, messages[2]?.key]);
  });

  it('leave system messages out and begin with an answer if they must', () => {
    const messages = path('system', 'assistant', 'user');
    expect(turnsOf(messages).map((turn) => turn.messages.map((message) => message.role))).toEqual([
      ['assistant'],
      ['user'],
    ]);
  });
});

describe('turns of a chat that comes page by page', () => {
  const read = (id: string, parentId: string | null) => {
    const role = id.startsWith('q') ? 'user' : 'assistant';
    return new MessageView(role, id, parentId, id);
  };
  const [q1, a1, q2, a2] = [read('q1', null), read('a1', 'q1'), read('q2', 'a1'), read('a2', 'q2')];

  it('keep their keys when the question of an answer comes after it', () => {
    const part = turnsOf([a1, q2, a2]);
    const whole = turnsOf([q1, a1, q2, a2], part);
    expect(whole.map((turn) => turn.key)).toEqual(part.map((turn) => turn.key));
    expect(whole.map((turn) => turn.messages.length)).toEqual([2, 2]);
  });

  it('are the same objects where nothing has changed', () => {
    const part = turnsOf([q2, a2]);
    const whole = turnsOf([q1, a1, q2, a2], part);
    expect(whole[1]).toBe(part[0]);
    expect(turnsOf([q1, a1], whole)[0]).toBe(whole[0]);
    expect(turnsOf([q2, a2, a1], whole)[0]).not.toBe(whole[1]);
  });
});

describe('the messages of the first frame', () => {
  const filled = (count: number, characters: number) => {
    const messages = path(...Array.from({ length: count }, () => 'assistant' as const));
    for (const message of messages) message.replace(plain('x'.repeat(characters)));
    return messages;
  };

  it('are the newest, whatever their size', () => {
    const messages = filled(5, 100_000);
    expect([...eagerKeys(messages)]).toEqual([messages[4]?.key]);
    expect(eagerKeys([]).size).toBe(0);
    const before = eagerKeys(messages);
    expect(eagerKeys([...filled(2, 10), ...messages], before), 'the same ones').toBe(before);
  });

  it('are enough to fill a screen, and no more', () => {
    expect(eagerKeys(filled(20, 2_000)).size).toBe(3);
    expect(eagerKeys(filled(20, 10)).size).toBe(8);
  });
});

describe('the beginning of a question', () => {
  it('is all of it when it is short', () => {
    expect(beginning('one\ntwo')).toBe('one\ntwo');
    expect(beginning('')).toBe('');
  });

  it('ends at a word', () => {
    const head = beginning('word '.repeat(2_000));
    expect(head.length).toBeLessThan(1_200);
    expect(head.endsWith('word')).toBe(true);
  });

  it('ends at a line', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index}`);
    expect(beginning(lines.join('\n'))).toBe(lines.slice(0, 12).join('\n'));
  });

  it('hides no two lines behind a button', () => {
    const text = Array.from({ length: 14 }, (_, index) => `line ${index}`).join('\n');
    expect(beginning(text)).toBe(text);
  });

  it('cuts a text without spaces too', () => {
    expect(beginning('x'.repeat(200_000)).length).toBeLessThan(1_200);
  });

  it('is always a beginning', () => {
    for (const text of ['a\n'.repeat(3_000), `${'x'.repeat(1_090)} ${'y'.repeat(900)}`, '\n'.repeat(5_000)]) {
      expect(text.startsWith(beginning(text))).toBe(true);
    }
  });
});

it('a place in a conversation is kept until the end is reached', () => {
  keepSpot('a', { messageId: 'm1', offset: -12 });
  expect(spotOf('a')).toEqual({ messageId: 'm1', offset: -12 });
  expect(spotOf('b')).toBeNull();
  keepSpot('a', null);
  expect(spotOf('a')).toBeNull();
});

describe('the guessed height', () => {
  it('is never nothing', () => {
    expect(guessHeight('', 1_280)).toBeGreaterThan(0);
  });

  it('grows with lines and with long lines', () => {
    const line = 'x'.repeat(80);
    expect(guessHeight(`${line}\n`.repeat(50), 1_280)).toBeGreaterThan(40 * guessHeight(line, 1_280));
    expect(guessHeight('x'.repeat(4_000), 1_280)).toBeGreaterThan(40 * guessHeight(line, 1_280));
  });

  it('is greater on a narrow screen', () => {
    expect(guessHeight('x'.repeat(4_000), 360)).toBeGreaterThan(1.5 * guessHeight('x'.repeat(4_000), 1_280));
  });
});
