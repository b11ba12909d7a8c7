import { flushSync } from 'svelte';
import { afterEach, describe, expect, test, vi } from 'vitest';
import '$/lib/later_words';
import ErrorDetails from '$/features/chat/ErrorDetails.svelte';
import type { AnswerError } from '$/state/message.svelte';
import { server } from '../state/fake';
import { chat, freshPage, opened, settle } from '../state/support';
import { button, find, show } from '../ui/support';
import VersionsOf from './VersionsOf.svelte';

vi.mock('$/api/client', async () => (await import('../state/fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('../state/fake')).stream);
freshPage();
afterEach(() => document.body.replaceChildren());

const focused = () => document.activeElement?.getAttribute('aria-label');
const shown = () => find('fieldset.branches span').textContent;

function go(label: string): void {
  const pressed = button(label);
  pressed.focus();
  pressed.click();
  flushSync();
}

describe('the focus', () => {
  test('stays on the same button of the other version, or on its neighbour', async () => {
    chat();
    for (const id of ['a1b', 'a1c']) server.message('c1', id, { parent_id: 'q1c1' });
    const thread = await opened('c1');
    // What has been seen once is here.
    for (const id of ['a1c1', 'a1b', 'a1c']) {
      thread.choose(id);
      await vi.dynamicImportSettled();
      await settle();
    }
    show(VersionsOf, { thread });
    expect(shown()).toBe('3 of 3');
    for (const [label, at, stays] of [
      ['Previous version', '2 of 3', 'Previous version'],
      ['Previous version', '1 of 3', 'Next version'],
      ['Next version', '2 of 3', 'Next version'],
      ['Next version', '3 of 3', 'Previous version'],
    ] as const) {
      go(label);
      expect([shown(), focused()], 'in the same turn').toEqual([at, stays]);
    }
  });
});

describe('the details of an error', () => {
  const error: AnswerError = { code: 'provider_failed', message: 'It failed.', retryable: true };

  test('are the provider’s words and the request’s id, to be copied', async () => {
    const writeText = vi.fn(() => Promise.resolve());
    vi.stubGlobal('navigator', { ...navigator, clipboard: { writeText } });
    show(ErrorDetails, { error: { ...error, detail: '<b>no</b> "memory"', requestId: 'r-1' } });
    expect(find('details').textContent).toContain('<b>no</b> "memory"');
    expect(find('details').hasAttribute('open'), 'for those who look for them').toBe(false);
    expect(document.querySelector('details b'), 'words are no markup').toBeNull();
    button('Copy request ID').click();
    await vi.waitFor(() => expect(writeText).toHaveBeenCalledWith('r-1'));
    vi.unstubAllGlobals();
  });

  test('are not there where there are none', () => {
    show(ErrorDetails, { error });
    expect(document.querySelector('details')).toBeNull();
    show(ErrorDetails, { error: { ...error, requestId: 'r-1' } });
    expect(find('details').textContent).not.toContain('provider');
  });
});
