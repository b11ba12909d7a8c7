import { createRawSnippet } from 'svelte';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { toasts } from '$/state/toasts.svelte';
import Button from '$/ui/Button.svelte';
import Dialog from '$/ui/Dialog.svelte';
import Toasts from '$/ui/Toasts.svelte';
import MenuOf from './MenuOf.svelte';
import { button, find, press, provideTopLayer, settle, show } from './support';

const words = (text: string) => createRawSnippet(() => ({ render: () => `<span>${text}</span>` }));

beforeEach(provideTopLayer);

describe('Button', () => {
  it('keeps its name and the focus while busy, and does nothing', () => {
    const onclick = vi.fn();
    show(Button, { busy: true, onclick, children: words('Save') });
    const element = button('Save');
    element.focus();
    element.click();
    expect(onclick).not.toHaveBeenCalled();
    expect(document.activeElement).toBe(element);
    expect(element.getAttribute('aria-disabled')).toBe('true');
  });

  it('submits no form while busy', () => {
    show(Button, { busy: true, type: 'submit', children: words('Save') });
    const form = document.createElement('form');
    const onsubmit = vi.fn((event: Event) => event.preventDefault());
    form.addEventListener('submit', onsubmit);
    document.body.append(form);
    form.append(button('Save'));
    button('Save').click();
    expect(onsubmit).not.toHaveBeenCalled();
  });
});

describe('Dialog', () => {
  it('opens with its title as its name, and tells when it closes', async () => {
    const onclose = vi.fn();
    show(Dialog, { open: true, title: 'Shortcuts', children: words('body'), onclose });
    const dialog = find<HTMLDialogElement>('dialog');
    expect(dialog.open).toBe(true);
    expect(document.getElementById(dialog.getAttribute('aria-labelledby') ?? '')?.textContent).toBe(
      'Shortcuts',
    );
    button('Close').click();
    await settle();
    expect(dialog.open).toBe(false);
    expect(onclose).toHaveBeenCalledTimes(1);
  });

  it('stays where only an action leaves it', async () => {
    show(Dialog, { open: true, title: 'Sign in again', dismissible: false, children: words('body') });
    const dialog = find<HTMLDialogElement>('dialog');
    const cancel = new Event('cancel', { cancelable: true });
    dialog.dispatchEvent(cancel);
    expect(cancel.defaultPrevented).toBe(true);
    dialog.dispatchEvent(new Event('pointerdown', { bubbles: true }));
    await settle();
    expect(dialog.open).toBe(true);
    expect(document.querySelector('[aria-label="Close"]')).toBeNull();
  });

  it('closes on a press beside it, not on one inside', async () => {
    show(Dialog, { open: true, title: 'Shortcuts', children: words('body') });
    const dialog = find<HTMLDialogElement>('dialog');
    find('h2').dispatchEvent(new Event('pointerdown', { bubbles: true }));
    await settle();
    expect(dialog.open).toBe(true);
    dialog.dispatchEvent(new Event('pointerdown', { bubbles: true }));
    await settle();
    expect(dialog.open).toBe(false);
  });
});

describe('Menu', () => {
  const chosen: string[] = [];
  const item = (label: string, more = {}) => ({ label, onselect: () => chosen.push(label), ...more });
  const focused = () => document.activeElement?.textContent?.trim();

  async function open(items = [item('Rename'), item('Share', { disabled: true }), item('Delete')]) {
    chosen.length = 0;
    show(MenuOf, { items });
    press(button('Options'), 'ArrowDown');
    await settle();
    return find('[role="menu"]');
  }

  it('has no items before it opens, and says on its button whether it is open', async () => {
    show(MenuOf, { items: [item('Rename')] });
    expect(document.querySelector('[role="menuitem"]')).toBeNull();
    expect(button('Options').getAttribute('aria-expanded')).toBe('false');
    press(button('Options'), 'ArrowDown');
    await settle();
    expect(button('Options').getAttribute('aria-expanded')).toBe('true');
    expect(focused()).toBe('Rename');
  });

  it('goes round with the arrow keys, past what cannot be chosen', async () => {
    const menu = await open();
    press(menu, 'ArrowDown');
    expect(focused()).toBe('Delete');
    press(menu, 'ArrowDown');
    expect(focused()).toBe('Rename');
    press(menu, 'ArrowUp');
    expect(focused()).toBe('Delete');
    press(menu, 'Home');
    expect(focused()).toBe('Rename');
    press(menu, 'End');
    expect(focused()).toBe('Delete');
  });

  it('shows two items of one name', async () => {
    const menu = await open([item('Same', { detail: 'a' }), item('Same', { detail: 'b' })]);
    expect([...menu.querySelectorAll('[role="menuitem"]')]).toHaveLength(2);
    press(menu, 'ArrowDown');
    expect(focused()).toMatch(/^Same\s+b$/);
  });

  it('opens at its end by ArrowUp', async () => {
    show(MenuOf, { items: [item('Rename'), item('Delete')] });
    press(button('Options'), 'ArrowUp');
    await settle();
    expect(focused()).toBe('Delete');
  });

  it('finds an item by the letters typed', async () => {
    const menu = await open([item('Rename'), item('Report'), item('Delete')]);
    press(menu, 'd');
    expect(focused()).toBe('Delete');
    press(menu, 'r');
    press(menu, 'e');
    press(menu, 'p');
    // Letters in one go are one word: "drep" is none, so the focus stays.
    expect(focused()).toBe('Delete');
  });

  it('is closed before the item acts, with the focus back on its button', async () => {
    await open();
    button('Delete').click();
    await settle();
    expect(chosen).toEqual(['Delete']);
    expect(button('Options').getAttribute('aria-expanded')).toBe('false');
    expect(document.activeElement).toBe(button('Options'));
  });

  it('keeps its Esc from what is around it', async () => {
    const menu = await open();
    const outer = vi.fn();
    document.body.addEventListener('keydown', outer);
    press(menu, 'Escape');
    await settle();
    document.body.removeEventListener('keydown', outer);
    expect(outer).not.toHaveBeenCalled();
    expect(document.querySelector('[role="menuitem"]')).toBeNull();
  });

  it('shows a choice as radio items and begins at the chosen one', async () => {
    await open([item('Light', { checked: false, divider: 'Theme' }), item('Dark', { checked: true })]);
    const radios = [...document.querySelectorAll('[role="menuitemradio"]')];
    expect(radios.map((radio) => radio.getAttribute('aria-checked'))).toEqual(['false', 'true']);
    expect(focused()).toBe('Dark');
  });
});

describe('Toasts', () => {
  it('shows each toast once, in the topmost place, and lets go of the rest', async () => {
    show(Toasts, {});
    const run = vi.fn();
    const id = toasts.show({ text: 'Deleted.', action: { label: 'Undo', run }, seconds: 0 });
    await settle();
    show(Dialog, { open: true, title: 'Over it', children: words('body') });
    await settle();
    expect(find('dialog').textContent).toContain('Deleted.');
    expect([...document.querySelectorAll('button')].filter((one) => one.textContent === 'Undo')).toHaveLength(
      1,
    );
    button('Close').click();
    await settle();
    expect(find('dialog').textContent).not.toContain('Deleted.');
    button('Undo').click();
    await settle();
    expect(run).toHaveBeenCalledTimes(1);
    expect(document.body.textContent).not.toContain('Deleted.');
    toasts.dismiss(id);
  });

  it('waits while somebody points at it', async () => {
    vi.useFakeTimers();
    try {
      show(Toasts, {});
      toasts.show({ text: 'Saved.', seconds: 2 });
      await settle();
      find('li').dispatchEvent(new Event('pointerenter'));
      await vi.advanceTimersByTimeAsync(60_000);
      expect(document.body.textContent).toContain('Saved.');
      find('li').dispatchEvent(new Event('pointerleave'));
      await vi.advanceTimersByTimeAsync(2000);
      await settle();
      expect(document.body.textContent).not.toContain('Saved.');
    } finally {
      vi.useRealTimers();
    }
  });
});
