"""What makes the work list's page move: filters, sorting, pages and keys. Text goes in as text, never as HTML."""

from __future__ import annotations

STYLE = """
.bar { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #ccc; padding: .5rem 0; z-index: 1; }
.bar label { margin-right: .8rem; white-space: nowrap; } .bar input[type=search] { width: 14rem; }
select { max-width: 14rem; }
pre.rules { white-space: pre-wrap; max-width: 60rem; }
kbd { border: 1px solid #bbb; border-radius: 3px; padding: 0 .3rem; font-size: .85em; }
"""

CONTROLS = """
<div class="bar" id="bar" hidden>
<label>search <input id="search" type="search" placeholder="words, id, image"></label>
<label>outcome <select id="outcome"></select></label>
<label>likely error <select id="likely_error"></select></label>
<label>category <select id="category"></select></label>
<label id="for-decision">decision <select id="decision"></select></label>
<label>expected IoU <input id="low" type="number" min="0" max="1" step="0.05" value="0"> to
<input id="high" type="number" min="0" max="1" step="0.05" value="1"></label>
<label>sort <select id="sort">
<option value="rank">worst first</option><option value="best">best first</option>
<option value="gain">largest expected gain</option><option value="image">image</option>
<option value="object_id">object id</option></select></label>
<label><input id="pictured" type="checkbox" style="width:auto"> with pictures</label>
<label id="for-sampled"><input id="sampled" type="checkbox" style="width:auto"> random sample</label>
<div><button id="previous">&#8592;</button> <span id="where"></span> <button id="next">&#8594;</button>
<span class="note"><kbd>j</kbd> <kbd>k</kbd> next, previous object; <kbd>n</kbd> <kbd>p</kbd> page;
<kbd>/</kbd> search; <kbd>Esc</kbd> leave the field</span></div>
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
const choices = ['outcome', 'likely_error', 'category', 'decision'];
let page = 0, shown = [];

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
    + (row.category ? ', category ' + row.category : '') + (row.decision ? ', ' + row.decision : ''), 'ids'));
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
  list.replaceChildren(...part.map(row => cards.get(row.rank) || plain(row)));
  at('where').textContent = shown.length + ' of ' + rows.length + ' objects, page ' + (page + 1) + ' of ' + pages;
}
function turn(by) { page += by; show(); window.scrollTo(0, at('bar').offsetTop); }
function move(by) {
  const all = [...list.children], now = all.indexOf(document.activeElement);
  const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
  if (next) { next.focus({preventScroll: true}); next.scrollIntoView({block: 'center'}); }
}
for (const name of choices) {
  const values = [...new Set(rows.map(row => row[name] || '-'))].sort();
  at(name).append(new Option('all', ''), ...values.map(value => new Option(value, value)));
}
at('for-decision').hidden = rows.every(row => !row.decision);
at('for-sampled').hidden = rows.every(row => !row.sampled);
for (const field of at('bar').querySelectorAll('input, select')) field.addEventListener('input', select);
at('previous').addEventListener('click', () => turn(-1));
at('next').addEventListener('click', () => turn(1));
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') return document.activeElement.blur();
  if (['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName)) return;
  const does = {j: () => move(1), k: () => move(-1), n: () => turn(1), p: () => turn(-1),
    '/': () => at('search').focus()}[event.key];
  if (does) { event.preventDefault(); does(); }
});
at('bar').hidden = false;
select();
"""
