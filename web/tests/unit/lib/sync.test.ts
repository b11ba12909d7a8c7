import { beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeChannel } from '../state/fake';

type Sync = typeof import('$/lib/sync');

async function tab(): Promise<Sync> {
  vi.resetModules();
  return import('$/lib/sync');
}

beforeEach(() => {
  vi.stubGlobal('BroadcastChannel', FakeChannel);
  return () => FakeChannel.closeAll();
});

describe('tabs', () => {
  test('hear each other, not themselves, until they stop listening', async () => {
    const [one, two] = [await tab(), await tab()];
    const said: string[] = [];
    one.subscribe((event) => said.push(`one:${event.type}`));
    const leave = two.subscribe((event) => said.push(`two:${event.type}`));
    one.publish({ type: 'logout' });
    two.publish({ type: 'conversation', id: 'c1', change: 'asked' });
    leave();
    one.publish({ type: 'login', userId: 'u1' });
    expect(said).toEqual(['two:logout', 'one:conversation']);
  });

  test('do not trip over what a tab of another version says', async () => {
    const { subscribe } = await tab();
    const heard: unknown[] = [];
    subscribe((event) => heard.push(event));
    const other = new FakeChannel('gpt-r1');
    for (const data of [
      null,
      3,
      'x',
      {},
      { type: 'new' },
      { type: 'login' },
      { type: 'conversation', id: 1 },
    ]) {
      other.postMessage(data);
    }
    expect(heard).toEqual([]);
  });

  test('work alone where there is no channel', async () => {
    vi.stubGlobal('BroadcastChannel', undefined);
    const { publish, subscribe } = await tab();
    subscribe(() => {});
    expect(() => publish({ type: 'logout' })).not.toThrow();
  });
});
