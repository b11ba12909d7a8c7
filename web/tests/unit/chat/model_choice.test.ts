import { beforeEach, describe, expect, it, vi } from 'vitest';
import { abilitiesOf, choicesOf, matching, tokensInShort } from '$/features/chat/model_choice';
import { type ListedModel, models } from '$/state/models.svelte';

const model = (id: string, more: Partial<ListedModel> = {}): ListedModel => ({
  id,
  provider: id.split('/')[0] ?? '',
  default: false,
  ...more,
});

beforeEach(() => {
  models.reset();
  models.status = 'ready';
});

const labels = (chosen: string | null = null) => choicesOf(models, chosen).map(({ label }) => label);

describe('the choice of models', () => {
  it('says in few letters how much a model reads', () => {
    const known: [number, string][] = [
      [512, '512'],
      [4096, '4k'],
      [8192, '8k'],
      [32_768, '32k'],
      [128_000, '128k'],
      [131_072, '128k'],
      [200_000, '200k'],
      [262_144, '256k'],
      [1_000_000, '1M'],
      [1_047_576, '1M'],
      [1_048_576, '1M'],
      [2_097_152, '2M'],
      [1_500_000, '1.5M'],
      [999_999, '1M'],
    ];
    for (const [tokens, short] of known) expect(tokensInShort(tokens), String(tokens)).toBe(short);
  });

  it('says what is known and nothing that is not', () => {
    expect(abilitiesOf(model('a/b'))).toEqual([]);
    expect(abilitiesOf(model('a/b', { context_tokens: null, images: false, tools: null }))).toEqual([]);
    const all = model('a/b', { context_tokens: 128_000, images: true, tools: true, reasoning: true });
    expect(abilitiesOf(all)).toEqual(['128k context', 'images', 'tools', 'reasoning']);
    models.items = [
      model('a/b', { description: 'Is small.', tools: true }),
      model('a/c', { description: 'Is small.' }),
    ];
    expect(choicesOf(models, null).map(({ detail }) => detail)).toEqual([
      'Is small\u00a0· tools',
      'Is small.',
    ]);
    models.items = [model('a/b', { default: true, tools: true }), model('a/c')];
    expect(choicesOf(models, 'a/c').map(({ detail, chosen }) => [detail, chosen])).toEqual([
      ["The server's default\u00a0· tools", false],
      ['a', true],
    ]);
  });

  it('tells apart what shares a name', () => {
    models.items = [model('a/same'), model('b/same'), model('b/other'), model('c/x', { name: 'other' })];
    expect(labels()).toEqual(['a/same', 'b/same', 'b/other', 'c/x']);
    models.items = [model('constructor'), model('__proto__'), model('a/toString')];
    expect(labels('__proto__')).toEqual(['constructor', '__proto__', 'toString']);
    expect(choicesOf(models, '__proto__').map(({ chosen }) => chosen)).toEqual([false, true, false]);
  });

  it('has the chosen one, listed or not', () => {
    models.items = [model('a/b')];
    const [first, ...others] = choicesOf(models, 'gone/away');
    expect(first).toEqual({
      id: 'gone/away',
      label: 'away',
      detail: 'Not listed right now\u00a0· gone',
      chosen: true,
    });
    expect(others.map(({ id, chosen }) => [id, chosen])).toEqual([['a/b', false]]);
    expect(labels('gone/b')[0], 'not taken for the other b').toBe('gone/b');
    models.status = 'loading';
    expect(labels('gone/away'), 'nobody knows yet').toEqual(['b']);
  });

  it('is found by words of its name, provider or abilities, in any order', () => {
    models.items = [
      model('openrouter/Qwen/Qwen3-32B', { context_tokens: 32_768 }),
      model('ollama/qwen3:4b', { images: true }),
      model('openai/gpt-5'),
    ];
    const found = (text: string) => matching(choicesOf(models, null), text).map(({ id }) => id);
    expect(found('QWEN')).toEqual(['openrouter/Qwen/Qwen3-32B', 'ollama/qwen3:4b']);
    expect(found(' images  qwen')).toEqual(['ollama/qwen3:4b']);
    expect(found('router 32k')).toEqual(['openrouter/Qwen/Qwen3-32B']);
    expect(found('')).toHaveLength(3);
    expect(found('.*')).toEqual([]);
  });

  it('takes ten thousand in no time', () => {
    models.items = Array.from({ length: 10_000 }, (_, at) => model(`p${at % 7}/m${at % 5_000}`));
    const began = performance.now();
    expect(matching(choicesOf(models, 'p1/m1'), 'm4999')).toHaveLength(2);
    // Comparing each with each would take seconds.
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

vi.mock('$/api/client', () => ({ listModels: vi.fn() }));
