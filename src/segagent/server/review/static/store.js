// What the browser keeps for a person and a run: filters, place, zoom, pace. Losing it loses nothing of the work.

const REST = 180,
  KEPT = 60;

/** The browser's storage; where it is switched off, one that is forgotten with the page. */
export const storage = opened();

function opened() {
  try {
    return window.localStorage;
  } catch {
    const kept = new Map();
    return {
      forgetful: true,
      getItem: name => kept.get(name) ?? null,
      setItem: (name, text) => kept.set(name, text),
      removeItem: name => kept.delete(name),
    };
  }
}

export class Store {
  constructor(run) {
    this.prefix = `segagent ${run} `;
    this.values = {};
  }

  get(name, otherwise) {
    if (!(name in this.values)) {
      try {
        this.values[name] = JSON.parse(storage.getItem(this.prefix + name));
      } catch {
        this.values[name] = null; // Written by something else.
      }
    }
    return this.values[name] ?? otherwise;
  }

  set(name, value) {
    this.values[name] = value;
    try {
      storage.setItem(this.prefix + name, JSON.stringify(value));
    } catch {
      // Full: it holds until the page is closed.
    }
  }

  /** Remember that an object is done now; rests longer than three minutes do not count. */
  done(now = Date.now()) {
    const last = this.get('last done', null),
      spent = (now - last) / 1000;
    if (last !== null && spent < REST) this.set('pace', [...this.get('pace', []), spent].slice(-KEPT));
    this.set('last done', now);
  }

  /** Seconds that this person takes for an object; null before three were done one after the other. */
  pace() {
    const spent = this.get('pace', []);
    return spent.length < 3 ? null : spent.reduce((sum, one) => sum + one, 0) / spent.length;
  }
}
