import { describe, expect, it } from 'vitest';
import {
  countCharacters,
  giveBack,
  keyAction,
  MESSAGE_CHARS,
  PASTE_UNITS,
  verdict,
} from '$/features/chat/composer_keys';

const enter = (more: Partial<KeyboardEvent> = {}) => ({
  key: 'Enter',
  shiftKey: false,
  altKey: false,
  ctrlKey: false,
  metaKey: false,
  isComposing: false,
  keyCode: 13,
  ...more,
});

describe('Enter', () => {
  it('sends', () => {
    expect(keyAction(enter(), false)).toBe('send');
  });

  it('makes a new line with Shift or Alt, and on glass', () => {
    expect(keyAction(enter({ shiftKey: true }), false)).toBe('none');
    expect(keyAction(enter({ altKey: true }), false)).toBe('none');
    expect(keyAction(enter(), true)).toBe('none');
  });

  it('sends with Ctrl or Cmd anywhere', () => {
    expect(keyAction(enter({ ctrlKey: true }), true)).toBe('send');
    expect(keyAction(enter({ metaKey: true }), false)).toBe('send');
  });

  it('that ends a composition belongs to the input method', () => {
    expect(keyAction(enter({ isComposing: true }), false)).toBe('none');
    // Safari: the composition is over already, the code tells.
    expect(keyAction(enter({ keyCode: 229 }), false)).toBe('none');
    expect(keyAction(enter({ keyCode: 229, ctrlKey: true }), false)).toBe('none');
  });

  it('is the only key that sends', () => {
    expect(keyAction(enter({ key: 'a', ctrlKey: true }), false)).toBe('none');
  });
});

describe('the limit', () => {
  it('counts code points, as the server does', () => {
    expect(countCharacters('')).toBe(0);
    expect(countCharacters('naïve')).toBe(5);
    expect(countCharacters('a😀b')).toBe([...'a😀b'].length);
  });

  it('is inclusive', () => {
    expect(verdict('x', MESSAGE_CHARS, false)).toBe('ready');
    expect(verdict('x', MESSAGE_CHARS + 1, false)).toBe('too_long');
  });

  it('lets any text that could fit be pasted', () => {
    expect(countCharacters('😀'.repeat(MESSAGE_CHARS))).toBe(MESSAGE_CHARS);
    expect('😀'.repeat(MESSAGE_CHARS).length).toBe(PASTE_UNITS);
  });
});

describe('sending', () => {
  it('needs something to say', () => {
    expect(verdict('', 0, false)).toBe('empty');
    expect(verdict(' \u200b\u3164\ufeff\n', 5, false)).toBe('empty');
    expect(verdict(' \n\t', 3, false)).toBe('empty');
    expect(verdict(' a', 2, false)).toBe('ready');
  });

  it('waits for the answer that is being written', () => {
    expect(verdict('next', 4, true)).toBe('busy');
  });
});

describe('a refused question', () => {
  it('comes back as it was', () => {
    expect(giveBack('why?', '')).toBe('why?');
    expect(giveBack('why?', '  ')).toBe('why?');
  });

  it('stands before what was typed meanwhile', () => {
    expect(giveBack('why?', 'and how?')).toBe('why?\n\nand how?');
  });

  it('is not doubled', () => {
    expect(giveBack('why?', 'why?')).toBe('why?');
  });
});
