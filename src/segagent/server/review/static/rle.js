// Masks as COCO's compressed run lengths: read, hit, drawn run by run, so that a large one costs what its outline does.

/** Run lengths of a compressed COCO string, background first. */
function lengths(text) {
  const found = [];
  for (let at = 0; at < text.length;) {
    let value = 0,
      shift = 0,
      part;
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
    let end = 0,
      left = width,
      right = -1,
      top = height,
      bottom = -1;
    lengths(rle.counts).forEach((length, place) => {
      const start = end;
      end += length;
      this.ends.push(end);
      if (!(place % 2) || !length) return;
      this.area += length;
      const first = Math.floor(start / height),
        last = Math.floor((end - 1) / height);
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
    let low = 0,
      high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle] <= pixel) low = middle + 1;
      else high = middle;
    }
    return low < this.ends.length && low % 2 === 1;
  }

  /** The runs of each column of the box: [from, to, from, to, ...], ends left out, rising. */
  columns() {
    const found = this.box ? Array.from({length: this.box[2] - this.box[0] + 1}, () => []) : [];
    for (let place = 1; place < this.ends.length; place += 2) {
      const to = this.ends[place];
      for (let from = this.ends[place - 1]; from < to;) {
        const column = Math.floor(from / this.height),
          next = Math.min(to, (column + 1) * this.height);
        const runs = found[column - this.box[0]],
          start = from - column * this.height;
        if (runs.at(-1) === start)
          runs.pop(); // An empty run of background parts nothing.
        else runs.push(start);
        runs.push(next - column * this.height);
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

/** A canvas of the size of `box`. `fill(pen)` draws on it in pixels of the picture. */
function layer([left, top, right, bottom], fill) {
  const canvas = document.createElement('canvas');
  canvas.width = right - left + 1;
  canvas.height = bottom - top + 1;
  const pen = canvas.getContext('2d');
  pen.translate(-left, -top);
  fill(pen);
  return {canvas, left, top};
}

/** The edges between inside and outside of a mask, as long straight lines. */
function outline(mask) {
  const path = new Path2D(),
    columns = mask?.columns() ?? [],
    left = mask?.box?.[0] ?? 0,
    going = new Map();
  for (let place = 0; place <= columns.length; place++) {
    const x = left + place,
      here = columns[place] ?? [];
    // Between two columns there is an edge where one of them is inside and the other is not.
    const edges = [...(columns[place - 1] ?? []), ...here].sort((a, b) => a - b);
    for (let at = 0; at < edges.length; at += 2) {
      if (edges[at] === edges[at + 1]) continue;
      path.moveTo(x, edges[at]);
      path.lineTo(x, edges[at + 1]);
    }
    const ends = new Set(here);
    for (const [y, start] of going) {
      if (ends.has(y)) continue;
      path.moveTo(start, y);
      path.lineTo(x, y);
      going.delete(y);
    }
    for (const y of ends) if (!going.has(y)) going.set(y, x);
  }
  return path;
}

const css = ([red, green, blue], alpha = 1) => `rgb(${red} ${green} ${blue} / ${alpha})`;

/** A mask to draw, filled with [r, g, b] at `alpha`; null where it is empty. */
export function painted(mask, color, alpha) {
  if (!mask?.box) return null;
  const fill = pen => {
    pen.fillStyle = css(color, alpha);
    mask.columns().forEach((runs, place) => {
      for (let at = 0; at < runs.length; at += 2)
        pen.fillRect(mask.box[0] + place, runs[at], 1, runs[at + 1] - runs[at]);
    });
  };
  return {...layer(mask.box, fill), path: outline(mask), color: css(color)};
}

/** What became of a mask: pixels that went away in one colour, new ones in the other, those that stayed faint. */
export function changed(before, after, away, came) {
  const box = around([before, after]);
  if (!box) return null;
  const first = before?.columns() ?? [],
    second = after?.columns() ?? [];
  const styles = [null, css(away, 0.75), css(came, 0.75), css([255, 255, 255], 0.18)];
  const fill = pen => {
    for (let x = box[0]; x <= box[2]; x++) {
      const ends = [
        ...(first[x - before?.box?.[0]] ?? []).map(y => [y, 1]),
        ...(second[x - after?.box?.[0]] ?? []).map(y => [y, 2]),
      ];
      ends.sort((a, b) => a[0] - b[0]);
      let inside = 0,
        from = 0;
      for (const [y, which] of ends) {
        if (inside && y > from) {
          pen.fillStyle = styles[inside];
          pen.fillRect(x, from, 1, y - from);
        }
        inside ^= which;
        from = y;
      }
    }
  };
  return {...layer(box, fill), path: outline(after), color: 'rgb(255 255 255)'};
}

/** A mask: its pixels, and its outline, dark below and coloured above, so that it shows on any ground. */
export function paint(pen, thin, layer, wide) {
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer.canvas, layer.left, layer.top);
  pen.lineJoin = 'round';
  for (const [color, width] of [
    ['rgb(0 0 0 / .65)', wide + 1.6],
    [layer.color, wide],
  ]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * thin;
    pen.stroke(layer.path);
  }
}
