import { writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { Api, PASSWORD } from '../../e2e/support/api';
import { Backend } from '../../e2e/support/backend';
import { PATIENCE } from '../../e2e/support/process';
import { say } from '../../e2e/support/say';
import { Driver, type Element, KEYS } from './driver';

/** What a file of tests lives in: a scripted model, a server, and WebKit with one window. */
export class View extends Backend {
  #driver: Driver | undefined;

  get driver(): Driver {
    if (!this.#driver) throw new Error('the browser is not started yet');
    return this.#driver;
  }

  override async start() {
    this.#driver = await Driver.start();
    await this.#driver.resize(1280, 900);
    await super.start();
  }

  override async stop() {
    await this.#driver?.stop();
    await super.stop();
  }

  /** A picture of what went wrong. */
  async keepPicture(test: string) {
    await this.keep(`webkit ${test}`, async (pathOf) => {
      await writeFile(pathOf(0), await this.driver.screenshot());
      console.error(`the window is shown in ${pathOf(0)}`);
    });
  }

  /** Somebody new, signed in in the window, at `path`. */
  async user(path: string | ((user: Api) => Promise<string>) = '/'): Promise<Api> {
    const user = await Api.newUser(this.server);
    await this.signOut();
    const form = { username: user.username, password: PASSWORD };
    // The driver forgets cookies a little later than it says so: the new one may go with the old.
    await this.until('somebody is signed in', () =>
      this.driver.run(async (body) => {
        const headers = { 'content-type': 'application/json' };
        await fetch('/api/v1/auth/login', { method: 'POST', body: JSON.stringify(body), headers });
        await new Promise((later) => setTimeout(later, 50));
        const session = await fetch('/api/v1/auth/session');
        return Boolean((await session.json()).user);
      }, form),
    );
    await this.goto(typeof path === 'string' ? path : await path(user));
    return user;
  }

  /** Nobody is signed in, and nothing is remembered. */
  async signOut() {
    // A document without a page in it: none is there to notice.
    await this.goto('/api/v1/health');
    await this.driver.run(() => localStorage.clear());
    await this.driver.forgetCookies();
  }

  async goto(path: string) {
    await this.driver.goto(this.server.web + path);
    await this.#listen();
  }

  async reload() {
    await this.driver.reload();
    await this.#listen();
  }

  /** The newest element that matches, once it is there; of those with this label or text, if one is given. */
  async find(selector: string, label?: string): Promise<Element> {
    let found: Element | null = null;
    await this.until(`${selector} ${label ?? ''}`, async () => {
      found = await this.driver.run(
        (css, wanted) => {
          const all = [...document.querySelectorAll<HTMLElement>(css)].filter((one) => one.checkVisibility());
          const named = (one: HTMLElement) =>
            one.getAttribute('aria-label') === wanted || one.textContent.trim() === wanted;
          // The driver makes a reference of it on the way.
          return (all.findLast((one) => wanted === null || named(one)) ?? null) as unknown as Element | null;
        },
        selector,
        label ?? null,
      );
      return found !== null;
    });
    return found as unknown as Element;
  }

  /** The newest button with this label. */
  async button(key: Parameters<typeof say>[0], values: Record<string, string> = {}): Promise<Element> {
    return this.find('button', say(key, values));
  }

  async click(key: Parameters<typeof say>[0], values: Record<string, string> = {}) {
    await this.driver.click(await this.button(key, values));
  }

  async composer(): Promise<Element> {
    return this.find('textarea', say('composer.question'));
  }

  async send(question: string) {
    await this.driver.type(await this.composer(), question + KEYS.enter);
  }

  /** Waits for what must come. */
  async until(what: string, test: () => Promise<boolean>) {
    await expect.poll(test, { timeout: PATIENCE, interval: 20, message: what }).toBe(true);
  }

  /** The newest answer's text; empty if there is none. */
  async answer(): Promise<string> {
    return this.driver.run(
      () => [...document.querySelectorAll('article .prose')].at(-1)?.textContent.trim() ?? '',
    );
  }

  async answerToBe(text: string) {
    await expect.poll(() => this.answer(), { timeout: PATIENCE, interval: 20 }).toBe(text);
  }

  /** What the policy of the window's document has refused, for which there is an event, since it was loaded. */
  async refused(): Promise<string[]> {
    return this.driver.run(() => Reflect.get(window, 'refused') as string[]);
  }

  /** The driver can't run a script earlier. What is refused before shows by what is missing. */
  async #listen() {
    await this.driver.run(() => {
      const refused: string[] = [];
      Reflect.set(window, 'refused', refused);
      document.addEventListener('securitypolicyviolation', (event) => {
        refused.push(
          `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`,
        );
      });
    });
  }
}

/** Makes the file's world. A test fails if the content security policy has refused something in its last document. */
export function useView(): View {
  const view = new View();
  beforeAll(() => view.start());
  afterAll(() => view.stop());
  afterEach(async ({ task }) => {
    await view.driver.lookInto(null);
    if (task.result?.state === 'fail') await view.keepPicture(task.name);
    expect(await view.refused(), 'what the policy refused').toEqual([]);
  });
  return view;
}
