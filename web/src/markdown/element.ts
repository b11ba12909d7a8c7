/** Makes an element, the only way this folder makes any: text never becomes markup. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className?: string,
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  if (className !== undefined) made.className = className;
  return made;
}

export function button(label: string, onclick: () => void): HTMLButtonElement {
  const made = element('button');
  made.type = 'button';
  made.textContent = label;
  made.addEventListener('click', onclick);
  return made;
}

/** Sets an element's text, appending where it only grew: the reader's selection in it stays. */
export function setText(holder: Element, text: string): void {
  const only = holder.firstChild;
  if (only instanceof Text && only.nextSibling === null) setData(only, text);
  else holder.textContent = text;
}

export function setData(node: Text, text: string): void {
  const before = node.data;
  if (text === before) return;
  if (text.startsWith(before)) node.appendData(text.slice(before.length));
  else node.data = text;
}

/** Goes to a place in the page, at a click on a link. The page's address stays: it is the chat's. */
export function goTo(event: Event, target: HTMLElement | null): void {
  event.preventDefault();
  target?.scrollIntoView({ block: 'center' });
  target?.focus({ preventScroll: true });
}
