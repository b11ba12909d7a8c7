import { expect, it } from 'vitest';
import { directionOf } from '$/features/chat/direction';

it.each([
  ['Hello שלום', 'ltr'],
  ['**שלום** hello', 'rtl'],
  ['1. مرحبا', 'rtl'],
  ['你好', 'ltr'],
  ['123 – **', null],
  ['', null],
])('of %j is %s', (text, direction) => {
  expect(directionOf(text)).toBe(direction);
});
