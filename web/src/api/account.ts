import type { components } from '$types/schema';
import { call, client, type Options } from './client';

/** Changes the password. This session goes on, all others of the account end. */
export async function changePassword(
  form: components['schemas']['PasswordChange'],
  { signal }: Options = {},
): Promise<void> {
  await call((signal) => client.POST('/api/v1/me/password', { body: form, signal }), signal);
}
