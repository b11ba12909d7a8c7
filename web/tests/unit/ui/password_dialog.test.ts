import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as api from '$/api/account';
import { ApiError, NetworkError } from '$/api/errors';
import PasswordDialog from '$/features/settings/PasswordDialog.svelte';
import { toasts } from '$/state/toasts.svelte';
import { described, find, input, provideMedia, provideTopLayer, show, submit, type } from './support';

const sender = () => find<HTMLButtonElement>('form button[type="submit"]');

async function send(present: string, next: string): Promise<void> {
  type('current_password', present);
  type('new_password', next);
  await submit();
}

const refusal = (field: string) =>
  new ApiError(422, { code: 'invalid', errors: [{ field, message: 'in English' }] });

beforeEach(() => {
  provideMedia();
  provideTopLayer();
});

describe('PasswordDialog', () => {
  it('is a form that password managers know', () => {
    show(PasswordDialog, { open: true });
    const fields = [...document.querySelectorAll('input')].map((field) => [field.name, field.autocomplete]);
    expect(fields).toEqual([
      ['username', 'username'],
      ['current_password', 'current-password'],
      ['new_password', 'new-password'],
    ]);
    expect(input('username').hidden).toBe(true);
  });

  it('asks the server for nothing that it would refuse', async () => {
    const change = vi.spyOn(api, 'changePassword').mockResolvedValue();
    show(PasswordDialog, { open: true });
    await send('', 'short');
    expect(described('current_password')).toContain('Enter a password');
    expect(described('new_password')).toContain('at least 8');
    expect(document.activeElement).toBe(input('current_password'));
    await send('river-stone-8', 'x'.repeat(257));
    expect(described('new_password')).toContain('at most 256');
    expect(document.activeElement).toBe(input('new_password'));
    // Seven letters with an accent each.
    await send('river-stone-8', 'e\u0301'.repeat(7));
    expect(described('new_password')).toContain('at least 8');
    expect(change).not.toHaveBeenCalled();
  });

  it('says in the reader’s words that the present password is wrong', async () => {
    vi.spyOn(api, 'changePassword').mockRejectedValue(refusal('current_password'));
    show(PasswordDialog, { open: true });
    await send('river-stone-9', 'another-stone-8');
    expect(described('current_password')).toBe('That is not your current password.');
    expect(document.activeElement).toBe(input('current_password'));
    expect(find('[aria-invalid="true"]')).toBe(input('current_password'));
  });

  it('waits as long as the server asks', async () => {
    vi.spyOn(api, 'changePassword').mockRejectedValue(new ApiError(429, { code: 'rate_limited' }, 20));
    show(PasswordDialog, { open: true });
    await send('river-stone-9', 'another-stone-8');
    expect(sender().disabled).toBe(true);
    expect(sender().textContent).toContain('20');
    expect(find('[role="alert"]').textContent).not.toBe('');
  });

  it('keeps what was typed where no answer comes', async () => {
    vi.spyOn(api, 'changePassword').mockRejectedValue(new NetworkError('no answer'));
    show(PasswordDialog, { open: true });
    await send('river-stone-8', 'another-stone-8');
    expect(find('[role="alert"]').textContent).not.toBe('');
    expect(input('new_password').value).toBe('another-stone-8');
    expect(sender().disabled).toBe(false);
  });

  it('closes, says what came of it, and keeps no password', async () => {
    const change = vi.spyOn(api, 'changePassword').mockResolvedValue();
    const said = vi.spyOn(toasts, 'show');
    show(PasswordDialog, { open: true });
    await send(' river-stone-8', 'another-stone-8 ');
    // A password is taken as it is.
    expect(change).toHaveBeenCalledTimes(1);
    expect(said).toHaveBeenCalledWith({ text: expect.stringContaining('signed out') });
    expect(document.querySelector('form')).toBeNull();
    expect(find<HTMLDialogElement>('dialog').open).toBe(false);
  });
});
