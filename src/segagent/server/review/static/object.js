// One object: its picture and masks, the tools, verdicts and words, and what was done to it.

import {details, fresh, images, pictures, call} from './api.js';
import {el, toast} from './dom.js';
import {focusOn, key} from './keys.js';
import {badges} from './list.js';
import {around, changed, painted, read, same} from './rle.js';
import {VERDICTS} from './rows.js';
import {Stage} from './stage.js';
import {Hand, NAMES, marker} from './tools.js';

export const ORANGE = [230, 159, 0], BLUE = [0, 114, 178], OTHER = [200, 200, 200];
const AHEAD = 3;
const VIEWS = {now: 'now', given: 'given', answer: 'answer', best: 'best try', change: 'change', none: 'picture'};
const MASKS = ['click', 'box', 'stroke', 'polygon', 'agent', 'take', 'corrected', 'added'];

export class ObjectView {
  constructor(root, app) {
    Object.assign(this, {root, app, index: null, suggestion: null});
    this.hand = new Hand(() => ({tool: app.store.get('tool', 'click'), radius: app.store.get('radius', 8), positive: this.positive}),
      (kind, did) => this.event(kind, did));
    this.positive = true;
    this.stage = new Stage(() => this.layers(), this.hand, () => this.keepView());
    this.panel = el('aside', {className: 'panel', 'aria-label': 'The object'});
    this.tools = el('div', {className: 'tools', role: 'toolbar', 'aria-label': 'Tools'});
    this.where = el('p', {className: 'where', role: 'status'});
    root.append(el('div', {className: 'work'}, this.tools, this.stage.box, this.where), this.panel);
    this.buildTools();
    this.buildPanel();
  }

  button(name, words, letter, does, more = {}) {
    const {onclick, ...others} = more;
    return el('button', {type: 'button', id: `do-${name}`, title: letter ? `${words} (${letter})` : words, onclick: onclick ?? does, ...others},
      words, letter ? key(letter) : null);
  }

  buildTools() {
    const {app} = this;
    this.toolButtons = Object.entries({click: 'c', brush: 'b', eraser: 'e', box: 'x', polygon: 'g'}).map(([name, letter]) =>
      this.button(`tool-${name}`, NAMES[name], letter, () => this.take(name), {'aria-pressed': 'false'}));
    this.size = el('input', {type: 'range', id: 'radius', min: 0, max: 100, value: app.store.get('radius', 8)});
    this.size.addEventListener('input', () => this.setRadius(+this.size.value));
    this.signButton = this.button('sign', '+', '', () => this.turnSign(), {title: 'What a press does: add or take away (Shift or the right button does the other)'});
    this.viewButtons = Object.entries(VIEWS).map(([name, said]) => this.button(`view-${name}`, said, '', () => this.look(name), {'aria-pressed': 'false'}));
    this.others = el('input', {type: 'checkbox', id: 'others', checked: app.store.get('others', true)});
    this.others.addEventListener('change', () => { app.store.set('others', this.others.checked); this.stage.draw(); });
    const edit = el('span', {className: 'group edit', role: 'group', 'aria-label': 'Draw'}, ...this.toolButtons, this.signButton,
      el('label', {className: 'size'}, 'size', this.size),
      this.button('undo', 'Undo', 'z', () => this.event('undo')), this.button('redo', 'Redo', 'y', () => this.event('redo')));
    const view = el('span', {className: 'group', role: 'group', 'aria-label': 'Show'}, ...this.viewButtons, key('m'),
      el('label', {}, this.others, 'others', key('d')));
    const zoom = el('span', {className: 'group', role: 'group', 'aria-label': 'Zoom'},
      this.button('fit', 'Fit', 'f', () => this.fit()), this.button('in', '+', '', () => this.stage.zoomIn(), {'aria-label': 'Zoom in'}),
      this.button('out', '−', '', () => this.stage.zoomOut(), {'aria-label': 'Zoom out'}));
    if (app.checking) edit.hidden = true;
    this.tools.append(edit, view, zoom);
    this.pressed();
  }

  buildPanel() {
    const {app} = this;
    this.title = el('h2', {tabIndex: -1});
    this.facts = el('div', {className: 'facts'});
    this.told = el('p', {className: 'contested-note', role: 'status', hidden: true});
    this.verdicts = (app.checking ? ['ok', 'wrong'] : Object.keys(VERDICTS)).map((name, place) =>
      this.button(`verdict-${name}`, {ok: 'ok', wrong: 'wrong', absent: 'not there', unsure: 'unsure', skip: 'skip'}[name], `${place + 1}`,
        () => this.judge(name), {className: `verdict ${name}`, 'aria-pressed': 'false'}));
    const field = (made, commit) => {
      made.addEventListener('keydown', event => {
        if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); made.kept = true; made.blur(); }
        if (event.key === 'Escape') { made.value = made.was ?? ''; }
      });
      made.addEventListener('blur', () => commit(made.value.trim()));
      return made;
    };
    this.sentence = field(el('textarea', {id: 'sentence', rows: 2}), words => { if (words && words !== this.sentence.was) this.event('rephrased', {text: words}); else this.sentence.value = this.sentence.was ?? ''; });
    this.label = field(el('input', {id: 'label', list: 'classes', autocomplete: 'off'}), words => { if (words && words !== this.label.was) this.event('relabelled', {label: words}); else this.label.value = this.label.was ?? ''; });
    this.note = field(el('textarea', {id: 'note', rows: 2, placeholder: 'Enter keeps it'}), words => {
      if (words && this.note.kept) {
        this.event('note', {text: words});
        this.note.value = '';
      }
      this.note.kept = false;
    });
    this.notes = el('ul', {className: 'notes', 'aria-label': 'Notes'});
    this.suggest = el('input', {type: 'checkbox', id: 'suggest', checked: app.store.get('suggest', false)});
    this.suggest.addEventListener('change', () => this.setSuggest(this.suggest.checked));
    this.says = el('p', {className: 'says', role: 'status'});
    this.history = el('ol', {className: 'history'});
    const agent = el('section', {className: 'agent'}, el('h3', {textContent: 'Policy and tries'}),
      el('label', {}, this.suggest, 'suggest the next click', key('s')), this.says,
      el('p', {className: 'buttons'}, this.button('suggested', 'Take it', 't', () => this.takeSuggestion()), this.button('agent', 'Let it go on', 'a', () => this.event('agent', {steps: 5})),
        this.button('best', 'Best try', 'r', () => this.event('take', {take: 'best'})), this.button('given', 'Keep the given', 'v', () => this.event('take', {take: 'given'}))));
    this.panel.append(
      el('p', {className: 'steps'}, this.button('before', '← before', 'k', () => app.step(-1)), this.button('next', 'next →', 'j', () => app.step(1)),
        app.checking ? null : this.button('open', 'next to do', 'n', () => app.step(1, true))),
      this.title, this.told, el('div', {className: 'verdicts', role: 'group', 'aria-label': 'Verdict'}, ...this.verdicts), this.facts, this.guidelines(),
      ...(app.checking ? [] : [agent,
        el('section', {}, el('h3', {textContent: 'Words'}),
          el('label', {className: 'field'}, el('span', {}, 'sentence', key('q')), this.sentence),
          el('label', {className: 'field'}, el('span', {}, 'class', key('l')), this.label))]),
      el('section', {}, el('label', {className: 'field'}, el('span', {}, 'note', key('w')), this.note), this.notes),
      ...(app.checking ? [] : [el('p', {className: 'buttons'}, this.button('remove', 'Remove', 'Del', () => this.remove()),
        this.button('new', 'New object', 'N', () => this.add()), this.button('image', 'Whole image', 'i', () => app.go(`#/image/${app.rows.get(this.index)?.image}`)))]),
      el('details', {className: 'past'}, el('summary', {textContent: 'What was done'}), this.history),
      el('datalist', {id: 'classes'}, ...app.session.classes.map(name => new Option(name))));
  }

  guidelines() {
    const {app} = this;
    if (!app.session.guidelines) return '';
    const shown = el('details', {className: 'guidelines', open: app.store.get('guidelines', true)}, el('summary', {textContent: 'Guidelines'}),
      el('div', {className: 'text', tabIndex: 0, role: 'region', 'aria-label': 'Guidelines', textContent: app.session.guidelines}));
    shown.addEventListener('toggle', () => app.store.set('guidelines', shown.open));
    return shown;
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
    this.otherMasks = this.image.objects.filter(one => one.index !== this.index && !one.removed && one.rle).map(one => read(one.rle));
    this.otherLayers = null;
    if (!again) {
      const kept = this.app.store.get('view', null), {object_id: name} = detail;
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
    this.masks = {given: read(masks.given), answer: read(masks.answer), best: read(masks.best), now: read(this.detail.mask)};
    this.painted = {};
  }

  box() {
    return around([this.masks.now, this.masks.given]) ?? around([this.masks.best]);
  }

  /** Fetch what comes after an object of the list; null: from the list's first on. */
  prefetch(index) {
    let row = index === null ? this.app.rows.list(this.app.filters, this.app.me)[0] : this.app.rows.next(index, this.app.filters, this.app.me);
    for (let step = 0; row && step < AHEAD; step++, row = this.app.rows.next(row.index, this.app.filters, this.app.me)) {
      // Whatever fails here is told when the object is opened.
      details.get(row.index).then(detail => Promise.all([pictures.get(detail.image), images.get(detail.image)])).catch(() => {});
    }
  }

  // ---- what is drawn

  layers() {
    const drawn = [];
    if (!this.detail) return drawn;
    if (this.missing) drawn.push((pen, thin) => { pen.fillStyle = '#888'; pen.font = `${16 * thin}px system-ui`; pen.fillText(this.detail.problem || 'The picture cannot be shown', 10 * thin, 24 * thin); });
    if (this.others.checked && this.shownView !== 'none') {
      this.otherLayers ??= this.otherMasks.map(mask => painted(mask, OTHER, 0.22)).filter(Boolean);
      drawn.push(...this.otherLayers.map(layer => (pen, thin) => paint(pen, thin, layer, 0.6)));
    }
    const layer = this.layer();
    if (layer) drawn.push((pen, thin) => paint(pen, thin, layer, 1.8));
    if (this.shownView === 'now' || this.shownView === 'change') for (const click of this.clicks()) drawn.push((pen, thin) => marker(pen, thin, click));
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
    if (this.app.checking) return ['now', 'none'];  // What else was tried would lead the person.
    const {given, answer, best} = this.masks ?? {};
    return Object.keys(VIEWS).filter(name => ({now: true, none: true, given, answer: answer && !same(answer, given), best, change: given || answer || best})[name]);
  }

  /** The clicks of the run, or those that a person made one after the other up to now. */
  clicks() {
    const {standing} = this.detail, path = moments(this.detail.history);
    if (!path.some(event => MASKS.includes(event.kind) && event.kind !== 'added')) {
      return standing.added ? [] : this.detail.clicks.map(([x, y, positive]) => ({x, y, positive}));
    }
    const found = [];
    for (const event of path.filter(one => MASKS.includes(one.kind)).reverse()) {
      if (event.kind !== 'click') break;
      found.push(event.did);
    }
    return found;
  }

  keepView() {
    if (this.detail && this.app.view === 'object') this.app.store.set('view', {index: this.index, view: this.stage.wanted ? null : this.stage.view});
  }

  fit() {
    const whole = this.app.store.get('fit', 'object') === 'object';
    this.app.store.set('fit', whole ? 'picture' : 'object');
    this.stage.fit(whole ? null : this.box());
    this.keepView();
  }

  // ---- what is told

  fill() {
    const {detail, app} = this, {standing} = detail, row = app.rows.get(this.index) ?? {};
    const text = standing.text ?? detail.text ?? '', label = standing.label ?? detail.category ?? '';
    this.title.textContent = text || detail.object_id;
    this.root.classList.toggle('removed', standing.removed);
    for (const [field, value] of [[this.sentence, text], [this.label, label]]) {
      if (document.activeElement !== field) field.value = value;
      field.was = value;
    }
    for (const button of this.verdicts) button.setAttribute('aria-pressed', button.id === `do-verdict-${standing.verdict}`);
    const others = standing.people.filter(name => name !== app.me);
    this.told.hidden = !standing.contested.length;
    this.told.textContent = `Two people were at this object (${[...others, app.me].filter(Boolean).join(', ')}). The last word holds; everything is kept.`;
    const score = (name, value) => (typeof value === 'number' ? `${name} ${value.toFixed(2)}` : null);
    const facts = app.checking ? [label && `class ${label}`] : [
      [(detail.outcome ?? '').replaceAll('_', ' '), score('expected IoU', detail.expected_iou),
        detail.outcome === 'repaired' && score('of the given mask', detail.expected_iou_given)].filter(Boolean).join(', '),
      row.likely_error && `${row.likely_error}: ${row.evidence}`, Array.isArray(row.doubts) ? row.doubts.join('; ') : row.doubts, row.reason, detail.problem,
      label && `class ${label}`];
    this.facts.replaceChildren(el('p', {className: 'badges'}, ...badges(row)),
      ...facts.filter(Boolean).map(words => el('p', {textContent: words})),
      el('p', {className: 'ids', textContent: `object ${detail.object_id}, image ${detail.image_name}, ${this.width} × ${this.height}`}));
    this.notes.replaceChildren(...standing.notes.map(one => el('li', {}, el('b', {textContent: one.by ? `${one.by}: ` : ''}), one.text)));
    this.history.replaceChildren(...detail.history.map(event => el('li', {textContent: [described(event), event.by, clock(event.when)].filter(Boolean).join(', ')})));
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
    const waiting = this.app.sender.pending(this.index), order = this.app.place(this.index);
    this.root.toggleAttribute('aria-busy', waiting.length > 0);
    this.where.textContent = [order, waiting.length ? `${waiting[0].body.kind ?? 'change'} is on its way …` : this.answered].filter(Boolean).join(' · ');
  }

  // ---- what is done

  /** Send what was done to the object; gives the event's name. */
  event(kind, did = {}) {
    const {detail, app} = this;
    if (!detail) return null;
    const {standing} = detail;
    // What is still on its way decides whether there is something to undo; the server knows.
    const known = !app.sender.pending(this.index).length;
    if (kind === 'undo' && known && !standing.can_undo) return toast('Nothing to undo'), null;
    if (kind === 'redo' && known && !standing.can_redo) return toast('Nothing to do again'), null;
    if (kind === 'take' && !this.masks[did.take]) return toast(`There is no ${VIEWS[did.take]} mask`), null;
    const request = fresh();
    this.answered = '';
    app.sender.push(`objects/${this.index}/events`, {request, seen: standing.number, by: app.me, kind, ...did}, this.index);
    if (!['note', 'verdict', 'relabelled', 'rephrased'].includes(kind)) {
      this.suggestion = null;
      if (!['given', 'none'].includes(this.shownView) || kind === 'take') return this.stage.draw(), request;
      this.look('now');
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
    toast(app.rows.next(index, app.filters, app.me, 1, true) ? 'That was the last of the list' : 'Everything in this list is done');
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

  standingLabel() { return this.detail.standing.label ?? this.detail.category ?? ''; }

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
    const {body} = event, {request, seen, by, kind, ...did} = body;
    const {detail} = this;
    detail.standing = answer.standing;
    detail.mask = answer.mask;
    if (!detail.history.some(one => one.number === answer.number)) detail.history.push({number: answer.number, kind, by, when: new Date().toISOString(), did});
    this.readMasks();
    this.answered = answer.milliseconds ? `answered in ${Math.round(answer.milliseconds)} ms` : '';
    if (answer.contested) toast('Somebody else changed this object meanwhile; your change holds, theirs is kept', 'bad');
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
    const {index} = this, asked = this.asked = {};
    this.says.textContent = 'asking the policy …';
    try {
      const {action, predicted_iou: predicted} = await call(`objects/${index}/suggestion`, null);
      if (this.asked !== asked || this.index !== index) return false;
      this.suggestion = action && action !== 'finish' ? action : null;
      const score = typeof predicted === 'number' ? ` (it gives the mask an IoU of ${predicted.toFixed(2)})` : '';
      this.says.textContent = action === 'finish' ? `It would stop here${score}` : action ? `It would click ${action.positive ? 'on' : 'beside'} the object${score}` : 'It has no suggestion';
      this.stage.draw();
      return Boolean(this.suggestion);
    } catch (error) {
      if (this.asked === asked) this.says.textContent = `No suggestion: ${error.message}`;
      return false;
    }
  }

  async takeSuggestion() {
    if (!this.suggestion && !await this.askSuggestion()) return;
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

  toggleOthers() { this.others.click(); }

  // ---- keys

  keys() {
    const strike = positive => () => (this.stage.cross ? this.stage.strike(positive) : this.hand.finish());
    const draw = [
      [['c'], 'click: left adds, right or Shift takes away', () => this.take('click')], [['b'], 'brush', () => this.take('brush')], [['e'], 'eraser', () => this.take('eraser')],
      [['x'], 'box', () => this.take('box')], [['g'], 'polygon; Enter or the first corner closes it', () => this.take('polygon')],
      [['['], 'smaller brush', () => this.resize(-1)], [[']'], 'larger brush', () => this.resize(1)],
      [['z', 'ctrl+z'], 'undo', () => this.event('undo')], [['y', 'Z', 'ctrl+y'], 'redo', () => this.event('redo')],
      [['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'], 'move the cross', event => this.stage.moveCross(...{ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key])],
      [['Enter'], 'press at the cross (Shift: the other sign)', event => strike(!event.shiftKey)()],
      [['Backspace'], "take the polygon's last corner back", () => this.hand.back() && this.stage.draw()],
    ];
    const words = [
      [['w'], 'write a note', () => focusOn(this.note)], [['l'], 'change the class', () => focusOn(this.label)], [['q'], 'change the sentence', () => focusOn(this.sentence)],
      [['Delete'], 'remove, restore', () => this.remove()], [['N'], 'new object', () => this.add()], [['i'], 'the whole image', () => this.app.go(`#/image/${this.app.rows.get(this.index)?.image}`)],
    ];
    const agent = [
      [['s'], 'suggestions on, off', () => this.setSuggest(!this.suggest.checked)], [['t'], "take the policy's next click", () => this.takeSuggestion()],
      [['a'], 'let the policy go on', () => this.event('agent', {steps: 5})], [['r'], 'take the best try', () => this.event('take', {take: 'best'})], [['v'], 'keep the given mask', () => this.event('take', {take: 'given'})],
    ];
    const judge = this.verdicts.map((button, place) => [[`${place + 1}`], button.id.replace('do-verdict-', '').replace('absent', 'not there'), () => button.click()]);
    const look = [
      [['m'], 'next view of the masks', () => this.lookOn()], [['d'], 'other objects', () => this.toggleOthers()], [['f'], 'fit the picture, the object', () => this.fit()],
      [['+', '='], 'zoom in', () => this.stage.zoomIn()], [['-'], 'zoom out', () => this.stage.zoomOut()],
      [[' '], 'hold and drag: move the picture', () => this.setSpace(true)],
    ];
    const step = [
      [['j'], 'next object', () => this.app.step(1)], [['k'], 'object before', () => this.app.step(-1)], [['n'], 'next one to do', () => this.app.step(1, true)],
      [['u', 'Escape'], 'back to the list', () => { if (!this.hand.cancel()) this.app.go('#/list'); this.stage.draw(); }],
    ];
    const groups = [{title: 'Judge', keys: judge}, {title: 'Go', keys: step}, {title: 'Look', keys: look}];
    if (this.app.checking) return [...groups, {title: 'Correct', keys: [draw[7], draw[8], words[0]]}];
    return [...groups, {title: 'Draw', keys: draw}, {title: 'Policy and tries', keys: agent}, {title: 'Words', keys: words}];
  }

  setSpace(on) {
    this.stage.space = on;
    this.stage.box.classList.toggle('panning', on);
  }
}

/** A mask: its pixels, and its outline, dark below and coloured above, so that it shows on any ground. */
export function paint(pen, thin, layer, wide) {
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer.canvas, layer.left, layer.top);
  pen.lineJoin = 'round';
  for (const [color, width] of [['rgb(0 0 0 / .65)', wide + 1.6], [layer.color, wide]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width * thin;
    pen.stroke(layer.path);
  }
}

/** The events that hold after undo and redo, as the record counts them. */
function moments(history) {
  let path = [], place = 0;
  for (const event of history) {
    if (event.kind === 'undo') place = Math.max(place - 1, path[0]?.kind === 'added' ? 1 : 0);
    else if (event.kind === 'redo') place = Math.min(place + 1, path.length);
    else if (event.kind !== 'note') {
      path = [...path.slice(0, place), event];
      place += 1;
    }
  }
  return path.slice(0, place);
}

function described({kind, did = {}}) {
  switch (kind) {
    case 'click': return did.positive ? 'click on the object' : 'click beside the object';
    case 'stroke': return did.positive ? 'brush' : 'eraser';
    case 'polygon': return did.positive === false ? 'polygon taken away' : 'polygon';
    case 'agent': return 'the policy went on';
    case 'take': return `took the ${did.take} mask`;
    case 'verdict': return did.verdict ? `verdict: ${VERDICTS[did.verdict]}` : 'verdict';
    case 'note': return 'note';
    case 'rephrased': return 'other sentence';
    case 'relabelled': return did.label ? `class ${did.label}` : 'other class';
    default: return kind;
  }
}

const clock = when => (when && !Number.isNaN(Date.parse(when)) ? new Date(when).toLocaleString() : when ?? '');
