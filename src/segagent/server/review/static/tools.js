// What hands do to a mask: clicks, boxes, strokes, polygons, from the pointer's way to the event that is sent.

export const NAMES = {click: 'Click', brush: 'Brush', eraser: 'Eraser', box: 'Box', polygon: 'Polygon'};
const ORANGE = '#e69f00',
  BLUE = '#0072b2',
  MOST_POINTS = 4000;

/** The hand of a stage. `settings`: {tool, radius, positive}; `send(kind, did)` is told what was done. */
export class Hand {
  constructor(settings, send) {
    Object.assign(this, {settings, send, points: [], from: null, sent: []});
  }

  get tool() {
    return this.settings().tool;
  }

  /** Whether a drag is the tool's business and not the picture's. */
  drags() {
    return ['brush', 'eraser'].includes(this.tool) || (this.tool === 'box' && !this.from?.keys);
  }

  sign(about) {
    return about.positive === this.settings().positive;
  }

  down(point, about) {
    if (this.tool === 'box') this.from = {point, keys: about.keys};
    else this.points = [point];
    this.way = this.sign(about);
  }

  move(points, about) {
    this.at = points.at(-1);
    if (about.hovering) return;
    if (['brush', 'eraser'].includes(this.tool) && this.points.length) {
      for (const point of points) {
        const last = this.points.at(-1);
        if (point[0] !== last[0] || point[1] !== last[1]) this.points.push(point);
      }
    }
  }

  up(point, about) {
    const positive = this.sign(about),
      [x, y] = point;
    this.at = point;
    if (this.tool === 'click') this.done('click', {x, y, positive});
    else if (this.tool === 'polygon') this.corner(point, positive, about.near);
    else if (this.tool === 'box') this.boxed(point, about);
    else if (this.points.length) {
      const every = Math.ceil(this.points.length / MOST_POINTS),
        last = this.points.length - 1;
      const points = this.points.filter((_, place) => place % every === 0 || place === last);
      this.done('stroke', {points, radius: this.settings().radius, positive: positive === (this.tool === 'brush')});
      this.points = [];
    }
  }

  boxed([x, y], about) {
    if (about.keys && !this.corner0) {
      // The cross marks one corner after the other.
      this.corner0 = [x, y];
      return;
    }
    const [a, b] = about.keys ? this.corner0 : (this.from?.point ?? [x, y]);
    this.from = this.corner0 = null;
    if (a !== x && b !== y) this.done('box', {box: [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)]});
  }

  corner(point, positive, near) {
    const last = this.points.at(-1),
      [first] = this.points;
    const close = (one, by) => one && Math.hypot(one[0] - point[0], one[1] - point[1]) <= by;
    if (this.points.length > 2 && (close(first, near ?? 0) || close(last, 0))) this.finish(positive);
    else if (!close(last, 0)) this.points.push(point);
  }

  /** Close the polygon; says whether there was one. */
  finish(positive = this.settings().positive) {
    if (this.tool !== 'polygon' || this.points.length < 3) return false;
    this.done('polygon', {points: this.points, positive});
    this.points = [];
    return true;
  }

  /** Take the last corner back; says whether there was one. */
  back() {
    return this.tool === 'polygon' && Boolean(this.points.pop());
  }

  /** Drop what was begun; says whether there was something. */
  cancel() {
    const begun = this.points.length > 0 || Boolean(this.from ?? this.corner0);
    this.points = [];
    this.from = this.corner0 = null;
    return begun;
  }

  done(kind, did) {
    const name = this.send(kind, did);
    if (name) this.sent.push({name, kind, did});
  }

  /** The server has drawn it, or never will. */
  answered(name) {
    this.sent = this.sent.filter(one => one.name !== name);
  }

  /** What is begun, and what is sent and not yet answered. */
  draw(pen, thin, over) {
    for (const {kind, did} of this.sent) {
      pen.globalAlpha = 0.55;
      if (kind === 'stroke') stroke(pen, did.points, did.radius, did.positive);
      if (kind === 'polygon') fill(pen, did.points, did.positive);
      if (kind === 'box') boxLine(pen, thin, [did.box[0], did.box[1]], [did.box[2], did.box[3]]);
      if (kind === 'click') marker(pen, thin, did, true);
    }
    pen.globalAlpha = 0.55;
    const brushes = ['brush', 'eraser'].includes(this.tool),
      first = this.from?.point ?? this.corner0;
    if (brushes && this.points.length)
      stroke(pen, this.points, this.settings().radius, this.way === (this.tool === 'brush'));
    pen.globalAlpha = 1;
    if (this.tool === 'box' && first && this.at) boxLine(pen, thin, first, this.at);
    if (this.tool === 'polygon' && this.points.length) this.drawPolygon(pen, thin, over);
    if (brushes && over) ring(pen, thin, over, this.settings().radius);
  }

  drawPolygon(pen, thin, over) {
    pen.beginPath();
    for (const [x, y] of over ? [...this.points, over] : this.points) pen.lineTo(x + 0.5, y + 0.5);
    twice(pen, thin, ORANGE);
    for (const [x, y] of this.points) {
      pen.beginPath();
      pen.arc(x + 0.5, y + 0.5, 4 * thin, 0, 7);
      pen.fillStyle = ORANGE;
      pen.fill();
      pen.lineWidth = thin;
      pen.strokeStyle = '#000';
      pen.stroke();
    }
  }
}

function twice(pen, thin, color) {
  for (const [shade, wide] of [
    ['#000', 3.5],
    [color, 1.8],
  ]) {
    pen.strokeStyle = shade;
    pen.lineWidth = wide * thin;
    pen.stroke();
  }
}

function stroke(pen, points, radius, positive) {
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = 2 * radius + 1;
  pen.strokeStyle = positive ? ORANGE : BLUE;
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x + 0.5, y + 0.5);
  if (points.length === 1) pen.lineTo(points[0][0] + 0.51, points[0][1] + 0.5);
  pen.stroke();
}

function fill(pen, points, positive) {
  pen.fillStyle = positive ? ORANGE : BLUE;
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x + 0.5, y + 0.5);
  pen.fill();
}

function boxLine(pen, thin, [a, b], [x, y]) {
  pen.beginPath();
  pen.rect(Math.min(a, x), Math.min(b, y), Math.abs(x - a) + 1, Math.abs(y - b) + 1);
  twice(pen, thin, ORANGE);
}

function ring(pen, thin, [x, y], radius) {
  pen.beginPath();
  pen.arc(x + 0.5, y + 0.5, radius + 0.5, 0, 7);
  twice(pen, thin, '#fff');
}

/** A click: a plus on the object, a minus beside it; a `ghost` is one that is only proposed or not yet answered. */
export function marker(pen, thin, {x, y, positive}, ghost = false) {
  const [across, down] = [x + 0.5, y + 0.5],
    size = 8 * thin;
  pen.beginPath();
  pen.arc(across, down, size, 0, 7);
  pen.fillStyle = positive ? ORANGE : BLUE;
  pen.globalAlpha = ghost ? 0.55 : 1;
  pen.fill();
  pen.globalAlpha = 1;
  if (ghost) pen.setLineDash([3 * thin, 3 * thin]);
  pen.lineWidth = 1.6 * thin;
  pen.strokeStyle = '#fff';
  pen.stroke();
  pen.setLineDash([]);
  pen.lineWidth = 2 * thin;
  pen.strokeStyle = positive ? '#000' : '#fff';
  pen.beginPath();
  pen.moveTo(across - size / 2, down);
  pen.lineTo(across + size / 2, down);
  if (positive) {
    pen.moveTo(across, down - size / 2);
    pen.lineTo(across, down + size / 2);
  }
  pen.stroke();
}
