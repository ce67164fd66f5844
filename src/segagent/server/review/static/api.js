// The server's interface: reading with a cache, and events that are kept until the server has them.

import {storage} from './store.js';

const API = 'api/v1';
const RETRY = [1, 2, 4, 8];
const KEPT_DETAILS = 60,
  KEPT_PICTURES = 8;

export const GONE = 'the server cannot be reached';

export class Refused extends Error {}

/**
 * What the server answers to a request (POST with a body, or null for none), as JSON. Throws `Refused` where it says
 * no, another error where it is gone.
 */
export async function call(path, body) {
  const asked =
    body === undefined
      ? {}
      : {method: 'POST', headers: {'Content-Type': 'application/json'}, body: body && JSON.stringify(body)};
  const answer = await fetch(`${API}/${path}`, asked);
  const told = await answer.json().catch(() => null);
  if (answer.ok && told !== null) return told;
  const words = told?.error ?? told?.detail ?? `the server answered ${answer.status}`;
  const said = typeof words === 'string' ? words : JSON.stringify(words);
  if (answer.status >= 400 && answer.status < 500 && ![401, 403, 408, 429].includes(answer.status))
    throw new Refused(said);
  throw new Error(said);
}

/** A name that no other event has; `crypto.randomUUID` is not there on plain http. */
export const fresh = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');

/** Events on their way, one after the other. Each is stored in the browser until it is answered, then told. */
export class Sender {
  constructor(run, {answered, refused, changed}) {
    Object.assign(this, {
      prefix: `segagent event ${run} `,
      answered,
      refused,
      changed,
      waiting: [],
      tries: 0,
      trouble: '',
      busy: false,
      unkept: Boolean(storage.forgetful),
    });
    for (const key of Object.keys(storage).filter(key => key.startsWith(this.prefix))) {
      this.waiting.push(JSON.parse(storage.getItem(key)));
    }
    this.waiting.sort((one, other) => one.order - other.order);
    this.order = this.waiting.at(-1)?.order ?? 0;
    addEventListener('online', () => this.again());
  }

  /** Keep and send `body` to `path`. */
  push(path, body, index = null) {
    const event = {path, body, index, order: ++this.order};
    try {
      storage.setItem(this.prefix + body.request, JSON.stringify(event));
    } catch {
      this.unkept = true; // Told with the trouble, if there is any.
    }
    this.waiting.push(event);
    this.pump();
  }

  pending(index) {
    return this.waiting.filter(event => event.index === index);
  }

  /** Send what waits, now. */
  again() {
    clearTimeout(this.timer);
    this.pump();
  }

  /** Give up the event that the server cannot deal with. */
  drop() {
    const [event] = this.waiting;
    if (event && !this.busy) this.settle(event, () => this.refused(event, this.trouble));
  }

  async pump() {
    if (this.busy || !this.waiting.length) return this.changed();
    this.busy = true;
    const [event] = this.waiting;
    this.changed();
    try {
      const answer = await call(event.path, event.body);
      this.busy = false;
      // What the same person does next to the object was done knowing of this.
      for (const later of this.pending(event.index))
        if (event.index !== null) later.body.seen = Math.max(later.body.seen, answer.number);
      this.settle(event, () => this.answered(event, answer));
    } catch (error) {
      this.busy = false;
      if (error instanceof Refused) return this.settle(event, () => this.refused(event, error.message));
      this.trouble = error instanceof TypeError ? GONE : error.message;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.pump(), 1000 * RETRY[Math.min(this.tries++, RETRY.length - 1)]);
      this.changed();
    }
  }

  settle(event, tell) {
    this.waiting.shift();
    storage.removeItem(this.prefix + event.body.request);
    this.trouble = '';
    this.tries = 0;
    tell();
    this.pump();
  }
}

/** A cache of promises, the least lately used forgotten first. */
class Kept {
  constructor(most, load) {
    Object.assign(this, {most, load, found: new Map()});
  }

  get(key) {
    const known = this.found.get(key) ?? this.load(key);
    this.found.delete(key);
    this.found.set(key, known);
    known.catch(() => {
      if (this.found.get(key) === known) this.found.delete(key);
    });
    if (this.found.size > this.most) this.found.delete(this.found.keys().next().value);
    return known;
  }

  forget(key) {
    this.found.delete(key);
  }
}

export const details = new Kept(KEPT_DETAILS, index => call(`objects/${index}`));
export const images = new Kept(KEPT_DETAILS, key => call(`images/${encodeURIComponent(key)}`));
export const pictures = new Kept(KEPT_PICTURES, async key => {
  const picture = new Image();
  picture.src = `${API}/images/${encodeURIComponent(key)}/picture`;
  await picture.decode();
  return picture;
});
