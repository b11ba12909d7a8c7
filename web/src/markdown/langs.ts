import { prefix } from '$/lib/text';

/** The languages whose code is coloured. Their grammars are loaded when they are first met (`grammars.ts`). */

/** Grammar: the name that a reader knows, then other words that fences use for it. */
const LANGUAGES = {
  bash: ['Bash', 'sh', 'zsh'],
  c: ['C', 'h'],
  cpp: ['C++', 'c++', 'cc', 'cxx', 'hpp'],
  csharp: ['C#', 'cs', 'c#'],
  css: ['CSS'],
  diff: ['Diff', 'patch'],
  dockerfile: ['Dockerfile', 'docker', 'containerfile'],
  go: ['Go', 'golang'],
  graphql: ['GraphQL', 'gql'],
  ini: ['INI', 'conf'],
  java: ['Java'],
  javascript: ['JavaScript', 'js', 'jsx', 'mjs', 'cjs', 'node'],
  json: ['JSON', 'json5', 'jsonc'],
  kotlin: ['Kotlin', 'kt', 'kts'],
  less: ['Less'],
  lua: ['Lua'],
  makefile: ['Makefile', 'make', 'mk'],
  markdown: ['Markdown', 'md', 'mdx'],
  nginx: ['nginx'],
  nix: ['Nix'],
  objectivec: ['Objective-C', 'objc', 'obj-c', 'objective-c'],
  perl: ['Perl', 'pl'],
  php: ['PHP'],
  powershell: ['PowerShell', 'ps1', 'pwsh', 'ps'],
  protobuf: ['Protocol Buffers', 'proto'],
  python: ['Python', 'py', 'python3', 'pyi'],
  r: ['R'],
  ruby: ['Ruby', 'rb'],
  rust: ['Rust', 'rs'],
  scala: ['Scala', 'sc'],
  scss: ['SCSS', 'sass'],
  shell: ['Shell', 'console', 'shellsession', 'terminal'],
  sql: ['SQL', 'postgresql', 'postgres', 'mysql', 'sqlite', 'plpgsql'],
  swift: ['Swift'],
  typescript: ['TypeScript', 'ts', 'tsx', 'mts', 'cts'],
  vbnet: ['Visual Basic', 'vb'],
  wasm: ['WebAssembly', 'wat'],
  xml: ['XML'],
  yaml: ['YAML', 'yml'],
  haskell: ['Haskell', 'hs'],
  elixir: ['Elixir', 'ex', 'exs'],
  erlang: ['Erlang', 'erl'],
  clojure: ['Clojure', 'clj', 'cljs'],
  dart: ['Dart'],
  latex: ['LaTeX', 'tex'],
  cmake: ['CMake'],
  groovy: ['Groovy', 'gradle'],
  julia: ['Julia', 'jl'],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type Grammar = keyof typeof LANGUAGES;

/** Languages with a name of their own that share a grammar with another, or have none. */
const RELATIVES: Readonly<Record<string, readonly [Grammar | null, string]>> = {
  html: ['xml', 'HTML'],
  svg: ['xml', 'SVG'],
  vue: ['xml', 'Vue'],
  svelte: ['xml', 'Svelte'],
  toml: ['ini', 'TOML'],
  mermaid: [null, 'Mermaid'],
};

/** Words that say that there is no language. */
const PLAIN = new Set(['', 'text', 'txt', 'plain', 'plaintext']);

export interface Language {
  /** What the bar of a code block says; null for plain text. */
  readonly name: string | null;
  readonly grammar: Grammar | null;
}

let byWord: Map<string, Language> | undefined;

/** What a fence's info string (```` ```ts title="x" ````) says about its code. */
export function languageOf(info: string): Language {
  const written = info.trim().split(/[\s,{:]/, 1)[0] ?? '';
  const word = written.toLowerCase();
  if (PLAIN.has(word)) return { name: null, grammar: null };
  byWord ??= readLanguages();
  return byWord.get(word) ?? { name: prefix(written, 40), grammar: null };
}

function readLanguages(): Map<string, Language> {
  const found = new Map<string, Language>();
  for (const [grammar, [name, ...words]] of Object.entries(LANGUAGES) as [Grammar, readonly string[]][]) {
    for (const word of [grammar, ...words]) found.set(word, { name: name ?? grammar, grammar });
  }
  for (const [word, [grammar, name]] of Object.entries(RELATIVES)) found.set(word, { name, grammar });
  return found;
}
