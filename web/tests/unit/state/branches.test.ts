import { describe, expect, test, vi } from 'vitest';
import { Branches, lastModel } from '$/state/branches';
import { memoryFrom } from '$/state/memory.svelte';

vi.mock('$/api/client', () => ({ getGeneration: vi.fn() }));

const node = (id: string, parentId: string | null, siblings: string[] = []) => ({
  id,
  parentId,
  role: id.startsWith('q') ? 'user' : 'assistant',
  createdAt: '',
  siblings,
});
// q1 was answered twice; the second answer was asked further, and that question edited.
const nodes = [
  node('q1', null),
  node('a1', 'q1'),
  node('a1b', 'q1'),
  node('q2', 'a1b'),
  node('a2', 'q2'),
  node('q2b', 'a1b'),
  node('a2b', 'q2b'),
];
const named = (id: string) => nodes.find((other) => other.id === id) ?? node('none', null);
const ids = (list: readonly { id: string }[]) => list.map((one) => one.id);

const all = new Branches(nodes);
const tip = (of: Branches<ReturnType<typeof node>>, id: string) => {
  const start = of.get(id);
  const end = start && of.newest(start);
  return end && [end.tip.id, end.whole];
};

describe('branches', () => {
  test('a branch goes from the root to its tip', () => {
    expect(ids(all.to(named('a2')))).toEqual(['q1', 'a1b', 'q2', 'a2']);
    expect(ids(all.to(named('a1')))).toEqual(['q1', 'a1']);
    expect(all.to(null)).toEqual([]);
  });

  test('a parent that is not there begins the branch', () => {
    expect(ids(new Branches(nodes.slice(3)).to(named('a2')))).toEqual(['q2', 'a2']);
  });

  test('the newest tip follows the last version at every fork', () => {
    expect(tip(all, 'q1')).toEqual(['a2b', true]);
    expect(tip(all, 'q2')).toEqual(['a2', true]);
    expect(tip(all, 'a1')).toEqual(['a1', true]);
  });

  test('a tip whose last version is not here is not the whole way', () => {
    const part = new Branches([node('q1', null), node('a1', 'q1', ['a1', 'a1b']), node('q2', 'a1')]);
    expect(tip(part, 'q1')).toEqual(['q2', false]);
    expect(tip(part, 'a1')).toEqual(['q2', true]);
  });

  test('the order is the server’s, whatever came first', () => {
    const told = ['a1', 'a1b', 'a1c'];
    const mixed = [node('a1c', 'q1', told), node('q1', null), node('a1b', 'q1', told), node('q2', 'a1b')];
    const some = new Branches(mixed);
    expect(some.versions(named('a1b'))).toEqual(told);
    expect(tip(some, 'q1')).toEqual(['a1c', true]);
  });

  test('what was made here comes after what the server told of, which may be older', () => {
    const here = [node('new', 'q1'), node('a1', 'q1', ['a1']), node('a1b', 'q1', ['a1', 'a1b'])];
    const some = new Branches([node('q1', null), ...here]);
    expect(here.map((one) => some.versions(one))).toEqual(Array(3).fill(['a1', 'a1b', 'new']));
    expect(ids(some.siblings(named('a1')))).toEqual(['new', 'a1', 'a1b']);
    expect(tip(some, 'q1')).toEqual(['new', true]);
  });

  test('a question that follows a question is no version of its answer', () => {
    const odd = { ...node('q1b', 'q1'), createdAt: '2' };
    const some = new Branches([node('q1', null), { ...node('a1', 'q1'), createdAt: '1' }, odd]);
    expect(some.versions(odd)).toEqual(['q1b']);
    expect(tip(some, 'q1'), 'the newest of both').toEqual(['q1b', true]);
  });

  test('a circle of parents ends', () => {
    const circle = [node('x', 'y'), node('y', 'x')];
    const [x] = circle;
    if (!x) throw new Error('no node');
    const some = new Branches(circle);
    expect(ids(some.to(x))).toEqual(['y', 'x']);
    expect(tip(some, 'x')).toEqual(['y', true]);
  });

  test('siblings share parent and role', () => {
    expect(all.versions(named('a1b'))).toEqual(['a1', 'a1b']);
    expect(all.versions(named('q2'))).toEqual(['q2', 'q2b']);
  });
});

describe('what a branch says of its models', () => {
  const message = (id: string, more = {}) => ({
    ...node(id, null),
    model: id.startsWith('a') ? `model of ${id}` : null,
    live: false,
    remembersFrom: null as string | null,
    ...more,
  });

  test('its model is that of its last answer', () => {
    expect(lastModel([])).toBeNull();
    expect(lastModel([message('q1')])).toBeNull();
    expect(lastModel([message('q1'), message('a1'), message('q2'), message('a2'), message('q3')])).toBe(
      'model of a2',
    );
    expect(lastModel([message('q1'), message('a1'), message('q2'), message('a2', { model: null })])).toBe(
      'model of a1',
    );
  });

  test('the memory begins where that of the newest finished answer does', () => {
    const from = (...messages: ReturnType<typeof message>[]) => memoryFrom(messages)?.id ?? null;
    const [q1, a1, q2] = [message('q1'), message('a1'), message('q2')];
    expect(from(q1, a1, q2, message('a2'))).toBeNull();
    expect(from(q1, a1, q2, message('a2', { remembersFrom: 'q2' }))).toBe('q2');
    expect(from(q1, a1, q2, message('a2', { remembersFrom: 'q1' })), 'there is nothing above').toBeNull();
    expect(from(q1, a1, q2, message('a2', { remembersFrom: 'elsewhere' }))).toBeNull();
    const second = message('a2', { remembersFrom: 'q2' });
    expect(from(q1, a1, q2, second, message('q3'), message('a3', { live: true })), 'not known yet').toBe(
      'q2',
    );
    expect(from(q1, a1, q2, second, message('q3'), message('a3')), 'a model that reads more').toBeNull();
  });
});
