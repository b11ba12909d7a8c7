import { t } from '$/lib/i18n.svelte';

export type Mode = 'login' | 'register';
export type FieldName = 'username' | 'email' | 'password' | 'setup_code';
export type Values = Record<FieldName, string>;

/** In the order of the form: the first with an error gets the focus. */
export const FIELDS: readonly FieldName[] = ['username', 'email', 'password', 'setup_code'];

/** What can be said about the form without asking the server: one sentence per faulty field. */
export function faultsOf(mode: Mode, values: Values): Map<FieldName, string> {
  const faults = new Map<FieldName, string>();
  const username = values.username.trim();
  if (!username)
    faults.set('username', mode === 'login' ? t('auth.login_needed') : t('auth.username_needed'));
  if (!values.password) faults.set('password', t('auth.password_needed'));
  if (mode === 'login') return faults;
  if (username && !/^[\w.-]{3,64}$/.test(username)) faults.set('username', t('auth.username_rule'));
  if (!/^[^@\s]+@[^@\s]+$/.test(values.email.trim())) faults.set('email', t('auth.email_needed'));
  if (values.password && [...values.password].length < 8) faults.set('password', t('auth.password_rule'));
  return faults;
}

/** Where to go after signing in: a path of this page that `?return=` names, else the start. */
export function returnPath(search: string): string {
  const wanted = new URLSearchParams(search).get('return');
  if (!wanted) return '/';
  const here = 'https://here.invalid';
  const url = URL.canParse(wanted, here) ? new URL(wanted, here) : null;
  // Another site's address must not become the end of a sign-in here.
  if (url?.origin !== here || !wanted.startsWith('/')) return '/';
  return /^\/(login|register)\b/.test(url.pathname) ? '/' : url.pathname;
}

/** The sign-in page that comes back to `path`. */
export function signInPath(path: string): string {
  return path === '/' ? '/login' : `/login?return=${encodeURIComponent(path)}`;
}
