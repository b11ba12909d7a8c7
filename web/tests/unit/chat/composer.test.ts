import { flushSync, mount, unmount } from 'svelte';
import '$/lib/prose_words';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connection } from '$/api/connection.svelte';
import Composer from '$/features/chat/Composer.svelte';
import { MESSAGE_CHARS, PASTE_UNITS } from '$/features/chat/composer_keys';
import { clearDrafts, draftOf, keepDraft, moveDraft } from '$/state/drafts';
import { MessageView } from '$/state/message.svelte';
import { models } from '$/state/models.svelte';
import { FakeThread, reach, there } from './fake_thread.svelte';

let touch = false;
let thread: FakeThread;
let composer: ReturnType<typeof Composer>;

function show(of: FakeThread) {
  thread = of;
  composer = mount(Composer, { target: document.body, props: { thread: of.as } }) as typeof composer;
  flushSync();
}

beforeEach(() => {
  touch = false;
  vi.stubGlobal('matchMedia', () => ({ matches: touch }));
  vi.spyOn(models, 'load').mockResolvedValue();
  clearDrafts();
});

afterEach(async () => {
  await unmount(composer);
  document.body.replaceChildren();
});

const area = () => document.querySelector('textarea') as HTMLTextAreaElement;
const button = () => document.querySelector('button[type="submit"]') as HTMLButtonElement;
const said = () => document.querySelector('[role="alert"]')?.textContent?.trim();

function type(text: string) {
  area().value = text;
  area().dispatchEvent(new InputEvent('input', { bubbles: true }));
  flushSync();
}

function press(init: KeyboardEventInit & { keyCode?: number }): KeyboardEvent {
  const event = new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...init });
  area().dispatchEvent(event);
  flushSync();
  return event;
}

const answer = () => {
  const message = new MessageView('assistant', 'a', null);
  message.status = 'running';
  return message;
};

describe('the composer', () => {
  it('sends by Enter, empties itself and keeps the focus', () => {
    show(new FakeThread());
    type('why?');
    expect(press({ key: 'Enter' }).defaultPrevented).toBe(true);
    expect(thread.sent).toEqual(['why?']);
    expect(area().value).toBe('');
    expect(document.activeElement).toBe(area());
    expect(draftOf('new')).toBe('');
  });

  it('leaves Enter to the input method and Shift+Enter to the text', () => {
    show(new FakeThread());
    type('なぜ');
    expect(press({ key: 'Enter', isComposing: true }).defaultPrevented).toBe(false);
    expect(press({ key: 'Enter', keyCode: 229 }).defaultPrevented).toBe(false);
    expect(press({ key: 'Enter', shiftKey: true }).defaultPrevented).toBe(false);
    expect(thread.sent).toEqual([]);
  });

  it('on glass takes Enter for a new line and does not open the keyboard by itself', () => {
    touch = true;
    show(new FakeThread());
    expect(document.activeElement).not.toBe(area());
    type('why?');
    expect(press({ key: 'Enter' }).defaultPrevented).toBe(false);
    button().click();
    expect(thread.sent).toEqual(['why?']);
  });

  it('does not send nothing', () => {
    show(new FakeThread());
    type('  \n ');
    press({ key: 'Enter' });
    button().click();
    expect(thread.sent).toEqual([]);
    expect(button().getAttribute('aria-disabled')).toBe('true');
  });

  it('stops by the same button while an answer is written, once', () => {
    show(new FakeThread());
    thread.running = answer();
    flushSync();
    expect(button().getAttribute('aria-label')).toBe('Stop');
    button().click();
    flushSync();
    button().click();
    expect(thread.stops).toBe(1);
    expect(thread.sent).toEqual([]);
  });

  it('does not stop by the second half of a double click', () => {
    show(new FakeThread());
    thread.running = answer();
    flushSync();
    button().dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail: 2 }));
    expect(thread.stops).toBe(0);
  });

  it('keeps what is typed while an answer is written, and says why it was not sent', () => {
    show(new FakeThread());
    thread.running = answer();
    type('and then?');
    press({ key: 'Enter' });
    expect(thread.sent).toEqual([]);
    expect(area().value).toBe('and then?');
    expect(said()).toMatch(/An answer is being written/);
  });

  it('says nothing to an empty box, and takes a hint back when the answer has ended', () => {
    show(new FakeThread());
    thread.running = answer();
    flushSync();
    press({ key: 'Enter' });
    expect(said()).toBeUndefined();
    type('and then?');
    press({ key: 'Enter' });
    expect(said()).toMatch(/An answer is being written/);
    thread.running = null;
    flushSync();
    expect(said()).toBeUndefined();
    expect(area().value).toBe('and then?');
  });

  it('takes back that no answer came when the server is there again', async () => {
    show(new FakeThread());
    vi.spyOn(connection, 'reachable', 'get').mockImplementation(() => there());
    thread.refusal = { text: 'why?', message: 'No answer from the server.', unanswered: true };
    flushSync();
    expect(said()).toBe('No answer from the server.');
    reach(true);
    flushSync();
    expect(said()).toBeUndefined();
    expect(area().value).toBe('why?');
  });

  it('asks elsewhere where it is told to, and keeps what is typed for a chat that is gone for a new one', () => {
    const asked: string[] = [];
    const gone = new FakeThread();
    gone.conversationId = 'gone';
    gone.status = 'ready';
    keepDraft('new', 'an older thought');
    thread = gone;
    composer = mount(Composer, {
      target: document.body,
      props: { thread: gone.as, onsend: (question: string) => asked.push(question) },
    }) as typeof composer;
    flushSync();
    type('half a thought');
    moveDraft('gone', 'new');
    gone.status = 'missing';
    flushSync();
    expect(area().value).toBe('half a thought\n\nan older thought');
    press({ key: 'Enter' });
    expect([asked, gone.sent, draftOf('new')]).toEqual([['half a thought\n\nan older thought'], [], '']);
  });

  it('gives a refused question back and says why', () => {
    show(new FakeThread());
    type('meanwhile');
    thread.refusal = { text: 'why?', message: 'Too many questions.' };
    flushSync();
    expect(area().value).toBe('why?\n\nmeanwhile');
    expect(said()).toBe('Too many questions.');
    expect(thread.refusal).toBeNull();
    expect(draftOf('new')).toBe('why?\n\nmeanwhile');
  });

  it('keeps the draft, and takes it along when the chat gets its name', async () => {
    keepDraft('new', 'half a thou');
    show(new FakeThread());
    expect(area().value).toBe('half a thou');
    type('half a thought');
    thread.conversationId = 'c1';
    flushSync();
    expect([draftOf('new'), draftOf('c1')]).toEqual(['', 'half a thought']);
    expect(area().value).toBe('half a thought');
  });

  it('leaves nothing behind for whoever signs in next', async () => {
    show(new FakeThread());
    type('a secret');
    clearDrafts();
    await unmount(composer);
    expect(draftOf('new')).toBe('');
    show(new FakeThread());
  });

  it('refuses a text that is too long, and counts before it is', () => {
    show(new FakeThread());
    type('x'.repeat(MESSAGE_CHARS));
    expect(document.body.textContent).toContain('200,000 / 200,000');
    expect(button().getAttribute('aria-disabled')).toBeNull();
    type('x'.repeat(MESSAGE_CHARS + 2));
    expect(document.body.textContent).toContain('2 characters too many');
    expect(area().getAttribute('aria-invalid')).toBe('true');
    press({ key: 'Enter' });
    expect(thread.sent).toEqual([]);
  });

  it('does not let in what cannot fit', () => {
    show(new FakeThread());
    const paste = (length: number) => {
      const event = new InputEvent('beforeinput', {
        bubbles: true,
        cancelable: true,
        data: 'x'.repeat(length),
      });
      area().dispatchEvent(event);
      flushSync();
      return event.defaultPrevented;
    };
    expect(paste(PASTE_UNITS)).toBe(false);
    expect(paste(PASTE_UNITS + 1)).toBe(true);
    expect(said()).toMatch(/was not pasted/);
  });
});
