import { expect, it } from 'vitest';
import { titleOf } from '$/state/title';

it('is the first line that can be seen', () => {
  expect(titleOf('  Hello \n there')).toBe('Hello');
  expect(titleOf('\u200b\n\ufeff \nHello')).toBe('Hello');
  expect(titleOf('')).toBe('');
});

it.each(['👩\u200d👩\u200d👧', '🇩🇪', 'e\u0301', '한', 'x'])('is cut between characters: %s', (character) => {
  const title = titleOf(character.repeat(200));
  expect(title.endsWith('…')).toBe(true);
  const whole = title.slice(0, -1);
  expect(whole.length).toBeLessThanOrEqual(80);
  expect(whole.replaceAll(character, '')).toBe('');
  expect(whole.length + character.length).toBeGreaterThan(80);
});
