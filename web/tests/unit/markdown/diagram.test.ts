import { afterEach, beforeEach, expect, type Mock, test, vi } from 'vitest';
import { render } from './support';

let root: HTMLElement;
let frame: HTMLIFrameElement;
let sent: Mock<(message: unknown) => void>;

beforeEach(() => {
  root = render(['```mermaid\ngraph TD; A-->B\n```\n']);
  document.body.append(root);
  const found = root.querySelector('iframe');
  if (found?.contentWindow == null) throw new Error('no frame');
  frame = found;
  sent = vi.fn<(message: unknown) => void>();
  vi.spyOn(found.contentWindow, 'postMessage').mockImplementation(sent);
});

afterEach(() => {
  root.remove();
  delete document.documentElement.dataset.theme;
});

function says(data: unknown, source: MessageEventSource | null = frame.contentWindow): void {
  dispatchEvent(new MessageEvent('message', { data, source }));
}

function toggle(): HTMLButtonElement {
  const found = root.querySelector<HTMLButtonElement>('.diagram-toggle');
  if (found === null) throw new Error('no toggle');
  return found;
}

test('a diagram is drawn in a frame that may run scripts and nothing else', () => {
  expect(frame.getAttribute('sandbox')).toBe('allow-scripts');
  expect(frame.getAttribute('src')).toBe('/diagram.html');
});

test('there is no frame before the block is complete', () => {
  let frames = 0;
  render(['```mermaid\ngraph TD; A-->B\n', 'B-->C\n'], (live) => {
    frames += live.querySelectorAll('iframe').length;
  });
  expect(frames).toBe(0);
});

test('the source is shown until the drawing is there, then either', () => {
  const block = root.querySelector('.code-block');
  expect(toggle().disabled).toBe(true);
  says({ type: 'ready' });
  expect(sent).toHaveBeenCalledWith({ type: 'draw', source: 'graph TD; A-->B', theme: 'light' }, '*');
  expect(block?.classList.contains('shows-diagram')).toBe(false);
  says({ type: 'drawn', height: 200.4 });
  expect(block?.classList.contains('shows-diagram')).toBe(true);
  expect(frame.height).toBe('201');
  expect(toggle().textContent).toBe('Source');
  toggle().click();
  expect(block?.classList.contains('shows-diagram')).toBe(false);
  expect(toggle().textContent).toBe('Diagram');
});

test('the height is capped', () => {
  says({ type: 'drawn', height: 1e9 });
  expect(frame.height).toBe('640');
  says({ type: 'drawn', height: -5 });
  expect(frame.height).toBe('48');
});

test('a diagram that cannot be drawn keeps its source and says so', () => {
  says({ type: 'failed' });
  expect(root.querySelector('.diagram-note')?.textContent).toContain('could not be drawn');
  expect(root.querySelector('.code-block')?.classList.contains('shows-diagram')).toBe(false);
});

test('messages from anywhere else, or of another form, are not heard', () => {
  says({ type: 'drawn', height: 300 }, window);
  says({ type: 'drawn', height: 300 }, null);
  says({ type: 'drawn', height: '300' });
  says({ type: 'drawn', height: Number.NaN });
  says('drawn');
  says(null);
  expect(frame.height).toBe('48');
  expect(toggle().disabled).toBe(true);
});

test('a change of theme draws it again', async () => {
  document.documentElement.dataset.theme = 'dark';
  await vi.waitFor(() => expect(sent).toHaveBeenCalledWith(expect.objectContaining({ theme: 'dark' }), '*'));
});

test('a frame that never says that it is ready is given up, and the reader is told', () => {
  vi.useFakeTimers();
  try {
    for (const ready of [false, true]) {
      const root = render(['```mermaid\ngraph TD\nA-->B\n```\n']);
      document.body.append(root);
      const frame = root.querySelector('iframe');
      frame?.dispatchEvent(new Event('load'));
      const source = frame?.contentWindow ?? null;
      if (ready) window.dispatchEvent(new MessageEvent('message', { data: { type: 'ready' }, source }));
      vi.advanceTimersByTime(9_900);
      expect(root.querySelector('.diagram-note')).toBeNull();
      vi.advanceTimersByTime(200);
      expect(root.querySelector('.diagram-note') === null).toBe(ready);
      expect(root.querySelector('pre')?.textContent).toContain('A-->B');
      root.remove();
    }
  } finally {
    vi.useRealTimers();
  }
});
