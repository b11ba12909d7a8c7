import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest';
import { Api } from './api';
import { Backend } from './backend';
import { BROWSER_TYPE } from './engine';
import type { Settings } from './server';
import { Tab } from './tab';

export interface TabOptions extends BrowserContextOptions {
  /** Who is signed in. */
  user?: Api;
  /** The page's origin, if it is not the server's own. */
  origin?: string;
}

/** What a file of tests lives in: a scripted model, a server, and tabs that are checked after each test. */
export class World extends Backend {
  #browser: Browser | undefined;
  #tabs: Tab[] = [];

  get browser(): Browser {
    if (!this.#browser) throw new Error('the browser is not connected yet');
    return this.#browser;
  }

  override async start(settings: Settings | null) {
    this.#browser = await BROWSER_TYPE.connect(inject('browser'));
    await super.start(settings);
  }

  override async stop() {
    await this.#browser?.close();
    await super.stop();
  }

  /** Somebody new. */
  async user(): Promise<Api> {
    return Api.newUser(this.server);
  }

  /** A tab of a browser profile of its own, at `path`. */
  async tab(path: string, options: TabOptions = {}): Promise<Tab> {
    const { user, origin, ...contextOptions } = options;
    const context = await this.browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...contextOptions });
    const tab = await Tab.open(context, origin ?? this.server.web, user);
    this.#tabs.push(tab);
    await tab.goto(path);
    return tab;
  }

  /** A second tab of the same profile. */
  async sibling(of: Tab, path: string): Promise<Tab> {
    const tab = await Tab.open(of.page.context(), of.origin);
    this.#tabs.push(tab);
    await tab.goto(path);
    return tab;
  }

  /** Closes all tabs; throws if one did what none may do. */
  async finish(test: string, failed: boolean) {
    const tabs = this.#tabs.splice(0);
    // Before any picture is taken: for that, the driver adds a style, which the policy refuses.
    const faults = tabs.flatMap((tab) => tab.faults);
    if (failed) {
      await this.keep(test, async (pathOf) => {
        for (const [n, tab] of tabs.entries()) {
          await tab.page.screenshot({ path: pathOf(n), timeout: 5_000 }).catch(() => {});
          console.error(`${tab.page.url()} is shown in ${pathOf(n)}`);
        }
      });
    }
    await Promise.all(tabs.map((tab) => tab.page.context().close()));
    expect(faults, 'what no page may do').toEqual([]);
  }
}

/**
 * Makes the file's world. After each test its tabs are closed, and the test fails if one of them broke the
 * content security policy, asked a foreign origin, opened a dialog, or reported an error.
 *
 * `null` in place of settings: the binary alone, as a fresh checkout has it.
 */
export function useWorld(settings: Settings | null = {}): World {
  const world = new World();
  beforeAll(() => world.start(settings));
  afterAll(() => world.stop());
  afterEach(({ task }) => world.finish(task.name, task.result?.state === 'fail'));
  return world;
}
