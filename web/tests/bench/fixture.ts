/** Answers as models write them, the same in every run: prose, lists, code (a third), tables and formulas. */

function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const WORDS =
  'the log holds every event in order so a reader that comes back asks for what it has not seen and gets exactly ' +
  'that while the writer commits in batches under load each commit makes many frames durable at once which keeps ' +
  'latency low when few are there and throughput high when there are many without any timer between them';
const VOCABULARY = WORDS.split(' ');

const RUST = `pub async fn follow(log: &Log, mut cursor: Cursor) -> Result<(), Closed> {
    loop {
        // What is ready is written in one go.
        let frames = log.after(cursor).await?;
        for frame in &frames {
            tracing::debug!(seq = frame.seq, "frame");
            cursor = frame.next();
        }
        if frames.iter().any(Frame::is_terminal) {
            return Ok(());
        }
    }
}`;
const TYPESCRIPT = `export function group<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    const found = groups.get(name);
    if (found === undefined) groups.set(name, [item]);
    else found.push(item);
  }
  return groups; // in the order of their first items
}`;
const PYTHON = `def moving_average(values: list[float], width: int = 5) -> Iterator[float]:
    """Yields the mean of the last \`width\` values."""
    window: deque[float] = deque(maxlen=width)
    for value in values:
        window.append(value)
        if len(window) == width:
            yield sum(window) / width`;
const SQL = `SELECT c.id, c.title, max(m.created_at) AS last_at
FROM conversations AS c
JOIN messages AS m ON m.conversation_id = c.id
WHERE c.owner_id = $1 AND c.deleted_at IS NULL
GROUP BY c.id, c.title
ORDER BY last_at DESC
LIMIT 50;`;
const CODE: readonly [string, string][] = [
  ['rust', RUST],
  ['typescript', TYPESCRIPT],
  ['python', PYTHON],
  ['sql', SQL],
];

/** An answer of about this many characters. */
export function answer(length: number, seed: number): string {
  const random = numbers(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const words = (count: number) => Array.from({ length: count }, () => pick(VOCABULARY)).join(' ');
  const sentence = () => {
    const inner = pick([
      `**${words(2)}**`,
      `\`${pick(VOCABULARY)}_${pick(VOCABULARY)}\``,
      `*${words(1)}*`,
      words(3),
      words(4),
      `[${words(2)}](https://docs.example/${pick(VOCABULARY)})`,
    ]);
    return `${words(5).replace(/^./, (first) => first.toUpperCase())} ${inner} ${words(7)}.`;
  };
  const paragraph = () => Array.from({ length: 3 + Math.floor(random() * 3) }, sentence).join(' ');
  const section = (index: number): string => {
    const [language, code] = CODE[index % CODE.length] as [string, string];
    const parts = [`## ${index + 1}. ${words(4)}`, paragraph()];
    parts.push(`- ${[sentence(), sentence(), sentence()].join('\n- ')}`, paragraph());
    parts.push(`\`\`\`${language}\n${code}\n\n${code.replaceAll('value', pick(VOCABULARY))}\n\`\`\``);
    if (index % 2 === 0) {
      const rows = Array.from({ length: 6 }, (_, row) => `| ${words(2)} | ${row * 17} | ${sentence()} |`);
      parts.push(`| Name | Count | What it means |\n|---|--:|---|\n${rows.join('\n')}`);
    } else {
      parts.push(`With $n$ readers the cost is $c_n = \\frac{a}{n} + b$:`);
      parts.push('$$\n\\sum_{i=1}^{n} \\frac{1}{i^2} \\le \\int_0^1 \\sqrt{1 - x^2}\\,dx\n$$');
    }
    parts.push(`1. ${[sentence(), sentence()].join('\n2. ')}`, `> ${sentence()}`);
    return parts.join('\n\n');
  };
  let text = '';
  for (let index = 0; text.length < length; index++) text += `${section(index)}\n\n`;
  return text.slice(0, length);
}

/** A text in pieces about as long as a tokenizer's. */
export function tokensOf(text: string): string[] {
  return text.match(/\s*[A-Za-z]{1,7}|\s*\d{1,3}|\s*[^\sA-Za-z\d]{1,2}|\s+/g) ?? [];
}

/** An answer of exactly this many tokens. */
export function tokens(count: number): string[] {
  return tokensOf(answer(count * 6, 1)).slice(0, count);
}
