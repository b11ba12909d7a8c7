const PICTURES = /^(?:img|image|feimage)$/i;

/**
 * Takes from this document, for good, the means to make a picture: the library would fetch one from any address that
 * a source names. A shape that needs one fails, and `refused` is told, because the library may keep that to itself;
 * a picture beside other things becomes an empty group, whose address then stands out in the drawing.
 */
export function forbidPictures(refused: () => void): void {
  const { createElement, createElementNS } = document;
  const replace = (name: string, value: unknown) =>
    Object.defineProperty(document, name, { value, configurable: true });
  replace('createElement', (name: string, options?: ElementCreationOptions) =>
    createElement.call(document, PICTURES.test(name) ? 'span' : name, options),
  );
  replace('createElementNS', (space: string | null, name: string, options?: ElementCreationOptions) =>
    createElementNS.call(document, space, PICTURES.test(name) ? 'g' : name, options),
  );
  Object.defineProperty(globalThis, 'Image', {
    configurable: true,
    value: class {
      constructor() {
        refused();
        throw new TypeError('a diagram has no pictures');
      }
    },
  });
}
