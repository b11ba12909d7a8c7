import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { durationOf } from '$/features/chat/duration';
import { followEnd } from '$/features/chat/follow_end';
import ReasoningPart from '$/features/chat/ReasoningPart.svelte';
import { rendering } from '$/features/chat/render_part';
import { setLocale } from '$/lib/i18n.svelte';
import { MessageView } from '$/state/message.svelte';
import { ReasoningView } from '$/state/part.svelte';
import { find, show } from '../ui/support';

/** Calls back when a test says so. */
let resized: (() => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-03-12T12:30:00Z') });
  vi.stubGlobal(
    'ResizeObserver',
    class {
      constructor(callback: () => void) {
        resized.push(callback);
      }
      observe() {}
      disconnect() {}
    },
  );
  sessionStorage.clear();
  return () => vi.useRealTimers();
});
afterEach(() => {
  resized = [];
});

let names = 0;

/** A part of an answer that is being thought about, shown under a name of its own. */
function thinking(name = `m${++names}.0`) {
  const view = new MessageView('assistant', 'a1', 'q1');
  view.status = 'running';
  view.restart(true);
  view.append('reasoning', 'Let **me** see');
  const part = view.parts[0];
  if (!(part instanceof ReasoningView)) throw new Error('nothing was thought');
  const target = show(ReasoningPart, { part, rendering, name, still: false });
  return { view, part, name, target };
}

const header = () => find<HTMLButtonElement>('.reasoning > button');
const body = () => find('.reasoning > .body');
const seconds = () => document.querySelector('.seconds')?.textContent ?? null;
/** What a screen reader calls the button. */
const named = () => find('.reasoning .words').textContent;

function pass(milliseconds: number): void {
  vi.advanceTimersByTime(milliseconds);
  flushSync();
}

function press(): void {
  header().click();
  flushSync();
  pass(40);
}

describe('while something is thought', () => {
  test('it says so, and counts the seconds for the eye alone', () => {
    thinking();
    expect([named(), seconds()]).toEqual(['Thinking…', null]);
    pass(3_000);
    expect([named(), seconds()]).toEqual(['Thinking…', '3s']);
    expect(find('.seconds').getAttribute('aria-hidden')).toBe('true');
    expect(find('.reasoning').closest('[aria-live]'), 'nothing is read out').toBeNull();
  });

  test('it is collapsed, and renders nothing that nobody sees', () => {
    const { view } = thinking();
    pass(2_000);
    expect(header().getAttribute('aria-expanded')).toBe('false');
    expect(header().getAttribute('aria-controls')).toBe(body().id);
    expect(body().getAttribute('hidden')).toBe('until-found');
    expect(document.querySelector('.thoughts')).toBeNull();
    press();
    expect([header().getAttribute('aria-expanded'), body().hasAttribute('hidden')]).toEqual(['true', false]);
    expect(find('.thoughts strong').textContent).toBe('me');
    view.append('reasoning', ' and wait');
    pass(40);
    expect(find('.thoughts').textContent).toContain('see and wait');
    press();
    expect(body().getAttribute('hidden')).toBe('until-found');
  });

  test('what is open stays open when the answer begins, and its box as tall as it was', () => {
    const { view } = thinking();
    press();
    expect(body().classList.contains('boxed')).toBe(true);
    pass(4_000);
    view.append('text', 'Yes');
    flushSync();
    expect(named()).toBe('Thought for 4 seconds');
    expect([body().hasAttribute('hidden'), body().classList.contains('boxed')]).toEqual([false, true]);
    press();
    press();
    expect(body().classList.contains('boxed'), 'opened anew it shows all').toBe(false);
  });

  test('a reload keeps it open, and the seconds', () => {
    const { name, target } = thinking();
    press();
    pass(4_000);
    target.remove();
    const view = MessageView.of({
      id: 'a1',
      role: 'assistant',
      content: '',
      status: 'running',
      created_at: '2026-03-12T12:30:00Z',
      parts: [{ type: 'reasoning', content: 'Let **me** see' }],
    } as Parameters<typeof MessageView.of>[0]);
    const part = view.parts[0];
    if (!(part instanceof ReasoningView)) throw new Error('nothing was thought');
    show(ReasoningPart, { part, rendering, name, still: false });
    expect(header().getAttribute('aria-expanded')).toBe('true');
    pass(1_000);
    expect(seconds()).toBe('5s');
    view.append('text', 'Yes');
    flushSync();
    expect(named()).toBe('Thought for 5 seconds');
  });
});

describe('what was thought', () => {
  test('is there for a search in the page once there is time, and a find opens it', () => {
    const { view } = thinking();
    view.end({ status: 'completed', finishReason: 'stop', error: null });
    flushSync();
    pass(600);
    expect(find('.thoughts').textContent).toContain('Let me see');
    expect(body().getAttribute('hidden')).toBe('until-found');
    body().dispatchEvent(new Event('beforematch'));
    flushSync();
    expect([header().getAttribute('aria-expanded'), body().hasAttribute('hidden')]).toEqual(['true', false]);
  });

  test('names no time that is not known', () => {
    const part = new ReasoningView();
    part.replace('Hm');
    part.finish();
    show(ReasoningPart, { part, rendering, name: `m${++names}.0`, still: false });
    expect(named()).toBe('Thoughts');
    part.duration = 125_000;
    flushSync();
    expect(named()).toBe('Thought for 2 minutes, 5 seconds');
  });

  test('runs in the direction of its own words', () => {
    const part = new ReasoningView();
    part.replace('שלום, נחשוב על זה');
    part.finish();
    show(ReasoningPart, { part, rendering, name: `m${++names}.0`, still: false });
    press();
    expect(find('.thoughts').dir).toBe('rtl');
  });

  test('speaks the reader’s language', async () => {
    await setLocale('de');
    const { view } = thinking();
    pass(4_000);
    expect(named()).toBe('Denkt nach …');
    view.append('text', 'Ja');
    flushSync();
    expect(named()).toBe('4 Sekunden nachgedacht');
    await setLocale('en');
  });
});

describe('a time', () => {
  test.each([
    [0, '1 second', '1s'],
    [1_400, '1 second', '1s'],
    [59_400, '59 seconds', '59s'],
    [60_000, '1 minute', '1m'],
    [125_000, '2 minutes, 5 seconds', '2m 5s'],
  ])('of %i ms', (milliseconds, long, narrow) => {
    expect([durationOf(milliseconds), durationOf(milliseconds, 'narrow')]).toEqual([long, narrow]);
  });
});

describe('a box that follows its end', () => {
  function boxOf(height: number) {
    const box = document.createElement('div');
    box.append(document.createElement('div'));
    let top = 0;
    const size = { scrollHeight: height };
    Object.defineProperties(box, {
      clientHeight: { get: () => 100 },
      scrollHeight: { get: () => size.scrollHeight },
      scrollTop: {
        get: () => top,
        set: (to: number) => {
          top = Math.min(to, Math.max(0, size.scrollHeight - 100));
        },
      },
    });
    const end = followEnd(box);
    const grow = (to: number) => {
      size.scrollHeight = to;
      for (const callback of resized) callback();
    };
    const scroll = (to: number) => {
      box.scrollTop = to;
      box.dispatchEvent(new Event('scroll'));
    };
    return { box, end, grow, scroll };
  }

  test('stays there, lets its reader go up, and follows again from the end', () => {
    const { box, end, grow, scroll } = boxOf(50);
    grow(300);
    expect([box.scrollTop, box.classList.contains('scrolled')]).toEqual([200, true]);
    // Its own scroll is told of after it has grown further: nobody has moved it.
    grow(340);
    box.dispatchEvent(new Event('scroll'));
    grow(400);
    expect(box.scrollTop).toBe(300);
    scroll(120);
    grow(500);
    expect(box.scrollTop, 'where its reader is').toBe(120);
    scroll(400);
    grow(600);
    expect(box.scrollTop).toBe(500);
    expect(box.tabIndex).toBe(0);
    end();
    expect([box.hasAttribute('tabindex'), box.classList.contains('scrolled')]).toEqual([false, false]);
  });
});
