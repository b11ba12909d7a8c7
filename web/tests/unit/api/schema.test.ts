// @vitest-environment node
import { readFile } from 'node:fs/promises';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, it } from 'vitest';

it('the types are those of docs/api/openapi.json: `npm run api` writes them', async () => {
  const document = new URL('../../../../docs/api/openapi.json', import.meta.url);
  const written = await readFile(new URL('../../../src/api/schema.d.ts', import.meta.url), 'utf8');
  expect(
    written === COMMENT_HEADER + astToString(await openapiTS(document)),
    'schema.d.ts is up to date',
  ).toBe(true);
});
