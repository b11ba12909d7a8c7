import { beforeEach, describe, expect, test, vi } from 'vitest';

type Drafts = typeof import('$/state/drafts');
let drafts: Drafts;

/** What a reload of the page finds. */
async function reload(): Promise<void> {
  drafts.flushDrafts();
  vi.resetModules();
  drafts = await import('$/state/drafts');
}

beforeEach(async () => {
  sessionStorage.clear();
  vi.useFakeTimers();
  vi.resetModules();
  drafts = await import('$/state/drafts');
  return () => vi.useRealTimers();
});

describe('drafts', () => {
  test('outlive a reload and are forgotten when empty', async () => {
    drafts.keepDraft('c1', 'half a question');
    drafts.keepDraft('new', 'another');
    drafts.keepDraft('new', '');
    await reload();
    expect(drafts.draftOf('c1')).toBe('half a question');
    expect(drafts.draftOf('new')).toBe('');
  });

  test('a question that was on its way when the page was reloaded is a draft again', async () => {
    drafts.keepUnsent('new', 'on its way');
    drafts.keepUnsent('c1', 'accepted');
    drafts.keepUnsent('c1', '');
    drafts.keepDraft('new', 'and the next');
    expect(drafts.draftOf('new')).toBe('and the next');
    await reload();
    expect([drafts.draftOf('new'), drafts.draftOf('c1')]).toEqual(['on its way\n\nand the next', '']);
    await reload();
    expect(drafts.draftOf('new')).toBe('on its way\n\nand the next');
  });

  test('of another user leave the browser at once', async () => {
    drafts.ownDrafts('ada');
    drafts.keepDraft('c1', 'secret');
    await reload();
    drafts.ownDrafts('bob');
    expect(sessionStorage.getItem('drafts')).toBeNull();
  });

  test('are written down a moment after typing, and when the page goes away', () => {
    drafts.keepDraft('c1', 'a');
    expect(sessionStorage.getItem('drafts')).toBeNull();
    vi.advanceTimersByTime(300);
    expect(sessionStorage.getItem('drafts')).toContain('"a"');
    drafts.keepDraft('c1', 'ab');
    window.dispatchEvent(new Event('pagehide'));
    expect(sessionStorage.getItem('drafts')).toContain('"ab"');
  });

  test('of many, the oldest go', () => {
    for (let n = 0; n < 40; n++) drafts.keepDraft(`c${n}`, 'text');
    expect(drafts.draftOf('c9')).toBe('');
    expect(drafts.draftOf('c10')).toBe('text');
    expect(drafts.draftOf('c39')).toBe('text');
  });

  test('storage that is too small keeps the newest; nothing is lost while the page lives', async () => {
    const setItem = Storage.prototype.setItem;
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(function (this: Storage, key, value) {
      if (value.length > 1000) throw new DOMException('full', 'QuotaExceededError');
      setItem.call(this, key, value);
    });
    drafts.keepDraft('old', 'o'.repeat(600));
    drafts.keepDraft('new', 'n'.repeat(600));
    drafts.flushDrafts();
    expect(drafts.draftOf('old')).toHaveLength(600);
    await reload();
    expect(drafts.draftOf('old')).toBe('');
    expect(drafts.draftOf('new')).toHaveLength(600);
  });

  test('storage that is forbidden costs only the reload', () => {
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('no', 'SecurityError');
    });
    drafts.keepDraft('c1', 'text');
    expect(() => drafts.flushDrafts()).not.toThrow();
    expect(drafts.draftOf('c1')).toBe('text');
  });

  test('storage that holds something else is no draft', async () => {
    for (const stored of ['{', '3', '{"a":1}', '["u1",["c1"],[1,2],"x"]']) {
      sessionStorage.setItem('drafts', stored);
      vi.resetModules();
      drafts = await import('$/state/drafts');
      expect(drafts.draftOf('c1')).toBe('');
    }
  });

  test('belong to one user, before and after a reload', async () => {
    drafts.ownDrafts('u1');
    drafts.keepDraft('c1', 'secret');
    await reload();
    drafts.ownDrafts('u1');
    expect(drafts.draftOf('c1')).toBe('secret');
    await reload();
    drafts.ownDrafts('u2');
    expect(drafts.draftOf('c1')).toBe('');
  });
});
