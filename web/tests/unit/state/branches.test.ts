import { describe, expect, test, vi } from 'vitest';
import { branchTo, lastModel, newestTip, siblingsOf } from '$/state/branches';
import { memoryFrom } from '$/state/memory.svelte';

vi.mock('$/api/client', () => ({ getGeneration: vi.fn() }));

const node = (id: string, parentId: string | null) => ({
  id,
  parentId,
  role: id.startsWith('q') ? 'user' : 'assistant',
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

describe('branches', () => {
  test('a branch goes from the root to its tip', () => {
    expect(ids(branchTo(nodes, named('a2')))).toEqual(['q1', 'a1b', 'q2', 'a2']);
    expect(ids(branchTo(nodes, named('a1')))).toEqual(['q1', 'a1']);
    expect(branchTo(nodes, null)).toEqual([]);
  });

  test('a parent that is not there begins the branch', () => {
    expect(ids(branchTo(nodes.slice(3), named('a2')))).toEqual(['q2', 'a2']);
  });

  test('the newest tip follows the last child at every fork', () => {
    expect(newestTip(nodes, named('q1')).id).toBe('a2b');
    expect(newestTip(nodes, named('q2')).id).toBe('a2');
    expect(newestTip(nodes, named('a1')).id).toBe('a1');
  });

  test('a circle of parents ends', () => {
    const circle = [node('x', 'y'), node('y', 'x')];
    const [x] = circle;
    if (!x) throw new Error('no node');
    expect(ids(branchTo(circle, x))).toEqual(['y', 'x']);
    expect(newestTip(circle, x).id).toBe('y');
  });

  test('siblings share parent and role', () => {
    expect(ids(siblingsOf(nodes, named('a1b')))).toEqual(['a1', 'a1b']);
    expect(ids(siblingsOf(nodes, named('q2')))).toEqual(['q2', 'q2b']);
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
