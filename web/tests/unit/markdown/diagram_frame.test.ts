import { afterEach, describe, expect, test, vi } from 'vitest';
import { parseDrawing } from '$/diagram/drawing';
import { forbidPictures } from '$/diagram/pictures';
import { harmless } from '$/diagram/source';

const drawing = (content: string, more = '') =>
  `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"${more}>${content}</svg>`;

describe('a source', () => {
  test.each([
    'graph TD\nA["one<br/>two"] --> B["<b>bold</b>"]\nA <--> B',
    'classDiagram\nclass A {\n  <<interface>>\n  +Map~String,int~ x\n}\nA <|-- B',
    'sequenceDiagram\nA<<->>B: 1 < 2 and\\nmore',
    'graph TD\nstyle A fill:#f9f,stroke:rgb(1, 2, 3)',
    'graph TD\nA@{ shape: rounded, label: "curl (8)" }',
  ])('%j stays as it is', (source) => {
    expect(harmless(source)).toBe(source);
  });

  test.each([
    ['A["<img src=x onerror=alert(1)>"]', 'A["#lt;img src=x onerror=alert(1)>"]'],
    ['A["<svg/onload=x>"]', 'A["#lt;svg/onload=x>"]'],
    ['A["<<img src=x>"]', 'A["<#lt;img src=x>"]'],
    ['A["<x <a href=y>"]', 'A["#lt;x #lt;a href=y>"]'],
    ['A : Map<String, int>', 'A : Map#lt;String, int>'],
    ['A["<!-- -->"]', 'A["#lt;!-- -->"]'],
    ['A["<img\nsrc=x"]', 'A["#lt;img\nsrc=x"]'],
  ])('%j has tags that are words', (source, expected) => {
    expect(harmless(source)).toBe(expected);
  });

  test.each([
    'style A fill:url(https://evil.example/x)',
    'classDef x background:URL ( "https://evil.example/x" )',
    'classDef x background:-webkit-image-set("https://evil.example/x" 1x)',
    'style A fill:\\75 rl(https://evil.example/x)',
    '%%{init: {"fontFamily": "\\u0075rl(https://evil.example/x)"}}%%',
    'A@{ "\\x69mg": "https://evil.example/x.png" }',
  ])('%j is refused', (source) => {
    expect(harmless(source)).toBeNull();
  });
});

describe('a drawing', () => {
  test('keeps what draws, and places within itself', () => {
    const content =
      '<style>.a{fill:red;filter:url(#soft)}</style><path d="M0 0" marker-end="url(#end)" style="fill:#fff"/>' +
      '<use href="#part"/><text>words</text>';
    const root = parseDrawing(drawing(content));
    expect(root.ownerDocument).toBe(document);
    expect([...root.children].map(({ localName }) => localName)).toEqual(['style', 'path', 'use', 'text']);
  });

  test('leaves out what is not lines and words', () => {
    const root = parseDrawing(
      drawing(
        '<script>x</script><image href="https://evil.example/x"/><switch><foreignObject><img xmlns="http://www.w3.org/1999/xhtml" src="https://evil.example/x"/></foreignObject>' +
          '<text>twin</text></switch><a href="https://evil.example"><text>link</text></a>',
      ),
    );
    expect([...root.querySelectorAll('*')].map(({ localName }) => localName)).toEqual([
      'switch',
      'text',
      'text',
    ]);
    expect(root.textContent).toBe('twinlink');
  });

  test.each([
    drawing('', ' onload="x"'),
    drawing('<g onclick="x"/>'),
    drawing('<g ONCLICK="x"/>'),
    drawing('<use href="https://evil.example/#x"/>'),
    drawing('<use xlink:href="data:image/svg+xml,x"/>'),
    drawing('<path style="fill:url(https://evil.example/x)"/>'),
    drawing('<path fill="url( \'https://evil.example/x\')"/>'),
    drawing('<path style=\'background:image-set("https://evil.example/x" 1x)\'/>'),
    drawing('<style>@import "https://evil.example/x";</style>'),
    drawing('<style>*{background:url(//evil.example)}</style>'),
    drawing('<img xmlns="http://www.w3.org/1999/xhtml" src="https://evil.example/x"/>'),
    '<div xmlns="http://www.w3.org/1999/xhtml">words</div>',
    'no drawing at all',
  ])('%s is refused', (svg) => {
    expect(() => parseDrawing(svg)).toThrow(TypeError);
  });
});

describe('a document without pictures', () => {
  const { Image } = globalThis;

  afterEach(() => {
    Reflect.deleteProperty(document, 'createElement');
    Reflect.deleteProperty(document, 'createElementNS');
    Object.defineProperty(globalThis, 'Image', { value: Image, configurable: true });
  });

  test('makes everything but pictures', () => {
    const svg = 'http://www.w3.org/2000/svg';
    const refused = vi.fn();
    forbidPictures(refused);
    expect(document.createElementNS(svg, 'image').localName).toBe('g');
    expect(document.createElementNS(svg, 'feImage').localName).toBe('g');
    expect(document.createElementNS(svg, 'path').localName).toBe('path');
    expect(document.createElement('IMG').localName).toBe('span');
    expect(document.createElement('div').localName).toBe('div');
    expect(refused).not.toHaveBeenCalled();
    expect(() => new globalThis.Image()).toThrow(TypeError);
    expect(refused).toHaveBeenCalledTimes(1);
  });
});
