// One object: its picture and masks, the tools, verdicts and words, and what was done to it.

import {call, details, fresh, images, pictures} from './api.js';
import {el, toast} from './dom.js';
import {MASKS, clicks, told} from './history.js';
import {badges} from './list.js';
import {VIEWS, buildPanel, buildTools} from './panel.js';
import {around, changed, paint, painted, read, same} from './rle.js';
import {Stage} from './stage.js';
import {Hand, marker} from './tools.js';

export const ORANGE = [230, 159, 0],
  BLUE = [0, 114, 178],
  OTHER = [200, 200, 200];
const WORDS = ['note', 'verdict', 'relabelled', 'rephrased'];
const AHEAD = 3;

export class ObjectView {
  constructor(root, app) {
    Object.assign(this, {root, app, index: null, suggestion: null});
    this.hand = new Hand(
      () => ({tool: app.store.get('tool', 'click'), radius: app.store.get('radius', 8), positive: this.positive}),
      (kind, did) => this.event(kind, did),
    );
    this.positive = true;
    this.stage = new Stage(
      () => this.layers(),
      this.hand,
      () => this.keepView(),
    );
    this.panel = el('aside', {className: 'panel', 'aria-label': 'The object'});
    this.tools = el('div', {className: 'tools', role: 'toolbar', 'aria-label': 'Tools'});
    this.where = el('p', {className: 'where', role: 'status'});
    root.append(el('div', {className: 'work'}, this.tools, this.stage.box, this.where), this.panel);
    buildTools(this);
    buildPanel(this);
    // A button that was pressed with the mouse must not take the keys of the picture: Space, Enter, arrows.
    root.addEventListener('click', event => {
      if (event.detail && event.target.closest('button')) this.stage.canvas.focus({preventScroll: true});
    });
  }

  /** Show an object; what comes next is fetched meanwhile. */
  async open(index, again = false) {
    if (!again) {
      this.commitFields();
      this.hand.cancel();
      this.suggestion = null;
      this.says.textContent = '';
    }
    if (!again) {
      // What the list knows is there at once; nothing of the object before may be taken for this one's.
      if (this.app.rows.get(index)?.image !== this.app.rows.get(this.index)?.image) this.stage.clear();
      this.detail = null;
      this.title.textContent = this.app.rows.get(index)?.text || '';
      this.panel.scrollTop = 0;
      this.index = index;
      this.busy();
      this.stage.draw();
    }
    const wanted = () => this.index === index && this.app.view === 'object';
    try {
      const detail = await details.get(index);
      const [picture, image] = await Promise.allSettled([pictures.get(detail.image), images.get(detail.image)]);
      if (!wanted()) return;
      this.takeIn(detail, picture, image, again);
    } catch (error) {
      if (wanted()) toast(`Object ${index}: ${error.message}`, 'bad');
    }
    this.prefetch(index);
  }

  takeIn(detail, picture, image, again) {
    this.detail = detail;
    this.missing = picture.status === 'rejected';
    const known = picture.value;
    this.width = detail.width ?? known?.naturalWidth ?? 0;
    this.height = detail.height ?? known?.naturalHeight ?? 0;
    this.image = image.value ?? {objects: [], warnings: []};
    this.readMasks();
    this.otherMasks = this.image.objects
      .filter(one => one.index !== this.index && !one.removed && one.rle)
      .map(one => read(one.rle));
    this.otherLayers = null;
    if (!again) {
      const kept = this.app.store.get('view', null),
        {object_id: name} = detail;
      this.stage.show(known ?? null, this.width, this.height, {
        view: kept?.index === this.index && kept.view ? kept.view : null,
        box: this.app.store.get('fit', 'object') === 'object' ? this.box() : null,
        label: `${detail.text || name}; arrow keys move a cross, Enter presses there`,
      });
    }
    this.fill();
    this.stage.draw();
    if (this.suggest.checked && this.app.store.get('suggest', false) && !this.app.checking) this.askSuggestion();
  }

  readMasks() {
    const {masks} = this.detail;
    this.masks = {
      given: read(masks.given),
      answer: read(masks.answer),
      best: read(masks.best),
      now: read(this.detail.mask),
    };
    this.painted = {};
  }

  box() {
    return around([this.masks.now, this.masks.given]) ?? around([this.masks.best]);
  }

  /** Fetch what comes after an object of the list; null: from the list's first on. */
  prefetch(index) {
    let row =
      index === null
        ? this.app.rows.list(this.app.filters, this.app.me)[0]
        : this.app.rows.next(index, this.app.filters, this.app.me);
    for (
      let step = 0;
      row && step < AHEAD;
      step++, row = this.app.rows.next(row.index, this.app.filters, this.app.me)
    ) {
      // Whatever fails here is told when the object is opened.
      details
        .get(row.index)
        .then(detail => Promise.all([pictures.get(detail.image), images.get(detail.image)]))
        .catch(() => {});
    }
  }

  // ---- what is drawn

  layers() {
    const drawn = [];
    if (!this.detail) return drawn;
    if (this.missing)
      drawn.push((pen, thin) => {
        pen.fillStyle = '#888';
        pen.font = `${16 * thin}px system-ui`;
        pen.fillText(this.detail.problem || 'The picture cannot be shown', 10 * thin, 24 * thin);
      });
    if (this.others.checked && this.shownView !== 'none') {
      this.otherLayers ??= this.otherMasks.map(mask => painted(mask, OTHER, 0.22)).filter(Boolean);
      drawn.push(...this.otherLayers.map(layer => (pen, thin) => paint(pen, thin, layer, 0.6)));
    }
    const layer = this.layer();
    if (layer) drawn.push((pen, thin) => paint(pen, thin, layer, 1.8));
    if (this.shownView === 'now' || this.shownView === 'change')
      for (const click of clicks(this.detail)) drawn.push((pen, thin) => marker(pen, thin, click));
    if (this.suggestion?.x !== undefined) drawn.push((pen, thin) => marker(pen, thin, this.suggestion, true));
    drawn.push((pen, thin) => this.hand.draw(pen, thin, this.stage.over));
    return drawn;
  }

  layer() {
    const name = this.shownView;
    if (name in this.painted) return this.painted[name];
    const {masks} = this;
    let made = null;
    if (name === 'change') {
      const from = masks.given ?? masks.answer;
      made = changed(from, same(from, masks.now) && masks.best ? masks.best : masks.now, BLUE, ORANGE);
    } else if (name !== 'none') made = painted(masks[name], name === 'given' ? BLUE : ORANGE, 0.38);
    this.painted[name] = made;
    return made;
  }

  get shownView() {
    const name = this.app.store.get('look', 'now');
    return this.views().includes(name) ? name : 'now';
  }

  views() {
    if (this.app.checking) return ['now', 'none']; // What else was tried would lead the person.
    const {given, answer, best} = this.masks ?? {};
    return Object.keys(VIEWS).filter(
      name =>
        ({now: true, none: true, given, answer: answer && !same(answer, given), best, change: given || answer || best})[
          name
        ],
    );
  }

  keepView() {
    if (this.detail && this.app.view === 'object')
      this.app.store.set('view', {index: this.index, view: this.stage.wanted ? null : this.stage.view});
  }

  fit() {
    const whole = this.app.store.get('fit', 'object') === 'object';
    this.app.store.set('fit', whole ? 'picture' : 'object');
    this.stage.fit(whole ? null : this.box());
    this.keepView();
  }

  // ---- what is told

  fill() {
    const {detail, app} = this,
      {standing} = detail,
      row = app.rows.get(this.index) ?? {};
    const text = standing.text ?? detail.text ?? '',
      label = standing.label ?? detail.category ?? '';
    this.title.textContent = text || detail.object_id;
    this.root.classList.toggle('removed', standing.removed);
    for (const [field, value] of [
      [this.sentence, text],
      [this.label, label],
    ]) {
      if (document.activeElement !== field) field.value = value;
      field.was = value;
    }
    for (const button of this.verdicts)
      button.setAttribute('aria-pressed', button.id === `do-verdict-${standing.verdict}`);
    const others = standing.people.filter(name => name !== app.me);
    this.told.hidden = !standing.contested.length;
    const both = [...others, app.me].filter(Boolean).join(', ');
    this.told.textContent = `Two people were at this object (${both}). The last word holds; everything is kept.`;
    const score = (name, value) => (typeof value === 'number' ? `${name} ${value.toFixed(2)}` : null);
    const facts = app.checking
      ? [label && `class ${label}`]
      : [
          [
            (detail.outcome ?? '').replaceAll('_', ' '),
            score('expected IoU', detail.expected_iou),
            detail.outcome === 'repaired' && score('of the given mask', detail.expected_iou_given),
          ]
            .filter(Boolean)
            .join(', '),
          row.likely_error && `${row.likely_error}: ${row.evidence}`,
          Array.isArray(row.doubts) ? row.doubts.join('; ') : row.doubts,
          row.reason,
          detail.problem,
          label && `class ${label}`,
        ];
    this.facts.replaceChildren(
      el('p', {className: 'badges'}, ...badges(row)),
      ...facts.filter(Boolean).map(words => el('p', {textContent: words})),
      el('p', {
        className: 'ids',
        textContent: `object ${detail.object_id}, image ${detail.image_name}, ${this.width} × ${this.height}`,
      }),
    );
    this.notes.replaceChildren(
      ...standing.notes.map(one => el('li', {}, el('b', {textContent: one.by ? `${one.by}: ` : ''}), one.text)),
    );
    this.history.replaceChildren(...detail.history.map(event => el('li', {textContent: told(event)})));
    this.enable('undo', standing.can_undo);
    this.enable('redo', standing.can_redo);
    this.enable('best', Boolean(this.masks.best));
    this.enable('given', Boolean(this.masks.given));
    const remove = this.panel.querySelector('#do-remove');
    if (remove) remove.firstChild.textContent = standing.removed ? 'Restore' : 'Remove';
    this.viewPressed();
    this.busy();
  }

  enable(name, on) {
    const button = this.root.querySelector(`#do-${name}`);
    if (button) button.disabled = !on;
  }

  busy() {
    const waiting = this.app.sender.pending(this.index),
      order = this.app.place(this.index);
    this.root.toggleAttribute('aria-busy', waiting.length > 0);
    this.where.textContent = [
      order,
      waiting.length ? `${waiting[0].body.kind ?? 'change'} is on its way …` : this.answered,
    ]
      .filter(Boolean)
      .join(' · ');
  }

  // ---- what is done

  /** Why something cannot be done; '' where the server is to say. */
  hindrance(kind, did) {
    const {standing} = this.detail;
    // What is still on its way decides whether there is something to undo.
    const known = !this.app.sender.pending(this.index).length;
    if (kind === 'undo' && known && !standing.can_undo) return 'Nothing to undo';
    if (kind === 'redo' && known && !standing.can_redo) return 'Nothing to do again';
    if (kind === 'take' && !this.masks[did.take]) return `There is no ${VIEWS[did.take]} mask`;
    return '';
  }

  /** Send what was done to the object; gives the event's name, or null where it cannot be done. */
  event(kind, did = {}) {
    if (!this.detail) return null;
    const {app, index} = this,
      hindrance = this.hindrance(kind, did);
    if (hindrance) {
      toast(hindrance);
      return null;
    }
    const request = fresh();
    this.answered = '';
    const body = {request, seen: this.detail.standing.number, by: app.me, kind, ...did};
    app.sender.push(`objects/${index}/events`, body, index);
    if (!WORDS.includes(kind)) {
      this.suggestion = null;
      // Who draws wants to see what comes of it.
      if (['given', 'none'].includes(this.shownView)) this.look('now');
      else this.stage.draw();
    }
    return request;
  }

  judge(verdict) {
    if (!this.detail) return;
    const {index, app} = this;
    this.commitFields();
    this.event('verdict', {verdict});
    if (verdict !== 'skip') app.store.done();
    app.rows.change(index, {verdict, touched: true, by: app.me});
    this.detail.standing.verdict = verdict;
    app.tell();
    this.fill();
    if (app.step(1, true, false)) return;
    toast(
      app.rows.next(index, app.filters, app.me, 1, true)
        ? 'That was the last of the list'
        : 'Everything in this list is done',
    );
  }

  remove() {
    if (!this.detail) return;
    const {removed} = this.detail.standing;
    this.event(removed ? 'restored' : 'removed');
    if (!removed) this.app.store.done();
  }

  /** Ask for a new object in this picture. */
  async add() {
    if (this.detail) await this.app.add(this.detail.image, this.standingLabel());
  }

  standingLabel() {
    return this.detail.standing.label ?? this.detail.category ?? '';
  }

  /** What is typed and not sent yet, when another object comes. */
  commitFields() {
    if (this.panel.contains(document.activeElement) && document.activeElement.matches('textarea, input')) {
      if (document.activeElement === this.note) this.note.kept = true;
      document.activeElement.blur();
    }
  }

  /** The server's answer to an event of this object, or of one that was left since. */
  came(event, answer) {
    this.hand.answered(event.body.request);
    if (event.index !== this.index || !this.detail) return;
    const {detail} = this,
      {kind, by, ...rest} = event.body;
    const did = Object.fromEntries(Object.entries(rest).filter(([name]) => !['request', 'seen'].includes(name)));
    detail.standing = answer.standing;
    detail.mask = answer.mask;
    if (!detail.history.some(one => one.number === answer.number))
      detail.history.push({number: answer.number, kind, by, when: new Date().toISOString(), did});
    this.readMasks();
    this.answered = answer.milliseconds ? `answered in ${Math.round(answer.milliseconds)} ms` : '';
    if (answer.contested)
      toast('Somebody else changed this object meanwhile; your change holds, theirs is kept', 'bad');
    this.fill();
    this.stage.draw();
    if (this.suggest.checked && [...MASKS, 'undo', 'redo'].includes(kind)) this.askSuggestion();
  }

  refused(event) {
    this.hand.answered(event.body.request);
    if (event.index === this.index) this.reload();
  }

  /** Read the object again: somebody else has changed it. */
  reload() {
    details.forget(this.index);
    if (this.detail) images.forget(this.detail.image);
    this.open(this.index, true);
  }

  setSuggest(on) {
    this.suggest.checked = on;
    this.app.store.set('suggest', on);
    if (on) this.askSuggestion();
    else {
      this.suggestion = null;
      this.says.textContent = '';
      this.stage.draw();
    }
  }

  async askSuggestion() {
    const {index} = this,
      asked = (this.asked = {});
    this.says.textContent = 'asking the policy …';
    try {
      const {action, predicted_iou: predicted} = await call(`objects/${index}/suggestion`, null);
      if (this.asked !== asked || this.index !== index) return false;
      this.suggestion = action && action !== 'finish' ? action : null;
      const score = typeof predicted === 'number' ? ` (it gives the mask an IoU of ${predicted.toFixed(2)})` : '';
      this.says.textContent =
        action === 'finish'
          ? `It would stop here${score}`
          : action
            ? `It would click ${action.positive ? 'on' : 'beside'} the object${score}`
            : 'It has no suggestion';
      this.stage.draw();
      return Boolean(this.suggestion);
    } catch (error) {
      if (this.asked === asked) this.says.textContent = `No suggestion: ${error.message}`;
      return false;
    }
  }

  async takeSuggestion() {
    if (!this.suggestion && !(await this.askSuggestion())) return;
    const {x, y, positive} = this.suggestion;
    this.event('click', {x, y, positive});
  }

  // ---- switches

  take(tool) {
    this.hand.cancel();
    this.app.store.set('tool', tool);
    this.pressed();
    this.stage.draw();
  }

  pressed() {
    const tool = this.app.store.get('tool', 'click');
    for (const button of this.toolButtons) button.setAttribute('aria-pressed', button.id === `do-tool-${tool}`);
    this.stage.box.dataset.tool = tool;
    this.size.parentElement.hidden = !['brush', 'eraser'].includes(tool);
  }

  turnSign() {
    this.positive = !this.positive;
    this.signButton.textContent = this.positive ? '+' : '−';
    this.signButton.setAttribute('aria-label', this.positive ? 'Presses add' : 'Presses take away');
  }

  setRadius(radius) {
    const bound = Math.min(Math.max(radius, 0), 100);
    this.size.value = bound;
    this.app.store.set('radius', bound);
    this.stage.draw();
  }

  resize(by) {
    const radius = this.app.store.get('radius', 8);
    this.setRadius(Math.round(by > 0 ? Math.max(radius * 1.25, radius + 1) : Math.min(radius / 1.25, radius - 1)));
  }

  look(name) {
    this.app.store.set('look', name);
    this.viewPressed();
    this.stage.draw();
  }

  lookOn() {
    const names = this.views();
    this.look(names[(names.indexOf(this.shownView) + 1) % names.length]);
  }

  viewPressed() {
    const names = this.views();
    for (const button of this.viewButtons) {
      const name = button.id.replace('do-view-', '');
      button.hidden = !names.includes(name);
      button.setAttribute('aria-pressed', name === this.shownView);
    }
  }

  toggleOthers() {
    this.others.click();
  }

  setSpace(on) {
    this.stage.space = on;
    this.stage.box.classList.toggle('panning', on);
  }
}
