// The work list's table: rows by index, which fit the filters, in which order, what is done.

const FIELDS = ['text', 'object_id', 'image_name', 'category', 'notes'];
export const VERDICTS = {ok: 'ok', wrong: 'wrong', absent: 'not there', unsure: 'unsure', skip: 'skipped'};
export const EVERYTHING = {
  search: '',
  state: 'all',
  outcome: '',
  error: '',
  category: '',
  share: 'mine',
  sort: 'worst',
};

const number = (value, none) => (typeof value === 'number' ? value : none);
const gain = row => number(row.expected_iou, 0) - number(row.expected_iou_given, number(row.expected_iou, 0));
const collator = new Intl.Collator(undefined, {numeric: true});
const words = name => (a, b) => collator.compare(a[name], b[name]);

const ORDERS = {
  worst: () => 0,
  best: (a, b) => number(b.expected_iou, -1) - number(a.expected_iou, -1),
  gain: (a, b) => gain(b) - gain(a),
  image: words('image_name'),
  id: words('object_id'),
  latest: (a, b) => b.standing_number - a.standing_number,
};

const STATES = {
  all: () => true,
  open: row => !done(row),
  done: row => done(row),
  touched: row => row.touched,
  contested: row => row.contested,
  removed: row => row.removed,
  added: row => row.added,
  noted: row => Boolean(row.notes),
  ...Object.fromEntries(Object.keys(VERDICTS).map(name => [name, row => row.verdict === name])),
};

/** Nothing more to do: judged, or removed. What was only skipped is still to do. */
export const done = row => row.removed || Boolean(row.verdict && row.verdict !== 'skip');

/** Whether it is this person's to do. */
export const mine = (row, me) => !row.assigned || row.assigned === me || row.also.includes(me);

export class Rows {
  constructor({columns, rows}) {
    this.columns = columns;
    this.all = new Map();
    this.take(rows);
  }

  /** New or changed rows, in the table's form. */
  take(rows) {
    for (const values of rows) {
      const row = Object.fromEntries(this.columns.map((name, place) => [name, values[place]]));
      row.rank = this.all.get(row.index)?.rank ?? this.all.size + 1;
      this.change(row.index, row);
    }
  }

  /** A row as it stands now. */
  change(index, more) {
    const row = {...this.all.get(index), ...more};
    row.found = FIELDS.map(name => row[name] ?? '')
      .join('\n')
      .toLowerCase();
    this.all.set(index, row);
    this.order = null;
  }

  get(index) {
    return this.all.get(index);
  }

  /** Everything in the order of the filters; which of it fits is `fits`. */
  ordered({sort}) {
    if (!this.order || this.sort !== sort) {
      const order = ORDERS[sort] ?? ORDERS.worst;
      this.order = [...this.all.values()].sort((a, b) => order(a, b) || a.rank - b.rank);
      this.sort = sort;
    }
    return this.order;
  }

  fits(row, filters, me) {
    return (
      (STATES[filters.state] ?? STATES.all)(row) &&
      (!filters.outcome || row.outcome === filters.outcome) &&
      (!filters.error || row.likely_error === filters.error) &&
      (!filters.category || (row.category ?? '-') === filters.category) &&
      (filters.share === 'all' || mine(row, me)) &&
      (!filters.search || row.found.includes(filters.search.toLowerCase()))
    );
  }

  /** The rows that fit. */
  list(filters, me) {
    return this.ordered(filters).filter(row => this.fits(row, filters, me));
  }

  /**
   * The next row after `index` (`by` -1: the one before) that fits, whether `index` still does or not; null at the end.
   * `open`: only what is still to do, beginning again at the top.
   */
  next(index, filters, me, by = 1, open = false) {
    const order = this.ordered(filters),
      from = order.findIndex(row => row.index === index);
    for (let step = 1; step <= order.length; step++) {
      let place = from + by * step;
      if (place < 0 || place >= order.length) {
        if (!open) return null;
        place = (place + order.length) % order.length;
      }
      const row = order[place];
      if (row.index !== index && this.fits(row, filters, me) && !(open && done(row))) return row;
    }
    return null;
  }

  /** [done, all] of this person's share. */
  progress(me, share) {
    const wanted = [...this.all.values()].filter(row => share === 'all' || mine(row, me));
    return [wanted.filter(done).length, wanted.length];
  }

  values(name) {
    return [...new Set([...this.all.values()].map(row => row[name] ?? (name === 'category' ? '-' : '')))]
      .filter(Boolean)
      .sort();
  }
}
