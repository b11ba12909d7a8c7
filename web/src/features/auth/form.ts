import { ApiError } from '$/api/errors';
import { t } from '$/lib/i18n.svelte';
import { isBlank } from '$/lib/text';

export type Mode = 'login' | 'register';
export type FieldName = 'username' | 'email' | 'password' | 'setup_code';
export type Values = Record<FieldName, string>;

/** In the order of the form: the first with an error gets the focus. */
export const FIELDS: readonly FieldName[] = ['username', 'email', 'password', 'setup_code'];

/** Letters of any script with their marks, digits and three signs, as the server keeps a name: in Form KC. */
const USERNAME = /^[\p{L}\p{M}\p{N}_.-]{3,64}$/u;
const PASSWORD = { least: 8, most: 256 };

/** What can be said about the form without asking the server: one sentence per faulty field. */
export function faultsOf(mode: Mode, values: Values): Map<FieldName, string> {
  const faults = new Map<FieldName, string>();
  const username = values.username.trim();
  if (isBlank(username))
    faults.set('username', mode === 'login' ? t('auth.login_needed') : t('auth.username_needed'));
  if (!values.password) faults.set('password', t('auth.password_needed'));
  if (mode === 'login') return faults;
  if (!isBlank(username) && !USERNAME.test(username.normalize('NFKC')))
    faults.set('username', t('auth.username_rule'));
  if (!/^[^@\s]+@[^@\s]+$/.test(values.email.trim())) faults.set('email', t('auth.email_needed'));
  const fault = passwordFault(values.password);
  if (fault) faults.set('password', fault);
  return faults;
}

/** What the server says about the form's fields. */
export function faultsIn(error: unknown): Map<FieldName, string> {
  if (!(error instanceof ApiError)) return new Map();
  return new Map([...error.fields].filter(([name]) => isField(name)) as [FieldName, string][]);
}

const isField = (name: string) => (FIELDS as readonly string[]).includes(name);

/** What is wrong with a new password, if anything. */
export function passwordFault(password: string): string | undefined {
  // In the form that is hashed: an accent of its own is no character more.
  const length = [...password.normalize('NFC')].length;
  if (length === 0) return t('auth.password_needed');
  if (length < PASSWORD.least) return t('auth.password_rule');
  return length > PASSWORD.most ? t('auth.password_long') : undefined;
}
