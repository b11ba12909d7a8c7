import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/** One event: its id and its data. */
export type Pair = [id: string, data: string];

/** A document of the server's own origin without a page, a policy or a script in it. */
export const BARE = '/api/v1/health';

/** A browser's own EventSource on a page of ours, and all it has had. */
export class BrowserSource {
  private constructor(
    readonly page: Page,
    readonly name: string,
  ) {}

  /** `new EventSource(address)`; the page's cookie says who asks. */
  static async open(page: Page, address: string): Promise<BrowserSource> {
    const name = await page.evaluate((url) => {
      const source = new EventSource(url);
      const seen = { source, events: [] as [string, string][], opened: 0 };
      source.onmessage = (event) => seen.events.push([event.lastEventId, event.data as string]);
      source.onopen = () => {
        seen.opened += 1;
      };
      const key = `source-${Math.random()}`;
      Reflect.set(window, key, seen);
      return key;
    }, address);
    return new BrowserSource(page, name);
  }

  async events(): Promise<Pair[]> {
    return (await this.#state()).events;
  }

  /** `EventSource.CONNECTING`, `OPEN` or `CLOSED`. */
  async readyState(): Promise<number> {
    return (await this.#state()).readyState;
  }

  /** How often a connection stood. */
  async opened(): Promise<number> {
    return (await this.#state()).opened;
  }

  /** Waits until it has had enough. */
  async until(what: string, enough: (events: Pair[]) => boolean) {
    await expect
      .poll(async () => enough(await this.events()), { timeout: 60_000, interval: 50, message: what })
      .toBe(true);
  }

  /** Waits until it has given up for good, and gives all that it has had. */
  async closed(): Promise<Pair[]> {
    await expect
      .poll(() => this.readyState(), { timeout: 60_000, interval: 50, message: 'it is closed for good' })
      .toBe(2);
    return this.events();
  }

  #state() {
    return this.page.evaluate((key) => {
      const seen = Reflect.get(window, key) as {
        source: EventSource;
        events: [string, string][];
        opened: number;
      };
      return { events: seen.events, opened: seen.opened, readyState: seen.source.readyState };
    }, this.name);
  }
}

/** The text that events add up to. */
export function textOf(events: Pair[]): string {
  return events
    .map(([, data]) => JSON.parse(data) as { type: string; content?: string })
    .map(({ type, content }) => (type === 'chunk' ? (content ?? '') : ''))
    .join('');
}

/** The numbers of events: `<generation>:<epoch>.<seq>`. */
export function numbersOf(events: Pair[]): number[] {
  return events.map(([id]) => Number(id.split('.').at(-1)));
}

/** 1, 2, 3 …, as many as there are, or from another number on. */
export function dense(events: Pair[], from = 1): number[] {
  return Array.from({ length: events.length }, (_, n) => n + from);
}
