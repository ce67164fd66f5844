// The work list: only the rows in sight are in the document, so that 20,000 are as quick as 20.

import {el} from './dom.js';
import {EVERYTHING, VERDICTS, done} from './rows.js';

const ROW = 58,
  BEYOND = 8;

const STATES = [
  ['all', 'all'],
  ['open', 'still to do'],
  ['done', 'done'],
  ['touched', 'somebody was at it'],
  ['contested', 'two people at it'],
  ['noted', 'with a note'],
  ['removed', 'removed'],
  ['added', 'added'],
  ...Object.entries(VERDICTS).map(([name, said]) => [name, `judged: ${said}`]),
];
const SORTS = [
  ['worst', 'worst first'],
  ['best', 'best first'],
  ['gain', 'largest expected gain'],
  ['latest', 'last changed'],
  ['image', 'image'],
  ['id', 'object id'],
];

export class List {
  constructor(root, app) {
    Object.assign(this, {root, app, shown: [], lines: new Map()});
    this.search = el('input', {
      type: 'search',
      id: 'search',
      placeholder: 'words, id, image, note',
      'aria-label': 'Search',
    });
    const field = (name, title, options) => {
      const select = el('select', {id: `filter-${name}`}, ...options.map(([value, said]) => new Option(said, value)));
      select.addEventListener('change', () => this.filter({[name]: select.value}));
      this[name] = select;
      return el('label', {}, title, select);
    };
    const choice = (name, title, column) =>
      field(name, title, [['', 'all'], ...app.rows.values(column).map(value => [value, value.replaceAll('_', ' ')])]);
    const shares = [...app.rows.all.values()].some(row => row.assigned);
    this.search.addEventListener('input', () => this.filter({search: this.search.value}));
    this.count = el('span', {className: 'count', role: 'status'});
    this.bar = el(
      'form',
      {className: 'filters', role: 'search', onsubmit: event => event.preventDefault()},
      el('label', {}, 'search', this.search),
      field('state', 'show', STATES),
      ...(app.checking
        ? []
        : [choice('outcome', 'outcome', 'outcome'), choice('error', 'likely error', 'likely_error')]),
      choice('category', 'class', 'category'),
      shares
        ? field('share', 'share', [
            ['mine', 'mine'],
            ['all', "everybody's"],
          ])
        : null,
      ...(app.checking ? [] : [field('sort', 'sort', SORTS)]),
      el('button', {type: 'button', textContent: 'Clear', onclick: () => this.filter({...EVERYTHING})}),
      this.count,
    );
    this.space = el('div', {className: 'rows', role: 'list', 'aria-label': 'Objects, worst first'});
    this.scroller = el('div', {className: 'scroller', tabIndex: -1}, this.space);
    this.scroller.addEventListener('scroll', () => this.paint());
    new ResizeObserver(() => this.paint()).observe(this.scroller);
    root.append(this.bar, this.scroller);
  }

  filter(more) {
    this.app.filters = {...this.app.filters, ...more};
    this.show();
    this.scroller.scrollTop = 0;
    this.at = this.shown[0]?.index;
    this.paint();
  }

  /** Fill again after any change; the current object stays in sight. */
  show() {
    const {app} = this;
    for (const name of Object.keys(EVERYTHING)) {
      const field = this[name];
      if (field && document.activeElement !== field) field.value = app.filters[name];
    }
    this.shown = app.rows.list(app.filters, app.me);
    this.space.style.height = `${this.shown.length * ROW}px`;
    this.count.textContent = `${this.shown.length} of ${app.rows.all.size} objects`;
    this.lines.clear();
    this.space.replaceChildren();
    this.paint();
  }

  /** Bring the object into sight. */
  reveal(index) {
    const place = this.shown.findIndex(row => row.index === index);
    if (place < 0) return;
    this.at = index;
    const top = place * ROW,
      {scrollTop, clientHeight} = this.scroller;
    if (top < scrollTop || top + ROW > scrollTop + clientHeight)
      this.scroller.scrollTop = top - clientHeight / 2 + ROW / 2;
    this.paint();
  }

  move(by) {
    if (!this.shown.length) return;
    const now = this.shown.findIndex(row => row.index === this.at);
    const place = Math.min(Math.max(now + by, 0), this.shown.length - 1);
    this.reveal(this.shown[place].index);
    this.lines.get(this.at)?.link.focus({preventScroll: true});
  }

  page(by) {
    this.move(by * Math.max(Math.floor(this.scroller.clientHeight / ROW) - 1, 1));
  }

  open() {
    const row = this.shown.find(one => one.index === this.at) ?? this.shown[0];
    if (row) this.app.go(`#/object/${row.index}`);
  }

  paint() {
    const first = Math.max(Math.floor(this.scroller.scrollTop / ROW) - BEYOND, 0);
    const last = Math.min(first + Math.ceil(this.scroller.clientHeight / ROW) + 2 * BEYOND, this.shown.length);
    const wanted = new Set(this.shown.slice(first, last).map(row => row.index));
    for (const [index, line] of this.lines) {
      if (!wanted.has(index)) {
        line.item.remove();
        this.lines.delete(index);
      }
    }
    for (let place = first; place < last; place++) {
      const row = this.shown[place];
      let line = this.lines.get(row.index);
      if (!line) {
        line = this.line(row, place);
        this.lines.set(row.index, line);
        this.space.append(line.item);
      }
      line.link.setAttribute('aria-current', row.index === this.at);
    }
    if (!this.shown.length)
      this.space.replaceChildren(el('p', {className: 'empty', textContent: 'No object fits the filters.'}));
  }

  line(row, place) {
    const facts = [row.category, row.image_name, row.likely_error].filter(Boolean).join(' · ');
    const link = el(
      'a',
      {
        href: `#/object/${row.index}`,
        className: `row${done(row) ? ' done' : ''}`,
        onfocus: () => {
          this.at = row.index;
          this.paint();
        },
      },
      el('span', {className: 'rank', textContent: row.rank}),
      el(
        'span',
        {className: 'what'},
        el('b', {textContent: row.text || row.object_id}),
        el('small', {textContent: row.reason || facts}),
      ),
      this.app.checking ? null : el('span', {className: 'score'}, score(row)),
      el('span', {className: 'badges'}, ...badges(row)),
    );
    const item = el(
      'div',
      {role: 'listitem', className: 'item', 'aria-setsize': this.shown.length, 'aria-posinset': place + 1},
      link,
    );
    item.style.top = `${place * ROW}px`;
    return {item, link};
  }
}

function score(row) {
  if (typeof row.expected_iou !== 'number') return el('small', {textContent: (row.outcome ?? '').replaceAll('_', ' ')});
  return el(
    'span',
    {title: `${row.outcome}, expected IoU ${row.expected_iou.toFixed(2)}`},
    el('meter', {min: 0, max: 1, value: row.expected_iou, 'aria-label': 'expected IoU'}),
    ` ${row.expected_iou.toFixed(2)}`,
  );
}

/** What people made of an object, in short words. */
export function badges(row) {
  const told = [];
  if (row.removed) told.push(['removed', 'wrong']);
  if (row.verdict) told.push([VERDICTS[row.verdict], row.verdict]);
  if (row.added) told.push(['added', 'plain']);
  if (row.touched && !row.verdict && !row.removed) told.push(['begun', 'plain']);
  if (row.contested) told.push(['two people', 'contested']);
  if (row.by) told.push([row.by, 'who']);
  return told.map(([said, kind]) => el('span', {className: `badge ${kind}`, textContent: said}));
}
