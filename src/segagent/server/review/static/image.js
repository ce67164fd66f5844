// A whole image: everything on it at once, what is missing, what lies twice or beside its box.

import {details, images, pictures} from './api.js';
import {el, toast} from './dom.js';
import {key} from './keys.js';
import {paint, painted, read} from './rle.js';
import {badges} from './list.js';
import {Stage} from './stage.js';

/** Colours that are told apart by colour-blind eyes too (Okabe and Ito's), without black. */
const COLORS = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
];
const STRONG = ['duplicate', 'box'];

export class ImageView {
  constructor(root, app) {
    Object.assign(this, {root, app, key: null, masks: [], at: null});
    const hand = {
      drags: () => false,
      down() {},
      cancel() {},
      move: points => this.hover(points.at(-1)),
      up: point => this.pick(point),
    };
    this.stage = new Stage(() => this.layers(), hand);
    this.title = el('h2');
    this.warnings = el('ul', {className: 'warnings'});
    this.objects = el('ul', {className: 'objects'});
    this.removed = el('input', {type: 'checkbox', id: 'removed', checked: app.store.get('show removed', false)});
    this.removed.addEventListener('change', () => {
      app.store.set('show removed', this.removed.checked);
      this.fill();
    });
    const button = (words, letter, does) =>
      el(
        'button',
        {type: 'button', onclick: does, title: letter ? `${words} (${letter})` : words},
        words,
        letter ? key(letter) : null,
      );
    const panel = el(
      'aside',
      {className: 'panel', 'aria-label': 'The image'},
      el(
        'p',
        {className: 'steps'},
        button('← image before', 'k', () => this.step(-1)),
        button('next image →', 'j', () => this.step(1)),
      ),
      this.title,
      el(
        'p',
        {className: 'buttons'},
        button('Add a missing object', 'N', () => this.add()),
        button('Fit', 'f', () => this.stage.fit()),
      ),
      el('label', {}, this.removed, 'removed ones too'),
      el('section', {}, el('h3', {textContent: 'Look at these'}), this.warnings),
      el('section', {}, el('h3', {textContent: 'Objects'}), this.objects),
    );
    root.append(el('div', {className: 'work'}, this.stage.box), panel);
  }

  async open(name) {
    const again = this.key === name;
    this.key = name;
    try {
      const image = await images.get(name),
        picture = await pictures.get(name).catch(() => null);
      if (this.key !== name || this.app.view !== 'image') return;
      this.image = image;
      this.masks = image.objects.map((one, place) => ({
        ...one,
        mask: read(one.rle),
        color: COLORS[place % COLORS.length],
      }));
      if (!again || this.stage.picture !== picture)
        this.stage.show(picture, image.width, image.height, {label: `${image.name}: a click opens an object`});
      this.fill();
    } catch (error) {
      toast(`Image ${name}: ${error.message}`, 'bad');
    }
  }

  fill() {
    const {app, image} = this;
    if (!image) return;
    this.title.textContent = image.name;
    const open = index => `#/object/${index}`;
    this.warnings.replaceChildren(
      ...(image.warnings.length ? image.warnings : [null]).map(one =>
        one === null
          ? el('li', {textContent: 'Nothing: no duplicates, no overlaps, no mask beside its box.'})
          : el(
              'li',
              {className: STRONG.includes(one.kind) ? 'strong' : ''},
              `${one.words} `,
              ...one.indices
                .map(index =>
                  el('a', {
                    href: open(index),
                    textContent: app.rows.get(index)?.text || `object ${index}`,
                    onmouseenter: () => this.mark(index),
                  }),
                )
                .flatMap((link, place) => (place ? [', ', link] : [link])),
            ),
      ),
    );
    this.objects.replaceChildren(
      ...this.visible().map(one => {
        const swatch = el('span', {className: 'swatch', 'aria-hidden': 'true'});
        swatch.style.background = `rgb(${one.color.join(' ')})`;
        const row = app.rows.get(one.index);
        return el(
          'li',
          {onmouseenter: () => this.mark(one.index)},
          swatch,
          el(
            'a',
            {href: open(one.index), onfocus: () => this.mark(one.index)},
            row?.text || one.label || `object ${one.index}`,
          ),
          one.label ? el('small', {textContent: ` ${one.label} `}) : null,
          ...badges(row ?? {}),
        );
      }),
    );
    this.stage.draw();
  }

  visible() {
    return this.masks.filter(one => this.removed.checked || !one.removed);
  }

  layers() {
    return this.visible()
      .filter(one => one.mask?.box)
      .map(one => {
        one.layer ??= painted(one.mask, one.color, 0.3);
        return (pen, thin) => {
          pen.globalAlpha = this.at === null || this.at === one.index ? 1 : 0.35;
          paint(pen, thin, one.layer, this.at === one.index ? 3 : 1.6);
        };
      });
  }

  hit([x, y]) {
    const under = this.visible()
      .filter(one => one.mask?.has(x, y))
      .sort((a, b) => a.mask.area - b.mask.area);
    return under[0]?.index ?? null;
  }

  hover(point) {
    this.mark(this.hit(point));
  }

  mark(index) {
    if (this.at === index) return;
    this.at = index;
    this.stage.draw();
  }

  pick(point) {
    const index = this.hit(point);
    if (index !== null) this.app.go(`#/object/${index}`);
  }

  /** The next image of the list. */
  step(by) {
    const keys = [...new Set(this.app.rows.ordered(this.app.filters).map(row => row.image))].map(String);
    const next = keys[keys.indexOf(String(this.key)) + by];
    if (next === undefined) toast(by > 0 ? 'That was the last image' : 'This is the first image');
    else this.app.go(`#/image/${next}`);
  }

  add() {
    return this.app.add(this.key, '');
  }

  /** Somebody has changed an object; which of all, the rows tell. */
  changed(index) {
    const row = this.app.rows.get(index);
    if (row && String(row.image) === String(this.key)) {
      images.forget(this.key);
      details.forget(index);
      this.open(this.key);
    }
  }

  keys() {
    return [
      {
        title: 'Image',
        keys: [
          [['j'], 'next image', () => this.step(1)],
          [['k'], 'image before', () => this.step(-1)],
          [['N'], 'add a missing object', () => this.add()],
          [['f'], 'fit', () => this.stage.fit()],
          [['+', '='], 'zoom in', () => this.stage.zoomIn()],
          [['-'], 'zoom out', () => this.stage.zoomOut()],
          [
            ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'],
            'move the cross',
            event =>
              this.stage.moveCross(
                ...{ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key],
              ),
          ],
          [['Enter'], 'open the object at the cross', () => this.stage.strike(true)],
          [
            ['u', 'Escape'],
            'back to the object, or the list',
            () => this.app.go(this.app.object.index === null ? '#/list' : `#/object/${this.app.object.index}`),
          ],
        ],
      },
    ];
  }
}
