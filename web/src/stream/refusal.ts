import { type ApiError, NetworkError } from '$/api/errors';
import { comeBack, disconnect, finish, release, type Work } from './moves';
import { LATER_AT_MOST, PATIENCE } from './state';

/** A request found no answer, a refusal, or its body broke off. */
export function failed(work: Work, error: ApiError | NetworkError): void {
  const { s } = work;
  if (error instanceof NetworkError) {
    // Maybe it never arrived, maybe only its answer was lost: its key makes sending it again safe.
    if (s.generationId === null) s.unsure = true;
    comeBack(work);
    return;
  }
  if (error.status === 401) {
    // Whoever listens for that asks for a new sign-in, and opens the stream again after it.
    disconnect(work);
    release(work);
    s.step = 'closed';
    return;
  }
  if (s.generationId === null) askRefused(work, error);
  else attachRefused(work, error);
}

const wait = (error: ApiError): number => (error.retryAfter ?? 0) * 1000;

function askRefused(work: Work, error: ApiError): void {
  const { s } = work;
  if (error.generationId !== undefined && error.status === 429) {
    // It was accepted before, and there is only no room to follow it yet. (A 409 names another one.)
    s.generationId = error.generationId;
    comeBack(work, wait(error));
    return;
  }
  // The disk does not say whether it has the request.
  if (error.code === 'storage_unconfirmed') s.unsure = true;
  const tries = triesOf(error, s.unsure);
  s.refusals += 1;
  if (!error.fromServer && error.status >= 500) s.unsure = true;
  if (s.refusals < tries) comeBack(work, wait(error));
  else finish(work, { do: 'refuse', error });
}

/** How often a request that is refused in this way is sent at all. `unsure`: it may be stored already. */
function triesOf(error: ApiError, unsure: boolean): number {
  const { status, code } = error;
  // A proxy speaks for a server that is away: that passes, and the server may have the request.
  if (!error.fromServer) return status >= 500 ? Number.POSITIVE_INFINITY : PATIENCE.broken;
  if (status === 408 || status === 500) return PATIENCE.later;
  if (status !== 429 && status !== 503 && status !== 507) return 1;
  // A limit on answers at once is the author's to solve; the server looked for the key before it.
  if (code === 'too_many_generations') return 1;
  if (unsure) return Number.POSITIVE_INFINITY;
  return (error.retryAfter ?? 0) <= LATER_AT_MOST ? PATIENCE.later : 1;
}

function attachRefused(work: Work, error: ApiError): void {
  const { s } = work;
  const { status } = error;
  if (status === 408 || status === 429 || status >= 500) {
    comeBack(work, wait(error));
  } else if (!error.fromServer && s.refusals + 1 < PATIENCE.broken) {
    // While a server restarts, the proxy before it may say "not found" in its place.
    s.refusals += 1;
    comeBack(work);
  } else if (status === 400 && s.last !== null && !s.replay) {
    // The cursor is not one of this server's: the whole answer will do.
    s.replay = true;
    comeBack(work);
  } else {
    finish(work, { do: 'lose' });
  }
}
