import { isPlain } from './lex';
import { paragraphCut } from './long';
import { MAX_MATH, matchInlineMath, UNFINISHED } from './math_syntax';
import { closedTag, isHalfTag, openedTag } from './tags';

/**
 * Makes the end of a text that is still being written look as it will when it is finished: closes what is open
 * (`**bold`), holds back what cannot be shown yet (`[label](https://exa`, a lone `-`). Only for what is shown meanwhile.
 */
export function completeHalfTyped(source: string): string {
  const fence = openFence(source);
  if (fence !== undefined) return holdBackFence(source, fence);
  const lines = holdBackMarks(source);
  let from = lastParagraph(lines);
  // What is before a cut is read on its own, and is certain.
  for (let cut = paragraphCut(lines.slice(from)); cut !== undefined; cut = paragraphCut(lines.slice(from)))
    from += cut;
  const last = lines.slice(from);
  return lines.slice(0, from) + (completeMath(last) ?? completeTable(last) ?? completeInline(last));
}

const CONTAINER = '[ \\t]*(?:(?:>|[-*+]|\\d{1,9}[.)])[ \\t]+|>)*';
const FENCES = new RegExp(`^${CONTAINER}(\`{3,}|~{3,})([^\\n]*)(\\n|$)`, 'gm');
/** A last line that consists of markers only: it may become a list item, a heading, a rule, a table, anything. */
const MARKERS_ONLY = new RegExp(
  `(?:^|\\n)${CONTAINER}(?:>|[-*+]|\\d{1,9}[.)]?|#{1,6}|[-*_=~\`|:$ \\t]+|\\\\|\\[[ xX]?\\]?|\\[![a-z]{0,9}\\]?)?[ \\t]*$`,
  'i',
);

/** The longest last line that is looked at as markers: enough for any, and the search stays short. */
const MAX_MARKERS = 200;

interface Fence {
  readonly mark: string;
  /** Where its line begins. */
  readonly start: number;
  /** Its line is complete, so its language is known. */
  readonly complete: boolean;
}

function openFence(source: string): Fence | undefined {
  let open: Fence | undefined;
  for (const match of source.matchAll(FENCES)) {
    const [line, mark = '', info = '', end] = match;
    if (open === undefined) {
      if (mark.startsWith('`') && info.includes('`')) continue;
      open = { mark, start: match.index, complete: end === '\n' && line !== '' };
    } else if (mark.startsWith(open.mark) && info.trim() === '') {
      open = undefined;
    }
  }
  return open;
}

function holdBackFence(source: string, fence: Fence): string {
  if (!fence.complete) return source.slice(0, fence.start);
  const lastLine = source.lastIndexOf('\n') + 1;
  const mark = fence.mark.charAt(0);
  const closing = new RegExp(`^[ \\t>]*${mark}{1,${fence.mark.length}}$`).test(source.slice(lastLine));
  return closing && lastLine > fence.start ? source.slice(0, lastLine) : source;
}

function holdBackMarks(source: string): string {
  const line = source.lastIndexOf('\n');
  const last = source.slice(Math.max(line, 0));
  return last.length <= MAX_MARKERS && MARKERS_ONLY.test(last) ? source.slice(0, line + 1) : source;
}

/** Where the text after the last blank line begins. */
function lastParagraph(text: string): number {
  let begins = 0;
  for (const blank of text.matchAll(/\n[ \t]*\n/g)) begins = blank.index + blank[0].length;
  return begins;
}

/** A block formula that has not come to its end is shown as its source, not as the Markdown it may look like. */
function completeMath(text: string): string | undefined {
  const openers = /(?:^|\n) {0,3}(\$\$|\\\[)/g;
  for (let opener = openers.exec(text); opener !== null; opener = openers.exec(text)) {
    const close = opener[1] === '$$' ? '$$' : '\\]';
    const from = opener.index + opener[0].length;
    const closed = text.indexOf(close, from);
    if (closed < 0) {
      if (text.length - from > MAX_MATH) return undefined;
      const written = text
        .slice(from)
        .replace(/[$\\]$/, '')
        .trimEnd();
      return `${text.slice(0, from)}${written}\n${UNFINISHED}${close}`;
    }
    openers.lastIndex = closed + close.length;
  }
  return undefined;
}

/** A header row becomes a table at once instead of a line of bars that jumps. */
function completeTable(text: string): string | undefined {
  const lines = text.split('\n');
  const header = lines[0]?.trim() ?? '';
  const delimiter = lines[1] ?? '';
  if (!header.startsWith('|') || header.length < 2 || lines.length > 2 || !/^[\s|:-]*$/.test(delimiter)) {
    return undefined;
  }
  const cells = header.replace(/^\||(?<!\\)\|$/g, '').split(/(?<!\\)\|/).length;
  return `${completeInline(header)}\n${'|---'.repeat(cells)}|\n`;
}

const INLINE_START = /^[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)]|#{1,6})[ \t]+|>)*(?:\[[ xX]\][ \t]+)?/;
const BLOCK_START = /^[ \t]*(?:[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|>|\|)/;
/** An address longer than this is none. */
const MAX_ADDRESS = 2_048;
/** A label longer than this is no label: an array written in prose, for one. */
const MAX_LABEL = 200;

/** Closes emphasis, code and formulas that are open at the end of a paragraph, and hides half a link. */
function completeInline(paragraph: string): string {
  if (isPlain(paragraph)) return paragraph;
  const lines = paragraph.split('\n');
  const begins = lines.findLastIndex((line) => BLOCK_START.test(line));
  const before = begins > 0 ? `${lines.slice(0, begins).join('\n')}\n` : '';
  const run = paragraph.slice(before.length);
  const marker = INLINE_START.exec(run)?.[0] ?? '';
  return before + marker + new OpenInline(run.slice(marker.length)).closed();
}

/** A mark of emphasis or a tag that waits for its end. */
interface Opened {
  readonly written: string;
  readonly close: string;
}

class OpenInline {
  /** What waits for its end, outermost first. */
  readonly #open: Opened[] = [];
  /** Where labels of links begin, outermost first. */
  readonly #labels: number[] = [];
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  closed(): string {
    const text = this.#text;
    let at = 0;
    while (at < text.length) {
      const next = this.#step(at);
      if (typeof next === 'string') return this.#close(next);
      at = next;
    }
    const label = this.#labels[0];
    if (label === undefined || text.length - label > MAX_LABEL || text.includes('\n', label))
      return this.#close(text);
    return this.#close(this.#withoutLabel(label, text.slice(label + 1)));
  }

  /** Reads one thing. A number is where the next begins; a text is what can be shown of all: the rest is half typed. */
  #step(at: number): number | string {
    const text = this.#text;
    switch (text.charAt(at)) {
      case '\\':
        return this.#escape(at);
      case '$':
        return at + (matchInlineMath(text.slice(at))?.raw.length ?? 1);
      case '`':
        return this.#code(at);
      case '*':
      case '_':
      case '~':
        return this.#delimiters(at);
      case '<':
        return this.#tag(at);
      case '[':
        this.#labels.push(at);
        return at + 1;
      case ']':
        return this.#label(at);
      default:
        return at + 1;
    }
  }

  #escape(at: number): number | string {
    const text = this.#text;
    const opener = text.charAt(at + 1);
    if (opener === '') return text.slice(0, at);
    if (opener !== '(') return at + 2;
    const math = matchInlineMath(text.slice(at));
    if (math !== undefined) return at + math.raw.length;
    const written = text.slice(at + 2).replace(/\\$/, '');
    if (written.trim() === '') return text.slice(0, at);
    return `${text.slice(0, at)}\\(${written}${UNFINISHED}\\)`;
  }

  #code(at: number): number | string {
    const text = this.#text;
    const mark = runAt(text, at);
    const from = at + mark.length;
    for (let close = text.indexOf('`', from); close >= 0; ) {
      const found = runAt(text, close);
      if (found.length === mark.length) return close + found.length;
      close = text.indexOf('`', close + found.length);
    }
    const written = text.slice(from).replace(/`+$/, '').trimEnd();
    return written === '' ? text.slice(0, at) : `${text.slice(0, at)}${mark}${written}${mark}`;
  }

  #delimiters(at: number): number | string {
    const text = this.#text;
    const run = runAt(text, at);
    const end = at + run.length;
    const before = text.charAt(at - 1);
    const after = text.charAt(end);
    const canClose = before !== '' && !/\s/.test(before);
    if (end === text.length) {
      // Half a closing mark, or an opening one with nothing in it yet: neither is to be seen.
      if (canClose && this.#open.at(-1)?.close === run) {
        this.#open.pop();
        return end;
      }
      return text.slice(0, at);
    }
    let left = run;
    if (canClose) {
      while (left !== '' && left.startsWith(this.#open.at(-1)?.close ?? ' ')) {
        left = left.slice(this.#open.pop()?.close.length);
      }
    }
    const inWord = run.startsWith('_') && /[\p{L}\p{N}]/u.test(before);
    const fits = run.startsWith('~') ? left === '~~' : left.length <= 3;
    if (left !== '' && fits && !/\s/.test(after) && !inWord) this.#open.push({ written: left, close: left });
    return end;
  }

  #tag(at: number): number | string {
    const text = this.#text;
    const end = text.indexOf('>', at) + 1;
    if (end === 0) return isHalfTag(text.slice(at)) ? text.slice(0, at) : at + 1;
    const written = text.slice(at, end);
    const opened = openedTag(written);
    if (opened !== null) {
      this.#open.push({ written, close: `</${opened}>` });
      return end;
    }
    const closed = closedTag(written);
    if (closed === null) return at + 1;
    const match = this.#open.findLastIndex(({ close }) => close === `</${closed}>`);
    if (match >= 0) this.#open.length = match;
    return end;
  }

  #label(at: number): number | string {
    const text = this.#text;
    const start = this.#labels.pop();
    if (start === undefined) return at + 1;
    const label = text.slice(start + 1, at);
    // The mark of a footnote is whole; a label may be a link's.
    if (at + 1 === text.length) return label.startsWith('^') ? at + 1 : this.#withoutLabel(start, label);
    if (text.charAt(at + 1) !== '(') return at + 1;
    const end = closingParenthesis(text, at + 1);
    if (end >= 0) return end + 1;
    return text.length - at > MAX_ADDRESS ? at + 1 : this.#withoutLabel(start, label);
  }

  /** What comes before a link, and its words; of an image, nothing. */
  #withoutLabel(start: number, label: string): string {
    const image = this.#text.charAt(start - 1) === '!';
    // The mark of a footnote has no words of its own.
    if (label.startsWith('^')) return this.#text.slice(0, start);
    return image ? this.#text.slice(0, start - 1) : this.#text.slice(0, start) + label;
  }

  #close(shown: string): string {
    if (this.#open.length === 0) return shown;
    let text = shown.trimEnd();
    let marks = '';
    for (const { written, close } of this.#open.toReversed()) {
      // Opened right at the end, or by what is held back: there is nothing to close.
      if (marks === '' && text.endsWith(written)) text = text.slice(0, -written.length).trimEnd();
      else marks += close;
    }
    return text + marks;
  }
}

function runAt(text: string, at: number): string {
  const character = text.charAt(at);
  let end = at + 1;
  while (text.charAt(end) === character) end++;
  return text.slice(at, end);
}

function closingParenthesis(text: string, open: number): number {
  let depth = 0;
  const end = Math.min(text.length, open + MAX_ADDRESS);
  for (let at = open; at < end; at++) {
    const character = text.charAt(at);
    if (character === '\\') at++;
    else if (character === '\n') return text.length;
    else if (character === '(') depth++;
    else if (character === ')' && --depth === 0) return at;
  }
  return -1;
}
