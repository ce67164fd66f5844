// A picture that can be zoomed and moved, with layers on it. Mouse, pen and fingers; a cross that the arrow keys move.

import {el} from './dom.js';

const MOST = 40,
  STEP = 1.3,
  STILL = 4,
  HOLD = 550,
  MARGIN = 0.06;

export class Stage {
  /**
   * `layers()`: what to draw, bottom first. `hand`: told what is done with the pointer in pixels of the picture,
   * `down(point, about)`, `move(points, about)`, `up(point, about)`, `cancel()`; `about` has `positive`, `moved`,
   * `keys` (it is the cross), `near` (how far a finger or mouse misses). `hand.drags()`: whether a drag
   * is the tool's; otherwise it moves the picture.
   */
  constructor(layers, hand, moved = () => {}) {
    Object.assign(this, {
      layers,
      hand,
      moved,
      picture: null,
      scale: 1,
      left: 0,
      top: 0,
      pointers: new Map(),
      cross: null,
      space: false,
    });
    this.canvas = el('canvas', {tabIndex: 0, role: 'img', 'aria-label': 'The picture'});
    this.box = el('div', {className: 'stage'}, this.canvas);
    this.pen = this.canvas.getContext('2d');
    new ResizeObserver(() => this.resize()).observe(this.box);
    const on = (name, does) => this.canvas.addEventListener(name, does, {passive: false});
    on('pointerdown', event => this.pressed(event));
    on('pointermove', event => this.dragged(event));
    on('pointerup', event => this.released(event));
    on('pointercancel', event => this.broken(event));
    on('pointerleave', () => {
      this.over = null;
      this.draw();
    });
    on('contextmenu', event => event.preventDefault());
    on('wheel', event => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), this.place(event));
    });
  }

  /** Show another picture, the whole of it or `view`, {scale, x, y} as `view` gives it, or the box. */
  show(picture, width, height, {view = null, box = null, label = ''} = {}) {
    Object.assign(this, {picture, width, height, cross: null, wanted: null});
    this.pointers.clear();
    this.canvas.setAttribute('aria-label', label);
    if (view) this.look(view);
    else this.fit(box);
  }

  /** Show nothing until the next picture is there. */
  clear() {
    Object.assign(this, {picture: null, width: 0, height: 0, cross: null});
    this.draw();
  }

  get view() {
    return {
      scale: this.scale,
      x: (this.canvas.clientWidth / 2 - this.left) / this.scale,
      y: (this.canvas.clientHeight / 2 - this.top) / this.scale,
    };
  }

  look({scale, x, y}) {
    this.scale = scale;
    this.left = this.canvas.clientWidth / 2 - x * scale;
    this.top = this.canvas.clientHeight / 2 - y * scale;
    this.settle();
  }

  /** The whole picture, or a box ([left, top, right, bottom]) with room around it. */
  fit(box = null) {
    this.wanted = {box};
    if (!this.width) return;
    let [left, top, right, bottom] = [0, 0, this.width, this.height];
    if (box) {
      const room = Math.max(
        0.7 * (box[2] - box[0] + 1),
        0.7 * (box[3] - box[1] + 1),
        0.1 * this.width,
        0.1 * this.height,
      );
      [left, top] = [Math.max(box[0] - room, 0), Math.max(box[1] - room, 0)];
      [right, bottom] = [Math.min(box[2] + 1 + room, this.width), Math.min(box[3] + 1 + room, this.height)];
    }
    const {clientWidth: across, clientHeight: down} = this.canvas;
    const scale = Math.max(Math.min(across / (right - left), down / (bottom - top), 12) * (1 - MARGIN), 0.001);
    const wanted = this.wanted;
    // No empty ground where there is more of the picture to see.
    const middle = (centre, shown, whole) =>
      shown >= whole ? whole / 2 : Math.min(Math.max(centre, shown / 2), whole - shown / 2);
    this.look({
      scale,
      x: middle((left + right) / 2, across / scale, this.width),
      y: middle((top + bottom) / 2, down / scale, this.height),
    });
    this.wanted = wanted;
  }

  zoom(by, [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    if (!this.width) return;
    const least = Math.min(this.canvas.clientWidth / this.width, this.canvas.clientHeight / this.height, 1) / 4;
    const scale = Math.min(Math.max(this.scale * by, least), MOST),
      ratio = scale / this.scale;
    this.left = x - (x - this.left) * ratio;
    this.top = y - (y - this.top) * ratio;
    this.scale = scale;
    this.settle();
  }

  zoomIn() {
    this.zoom(STEP);
  }

  zoomOut() {
    this.zoom(1 / STEP);
  }

  /** After any change of the view: no picture out of sight, and whoever keeps the view is told. */
  settle() {
    const {clientWidth: across, clientHeight: down} = this.canvas,
      rest = 40;
    this.left = Math.min(Math.max(this.left, rest - this.width * this.scale), across - rest);
    this.top = Math.min(Math.max(this.top, rest - this.height * this.scale), down - rest);
    this.wanted = null;
    this.moved();
    this.draw();
  }

  resize() {
    const {clientWidth: across, clientHeight: down} = this.canvas,
      ratio = devicePixelRatio || 1;
    if (!across || !down) return;
    const kept =
      this.size && !this.wanted
        ? {
            scale: this.scale,
            x: (this.size[0] / 2 - this.left) / this.scale,
            y: (this.size[1] / 2 - this.top) / this.scale,
          }
        : null;
    this.size = [across, down];
    this.canvas.width = Math.round(across * ratio);
    this.canvas.height = Math.round(down * ratio);
    if (!this.width) return;
    if (this.wanted) this.fit(this.wanted.box);
    else if (kept) this.look(kept);
    this.draw();
  }

  /** Draw before the next frame, once. */
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const {pen, scale} = this,
      ratio = devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.width) return;
    pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * this.left, ratio * this.top);
    pen.imageSmoothingEnabled = scale < 3;
    if (this.picture) pen.drawImage(this.picture, 0, 0, this.width, this.height);
    for (const layer of this.layers()) {
      pen.save();
      layer(pen, 1 / scale);
      pen.restore();
    }
    if (this.cross) this.drawCross(pen, 1 / scale);
  }

  drawCross(pen, thin) {
    const [x, y] = [this.cross[0] + 0.5, this.cross[1] + 0.5],
      arm = 14 * thin;
    for (const [color, wide] of [
      ['#000', 3],
      ['#fff', 1.2],
    ]) {
      pen.strokeStyle = color;
      pen.lineWidth = wide * thin;
      pen.beginPath();
      for (const [a, b] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        pen.moveTo(x + a * 4 * thin, y + b * 4 * thin);
        pen.lineTo(x + a * arm, y + b * arm);
      }
      pen.stroke();
    }
  }

  /** Move the cross by pixels of the screen, at least one of the picture. */
  moveCross(right, down) {
    if (!this.width) return;
    const by = Math.max(1, Math.round(10 / this.scale)),
      {x, y} = this.view;
    const from = this.cross ?? this.inside([x, y]);
    this.cross = this.inside([from[0] + right * by, from[1] + down * by]);
    this.over = this.cross;
    this.hand.move([this.cross], {positive: true, hovering: true});
    this.draw();
  }

  inside([x, y]) {
    return [
      Math.min(Math.max(Math.floor(x), 0), this.width - 1),
      Math.min(Math.max(Math.floor(y), 0), this.height - 1),
    ];
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  pixel(event) {
    const [x, y] = this.place(event);
    return this.inside([(x - this.left) / this.scale, (y - this.top) / this.scale]);
  }

  within(event) {
    const [x, y] = this.place(event),
      [column, row] = [(x - this.left) / this.scale, (y - this.top) / this.scale];
    return column >= 0 && row >= 0 && column < this.width && row < this.height;
  }

  pressed(event) {
    if (!this.width) return;
    event.preventDefault();
    this.canvas.focus({preventScroll: true});
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.cross = null;
    if (this.pointers.size > 1) {
      // A second finger: no tool, but zoom.
      this.stop();
      return;
    }
    const pans = this.space || event.button === 1;
    this.press = {
      from: this.place(event),
      pixel: this.pixel(event),
      moved: false,
      pans,
      within: this.within(event),
      positive: !(event.button === 2 || event.shiftKey),
    };
    if (event.pointerType === 'touch' && !pans && !this.hand.drags()) {
      this.hold = setTimeout(() => {
        if (this.press && !this.press.moved) this.press.positive = false;
        navigator.vibrate?.(20);
      }, HOLD);
    }
    if (!pans && this.hand.drags()) this.hand.down(this.press.pixel, this.press);
  }

  dragged(event) {
    if (!this.width) return;
    this.over = this.pixel(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.hand.move([this.over], {positive: !event.shiftKey, hovering: true});
      return this.draw();
    }
    const now = this.place(event);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 2) return this.pinch(event.pointerId, before, now);
    const {press} = this;
    if (!press) return;
    press.moved ||= Math.hypot(now[0] - press.from[0], now[1] - press.from[1]) > STILL;
    if (press.pans || !this.hand.drags()) {
      if (!press.moved) return;
      this.left += now[0] - before[0];
      this.top += now[1] - before[1];
      this.settle();
    } else {
      const points = (event.getCoalescedEvents?.() ?? []).map(one => this.pixel(one));
      this.hand.move(points.length ? points : [this.over], press);
      this.draw();
    }
  }

  pinch(id, before, now) {
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const spread = point => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.left += (now[0] - before[0]) / 2;
    this.top += (now[1] - before[1]) / 2;
    this.zoom(spread(now) / Math.max(spread(before), 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }

  released(event) {
    clearTimeout(this.hold);
    const {press} = this;
    if (!this.pointers.delete(event.pointerId) || !press || this.pointers.size) return;
    this.press = null;
    const drags = this.hand.drags();
    if (press.pans || (!drags && (press.moved || !press.within))) return;
    this.hand.up(this.pixel(event), {...press, keys: false, near: 9 / this.scale});
    this.draw();
  }

  broken(event) {
    this.pointers.delete(event.pointerId);
    this.stop();
  }

  stop() {
    clearTimeout(this.hold);
    if (this.press) this.hand.cancel();
    this.press = null;
    this.draw();
  }

  /** As if the pointer were pressed and let go where the cross is. */
  strike(positive) {
    if (!this.cross) return;
    const about = {positive, moved: false, within: true, keys: true, near: 0};
    if (this.hand.drags()) this.hand.down(this.cross, about);
    this.hand.up(this.cross, about);
    this.draw();
  }
}
