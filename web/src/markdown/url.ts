/** Where links of a model's text may lead, and what the reader is told about it. */

const PROTOCOLS = new Set(['http:', 'https:', 'mailto:']);
/** Longer addresses are of no use to a reader and can carry a whole conversation away. */
const MAX_LENGTH = 4_096;
/** Ends of file names that are no top-level domain: `Node.js` is a name, not another host. */
const FILE_ENDINGS = new Set([
  'js',
  'jsx',
  'ts',
  'tsx',
  'json',
  'html',
  'css',
  'toml',
  'yaml',
  'yml',
  'txt',
  'csv',
]);
const HOST_LIKE = /(?:[\p{L}\p{N}_-]+\.)+\p{L}[\p{L}\p{N}-]+/gu;

export interface SafeUrl {
  readonly href: string;
  /** The host in ASCII with its port, or the address of an e-mail: what really answers. */
  readonly destination: string;
}

/**
 * An absolute address with an allowed protocol, or null. The browser's own parser decides, so no spelling
 * (mixed case, control characters, entities already decoded) gets past it. Relative addresses are refused:
 * a model's answer has no base of its own, and ours is not its.
 */
export function safeUrl(address: string): SafeUrl | null {
  if (address.length > MAX_LENGTH) return null;
  const url = parse(address);
  if (url === null || !PROTOCOLS.has(url.protocol)) return null;
  if (url.protocol !== 'mailto:') return { href: url.href, destination: url.host };
  return url.pathname.includes('@') ? { href: url.href, destination: url.pathname } : null;
}

/** Whether the words of a link name a host (or an e-mail address) other than the one it leads to. */
export function namesAnotherHost(words: string, url: SafeUrl): boolean {
  const real = withoutWww(url.destination.slice(url.destination.lastIndexOf('@') + 1));
  for (const [name] of words.matchAll(HOST_LIKE)) {
    const ending = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
    if (FILE_ENDINGS.has(ending)) continue;
    const named = parse(`http://${name}`);
    if (named === null || withoutWww(named.hostname) !== real.replace(/:\d+$/, '')) return true;
  }
  return false;
}

function withoutWww(host: string): string {
  return host.toLowerCase().replace(/^www\./, '');
}

function parse(address: string): URL | null {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
