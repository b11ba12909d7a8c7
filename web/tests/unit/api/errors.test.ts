import '$/lib/later_words';
import { afterEach, describe, expect, it } from 'vitest';
import { ApiError, messageOf, NetworkError, parseRetryAfter } from '$/api/errors';
import { setLocale } from '$/lib/i18n.svelte';

afterEach(() => setLocale('en'));

const problem = {
  code: 'taken',
  detail: 'This username is taken.',
  request_id: 'r1',
  errors: [{ field: 'username', message: 'is taken' }],
};

describe('ApiError', () => {
  it('holds what the document says', () => {
    const error = new ApiError(409, problem, 5);
    expect(error).toMatchObject({
      status: 409,
      code: 'taken',
      requestId: 'r1',
      retryAfter: 5,
      fromServer: true,
    });
    expect([...error.fields]).toEqual([['username', 'is taken']]);
    expect(new ApiError(409, { code: 'generation_running', generation_id: 'g' }).generationId).toBe('g');
  });

  it.each([undefined, '', '<html>', null, 7, { errors: 'x' }, { errors: [null, 1] }])(
    'makes something of an answer that is not the server’s: %j',
    (body) => {
      const error = new ApiError(502, body);
      expect(error).toMatchObject({ code: 'http_502', detail: '', fromServer: false });
      expect(error.fields.size).toBe(0);
      expect(messageOf(error)).toContain('502');
    },
  );
});

describe('messageOf', () => {
  it('has words of its own for what it knows', () => {
    expect(messageOf(new ApiError(429, { code: 'rate_limited', detail: 'x' }))).toMatch(
      /Try again in a moment/,
    );
    expect(messageOf(new NetworkError('x'))).toMatch(/No answer/);
    expect(messageOf({ code: 'provider_auth', message: 'x', retryable: false })).toMatch(/administrator/);
  });

  it('speaks the reader’s language', async () => {
    await setLocale('de');
    expect(messageOf(new ApiError(429, { code: 'rate_limited' }))).toMatch(/gleich noch einmal/);
  });

  it('gives the server’s words for what it does not know', () => {
    expect(messageOf(new ApiError(418, { code: 'teapot', detail: 'It is a teapot.' }))).toBe(
      'It is a teapot.',
    );
    expect(messageOf({ code: 'teapot', message: 'It is one.' })).toBe('It is one.');
    // Not a key of the catalog's object that nobody wrote there.
    expect(messageOf({ code: 'constructor', message: 'odd' })).toBe('odd');
  });

  it('names the faulty fields', () => {
    const error = new ApiError(422, {
      code: 'invalid',
      errors: [{ field: 'title', message: 'must not be empty' }],
    });
    expect(messageOf(error)).toContain('title must not be empty');
  });

  it('shows nothing of what nobody expected', () => {
    for (const thrown of [new TypeError('x is undefined'), undefined, null, 'x', 3]) {
      expect(messageOf(thrown)).toMatch(/went wrong/);
    }
  });
});

describe('parseRetryAfter', () => {
  it('takes seconds and dates', () => {
    expect(parseRetryAfter('7')).toBe(7);
    expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 2_000)).toBe(7);
    expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:01 GMT', 2_000)).toBe(0);
    expect(parseRetryAfter('soon')).toBeUndefined();
    expect(parseRetryAfter(null)).toBeUndefined();
  });
});
