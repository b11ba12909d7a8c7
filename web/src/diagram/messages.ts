/** What the page and the frame that draws a diagram say to each other. */

/** From the page: draw this, now and whenever the theme changes. */
export interface Draw {
  readonly type: 'draw';
  readonly source: string;
  readonly theme: 'light' | 'dark';
}

/** From the frame. `height` is the drawing's, in CSS pixels. */
export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'drawn'; readonly height: number }
  | { readonly type: 'failed' };

export function isDraw(message: unknown): message is Draw {
  if (!isObject(message)) return false;
  const { type, source, theme } = message;
  return type === 'draw' && typeof source === 'string' && (theme === 'light' || theme === 'dark');
}

export function isReport(message: unknown): message is Report {
  if (!isObject(message)) return false;
  const { type, height } = message;
  if (type === 'drawn') return typeof height === 'number' && Number.isFinite(height);
  return type === 'ready' || type === 'failed';
}

function isObject(message: unknown): message is Record<string, unknown> {
  return typeof message === 'object' && message !== null;
}
