import { expect, it } from 'vitest';
import { pauseAfter, remedyOf, signOf } from '$/features/chat/error_kind';
import first from '$/locales/en.json';
import later from '$/locales/en.later.json';
import { CircleAlert, Clock, KeyRound, SearchX, Unplug } from '$/ui/icons';

const words: Record<string, string> = { ...first, ...later };

it.each([
  ['provider_rate_limited', 'wait', Clock],
  ['model_not_found', 'model', SearchX],
  ['provider_rejected', 'model', SearchX],
  ['context_too_long', 'model', SearchX],
  ['provider_auth', 'administrator', KeyRound],
  ['provider_no_credit', 'administrator', KeyRound],
  ['provider_untrusted', 'administrator', KeyRound],
  ['upstream_truncated', 'retry', Unplug],
  ['provider_failed', 'retry', CircleAlert],
  ['constructor', 'retry', CircleAlert],
  ['', 'retry', CircleAlert],
] as const)('%s: %s', (code, remedy, sign) => {
  expect([remedyOf(code), signOf(code)]).toEqual([remedy, sign]);
});

it.each([
  [undefined, 20],
  [0, 1],
  [7.2, 8],
  [300, 300],
  [301, null],
])('a provider that says %s is asked again after %s seconds', (retryAfter, pause) => {
  expect(pauseAfter(retryAfter === undefined ? {} : { retryAfter })).toBe(pause);
});

it('the words of an error name what its buttons say', () => {
  for (const key of Object.keys(words).filter((key) => key.startsWith('error.'))) {
    const code = key.slice('error.'.length);
    const text = words[key] ?? '';
    expect([key, /\bretry\b/i.test(text)]).toEqual([key, false]);
    if (remedyOf(code) === 'model')
      expect([key, text]).toEqual([key, expect.stringMatching(/another model/)]);
    if (remedyOf(code) === 'wait') expect([key, text]).toEqual([key, expect.stringMatching(/in a moment/)]);
    if (remedyOf(code) === 'administrator') {
      expect([key, text]).toEqual([key, expect.stringMatching(/administrator/)]);
      expect([key, `chat.advice_${code}` in words]).toEqual([key, true]);
    }
  }
});
