import { flushSync } from 'svelte';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Choice } from '$/ui/Picker.svelte';
import PickerOf from './PickerOf.svelte';
import { button, find, press, provideTopLayer, settle, show } from './support';

beforeEach(() => {
  provideTopLayer();
  HTMLElement.prototype.scrollIntoView = vi.fn();
});

const many = (n: number, chosen = -1): Choice[] =>
  Array.from({ length: n }, (_, at) => ({
    id: `${at}`,
    label: `thing ${at}`,
    detail: '',
    chosen: at === chosen,
  }));

const onselect = vi.fn();
const options = () => [...document.querySelectorAll('[role="option"]')];
const field = () => find<HTMLInputElement>('[role="combobox"]');
const active = () =>
  document.getElementById(field().getAttribute('aria-activedescendant') ?? '')?.textContent?.trim();
const status = () => find('[role="status"]').textContent;

async function open(choices: Choice[]) {
  onselect.mockClear();
  show(PickerOf, { choices, onselect });
  find('[popover]').showPopover();
  await settle();
}

function type(text: string) {
  field().value = text;
  field().dispatchEvent(new InputEvent('input', { bubbles: true }));
  flushSync();
}

describe('Picker', () => {
  it('draws nothing before it opens, and of ten thousand a bounded number', async () => {
    show(PickerOf, { choices: many(10_000), onselect });
    expect([options().length, button('Things').getAttribute('aria-expanded')]).toEqual([0, 'false']);
    document.body.replaceChildren();
    await open(many(10_000, 9_000));
    expect([options().length, status()]).toEqual([100, '100 of 10000']);
    expect(document.activeElement).toBe(field());
    expect(active(), 'the chosen one is in sight').toBe('thing 9000');
    expect(options().filter((option) => option.getAttribute('aria-selected') === 'true')).toHaveLength(1);
  });

  it('finds by typing and chooses by Enter', async () => {
    await open(many(10_000));
    type('thing 777');
    expect([options().length, active()]).toEqual([11, 'thing 777']);
    press(field(), 'ArrowDown');
    press(field(), 'ArrowDown');
    expect(active()).toBe('thing 7771');
    press(field(), 'Enter');
    expect(onselect.mock.calls[0]?.[0].id).toBe('7771');
    expect(options(), 'and closes').toHaveLength(0);
  });

  it('has nothing to choose where nothing is found', async () => {
    await open(many(20));
    type('nothing');
    expect([options().length, field().getAttribute('aria-activedescendant')]).toEqual([0, null]);
    press(field(), 'ArrowDown');
    press(field(), 'Enter');
    expect(onselect).not.toHaveBeenCalled();
  });

  it('goes round by single steps and stops at an end by pages', async () => {
    await open(many(20, 0));
    press(field(), 'ArrowUp');
    expect(active()).toBe('thing 19');
    press(field(), 'ArrowDown');
    expect(active()).toBe('thing 0');
    press(field(), 'PageDown');
    expect(active()).toBe('thing 8');
    press(field(), 'PageDown');
    press(field(), 'PageDown');
    expect(active()).toBe('thing 19');
  });

  it('closes by Escape, which goes no further, and leaves keys of an input method alone', async () => {
    await open(many(20));
    const outside = vi.fn();
    document.addEventListener('keydown', outside);
    press(field(), 'Enter', { isComposing: true });
    expect(onselect).not.toHaveBeenCalled();
    outside.mockClear();
    press(field(), 'Escape');
    document.removeEventListener('keydown', outside);
    expect([options().length, outside.mock.calls.length]).toEqual([0, 0]);
  });

  it('is chosen from by a click; two of one name and strange ids are no trouble', async () => {
    const twins = ['constructor', '__proto__', 'toString'].map((id) => ({
      id,
      label: 'same',
      detail: id,
      chosen: false,
    }));
    await open(twins);
    (options()[1] as HTMLElement).click();
    expect(onselect.mock.calls[0]?.[0].id).toBe('__proto__');
  });
});
