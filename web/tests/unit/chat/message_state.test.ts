import { describe, expect, it } from 'vitest';
import { type Shown, stateOf } from '$/features/chat/message_state';
import { PartView, ReasoningView } from '$/state/part.svelte';

const answer = (more: Partial<Shown>): Shown => ({
  role: 'assistant',
  status: 'completed',
  phase: null,
  length: 40,
  parts: [new PartView('text')],
  finishReason: 'stop',
  error: null,
  stored: true,
  ...more,
});

describe('an answer without a word yet', () => {
  for (const phase of ['sending', 'waiting', 'streaming'] as const) {
    it(`shows that it is thought about (${phase})`, () => {
      const state = stateOf(answer({ status: 'running', phase, length: 0 }));
      expect(state).toEqual({ busy: true, thinking: true, caret: false, wait: null, mark: null });
    });
  }

  it('does not pretend to think while there is no connection', () => {
    for (const phase of ['reconnecting', 'offline'] as const) {
      const state = stateOf(answer({ status: 'running', phase, length: 0 }));
      expect(state).toMatchObject({ thinking: false, wait: phase });
    }
  });

  it('does not claim to go on elsewhere before the server has the question', () => {
    for (const phase of ['reconnecting', 'offline'] as const) {
      const state = stateOf(answer({ status: 'running', phase, length: 0, stored: false }));
      expect(state).toMatchObject({ thinking: false, wait: 'unsent' });
    }
  });

  it('needs no sign of life beside the thoughts that are shown', () => {
    const parts = [new ReasoningView(), new PartView('text')];
    const state = stateOf(answer({ status: 'running', phase: 'streaming', length: 0, parts }));
    expect(state).toEqual({ busy: true, thinking: false, caret: false, wait: null, mark: null });
  });

  it('is thought about while it is queued', () => {
    expect(stateOf(answer({ status: 'queued', length: 0 }))).toMatchObject({ busy: true, thinking: true });
  });
});

describe('an answer that is being written', () => {
  it('has a caret and nothing else', () => {
    const state = stateOf(answer({ status: 'running', phase: 'streaming' }));
    expect(state).toEqual({ busy: true, thinking: false, caret: true, wait: null, mark: null });
  });

  it('says in words what it is waiting for', () => {
    for (const phase of ['quiet', 'held', 'reconnecting', 'offline'] as const) {
      expect(stateOf(answer({ status: 'running', phase })).wait).toBe(phase);
    }
  });

  it('has no caret where nothing can come', () => {
    expect(stateOf(answer({ status: 'running', phase: 'offline' })).caret).toBe(false);
    expect(stateOf(answer({ status: 'running', phase: 'held' })).caret).toBe(true);
  });

  it('is not marked by how an earlier run ended', () => {
    const state = stateOf(answer({ status: 'running', phase: 'streaming', finishReason: 'length' }));
    expect(state.mark).toBeNull();
  });
});

describe('an answer that has ended', () => {
  it('needs no word when it is complete', () => {
    expect(stateOf(answer({}))).toEqual({
      busy: false,
      thinking: false,
      caret: false,
      wait: null,
      mark: null,
    });
  });

  it('keeps no caret and no line of the stream', () => {
    for (const status of ['stopped', 'failed', 'interrupted'] as const) {
      const state = stateOf(answer({ status, phase: 'quiet' }));
      expect(state).toEqual({ busy: false, thinking: false, caret: false, wait: null, mark: status });
    }
  });

  it('says when it was cut at its length', () => {
    expect(stateOf(answer({ finishReason: 'length' })).mark).toBe('length');
    expect(stateOf(answer({ finishReason: 'length', length: 0 })).mark).toBe('length');
  });

  it('says when there is nothing to see', () => {
    expect(stateOf(answer({ length: 0 })).mark).toBe('empty');
    expect(stateOf(answer({ length: 0, status: 'stopped' })).mark).toBe('stopped');
    const parts = [new ReasoningView(), new PartView('text')];
    expect(stateOf(answer({ length: 0, parts })).mark, 'thoughts are no answer').toBe('empty');
  });
});

it('a question is never marked', () => {
  expect(stateOf(answer({ role: 'user', length: 0 }))).toMatchObject({ busy: false, mark: null });
});
