import { isKey, t } from '$/lib/i18n.svelte';

/** What a problem document (RFC 9457) of the server may hold. */
interface Problem {
  code?: unknown;
  detail?: unknown;
  request_id?: unknown;
  generation_id?: unknown;
  errors?: unknown;
}

const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A refused request: an answer came, and it says no. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Stable, for programs; `http_<status>` where something other than the server answered. */
  readonly code: string;
  /** For people, in English. */
  readonly detail: string;
  /** Faulty fields and what is wrong with each. */
  readonly fields: ReadonlyMap<string, string>;
  /** Names the request in the server's log; empty where something other than the server answered. */
  readonly requestId: string;
  /** Seconds to wait before the next try. */
  readonly retryAfter?: number;
  /** The generation that the refusal is about. */
  readonly generationId?: string;

  constructor(status: number, body: unknown, retryAfter?: number) {
    const problem: Problem = typeof body === 'object' && body !== null ? body : {};
    const code = string(problem.code) ?? `http_${status}`;
    const detail = string(problem.detail) ?? '';
    super(`${status} ${code}: ${detail}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.fields = fieldsOf(problem.errors);
    this.requestId = string(problem.request_id) ?? '';
    if (retryAfter !== undefined) this.retryAfter = retryAfter;
    const generationId = string(problem.generation_id);
    if (generationId !== undefined) this.generationId = generationId;
  }

  /** Whether the server itself answered, and not a proxy before it. */
  get fromServer(): boolean {
    return !this.code.startsWith('http_');
  }
}

/** No answer came, or one that can't be this server's. Whether the request was carried out is unknown. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
}

function fieldsOf(errors: unknown): Map<string, string> {
  const fields = new Map<string, string>();
  if (!Array.isArray(errors)) return fields;
  for (const error of errors as { field?: unknown; message?: unknown }[]) {
    const field = string(error?.field);
    if (field !== undefined) fields.set(field, string(error.message) ?? '');
  }
  return fields;
}

/** Seconds from a Retry-After header: a number, or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

/**
 * What happened and what to do, in the reader's language.
 *
 * Takes an {@link ApiError}, a {@link NetworkError}, the `error` of an answer that failed
 * (`{ code, message }`), or anything else that was thrown.
 */
export function messageOf(error: unknown): string {
  if (error instanceof NetworkError) return t('error.network');
  const { code, words } = describe(error);
  if (code === 'invalid' && error instanceof ApiError && error.fields.size > 0) {
    const faults = Array.from(error.fields, ([field, message]) => `${field} ${message}`);
    return t('error.invalid', { fields: faults.join('; ') });
  }
  const key = `error.${code}`;
  if (isKey(key)) return t(key);
  if (words !== '') return words;
  return error instanceof ApiError ? t('error.status', { status: String(error.status) }) : t('error.unknown');
}

function describe(error: unknown): { code: string; words: string } {
  if (error instanceof ApiError) return { code: error.code, words: error.detail };
  if (typeof error !== 'object' || error === null || error instanceof Error) return { code: '', words: '' };
  const { code, message } = error as { code?: unknown; message?: unknown };
  return { code: string(code) ?? '', words: string(message) ?? '' };
}
