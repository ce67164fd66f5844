// Starts the page: the session, the work list, which view is shown, what others do meanwhile.

import {GONE, Sender, call, details, fresh, images} from './api.js';
import {ask, at, el, spoken, toast} from './dom.js';
import {ImageView} from './image.js';
import {Keys, focusOn} from './keys.js';
import {List} from './list.js';
import {ObjectView} from './object.js';
import {objectKeys} from './objectkeys.js';
import {EVERYTHING, Rows, done} from './rows.js';
import {Store} from './store.js';

const POLL = 4000,
  MANY = 20;

class App {
  async start() {
    this.session = await call('session');
    this.store = new Store(this.session.id);
    this.checking = this.session.mode === 'check';
    this.me = this.session.by || new URLSearchParams(location.search).get('by') || this.store.get('me', null);
    const table = await call('objects');
    this.rows = new Rows(table);
    this.number = table.number;
    at('title').textContent = `${this.checking ? 'Check' : 'Review'} of ${this.session.run}`;
    document.title = at('title').textContent;
    this.sender = new Sender(this.session.id, {
      answered: (event, answer) => this.answered(event, answer),
      refused: (event, words) => this.refused(event, words),
      changed: () => this.tellSending(),
    });
    this.list = new List(at('list'), this);
    this.object = new ObjectView(at('object'), this);
    this.image = new ImageView(at('image'), this);
    this.keys = new Keys(
      {
        list: [{title: 'List', keys: this.listKeys()}, this.help()],
        object: [...objectKeys(this.object), this.help()],
        image: [...this.image.keys(), this.help()],
      },
      () => this.view,
    );
    addEventListener('keyup', event => {
      if (event.key === ' ') this.object.setSpace(false);
    });
    addEventListener('blur', () => this.object.setSpace(false));
    addEventListener('hashchange', () => this.route());
    addEventListener('beforeunload', event => {
      if (this.sender.unkept && this.sender.waiting.length) event.preventDefault();
    });
    addEventListener('pagehide', () => this.store.set('scroll', this.list.scroller.scrollTop));
    at('help').addEventListener('click', () => this.keys.help());
    at('person').disabled = Boolean(this.session.by);
    at('person').addEventListener('click', () => this.rename());
    setInterval(() => this.poll(), POLL);
    this.tell();
    if (!location.hash) history.replaceState(null, '', this.firstPlace());
    this.route();
    this.list.scroller.scrollTop = this.store.get('scroll', 0);
    this.sender.pump();
    if (!this.me && !this.checking) await this.rename();
  }

  /** Where the person was; a check begins with its first mask that is not judged. */
  firstPlace() {
    const kept = this.store.get('place', null);
    if (kept && !this.checking) return kept;
    const first = this.checking && this.rows.list(this.filters, this.me).find(row => !done(row));
    return first ? `#/object/${first.index}` : '#/list';
  }

  help() {
    return {
      title: 'Everywhere',
      keys: [
        [['?'], 'these keys', () => this.keys.help()],
        [
          ['/'],
          'search',
          () => {
            this.go('#/list');
            setTimeout(() => focusOn(this.list.search));
          },
        ],
      ],
    };
  }

  listKeys() {
    return [
      [['j', 'ArrowDown'], 'next object', () => this.list.move(1)],
      [['k', 'ArrowUp'], 'object before', () => this.list.move(-1)],
      [['n', 'PageDown'], 'a page on', () => this.list.page(1)],
      [['p', 'PageUp'], 'a page back', () => this.list.page(-1)],
      [['Home'], 'first', () => this.list.move(-Infinity)],
      [['End'], 'last', () => this.list.move(Infinity)],
      [['Enter', 'o'], 'open', () => this.list.open()],
      [
        ['i'],
        'its whole image',
        () => {
          const row = this.rows.get(this.list.at);
          if (row) this.go(`#/image/${row.image}`);
        },
      ],
    ];
  }

  get filters() {
    return {...EVERYTHING, ...(this.checking ? {} : this.store.get('filters', {}))};
  }

  set filters(value) {
    this.store.set('filters', value);
  }

  go(place) {
    if (location.hash === place) this.route();
    else location.hash = place;
  }

  route() {
    const [, name = 'list', key = ''] = /^#\/(list|object|image)(?:\/(.+))?$/.exec(location.hash) ?? [];
    const known = name === 'list' || (name === 'object' ? this.rows.get(+key) : key);
    if (!known) {
      toast(`There is no ${name} ${key} in this run`, 'bad');
      return this.go('#/list');
    }
    if (this.view === 'object' && name !== 'object') this.object.commitFields();
    this.view = name;
    this.store.set('place', location.hash);
    for (const view of ['list', 'object', 'image']) at(view).hidden = view !== name;
    for (const view of ['list', 'object', 'image'])
      at(`to-${view}`).setAttribute('aria-current', view === name ? 'page' : 'false');
    if (name === 'list') {
      this.list.show();
      this.list.reveal(this.object.index ?? this.list.at);
      // What is probably opened next is made ready, and the tool with it.
      this.object.prefetch(this.list.at ?? null);
    } else if (name === 'object') {
      this.list.at = +key;
      const row = this.rows.get(+key);
      at('to-object').href = location.hash;
      at('to-image').href = `#/image/${row.image}`;
      at('to-object').hidden = at('to-image').hidden = false;
      at('to-image').hidden = this.checking;
      this.object.open(+key);
    } else {
      at('to-image').href = location.hash;
      at('to-image').hidden = false;
      this.image.open(decodeURIComponent(key));
    }
  }

  /** To the next object (-1: the one before) of the list; says whether there is one. */
  step(by, open = false, loud = true) {
    const row = this.rows.next(this.object.index, this.filters, this.me, by, open);
    if (row) this.go(`#/object/${row.index}`);
    else if (loud)
      toast(
        open
          ? 'Everything in this list is done'
          : by > 0
            ? 'That was the last of the list'
            : 'This is the first of the list',
      );
    return Boolean(row);
  }

  /** "12 of 500" in the list. */
  place(index) {
    const shown = this.rows.list(this.filters, this.me),
      at = shown.findIndex(row => row.index === index);
    return at < 0 ? `not among the ${shown.length} of the filters` : `${at + 1} of ${shown.length}`;
  }

  /** Progress, and how long it will take this person. */
  tell() {
    const [ready, all] = this.rows.progress(this.me, this.filters.share),
      pace = this.store.pace();
    const left = all - ready;
    const time = left && pace ? `, ${spoken(left * pace)} left` : '';
    at('progress').textContent = left || !this.checking ? `${ready} of ${all}${time}` : `All ${all} judged: thank you`;
    at('bar').value = all ? ready / all : 0;
    at('person').textContent = this.me || 'who are you?';
    if (this.view === 'list') this.list.show();
  }

  tellSending() {
    const {sender} = this,
      waiting = sender.waiting.length,
      box = at('trouble');
    if (this.object?.index !== null && this.object) this.object.busy();
    box.hidden = !sender.trouble && !this.lost;
    if (box.hidden) return;
    const count = waiting === 1 ? 'One change is' : `${waiting} changes are`;
    const kept = waiting
      ? ` ${count} kept ${sender.unkept ? 'until this page is closed' : 'in this browser'} and sent when it is back.`
      : '';
    // The buttons stay the same ones: one that is replaced while it is pressed is not pressed.
    if (!box.children.length) {
      box.append(
        el('span'),
        ' ',
        el('button', {
          type: 'button',
          textContent: 'Try now',
          onclick: () => {
            sender.again();
            this.poll();
          },
        }),
        ' ',
        el('button', {type: 'button', textContent: 'Give this change up', onclick: () => sender.drop()}),
      );
    }
    const told = `${sender.trouble ? `Not saved: ${sender.trouble}.` : 'The server cannot be reached.'}${kept}`;
    if (box.firstChild.textContent !== told) box.firstChild.textContent = told;
    box.lastChild.hidden = !sender.trouble || sender.trouble === GONE;
  }

  answered(event, answer) {
    const index = answer.index ?? event.index;
    this.stood(index, answer.standing);
    details.forget(index);
    const row = this.rows.get(index),
      key = row?.image ?? event.image;
    images.forget(key);
    this.object.came(event, answer);
    this.tell();
    if (event.index === null) this.newObject(index);
  }

  refused(event, words) {
    toast(`Refused: ${words}`, 'bad');
    this.object.refused(event);
    this.reread();
  }

  /** What a standing says, in the object's row. */
  stood(index, standing) {
    const row = this.rows.get(index);
    if (!row) return;
    this.rows.change(index, {
      verdict: standing.verdict,
      removed: standing.removed,
      added: standing.added,
      touched: standing.touched,
      by: standing.by,
      contested: standing.contested.length > 0,
      standing_number: standing.number,
      notes: standing.notes.map(one => one.text).join('\n'),
      text: standing.text ?? row.text,
      category: standing.label ?? row.category,
    });
  }

  async newObject(index) {
    await this.reread();
    if (this.rows.get(index)) this.go(`#/object/${index}`);
  }

  async reread() {
    const table = await call('objects').catch(() => null);
    if (!table) return;
    this.rows.take(table.rows);
    this.tell();
  }

  /** Ask for a new object's class and words, and have it made. */
  async add(image, label) {
    const answer = await ask(
      'New object',
      [
        el(
          'label',
          {className: 'field'},
          'class',
          el('input', {name: 'label', list: 'classes', value: label, required: true, autocomplete: 'off'}),
        ),
        el(
          'label',
          {className: 'field'},
          'words',
          el('input', {name: 'text', autocomplete: 'off', placeholder: 'what it is, as one would say it'}),
        ),
        el(
          'label',
          {},
          el('input', {type: 'checkbox', name: 'words', value: 'yes'}),
          'let the policy find it by its words',
        ),
      ],
      'Add',
    );
    if (!answer) return;
    const text = answer.text.trim() || answer.label.trim();
    this.sender.push(`images/${encodeURIComponent(image)}/objects`, {
      request: fresh(),
      by: this.me,
      label: answer.label.trim(),
      text,
      words: answer.words === 'yes',
    });
  }

  async rename() {
    const answer = await ask(
      'Who are you?',
      [
        el('p', {textContent: 'Your name stands beside what you do, so that others know whom to ask.'}),
        el(
          'label',
          {className: 'field'},
          'name',
          el('input', {name: 'me', value: this.me ?? '', autocomplete: 'name', maxLength: 80}),
        ),
      ],
      'Go on',
    );
    if (!answer) return;
    this.me = answer.me.trim() || null;
    this.store.set('me', this.me);
    this.tell();
  }

  /** What others have done since. */
  async poll() {
    if (document.hidden || this.asking) return;
    this.asking = true;
    try {
      const {number, events} = await call(`events?after=${this.number}`);
      this.lost = false;
      this.number = Math.max(this.number, number);
      const foreign = events.filter(event => (this.rows.get(event.index)?.standing_number ?? 0) < event.number);
      if (foreign.length) await this.others(foreign);
      if (this.sender.trouble) this.sender.again();
    } catch {
      this.lost = true;
    } finally {
      this.asking = false;
      this.tellSending();
    }
  }

  async others(events) {
    const indices = [...new Set(events.map(event => event.index))];
    indices.forEach(index => details.forget(index));
    if (indices.length > MANY || indices.some(index => !this.rows.get(index))) await this.reread();
    else {
      for (const detail of await Promise.all(indices.map(index => details.get(index))))
        this.stood(detail.index, detail.standing);
    }
    for (const index of indices) {
      images.forget(this.rows.get(index)?.image_key);
      if (this.view === 'image') this.image.changed(index);
      if (this.view !== 'object' || index !== this.object.index || this.sender.pending(index).length) continue;
      const people = [
        ...new Set(
          events.filter(event => event.index === index && event.by !== this.me).map(event => event.by ?? 'somebody'),
        ),
      ];
      if (people.length) toast(`${people.join(', ')} is at this object too`, 'bad');
      this.object.reload();
    }
    this.tell();
  }
}

export const app = new App();
app.start().catch(error => {
  at('trouble').hidden = false;
  at('trouble').textContent = `The review cannot be shown: ${error.message}. Is the server still running?`;
});
