import { untrack } from 'svelte';
import type { Attachment } from 'svelte/attachments';
import { MarkdownRenderer } from '$/markdown/renderer';
import type { PartView } from '$/state/part.svelte';
import { directionOf } from './direction';

/**
 * Shows a part's words in an element. They never pass through the framework: the renderer listens to the part itself.
 * `changed` is called after each render.
 */
export function rendering(
  part: PartView,
  changed: (element: HTMLElement) => void = () => undefined,
): Attachment<HTMLElement> {
  return (element) =>
    untrack(() => {
      const renderer = new MarkdownRenderer(element, {
        changed: () => {
          if (element.dir === '') element.dir = directionOf(part.text) ?? '';
          changed(element);
        },
      });
      const leave = part.follow(renderer);
      return () => {
        leave();
        renderer.destroy();
      };
    });
}
