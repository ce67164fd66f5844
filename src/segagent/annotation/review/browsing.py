"""What makes the work list's page move: filters, sorting, pages, keys, verdicts. Text goes in as text, not as HTML."""

from __future__ import annotations

STYLE = """
.bar { position: sticky; top: 0; background: var(--ground); border-bottom: 1px solid var(--line); padding: .5rem 0;
  z-index: 1; }
.bar label { margin-right: .8rem; white-space: nowrap; } .bar input[type=search] { width: 14rem; }
select { max-width: 14rem; }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3rem; font-size: .85em; }
.verdict button { margin-right: .4rem; }
.verdict [aria-pressed=true] { background: var(--focus); color: var(--ground); }
.panels img { cursor: zoom-in; }
dialog { width: 96vw; height: 96vh; max-width: none; max-height: none; padding: 0; overflow: auto; border: 0;
  background: var(--ground); color: var(--text); } dialog::backdrop { background: #000b; }
dialog img { display: block; margin: auto; cursor: zoom-out; }
pre.rules { white-space: pre-wrap; max-width: 60rem; }
"""

CONTROLS = """
<div class="bar" id="bar" hidden>
<label>search <input id="search" type="search" placeholder="words, id, image"></label>
<label>outcome <select id="outcome"></select></label>
<label>likely error <select id="likely_error"></select></label>
<label>category <select id="category"></select></label>
<label id="for-decision">decision <select id="decision"></select></label>
<label id="for-standing">people <select id="standing"></select></label>
<label>expected IoU <input id="low" type="number" min="0" max="1" step="0.05" value="0"> to
<input id="high" type="number" min="0" max="1" step="0.05" value="1"></label>
<label>sort <select id="sort">
<option value="rank">worst first</option><option value="best">best first</option>
<option value="gain">largest expected gain</option><option value="image">image</option>
<option value="object_id">object id</option></select></label>
<label><input id="pictured" type="checkbox" style="width:auto"> with pictures</label>
<label id="for-sampled"><input id="sampled" type="checkbox" style="width:auto"> random sample</label>
<div><button id="previous" aria-label="page before">&#8592;</button> <span id="where"></span>
<button id="next" aria-label="next page">&#8594;</button>
<button id="download">download checked.json</button> <span id="judged" role="status"></span>
<button id="tables-below">counts and costs</button></div>
<div class="note"><kbd>j</kbd> <kbd>k</kbd> next, previous object; <kbd>1</kbd> ok, <kbd>2</kbd> wrong;
<kbd>n</kbd> <kbd>p</kbd> page; <kbd>z</kbd> or a click: picture large; <kbd>/</kbd> search;
<kbd>Esc</kbd> leave the field</div>
</div>
<noscript><p class="note">Filters and the objects without pictures need JavaScript; worklist.csv beside this page
holds all objects.</p></noscript>
"""

SCRIPT = """
const PER_PAGE = 50;
const at = id => document.getElementById(id);
const table = JSON.parse(at('rows').textContent);
const rows = table.rows.map(row => Object.fromEntries(table.columns.map((name, place) => [name, row[place]])));
const list = at('list'), cards = new Map();
for (const card of list.children) cards.set(+card.dataset.rank, card);
const choices = ['outcome', 'likely_error', 'category', 'decision', 'standing'];
let page = 0, shown = [];
const VERDICTS = ['ok', 'wrong'], KEY = 'segagent verdicts ' + document.title;
const verdicts = new Map(kept());

function kept() {
  try { return JSON.parse(localStorage.getItem(KEY)) || []; } catch { return []; }  // No storage, or not ours.
}
// Of that very mask: another run's objects may have the same ids.
const named = row => row.object_id + ' ' + row.mask;
function judge(row, verdict) {
  if (!row.mask) return false;
  if (verdicts.get(named(row)) === verdict) verdicts.delete(named(row));
  else verdicts.set(named(row), verdict);
  try {
    localStorage.setItem(KEY, JSON.stringify([...verdicts]));
  } catch {
    at('judged').className = 'bad';  // And tell() says why.
  }
  tell();
  return verdicts.has(named(row));
}
const sampled = rows.some(row => row.sampled);
const checked = () => rows.filter(row => verdicts.has(named(row)) && (row.sampled || !sampled));
function tell() {
  const all = rows.filter(row => verdicts.has(named(row))).length, ready = checked().length;
  const left = all === ready ? ''
    : ' of the random sample (' + (all - ready) + ' others are left out: only chance stands for all)';
  const where = at('judged').className ? ', kept until this page is closed: download them' : '';
  at('judged').textContent = ready + ' judged' + left + where;
  at('download').disabled = !ready;
  for (const [rank, buttons] of judging) {
    for (const button of buttons.children) {
      button.ariaPressed = String(verdicts.get(named(byRank.get(rank))) === button.textContent);
    }
  }
}
function download() {
  const list = checked().map(row =>
    ({object_id: row.object_id, text: row.text, mask: row.mask, verdict: verdicts.get(named(row))}));
  const content = {schema: 'segagent.checked/1', run: table.run, checked: list};
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1) + '\\n'], {type: 'application/json'}));
  link.download = 'checked.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
const judging = new Map(), byRank = new Map(rows.map(row => [row.rank, row]));
function whole(card, row) {
  if (!row.mask || judging.has(row.rank)) return card;
  const buttons = element('p', '', 'verdict');
  for (const verdict of VERDICTS) {
    const button = element('button', verdict);
    button.addEventListener('click', () => judge(row, verdict));
    buttons.append(button);
  }
  card.append(buttons);
  judging.set(row.rank, buttons);
  return card;
}
function enlarge(picture) {
  if (!picture) return;
  const dialog = document.createElement('dialog'), large = document.createElement('img');
  large.src = picture.src;
  large.alt = picture.alt;
  let scale = 1;
  const size = by => {
    scale = Math.min(Math.max(scale * by, 0.2), 20);
    large.width = picture.naturalWidth * scale;
  };
  dialog.append(large);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', () => dialog.close());
  const turned = event => { event.preventDefault(); size(Math.exp(-event.deltaY / 500)); };
  dialog.addEventListener('wheel', turned, {passive: false});
  dialog.addEventListener('keydown', event => {
    event.stopPropagation();
    if ('+=-'.includes(event.key)) size(event.key === '-' ? 1 / 1.3 : 1.3);
    if (event.key === 'z') dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  size(Math.min(dialog.clientWidth / picture.naturalWidth, dialog.clientHeight / picture.naturalHeight));
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
function plain(row) {
  const card = document.createElement('article');
  card.className = 'card';
  card.tabIndex = -1;
  const score = row.expected_iou === null ? '' : ', expected IoU ' + row.expected_iou.toFixed(2);
  card.append(element('h3', row.rank + '. ' + (row.text || row.object_id)),
    element('p', row.outcome.replace('_', ' ') + score + (row.likely_error ? ', ' + row.likely_error : '')));
  if (row.evidence || row.doubts) card.append(element('p', [row.evidence, row.doubts].filter(Boolean).join('; ')));
  if (row.reason) card.append(element('p', row.reason, 'bad'));
  card.append(element('p', 'object ' + row.object_id + ', image ' + row.image
    + (row.category ? ', category ' + row.category : '')
    + [row.decision, row.standing].filter(Boolean).map(one => ', ' + one).join(''), 'ids'));
  cards.set(row.rank, card);
  return card;
}
function fits(row) {
  for (const name of choices) if (at(name).value !== '' && (row[name] || '-') !== at(name).value) return false;
  const low = +at('low').value, high = +at('high').value;
  if (row.expected_iou === null ? low > 0 || high < 1 : row.expected_iou < low || row.expected_iou > high) return false;
  if (at('pictured').checked && !row.pictured || at('sampled').checked && !row.sampled) return false;
  const wanted = at('search').value.toLowerCase();
  return !wanted || [row.text, row.object_id, row.image, row.category || ''].join('\\n').toLowerCase().includes(wanted);
}
const score = (value, none) => value === null ? none : value;
const gain = row => score(row.expected_iou, 0) - score(row.expected_iou_given, score(row.expected_iou, 0));
const text = name => (a, b) => a[name].localeCompare(b[name], undefined, {numeric: true}) || a.rank - b.rank;
const orders = {
  rank: (a, b) => a.rank - b.rank,
  best: (a, b) => score(b.expected_iou, -1) - score(a.expected_iou, -1) || a.rank - b.rank,
  gain: (a, b) => gain(b) - gain(a) || a.rank - b.rank,
  image: text('image'),
  object_id: text('object_id'),
};
function select() {
  shown = rows.filter(fits).sort(orders[at('sort').value]);
  page = 0;
  show();
}
function show() {
  const pages = Math.max(Math.ceil(shown.length / PER_PAGE), 1);
  page = Math.min(Math.max(page, 0), pages - 1);
  const part = shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  list.replaceChildren(...part.map(row => whole(cards.get(row.rank) || plain(row), row)));
  tell();
  at('where').textContent = shown.length + ' of ' + rows.length + ' objects, page ' + (page + 1) + ' of ' + pages;
}
function turn(by) {
  if (page + by < 0 || (page + by) * PER_PAGE >= shown.length) return false;
  page += by;
  show();
  window.scrollTo(0, at('bar').offsetTop);
  return true;
}
function focusOn(card) {
  if (!card) return;
  card.focus({preventScroll: true});
  card.scrollIntoView({block: 'start'});
  window.scrollBy?.(0, -at('bar').offsetHeight - 8);  // Its head must not lie below the bar.
}
// A focused button of a card stands for its card.
const current = () => {
  const at = document.activeElement;
  return [...list.children].findIndex(card => card === at || card.contains?.(at));
};
function move(by) {
  const now = current(), to = now + by;
  // Beyond the page's end is the next page's first card, so that no object is skipped.
  if (now >= 0 && (to < 0 || to >= list.children.length)) {
    if (turn(by)) focusOn(list.children[by > 0 ? 0 : list.children.length - 1]);
    return;
  }
  focusOn(list.children[Math.max(to, 0)]);
}
function verdict(which) {
  const row = shown[page * PER_PAGE + current()];
  if (current() >= 0 && judge(row, which)) move(1);
}
for (const name of choices) {
  const values = [...new Set(rows.map(row => row[name] || '-'))].sort();
  at(name).append(new Option('all', ''), ...values.map(value => new Option(value, value)));
}
at('for-decision').hidden = rows.every(row => !row.decision);
at('for-standing').hidden = rows.every(row => !row.standing);
at('for-sampled').hidden = rows.every(row => !row.sampled);
for (const field of at('bar').querySelectorAll('input, select')) field.addEventListener('input', select);
at('previous').addEventListener('click', () => turn(-1));
at('next').addEventListener('click', () => turn(1));
at('download').addEventListener('click', download);
at('tables-below').addEventListener('click', () => { at('tables').open = true; at('tables').scrollIntoView(); });
list.addEventListener('click', event => { if (event.target.tagName === 'IMG') enlarge(event.target); });
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') return document.activeElement.blur();
  if (['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName)) return;
  const leaf = by => { if (turn(by)) focusOn(list.children[0]); };
  const does = {j: () => move(1), k: () => move(-1), n: () => leaf(1), p: () => leaf(-1),
    1: () => verdict('ok'), 2: () => verdict('wrong'), z: () => enlarge(list.children[current()]?.querySelector('img')),
    '/': () => at('search').focus()}[event.key];
  if (does) { event.preventDefault(); does(); }
});
at('bar').hidden = false;
select();
"""
