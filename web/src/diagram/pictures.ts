const PICTURES = /^(?:img|image|feimage)$/i;

/**
 * Takes from this document, for good, the means to make a picture: the library would fetch one from any address that
 * a source names. Where it only puts one beside other things an empty group stands there; where it needs one for a
 * shape it fails, and `refused` is told, because the library may keep the failure to itself.
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
