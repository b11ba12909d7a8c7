import { ApiError } from '$/api/errors';
import { passwordFault } from '$/features/auth/form';
import { t } from '$/lib/i18n.svelte';

export type FieldName = 'current_password' | 'new_password';
export type Values = Record<FieldName, string>;

/** In the order of the form: the first with an error gets the focus. */
export const FIELDS: readonly FieldName[] = ['current_password', 'new_password'];

/** What can be said about the form without asking the server: one sentence per faulty field. */
export function faultsOf(values: Values): Map<FieldName, string> {
  const faults = new Map<FieldName, string>();
  if (!values.current_password) faults.set('current_password', t('auth.password_needed'));
  const fault = passwordFault(values.new_password);
  if (fault) faults.set('new_password', fault);
  return faults;
}

/** What the server says about the form's fields, in the reader's language. */
export function faultsIn(error: unknown): Map<FieldName, string> {
  const faults = new Map<FieldName, string>();
  if (!(error instanceof ApiError)) return faults;
  if (error.fields.has('current_password')) faults.set('current_password', t('password.wrong'));
  // What is said here of a new password the form has said before: the server knows another rule then.
  const rule = error.fields.get('new_password');
  if (rule !== undefined) faults.set('new_password', rule);
  return faults;
}
