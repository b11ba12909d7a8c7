import type { Client } from 'openapi-fetch';
import { wellFormed } from '$/lib/text';
import type { paths } from '$types/schema';

type Requests = Pick<Client<paths>, 'GET' | 'POST' | 'PATCH' | 'DELETE'>;

/** What `openapi-fetch` types by the API's document, as far as this page sends it. */
interface Init {
  params?: {
    path?: Readonly<Record<string, string>>;
    query?: Readonly<Record<string, string | number | undefined>>;
    header?: Readonly<Record<string, string>>;
  };
  body?: unknown;
  signal?: AbortSignal;
  keepalive?: boolean;
  parseAs?: 'stream';
}

/** JSON that any decoder of UTF-8 can read, whatever was cut in halves or pasted. */
function serialize(body: unknown): string {
  return JSON.stringify(body, (_, value: unknown) => (typeof value === 'string' ? wellFormed(value) : value));
}

function addressOf(template: string, { path = {}, query = {} }: NonNullable<Init['params']>): URL {
  const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ''));
  const asked = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = asked.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');
  return new URL(search === '' ? filled : `${filled}?${search}`, globalThis.location?.origin);
}

/** The document of a refusal; its text where it is none. */
function refusalOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const by =
  (method: string) =>
  async (template: string, { params = {}, body, parseAs, ...init }: Init = {}) => {
    const headers = new Headers(params.header);
    if (body !== undefined) headers.set('Content-Type', 'application/json');
    const request = new Request(addressOf(template, params), {
      ...init,
      method,
      headers,
      ...(body !== undefined && { body: serialize(body) }),
    });
    const response = await globalThis.fetch(request);
    if (response.ok && parseAs === 'stream') return { data: response.body, response };
    const text = await response.text();
    if (!response.ok) return { error: refusalOf(text), response };
    return { data: text === '' ? undefined : JSON.parse(text), response };
  };

/** The API's requests, typed by its document. Rejects where no answer came, or one that is cut or no JSON. */
export const requests = {
  GET: by('GET'),
  POST: by('POST'),
  PATCH: by('PATCH'),
  DELETE: by('DELETE'),
} as Requests;
