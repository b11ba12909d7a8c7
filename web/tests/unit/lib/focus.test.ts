import { beforeEach, expect, it } from 'vitest';
import { isFocusLost, keepFocus } from '$/lib/focus';

const element = <E extends HTMLElement>(id: string) => document.getElementById(id) as E;

beforeEach(() => {
  const make = (tag: string, id: string, attributes: Record<string, string> = {}) => {
    const made = Object.assign(document.createElement(tag), { id });
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const main = make('main', 'main', { tabindex: '-1' });
  main.append(
    make('button', 'pressed'),
    make('button', 'next'),
    make('textarea', 'home', { 'data-focus-home': '' }),
  );
  document.body.replaceChildren(main);
  element('pressed').focus();
});

it('leaves the focus where it is', async () => {
  await keepFocus(() => element('next'));
  expect(document.activeElement?.id).toBe('pressed');
});

it('gives it to what is wanted when it was lost', async () => {
  element('pressed').remove();
  expect(isFocusLost()).toBe(true);
  await keepFocus(() => element('next'));
  expect(document.activeElement?.id).toBe('next');
});

it('gives it to the composer where nothing is wanted, or what is wanted is gone', async () => {
  const next = element('next');
  for (const id of ['pressed', 'next']) element(id).remove();
  await keepFocus(() => next);
  expect(document.activeElement?.id).toBe('home');
});

it('gives it to the main part where there is no composer to focus', async () => {
  for (const id of ['pressed', 'home']) element(id).remove();
  await keepFocus();
  expect(document.activeElement?.id).toBe('main');
});

it('stays in a dialog that is open', async () => {
  const dialog = Object.assign(document.createElement('dialog'), { id: 'dialog', tabIndex: -1 });
  dialog.setAttribute('open', '');
  document.body.append(dialog);
  element('pressed').remove();
  await keepFocus();
  expect(document.activeElement?.id).toBe('dialog');
});
