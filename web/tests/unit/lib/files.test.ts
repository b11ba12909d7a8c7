import { afterEach, beforeEach, expect, it } from 'vitest';
import { refuseFiles } from '$/lib/files';
import { toasts } from '$/state/toasts.svelte';

let end: () => void;
beforeEach(() => {
  end = refuseFiles(toasts);
});
afterEach(() => {
  end();
  for (const { id } of toasts.items) toasts.dismiss(id);
});

/** What comes with a drop or a paste: its kinds, and its text. */
function bring(type: 'dragover' | 'drop' | 'paste', types: string[], text = ''): Event {
  const data = { types, getData: (kind: string) => (kind === 'text/plain' ? text : '') };
  const event = Object.assign(new Event(type, { bubbles: true, cancelable: true }), {
    dataTransfer: data,
    clipboardData: data,
  });
  document.body.dispatchEvent(event);
  return event;
}

const said = () => toasts.items.map(({ text }) => text);

it('a dropped file opens nowhere, and the page says why it was not taken', () => {
  expect(bring('dragover', ['Files']).defaultPrevented).toBe(true);
  expect(said()).toEqual([]);
  expect(bring('drop', ['Files']).defaultPrevented).toBe(true);
  expect(said()).toEqual([expect.stringMatching(/can't be attached yet/)]);
});

it('it is said once, however many come', () => {
  for (let n = 0; n < 3; n += 1) bring('drop', ['Files']);
  expect(said()).toHaveLength(1);
});

it('a pasted picture is refused in words', () => {
  expect(bring('paste', ['Files']).defaultPrevented).toBe(true);
  expect(said()).toHaveLength(1);
});

it.each([
  ['text with its picture', 'paste', ['text/plain', 'text/html', 'Files'], 'a b'],
  ['text', 'paste', ['text/plain'], 'a b'],
  ['a dragged text', 'drop', ['text/plain'], 'a b'],
  ['a dragged link', 'dragover', ['text/uri-list'], ''],
] as const)('%s goes its usual way', (_, type, types, text) => {
  expect(bring(type, [...types], text).defaultPrevented).toBe(false);
  expect(said()).toEqual([]);
});
