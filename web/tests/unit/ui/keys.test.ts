import { afterEach, describe, expect, it, vi } from 'vitest';
import { bindKeys, keyNames, matches } from '$/lib/keys';

const event = (key: string, more: KeyboardEventInit = {}) =>
  new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more });

describe('matches', () => {
  it('takes Ctrl on most systems and Cmd on those of Apple', () => {
    expect(matches(event('b', { ctrlKey: true }), 'mod+b', false)).toBe(true);
    expect(matches(event('b', { metaKey: true }), 'mod+b', true)).toBe(true);
    expect(matches(event('b', { metaKey: true }), 'mod+b', false)).toBe(false);
    expect(matches(event('b', { ctrlKey: true }), 'mod+b', true)).toBe(false);
  });

  it('wants exactly the modifiers that are named', () => {
    expect(matches(event('O', { ctrlKey: true, shiftKey: true }), 'mod+shift+o', false)).toBe(true);
    expect(matches(event('o', { ctrlKey: true }), 'mod+shift+o', false)).toBe(false);
    expect(matches(event('B', { ctrlKey: true, shiftKey: true }), 'mod+b', false)).toBe(false);
    // AltGr is Ctrl and Alt on Windows: it types signs.
    expect(matches(event('b', { ctrlKey: true, altKey: true }), 'mod+b', false)).toBe(false);
    expect(matches(event('b'), 'mod+b', false)).toBe(false);
  });

  it('finds a sign wherever the layout has it', () => {
    expect(matches(event('/', { ctrlKey: true }), 'mod+/', false)).toBe(true);
    expect(matches(event('/', { ctrlKey: true, shiftKey: true, code: 'Digit7' }), 'mod+/', false)).toBe(true);
  });

  it('goes by the place of a letter on a layout without Latin letters, and only there', () => {
    expect(matches(event('и', { ctrlKey: true, code: 'KeyB' }), 'mod+b', false)).toBe(true);
    // On Dvorak the key at the place of "b" types "x".
    expect(matches(event('x', { ctrlKey: true, code: 'KeyB' }), 'mod+b', false)).toBe(false);
  });

  it('leaves keys to an input method', () => {
    expect(matches(event('Escape', { isComposing: true }), 'escape')).toBe(false);
    expect(matches(event('Escape', { keyCode: 229 }), 'escape')).toBe(false);
    expect(matches(event('Escape'), 'escape')).toBe(true);
  });
});

describe('bindKeys', () => {
  let unbind: () => void = () => undefined;
  afterEach(() => {
    unbind();
    document.body.replaceChildren();
  });

  it('runs the shortcut and takes the key, until unbound', () => {
    const run = vi.fn();
    unbind = bindKeys([{ keys: 'escape', run }]);
    const first = event('Escape');
    window.dispatchEvent(first);
    expect(first.defaultPrevented).toBe(true);
    unbind();
    window.dispatchEvent(event('Escape'));
    expect(run).toHaveBeenCalledTimes(1);
  });

  it('leaves a key that the shortcut has no use for', () => {
    unbind = bindKeys([{ keys: 'escape', run: () => false }]);
    const pressed = event('Escape');
    window.dispatchEvent(pressed);
    expect(pressed.defaultPrevented).toBe(false);
  });

  it('is silent while a dialog is open, but for what is meant to work there', () => {
    const under = vi.fn();
    const over = vi.fn();
    unbind = bindKeys([
      { keys: 'escape', run: under },
      { keys: 'shift+escape', overDialogs: true, run: over },
    ]);
    const dialog = document.createElement('dialog');
    dialog.setAttribute('open', '');
    document.body.append(dialog);
    window.dispatchEvent(event('Escape'));
    window.dispatchEvent(event('Escape', { shiftKey: true }));
    expect(under).not.toHaveBeenCalled();
    expect(over).toHaveBeenCalledTimes(1);
  });

  it('takes no key that somebody else has taken', () => {
    const run = vi.fn();
    unbind = bindKeys([{ keys: 'escape', run }]);
    const taken = event('Escape');
    taken.preventDefault();
    window.dispatchEvent(taken);
    expect(run).not.toHaveBeenCalled();
  });
});

it('names keys as they are printed', () => {
  expect(keyNames('mod+shift+o', false)).toEqual(['Ctrl', 'Shift', 'O']);
  expect(keyNames('mod+shift+o', true)).toEqual(['⌘', '⇧', 'O']);
});
