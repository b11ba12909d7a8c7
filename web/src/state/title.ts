import { isBlank, prefix } from '$/lib/text';

/** Most characters of a question that stand in for a title. */
const TITLE_CHARACTERS = 80;

/** What a new chat is called until the server has told its own title: the first line of the question to be seen. */
export function titleOf(question: string): string {
  const line =
    question
      .split('\n')
      .find((line) => !isBlank(line))
      ?.trim() ?? '';
  const title = prefix(line, TITLE_CHARACTERS);
  return title.length < line.length ? `${title.trimEnd()}…` : line;
}
