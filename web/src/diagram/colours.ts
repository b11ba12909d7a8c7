/** Mermaid computes with colours but reads only sRGB: the design's tokens are painted and read back as hexadecimal. */
export function token(name: string): string {
  const probe = document.createElement('span');
  // A palette that the reader has forced upon pages has one colour for all of them.
  probe.style.forcedColorAdjust = 'none';
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  if (canvas === null) return '#808080';
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = canvas.getImageData(0, 0, 1, 1).data;
  return `#${[red, green, blue].map((part) => part.toString(16).padStart(2, '0')).join('')}`;
}
