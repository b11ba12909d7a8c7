/** Most characters of a question that stand in for a title. */
const TITLE_CHARACTERS = 80;

/** What a new chat is called until the server has told its own title: the question's first line. */
export function titleOf(question: string): string {
  const line = question.trim().split('\n', 1)[0] ?? '';
  return line.length > TITLE_CHARACTERS ? `${line.slice(0, TITLE_CHARACTERS)}…` : line;
}
