import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as client from '$/api/client';
import { NetworkError } from '$/api/errors';
import ConversationList from '$/features/sidebar/ConversationList.svelte';
import { conversations } from '$/state/conversations.svelte';
import { toasts } from '$/state/toasts.svelte';
import { button, find, press, provideTopLayer, settle, show } from './support';

vi.mock(import('$/api/client'), async (original) => ({
  ...(await original()),
  listConversations: vi.fn(),
  renameConversation: vi.fn(),
  deleteConversation: vi.fn(),
}));

const now = new Date().toISOString();
const conversation = (id: string, title: string, more = {}) => ({
  id,
  title,
  created_at: now,
  updated_at: now,
  head_message_id: null,
  generation_id: null,
  title_pending: false,
  ...more,
});

/** Tells the observers of the page that everything they watch has come into view. */
let comeIntoView: () => void;

beforeEach(() => {
  provideTopLayer();
  const callbacks = new Set<() => void>();
  comeIntoView = () => {
    for (const callback of [...callbacks]) callback();
  };
  vi.stubGlobal(
    'IntersectionObserver',
    class {
      #tell: () => void;
      constructor(callback: IntersectionObserverCallback) {
        const seen = { isIntersecting: true } as IntersectionObserverEntry;
        this.#tell = () => callback([seen], this as unknown as IntersectionObserver);
      }
      observe() {
        callbacks.add(this.#tell);
      }
      disconnect() {
        callbacks.delete(this.#tell);
      }
    },
  );
  conversations.reset();
  for (const toast of toasts.items) toasts.dismiss(toast.id);
});

async function list(page: ReturnType<typeof conversation>[], next: string | null = null): Promise<void> {
  vi.mocked(client.listConversations).mockResolvedValueOnce({ conversations: page, next_cursor: next });
  show(ConversationList, { fallback: () => undefined });
  await conversations.refresh();
  await settle();
}

const links = () =>
  [...document.querySelectorAll('a')].map((link) => link.textContent?.replace(/\s+/g, ' ').trim());

describe('ConversationList', () => {
  it('shows that it loads, then real links under the day of their last change', async () => {
    show(ConversationList, { fallback: () => undefined });
    expect(find('[role="status"]').textContent).toContain('Loading');
    vi.mocked(client.listConversations).mockResolvedValueOnce({
      conversations: [conversation('b', 'Rivers'), conversation('a', 'Bread')],
      next_cursor: null,
    });
    await conversations.refresh();
    await settle();
    expect(document.querySelector('[role="status"]')).toBeNull();
    expect(find('section h3').textContent).toBe('Today');
    expect([...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))).toEqual([
      '/c/b',
      '/c/a',
    ]);
  });

  it('says in words what is being answered and what is new', async () => {
    await list([conversation('b', 'Rivers', { generation_id: 'g' }), conversation('a', 'Bread')]);
    expect(links()).toEqual(['Rivers (answer in progress)', 'Bread']);
    conversations.upsert({ id: 'b', generation_id: null });
    await settle();
    expect(links()).toEqual(['Rivers (new answer)', 'Bread']);
  });

  it('says that there is nothing yet', async () => {
    await list([]);
    expect(document.body.textContent).toContain('will be listed here');
  });

  it('offers to try again where the list could not be had', async () => {
    vi.mocked(client.listConversations).mockRejectedValueOnce(new NetworkError('no answer'));
    show(ConversationList, { fallback: () => undefined });
    await conversations.refresh();
    await settle();
    vi.mocked(client.listConversations).mockResolvedValueOnce({
      conversations: [conversation('a', 'Bread')],
      next_cursor: null,
    });
    button('Try again').click();
    await settle();
    expect(links()).toEqual(['Bread']);
  });

  it('asks for the next page when the end comes near, and not again after a failure', async () => {
    await list([conversation('b', 'Rivers')], 'next');
    vi.mocked(client.listConversations).mockClear();
    vi.mocked(client.listConversations).mockRejectedValueOnce(new NetworkError('no answer'));
    comeIntoView();
    await settle();
    expect(client.listConversations).toHaveBeenCalledTimes(1);
    expect(client.listConversations).toHaveBeenCalledWith(expect.objectContaining({ cursor: 'next' }));
    const older = conversation('a', 'Bread', { updated_at: '2020-05-01T12:00:00Z' });
    vi.mocked(client.listConversations).mockResolvedValueOnce({ conversations: [older], next_cursor: null });
    button('Show more').click();
    await settle();
    expect(client.listConversations).toHaveBeenCalledTimes(2);
    expect(links()).toEqual(['Rivers', 'Bread']);
    expect(document.body.textContent).not.toContain('Show more');
  });

  async function choose(title: string, action: string): Promise<void> {
    const opener = button(`Options for ${title}`);
    press(opener, 'ArrowDown');
    await settle();
    button(action).click();
    await settle();
  }

  it('renames in place: Enter keeps, Esc does not, and the focus returns to the link', async () => {
    vi.mocked(client.renameConversation).mockResolvedValue(conversation('a', 'Sourdough'));
    await list([conversation('a', 'Bread')]);
    await choose('Bread', 'Rename');
    let field = find<HTMLInputElement>('li input');
    expect(document.activeElement).toBe(field);
    field.value = 'Never kept';
    press(field, 'Escape');
    await settle();
    expect(client.renameConversation).not.toHaveBeenCalled();
    expect(document.activeElement).toBe(find('a'));
    await choose('Bread', 'Rename');
    field = find<HTMLInputElement>('li input');
    field.value = '  Sourdough ';
    press(field, 'Enter', { isComposing: true });
    expect(client.renameConversation).not.toHaveBeenCalled();
    press(field, 'Enter');
    await settle();
    expect(client.renameConversation).toHaveBeenCalledTimes(1);
    expect(client.renameConversation).toHaveBeenCalledWith('a', 'Sourdough');
    expect(links()).toEqual(['Sourdough']);
    expect(document.activeElement).toBe(find('a'));
  });

  it('deletes with Undo, and leads the focus to the neighbour', async () => {
    await list([conversation('c', 'Rivers'), conversation('b', 'Bread'), conversation('a', 'Rain')]);
    await choose('Bread', 'Delete');
    expect(links()).toEqual(['Rivers', 'Rain']);
    expect(document.activeElement?.textContent).toContain('Rain');
    expect(client.deleteConversation).not.toHaveBeenCalled();
    toasts.items[0]?.action?.run();
    await settle();
    expect(links()).toEqual(['Rivers', 'Bread', 'Rain']);
  });
});
