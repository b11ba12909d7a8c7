import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, NetworkError } from '$/api/errors';
import AuthForm from '$/features/auth/AuthForm.svelte';
import { auth } from '$/state/auth.svelte';
import { button, described, find, input, provideMedia, settle, show, submit, type } from './support';

beforeEach(() => provideMedia());

describe('AuthForm', () => {
  it('is a form that password managers know', () => {
    show(AuthForm, { mode: 'register' });
    const fields = [...document.querySelectorAll('input')].map((field) => [
      field.name,
      field.type,
      field.autocomplete,
    ]);
    expect(fields).toEqual([
      ['username', 'text', 'username'],
      ['email', 'email', 'email'],
      ['password', 'password', 'new-password'],
      ['setup_code', 'text', 'one-time-code'],
    ]);
    expect(find('form button[type="submit"]').textContent?.trim()).toBe('Create account');
  });

  it('says beside each field what is missing, and leads to the first', async () => {
    const login = vi.spyOn(auth, 'login');
    show(AuthForm, { mode: 'login' });
    await submit();
    expect(login).not.toHaveBeenCalled();
    expect(document.activeElement).toBe(input('username'));
    expect(input('username').getAttribute('aria-invalid')).toBe('true');
    expect(described('username')).toContain('username or e-mail');
    expect(described('password')).toContain('password');
  });

  it('shows the server’s faults beside their fields, opening what hides them', async () => {
    vi.spyOn(auth, 'register').mockRejectedValue(
      new ApiError(422, { code: 'invalid', errors: [{ field: 'setup_code', message: 'is not the code' }] }),
    );
    show(AuthForm, { mode: 'register' });
    type('username', 'mara_lind');
    type('email', 'mara@example.com');
    type('password', 'river-stone-8');
    type('setup_code', 'WRONG');
    await submit();
    expect(described('setup_code')).toContain('is not the code');
    expect(find<HTMLDetailsElement>('details').open).toBe(true);
    expect(document.activeElement).toBe(input('setup_code'));
  });

  it('sends no setup code where none was given', async () => {
    const register = vi.spyOn(auth, 'register').mockResolvedValue();
    show(AuthForm, { mode: 'register' });
    type('username', ' mara_lind ');
    type('email', 'mara@example.com');
    type('password', ' river-stone-8');
    await submit();
    expect(register).toHaveBeenCalledWith({
      username: 'mara_lind',
      email: 'mara@example.com',
      // A password is taken as it is.
      password: ' river-stone-8',
    });
  });

  it('says in words that interrupt when signing in fails, and takes the password again', async () => {
    vi.spyOn(auth, 'login').mockRejectedValue(new NetworkError('no answer'));
    show(AuthForm, { mode: 'login', username: 'mara_lind' });
    type('password', 'river-stone-8');
    await submit();
    expect(find('[role="alert"]').textContent?.trim()).not.toBe('');
    expect(document.activeElement).toBe(input('password'));
    expect(button('Sign in').getAttribute('aria-busy')).toBeNull();
  });

  it('waits as long as the server asks, and sends nothing meanwhile', async () => {
    vi.useFakeTimers();
    try {
      const login = vi.spyOn(auth, 'login').mockRejectedValue(new ApiError(429, { code: 'rate_limited' }, 2));
      show(AuthForm, { mode: 'login', username: 'mara_lind' });
      type('password', 'river-stone-8');
      await submit();
      expect(button('Try again in 2 seconds').disabled).toBe(true);
      await submit();
      expect(login).toHaveBeenCalledTimes(1);
      await vi.advanceTimersByTimeAsync(2000);
      expect(button('Sign in').disabled).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it('sends once, however often it is submitted', async () => {
    let arrived: () => void = () => undefined;
    const login = vi.spyOn(auth, 'login').mockReturnValue(
      new Promise((resolve) => {
        arrived = resolve;
      }),
    );
    show(AuthForm, { mode: 'login', username: 'mara_lind' });
    type('password', 'river-stone-8');
    await submit();
    await submit();
    expect(login).toHaveBeenCalledTimes(1);
    expect(find('form button[type="submit"]').getAttribute('aria-busy')).toBe('true');
    arrived();
    await settle();
    expect(find('form button[type="submit"]').getAttribute('aria-busy')).toBeNull();
  });

  it('shows and hides the password, and warns of caps lock', async () => {
    show(AuthForm, { mode: 'login' });
    button('Show password').click();
    await settle();
    expect(input('password').type).toBe('text');
    button('Hide password').click();
    await settle();
    expect(input('password').type).toBe('password');
    const key = new KeyboardEvent('keydown', { key: 'A', bubbles: true, modifierCapsLock: true });
    input('password').dispatchEvent(key);
    await settle();
    expect(described('password')).toContain('Caps lock is on.');
  });
});
