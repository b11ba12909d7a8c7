import type { components } from '$types/schema';
import { connection, isServers } from './connection.svelte';
import { ApiError, NetworkError, parseRetryAfter } from './errors';
import { requests } from './requests';

type Schemas = components['schemas'];
export type User = Schemas['User'];
export type Session = Schemas['Session'];
export type Conversation = Schemas['Conversation'];
export type ConversationPage = Schemas['ConversationPage'];
export type Message = Schemas['Message'];
export type MessagePage = Schemas['MessagePage'];
export type Model = Schemas['Model'];
export type ModelList = Schemas['ModelList'];
export type Generation = Schemas['Generation'];
export type GenerationDetails = Schemas['GenerationDetails'];

export interface Options {
  signal?: AbortSignal;
}
export interface PageOptions extends Options {
  cursor?: string;
  limit?: number;
}
/** `key` makes a repeated request the same request. */
export interface StreamOptions extends Options {
  key: string;
}

/** An answer to a plain request that takes longer, in milliseconds, does not come. */
const PATIENCE = 30_000;

/** Aborts with the caller's signal, and when patience is at its end. */
function patient(signal: AbortSignal | undefined): AbortSignal {
  const patience = AbortSignal.timeout(PATIENCE);
  // Safari has `any` since 17.4. Before that, a request that its caller may abort has Safari's own patience.
  return signal && AbortSignal.any ? AbortSignal.any([signal, patience]) : (signal ?? patience);
}

/** For the parts of the API that a first visit does not need; they have files of their own. */
export const client = requests;

const listeners = new Set<() => void>();

/** Calls the listener whenever a request finds that nobody is signed in. Gives back what ends that. */
export function onUnauthenticated(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Sends a request; throws a refusal as {@link ApiError}, no answer as {@link NetworkError}, the caller's own abort as it is. */
async function send<T>(
  request: () => Promise<Answer<T>>,
  signal: AbortSignal | undefined,
): Promise<Answer<T>> {
  let answer: Answer<T>;
  try {
    answer = await request();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    connection.missed();
    throw new NetworkError('no answer', { cause });
  }
  const { ok, status, headers } = answer.response;
  if (ok) {
    connection.heard();
    return answer;
  }
  const refusal = new ApiError(status, answer.error, parseRetryAfter(headers.get('retry-after')));
  if (refusal.fromServer || isServers(status)) connection.heard();
  else connection.missed();
  throw refusal;
}

/** Sends a plain request; refusals and silence are errors. */
export async function call<T>(
  request: (signal: AbortSignal) => Promise<Answer<T>>,
  signal?: AbortSignal,
): Promise<T> {
  const either = patient(signal);
  const answer = await announced(send(() => request(either), signal));
  return answer.data as T;
}

/** Tells everybody of a 401. */
async function announced<T>(sent: Promise<T>): Promise<T> {
  try {
    return await sent;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      for (const listener of listeners) listener();
    }
    throw error;
  }
}

export function register(form: Schemas['RegisterRequest'], { signal }: Options = {}): Promise<User> {
  return call((signal) => client.POST('/api/v1/auth/register', { body: form, signal }), signal);
}

/** Signs in; the browser keeps the session's cookie. A wrong password is an {@link ApiError} and no {@link onUnauthenticated}. */
export async function login(form: Schemas['LoginRequest'], { signal }: Options = {}): Promise<Session> {
  const either = patient(signal);
  const answer = await send(() => client.POST('/api/v1/auth/login', { body: form, signal: either }), signal);
  return answer.data as Session;
}

export async function logout({ signal }: Options = {}): Promise<void> {
  await call((signal) => client.POST('/api/v1/auth/logout', { signal }), signal);
}

/** Who is signed in; null is nobody, and no error. */
export async function signedInUser({ signal }: Options = {}): Promise<User | null> {
  const { user } = await call((signal) => client.GET('/api/v1/auth/session', { signal }), signal);
  return user ?? null;
}

/** Conversations, the newest first; with `id` that one alone, or none. */
export function listConversations({
  signal,
  ...query
}: PageOptions & { id?: string } = {}): Promise<ConversationPage> {
  return call((signal) => client.GET('/api/v1/conversations', { params: { query }, signal }), signal);
}

/**
 * One conversation. Where there is none, it rejects as the API does for a name that nothing has; it asks in a way that
 * is answered with an empty list, since a browser writes every 404 into its console.
 */
export async function getConversation(id: string, options: Options = {}): Promise<Conversation> {
  const [conversation] = (await listConversations({ ...options, id })).conversations;
  if (!conversation) throw new ApiError(404, { code: 'not_found' });
  return conversation;
}

export function renameConversation(
  id: string,
  title: string,
  { signal }: Options = {},
): Promise<Conversation> {
  return call(
    (signal) =>
      client.PATCH('/api/v1/conversations/{id}', { params: { path: { id } }, body: { title }, signal }),
    signal,
  );
}

/** Has a chat shown by the branch through a message, to its end. */
export function chooseBranch(id: string, messageId: string, { signal }: Options = {}): Promise<Conversation> {
  return call(
    (signal) =>
      client.PATCH('/api/v1/conversations/{id}', {
        params: { path: { id } },
        body: { head_message_id: messageId },
        signal,
      }),
    signal,
  );
}

/** `keepalive` lets the request outlive the page that sends it. */
export async function deleteConversation(
  id: string,
  { signal, keepalive = false }: Options & { keepalive?: boolean } = {},
): Promise<void> {
  await call(
    (signal) => client.DELETE('/api/v1/conversations/{id}', { params: { path: { id } }, keepalive, signal }),
    signal,
  );
}

/** A page of one branch of a chat, the newest page first. `path` is `head`, or a message that the branch goes through. */
export function listMessages(
  id: string,
  { signal, ...query }: PageOptions & { path: string },
): Promise<MessagePage> {
  return call(
    (signal) =>
      client.GET('/api/v1/conversations/{id}/messages', { params: { path: { id }, query }, signal }),
    signal,
  );
}

export function listModels({ signal }: Options = {}): Promise<ModelList> {
  return call((signal) => client.GET('/api/v1/models', { signal }), signal);
}

/** How an answer stands, without its text. */
export function getGeneration(id: string, { signal }: Options = {}): Promise<GenerationDetails> {
  return call(
    (signal) => client.GET('/api/v1/chat/generations/{id}', { params: { path: { id } }, signal }),
    signal,
  );
}

/** Ends an answer, which keeps its text. Of one that has ended already: how it did. */
export function stopGeneration(id: string, { signal }: Options = {}): Promise<Generation> {
  return call(
    (signal) => client.POST('/api/v1/chat/generations/{id}/stop', { params: { path: { id } }, signal }),
    signal,
  );
}

/** A stream lives as long as its answer: no patience of ours ends it. */
async function open(
  request: () => Promise<Answer<unknown>>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const { response } = await announced(send(request, signal));
  if (response.status === 204) return response;
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('text/event-stream') || response.body === null) {
    response.body?.cancel().catch(() => undefined);
    throw new NetworkError(`not an event stream: ${type}`);
  }
  return response;
}

const idempotency = (key: string) => ({ 'Idempotency-Key': key });

/** Asks a question. The response's body is unread. */
export function ask(body: Schemas['ChatRequest'], { key, signal }: StreamOptions): Promise<Response> {
  const init = { params: { header: idempotency(key) }, body, parseAs: 'stream' as const };
  return open(() => client.POST('/api/v1/chat/stream', { ...init, ...(signal && { signal }) }), signal);
}

/** Follows an answer from its beginning or from an event on (`<epoch>.<seq>`). 204: there is nothing to follow. */
export function attach(
  { generationId, after }: { generationId: string; after: string | null },
  { signal }: Options = {},
): Promise<Response> {
  const query = { generation_id: generationId, ...(after !== null && { after }) };
  const init = { params: { query }, parseAs: 'stream' as const };
  return open(() => client.GET('/api/v1/chat/stream', { ...init, ...(signal && { signal }) }), signal);
}

/** Goes on with an answer that was cut short, in the same message. */
export function continueAnswer(generationId: string, { key, signal }: StreamOptions): Promise<Response> {
  const params = { path: { id: generationId }, header: idempotency(key) };
  const init = { params, parseAs: 'stream' as const, ...(signal && { signal }) };
  return open(() => client.POST('/api/v1/chat/generations/{id}/continue', init), signal);
}

/** Answers the same question again, in a new message beside the old one. */
export function retryAnswer(
  generationId: string,
  body: Schemas['RetryRequest'],
  { key, signal }: StreamOptions,
): Promise<Response> {
  const params = { path: { id: generationId }, header: idempotency(key) };
  const init = { params, body, parseAs: 'stream' as const, ...(signal && { signal }) };
  return open(() => client.POST('/api/v1/chat/generations/{id}/retry', init), signal);
}
