// Masks as COCO's compressed run lengths: read, drawn, hit. Never more pixels in memory than the mask's own box.

/** Run lengths of a compressed COCO string, background first. */
function lengths(text) {
  const found = [];
  for (let at = 0; at < text.length;) {
    let value = 0, shift = 0, part;
    do {
      part = text.charCodeAt(at++) - 48;
      value |= (part & 31) << shift;
      shift += 5;
    } while (part & 32 && at < text.length);
    if (part & 16) value |= -1 << shift;
    if (found.length > 2) value += found[found.length - 2];
    found.push(value);
  }
  return found;
}

/** A mask of `rle` ({size: [height, width], counts}); pixels lie column by column, as in the file. */
export class Mask {
  constructor(rle) {
    const [height, width] = rle.size;
    this.height = height;
    this.counts = rle.counts;
    this.ends = [];
    this.area = 0;
    let end = 0, left = width, right = -1, top = height, bottom = -1;
    lengths(rle.counts).forEach((length, place) => {
      const start = end;
      end += length;
      this.ends.push(end);
      if (!(place % 2) || !length) return;
      this.area += length;
      const first = Math.floor(start / height), last = Math.floor((end - 1) / height);
      left = Math.min(left, first);
      right = Math.max(right, last);
      top = Math.min(top, first === last ? start - first * height : 0);
      bottom = Math.max(bottom, first === last ? end - 1 - last * height : height - 1);
    });
    /** [left, top, right, bottom], ends included; null for an empty mask. */
    this.box = right < 0 ? null : [left, top, right, bottom];
  }

  /** Whether the pixel is inside. */
  has(x, y) {
    const pixel = x * this.height + y;
    let low = 0, high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle] <= pixel) low = middle + 1;
      else high = middle;
    }
    return low < this.ends.length && low % 2 === 1;
  }

  /** The pixels of the box `[left, top, right, bottom]`, 0 or 1, column by column. */
  pixels([left, top, right, bottom] = this.box) {
    const rows = bottom - top + 1, found = new Uint8Array(rows * (right - left + 1));
    for (let place = 1; place < this.ends.length; place += 2) {
      let from = this.ends[place - 1];
      const to = this.ends[place];
      while (from < to) {
        const column = Math.floor(from / this.height), next = Math.min(to, (column + 1) * this.height);
        if (column >= left && column <= right) {
          const first = Math.max(from - column * this.height, top), last = Math.min(next - column * this.height - 1, bottom);
          if (first <= last) found.fill(1, (column - left) * rows + first - top, (column - left) * rows + last - top + 1);
        }
        from = next;
      }
    }
    return found;
  }
}

export const read = rle => (rle ? new Mask(rle) : null);
export const same = (one, other) => (one?.area ? one.counts : '') === (other?.area ? other.counts : '');

/** The box around all of `masks`, null where all are empty. */
export function around(masks) {
  const boxes = masks.map(mask => mask?.box).filter(Boolean);
  if (!boxes.length) return null;
  return [0, 1, 2, 3].map(side => (side < 2 ? Math.min : Math.max)(...boxes.map(box => box[side])));
}

/** What is drawn of pixels: a picture of the box filled by `color(value)` ([r, g, b, alpha] or null), and its outline. */
function layer(box, pixels, color) {
  const [left, top, right, bottom] = box, rows = bottom - top + 1, columns = right - left + 1;
  const image = new ImageData(columns, rows), into = new Uint32Array(image.data.buffer);
  const packed = [0, 1, 2, 3].map(value => {
    const found = color(value);
    return found ? (found[0] | found[1] << 8 | found[2] << 16 | Math.round(found[3] * 255) << 24) >>> 0 : 0;
  });
  for (let x = 0; x < columns; x++) for (let y = 0; y < rows; y++) into[y * columns + x] = packed[pixels[x * rows + y]];
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext('2d').putImageData(image, 0, 0);
  return {canvas, left, top};
}

/** The edges between inside and outside, as long straight lines. */
function outline([left, top, right, bottom], pixels) {
  const path = new Path2D(), rows = bottom - top + 1, columns = right - left + 1;
  const inside = (x, y) => x >= 0 && y >= 0 && x < columns && y < rows && pixels[x * rows + y];
  for (let x = 0; x <= columns; x++) {
    for (let y = 0, start = -1; y <= rows; y++) {
      const edge = y < rows && Boolean(inside(x - 1, y)) !== Boolean(inside(x, y));
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        path.moveTo(left + x, top + start);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  for (let y = 0; y <= rows; y++) {
    for (let x = 0, start = -1; x <= columns; x++) {
      const edge = x < columns && Boolean(inside(x, y - 1)) !== Boolean(inside(x, y));
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(left + start, top + y);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  return path;
}

/** A mask to draw, filled with [r, g, b] at `alpha`; null where it is empty. */
export function painted(mask, [red, green, blue], alpha) {
  if (!mask?.box) return null;
  const pixels = mask.pixels();
  return {
    ...layer(mask.box, pixels, value => (value ? [red, green, blue, alpha] : null)),
    path: outline(mask.box, pixels),
    color: `rgb(${red} ${green} ${blue})`,
  };
}

/** What became of a mask: pixels that went away in one colour, new ones in the other, those that stayed faint. */
export function changed(before, after, away, came) {
  const box = around([before, after]);
  if (!box) return null;
  const first = before?.box ? before.pixels(box) : null, second = after?.box ? after.pixels(box) : null;
  const size = (box[2] - box[0] + 1) * (box[3] - box[1] + 1), both = new Uint8Array(size);
  for (let at = 0; at < size; at++) both[at] = (first?.[at] ?? 0) + 2 * (second?.[at] ?? 0);
  const colors = [null, [...away, 0.75], [...came, 0.75], [255, 255, 255, 0.18]];
  return {...layer(box, both, value => colors[value]), path: outline(box, both.map(value => value >> 1)), color: 'rgb(255 255 255)'};
}
