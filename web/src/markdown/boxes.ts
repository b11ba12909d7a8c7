/** Boxes that scroll sideways. */
export const BOXES = 'pre, .table-box, .math-display';
/** With more of them an answer's edges end hard. */
const MOST = 200;

/** Whether the edges of an answer's boxes are shown to go on. */
export function hasEdges(root: Element): boolean {
  const count = root.querySelectorAll(BOXES).length;
  return count > 0 && count <= MOST;
}
