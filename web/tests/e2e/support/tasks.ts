import type { Browser } from 'playwright-core';

interface TraceEvent {
  readonly name?: string;
  readonly pid: number;
  readonly tid: number;
  /** CPU time of the thread, in microseconds: what other processes do meanwhile does not count. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** The longest task of a page's main thread while `run` runs, in ms of CPU time: script, styles, layout, painting. */
export async function longestTask(browser: Browser, run: () => Promise<void>): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const tasks: TraceEvent[] = [];
  const mains = new Set<string>();
  session.on('Tracing.dataCollected', ({ value }) => {
    for (const event of value as unknown as TraceEvent[]) {
      if (event.name === 'thread_name' && event.args?.name === 'CrRendererMain') mains.add(threadOf(event));
      else if (event.tdur !== undefined && event.name?.endsWith('RunTask')) tasks.push(event);
    }
  });
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: {
      includedCategories: ['toplevel', 'disabled-by-default-lighthouse'],
      excludedCategories: ['*'],
    },
  });
  try {
    await run();
  } finally {
    const complete = new Promise<void>((done) => session.once('Tracing.tracingComplete', () => done()));
    await session.send('Tracing.end');
    await complete;
    await session.detach();
  }
  const onMain = tasks.filter((task) => mains.has(threadOf(task)));
  if (onMain.length === 0) throw new Error('the trace has no task of a page');
  return Math.max(...onMain.map(({ tdur = 0 }) => tdur / 1000));
}

function threadOf({ pid, tid }: TraceEvent): string {
  return `${pid}:${tid}`;
}
