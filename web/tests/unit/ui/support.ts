import { type Component, flushSync, mount, tick, unmount } from 'svelte';
import { afterEach, vi } from 'vitest';

const mounted: Record<string, unknown>[] = [];

afterEach(async () => {
  for (const component of mounted.splice(0)) await unmount(component);
  document.body.replaceChildren();
});

/** Puts a component into the document and takes it away after the test. */
export function show<Props extends object, Bound extends keyof Props | ''>(
  component: Component<Props, object, Bound>,
  props: NoInfer<Props>,
): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  mounted.push(mount(component as unknown as Component<object>, { target, props }));
  flushSync();
  return target;
}

/** Lets effects, promises and queued events run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await tick();
    await Promise.resolve();
  }
  flushSync();
}

export function press(element: Element, key: string, more: KeyboardEventInit = {}): KeyboardEvent {
  const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more });
  element.dispatchEvent(event);
  flushSync();
  return event;
}

export function find<E extends HTMLElement>(selector: string): E {
  const element = document.querySelector<E>(selector);
  if (!element) throw new Error(`not in the document: ${selector}`);
  return element;
}

/** The field with this name. */
export const input = (name: string) => find<HTMLInputElement>(`input[name="${name}"]`);

export function type(name: string, value: string): void {
  input(name).value = value;
  input(name).dispatchEvent(new Event('input', { bubbles: true }));
}

/** Submits the form, and waits for what comes of that. */
export async function submit(): Promise<void> {
  find('form').dispatchEvent(new SubmitEvent('submit', { bubbles: true, cancelable: true }));
  await settle();
}

/** What a screen reader says about the field: hints and faults. */
export const described = (name: string) =>
  (input(name).getAttribute('aria-describedby') ?? '')
    .split(' ')
    .filter(Boolean)
    .map((id) => document.getElementById(id)?.textContent)
    .join(' ');

/** The button with this accessible name or text. */
export function button(name: string): HTMLButtonElement {
  const found = [...document.querySelectorAll('button')].find(
    (element) => (element.getAttribute('aria-label') ?? element.textContent?.trim()) === name,
  );
  if (!found) throw new Error(`no button: ${name}`);
  return found;
}

/** The parts of dialogs and popovers that jsdom lacks: what the components use of them. */
export function provideTopLayer(): void {
  const dialog = HTMLDialogElement.prototype;
  dialog.showModal = function showModal(this: HTMLDialogElement) {
    this.setAttribute('open', '');
  };
  dialog.close = function close(this: HTMLDialogElement) {
    if (!this.open) return;
    this.removeAttribute('open');
    this.dispatchEvent(new Event('close'));
  };
  const element = HTMLElement.prototype;
  const toggle = (target: HTMLElement, newState: string) => {
    for (const type of ['beforetoggle', 'toggle']) {
      target.dispatchEvent(Object.assign(new Event(type), { newState }));
      flushSync();
    }
  };
  element.showPopover = function showPopover(this: HTMLElement) {
    toggle(this, 'open');
  };
  element.hidePopover = function hidePopover(this: HTMLElement) {
    toggle(this, 'closed');
  };
}

/** No window is narrow, no pointer hovers. */
export function provideMedia(matching: (query: string) => boolean = () => false): void {
  vi.stubGlobal('matchMedia', (query: string) => ({
    matches: matching(query),
    media: query,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  }));
}
