import { describe, expect, test, vi } from 'vitest';
import { models } from '$/state/models.svelte';
import { server } from './fake';
import { freshPage, problem } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const small = { id: 'local/small', provider: 'local', default: false, description: 'On this machine.' };
const big = { id: 'cloud/vendor/big', provider: 'cloud', default: true };

describe('models', () => {
  test('the default is asked until another one is chosen, and that one whether it is listed or not', async () => {
    models.reset();
    expect(models.selected).toBeNull();
    server.models = [small, big];
    await models.load();
    expect(models.selected).toBe('cloud/vendor/big');
    models.select('local/small');
    expect([models.selected, localStorage.getItem('model')]).toEqual(['local/small', 'local/small']);
    expect(models.isMissing('local/small')).toBe(false);
    server.models = [big];
    await models.load();
    expect([models.selected, models.isMissing('local/small')]).toEqual(['local/small', true]);
    models.reset();
    expect(models.isMissing('local/small'), 'nobody knows before there is a list').toBe(false);
  });

  test('an id that is listed twice is there once, and one without an id not at all', async () => {
    server.models = [
      big,
      { ...small, id: '' },
      { ...big, provider: 'other' },
      { ...small, id: 'constructor' },
    ];
    await models.load();
    expect(models.items.map(({ id, provider }) => [id, provider])).toEqual([
      ['cloud/vendor/big', 'cloud'],
      ['constructor', 'local'],
    ]);
    expect([models.isMissing('__proto__'), models.isMissing('toString')]).toEqual([true, true]);
    expect([models.nameOf('__proto__'), models.nameOf('a/toString')]).toEqual(['__proto__', 'toString']);
  });

  test('have a name', async () => {
    server.models = [small, big];
    await models.load();
    expect(models.nameOf('local/small')).toBe('small');
    expect(models.nameOf('cloud/vendor/big')).toBe('vendor/big');
    server.models = [{ ...big, name: 'Big' } as typeof big];
    await models.load();
    expect(models.nameOf('cloud/vendor/big')).toBe('Big');
    expect([models.nameOf('bare'), models.nameOf('gone/')]).toEqual(['bare', 'gone/']);
  });

  test('loads that run at once are one; a failed one is told, and keeps the list', async () => {
    models.reset();
    server.fail('listModels', problem(500, 'odd'));
    await Promise.all([models.load(), models.load()]);
    expect([models.status, models.error, server.count('listModels')]).toEqual(['failed', 'detail of odd', 1]);
    server.models = [small];
    await models.load();
    server.fail('listModels', problem(500, 'odd'));
    await models.load();
    expect([models.status, models.items.length]).toEqual(['ready', 1]);
  });
});
