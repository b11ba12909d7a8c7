import type { BrowserContext, Locator, Page, Request } from 'playwright-core';
import { expect } from 'vitest';
import { type Api, PASSWORD, type StoredMessage } from './api';
import { PATIENCE } from './process';
import { say, saying } from './say';

/** What a browser reports itself, and is judged elsewhere. */
const BROWSERS_OWN = [
  // An answer of 4xx or 5xx, or none: the tests judge those by what the page makes of them.
  /^Failed to load resource/,
  // Firefox: what another program has set, which the page does not read.
  /^Cookie .* has been rejected /,
  // Firefox: an EventSource whose connection was refused, was lost, or ended by 204.
  /^Firefox can.t establish a connection to the server at /,
  // Firefox: a diagram that is no XML, which the frame of diagrams refuses.
  /^.*\nLocation: \S+\/diagram\.html\n/,
  // Heard of as an event already, with its frame.
  /Content.Security.Policy/,
];

const isBrowsersOwn = (text: string) => BROWSERS_OWN.some((pattern) => pattern.test(text));

/** A tab that writes down everything a page must not do. */
export class Tab {
  #faults: string[] = [];
  #foreign = new Set<Request>();

  private constructor(
    readonly page: Page,
    readonly origin: string,
  ) {}

  static async open(context: BrowserContext, origin: string, user?: Api): Promise<Tab> {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const tab = new Tab(page, origin);
    await tab.#watch();
    if (user) {
      const response = await context.request.post(`${origin}/api/v1/auth/login`, {
        data: { username: user.username, password: PASSWORD },
        headers: { 'sec-fetch-site': 'same-origin', origin },
      });
      if (!response.ok()) throw new Error(`sign-in: ${response.status()} ${await response.text()}`);
    }
    return tab;
  }

  /** What it did, in words; empty for a good page. */
  get faults(): string[] {
    return [...this.#faults, ...[...this.#foreign].map((request) => `foreign request: ${request.url()}`)];
  }

  /** Takes back what was said of it: for the test of this class itself. */
  forgive() {
    this.#faults = [];
    this.#foreign.clear();
  }

  async goto(path: string) {
    await this.page.goto(this.origin + path);
  }

  async #watch() {
    const { page } = this;
    const fault = (text: string) => this.#faults.push(text);
    await page.exposeBinding('reportViolation', (_, text: string) => fault(`CSP: ${text}`));
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        const report = Reflect.get(window, 'reportViolation') as (text: string) => void;
        report(
          `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`,
        );
      });
    });
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      if (!isBrowsersOwn(message.text())) fault(`console: ${message.text()}`);
    });
    // Firefox's own words come this way too.
    page.on('pageerror', (error) => {
      if (!isBrowsersOwn(error.message)) fault(`error: ${error.message}\n${error.stack}`);
    });
    page.on('dialog', (dialog) => {
      fault(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('popup', (popup) => fault(`popup: ${popup.url()}`));
    const foreign = (request: Request) => {
      const url = new URL(request.url());
      return url.protocol !== 'blob:' && url.protocol !== 'data:' && url.origin !== this.origin;
    };
    page.on('request', (request) => {
      if (foreign(request)) this.#foreign.add(request);
    });
    // What the policy refuses has not left the browser; it is a violation of the policy, told of above.
    page.on('requestfailed', (request) => {
      if (request.failure()?.errorText === 'csp') this.#foreign.delete(request);
    });
  }

  /** The messages of the open conversation, oldest first. */
  get articles(): Locator {
    return this.page.getByRole('article');
  }

  /** The text of each answer, as it is shown. */
  async answers(): Promise<string[]> {
    return this.page.locator('article .prose').allInnerTexts();
  }

  /** The newest answer's text; empty if there is none. */
  async answer(): Promise<string> {
    return (await this.answers()).at(-1)?.trim() ?? '';
  }

  /** Waits until the newest answer's text is as wanted. */
  async answerToBe(test: (text: string) => boolean, what: string) {
    await expect
      .poll(async () => test(await this.answer()), { timeout: PATIENCE, interval: 20, message: what })
      .toBe(true);
  }

  /** Where the question is written. */
  get composer(): Locator {
    return this.page.getByRole('textbox', { name: say('composer.question') });
  }

  /** The newest button with this label. */
  button(key: Parameters<typeof say>[0]): Locator {
    return this.page.getByRole('button', { name: say(key), exact: true }).last();
  }

  /** These words in the newest message, beside its text. */
  inAnswer(key: Parameters<typeof say>[0]): Locator {
    return this.articles.last().getByText(say(key), { exact: true });
  }

  async send(question: string) {
    await this.composer.fill(question);
    await this.composer.press('Enter');
  }

  /** The link to a chat in the history. */
  chatLink(title: string): Locator {
    const titled = this.page.getByText(title, { exact: true });
    return this.page.getByRole('navigation').getByRole('link').filter({ has: titled });
  }

  /** Picks an item of a chat's menu in the history. */
  async chatMenu(title: string, item: string) {
    await this.chatLink(title).hover();
    await this.page.getByRole('button', { name: say('sidebar.item_menu', { title }), exact: true }).click();
    await this.page.getByRole('menuitem', { name: item }).click();
  }

  async chooseModel(id: string) {
    await this.page.getByRole('button', { name: saying('composer.model_is') }).click();
    // Its label is followed by a second line; a longer name may begin with this one.
    await this.page.getByRole('menuitemradio', { name: new RegExp(`^${id}(?!\\S)`) }).click();
  }

  /** From now on, every state of the newest answer's text is kept. */
  async recordGrowth() {
    await this.page.evaluate(() => {
      const seen: string[] = [];
      Reflect.set(window, 'growth', seen);
      const observer = new MutationObserver(() => {
        const text = [...document.querySelectorAll('article .prose')].at(-1)?.textContent.trim() ?? '';
        if (text !== '' && text !== seen.at(-1)) seen.push(text);
      });
      observer.observe(document.body, { childList: true, characterData: true, subtree: true });
    });
  }

  /** What `recordGrowth` has kept. */
  async growth(): Promise<string[]> {
    return this.page.evaluate(() => Reflect.get(window, 'growth') as string[]);
  }

  /** What a browser does to a tab that is covered by another one. */
  async setHidden(hidden: boolean) {
    await this.page.evaluate(
      (state) => {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        Object.defineProperty(document, 'hidden', { value: state === 'hidden', configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      },
      hidden ? 'hidden' : 'visible',
    );
  }

  /** The open conversation's id, from the address. */
  get conversationId(): string {
    return new URL(this.page.url()).pathname.match(/^\/c\/([\w-]+)$/)?.[1] ?? '';
  }

  /**
   * Waits until the page shows the words `w1 … wN` of the newest answer and says no more than is stored: no
   * word lost, doubled or out of order, neither in the page nor in the store.
   */
  async expectWords(api: Api, count: number): Promise<StoredMessage> {
    const whole = words(count);
    await expect.poll(() => this.answer(), { timeout: PATIENCE, interval: 50 }).toBe(whole);
    const stored = (await api.messages(this.conversationId)).findLast(
      (message) => message.role === 'assistant',
    );
    expect(stored?.content).toBe(whole);
    return stored as StoredMessage;
  }
}

/** `w1 w2 … wN`: loss, doubling and order show. */
export function words(count: number): string {
  return Array.from({ length: count }, (_, n) => `w${n + 1}`).join(' ');
}

/** Whether the text is a beginning of `w1 w2 …`: growth is checked at any moment, cut words too. */
export function isBeginningOfWords(text: string): boolean {
  return words(text.split(/\s+/).length + 1).startsWith(text.trim());
}
