import type { Browser, CDPSession } from 'playwright-core';
import type { Tab } from './tab';

interface TraceEvent {
  readonly name?: string;
  readonly pid: number;
  readonly tid: number;
  /** When it began, in microseconds of the browser's clock. */
  readonly ts: number;
  /** CPU time of the thread, in microseconds: what other processes do meanwhile does not count. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

interface Section {
  readonly name: string;
  readonly from: number;
}

/** What marks the sections of a trace. */
const MARK = 'section: ';

/** Watches the tasks of a tab's main thread: script, styles, layout, painting. */
export class Tasks {
  readonly #session: CDPSession;
  readonly #tab: Tab;
  #mains = new Set<string>();
  #tasks: TraceEvent[] = [];
  #sections: Section[] = [];

  private constructor(session: CDPSession, tab: Tab) {
    this.#session = session;
    this.#tab = tab;
    session.on('Tracing.dataCollected', ({ value }) => {
      for (const event of value as unknown as TraceEvent[]) this.#take(event);
    });
  }

  static async of(browser: Browser, tab: Tab): Promise<Tasks> {
    const session = await browser.newBrowserCDPSession();
    const tasks = new Tasks(session, tab);
    await session.send('Tracing.start', {
      transferMode: 'ReportEvents',
      traceConfig: {
        includedCategories: ['toplevel', 'disabled-by-default-lighthouse', 'blink.user_timing'],
        excludedCategories: ['*'],
      },
    });
    return tasks;
  }

  /** From now on tasks count for this. */
  async section(name: string): Promise<void> {
    await this.#tab.page.evaluate((mark) => performance.mark(mark).name, MARK + name);
  }

  /** Ends the watch. The longest task of each section, in ms of CPU time. */
  async longest(): Promise<Map<string, number>> {
    const complete = new Promise<void>((done) => this.#session.once('Tracing.tracingComplete', () => done()));
    await this.#session.send('Tracing.end');
    await complete;
    await this.#session.detach();
    const sections = this.#sections.sort((one, other) => one.from - other.from);
    const longest = new Map<string, number>(sections.map(({ name }) => [name, 0]));
    for (const task of this.#tasks) {
      if (!this.#mains.has(threadOf(task))) continue;
      const name = sections.findLast(({ from }) => from <= task.ts)?.name;
      if (name === undefined) continue;
      longest.set(name, Math.max(longest.get(name) ?? 0, (task.tdur ?? 0) / 1000));
    }
    for (const [name, most] of longest) if (most === 0) throw new Error(`the trace has no task of ${name}`);
    return longest;
  }

  #take(event: TraceEvent): void {
    const { name = '', ts, tdur } = event;
    if (name === 'thread_name' && event.args?.name === 'CrRendererMain') this.#mains.add(threadOf(event));
    else if (name.startsWith(MARK)) this.#sections.push({ name: name.slice(MARK.length), from: ts });
    else if (tdur !== undefined && name.endsWith('RunTask')) this.#tasks.push(event);
  }
}

function threadOf({ pid, tid }: TraceEvent): string {
  return `${pid}:${tid}`;
}
