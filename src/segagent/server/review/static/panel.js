// The controls of one object's view: made once, filled and switched by the view.

import {el} from './dom.js';
import {key} from './keys.js';
import {VERDICTS} from './rows.js';
import {NAMES} from './tools.js';

/** How masks can be looked at, and what that is called. */
export const VIEWS = {
  now: 'now',
  given: 'given',
  answer: 'answer',
  best: 'best try',
  change: 'change',
  none: 'picture',
};

function button(name, words, letter, does, more = {}) {
  const {onclick, ...others} = more;
  return el(
    'button',
    {
      type: 'button',
      id: `do-${name}`,
      title: letter ? `${words} (${letter})` : words,
      onclick: onclick ?? does,
      ...others,
    },
    words,
    letter ? key(letter) : null,
  );
}

/** The tools above the picture. */
export function buildTools(view) {
  const {app} = view;
  view.toolButtons = Object.entries({click: 'c', brush: 'b', eraser: 'e', box: 'x', polygon: 'g'}).map(
    ([name, letter]) => button(`tool-${name}`, NAMES[name], letter, () => view.take(name), {'aria-pressed': 'false'}),
  );
  view.size = el('input', {type: 'range', id: 'radius', min: 0, max: 100, value: app.store.get('radius', 8)});
  view.size.addEventListener('input', () => view.setRadius(+view.size.value));
  view.signButton = button('sign', '+', '', () => view.turnSign(), {
    title: 'What a press does: add or take away (Shift or the right button does the other)',
  });
  view.viewButtons = Object.entries(VIEWS).map(([name, said]) =>
    button(`view-${name}`, said, '', () => view.look(name), {'aria-pressed': 'false'}),
  );
  view.others = el('input', {type: 'checkbox', id: 'others', checked: app.store.get('others', true)});
  view.others.addEventListener('change', () => {
    app.store.set('others', view.others.checked);
    view.stage.draw();
  });
  const edit = el(
    'span',
    {className: 'group edit', role: 'group', 'aria-label': 'Draw'},
    ...view.toolButtons,
    view.signButton,
    el('label', {className: 'size'}, 'size', view.size),
    button('undo', 'Undo', 'z', () => view.event('undo')),
    button('redo', 'Redo', 'y', () => view.event('redo')),
  );
  const show = el(
    'span',
    {className: 'group', role: 'group', 'aria-label': 'Show'},
    ...view.viewButtons,
    key('m'),
    el('label', {}, view.others, 'others', key('d')),
  );
  const zoom = el(
    'span',
    {className: 'group', role: 'group', 'aria-label': 'Zoom'},
    button('fit', 'Fit', 'f', () => view.fit()),
    button('in', '+', '', () => view.stage.zoomIn(), {'aria-label': 'Zoom in'}),
    button('out', '−', '', () => view.stage.zoomOut(), {'aria-label': 'Zoom out'}),
  );
  if (app.checking) edit.hidden = true;
  view.tools.append(edit, show, zoom);
  view.pressed();
}

/** The panel beside the picture. */
export function buildPanel(view) {
  const {app} = view;
  view.title = el('h2', {tabIndex: -1});
  view.facts = el('div', {className: 'facts'});
  view.told = el('p', {className: 'contested-note', role: 'status', hidden: true});
  view.verdicts = (app.checking ? ['ok', 'wrong'] : Object.keys(VERDICTS)).map((name, place) =>
    button(
      `verdict-${name}`,
      {ok: 'ok', wrong: 'wrong', absent: 'not there', unsure: 'unsure', skip: 'skip'}[name],
      `${place + 1}`,
      () => view.judge(name),
      {className: `verdict ${name}`, 'aria-pressed': 'false'},
    ),
  );
  const field = (made, commit) => {
    made.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        made.kept = true;
        made.blur();
      }
      if (event.key === 'Escape') {
        made.value = made.was ?? '';
      }
    });
    made.addEventListener('blur', () => commit(made.value.trim()));
    return made;
  };
  view.sentence = field(el('textarea', {id: 'sentence', rows: 2}), words => {
    if (words && words !== view.sentence.was) view.event('rephrased', {text: words});
    else view.sentence.value = view.sentence.was ?? '';
  });
  view.label = field(el('input', {id: 'label', list: 'classes', autocomplete: 'off'}), words => {
    if (words && words !== view.label.was) view.event('relabelled', {label: words});
    else view.label.value = view.label.was ?? '';
  });
  view.note = field(el('textarea', {id: 'note', rows: 2, placeholder: 'Enter keeps it'}), words => {
    if (words && view.note.kept) {
      view.event('note', {text: words});
      view.note.value = '';
    }
    view.note.kept = false;
  });
  view.notes = el('ul', {className: 'notes', 'aria-label': 'Notes'});
  view.suggest = el('input', {type: 'checkbox', id: 'suggest', checked: app.store.get('suggest', false)});
  view.suggest.addEventListener('change', () => view.setSuggest(view.suggest.checked));
  view.says = el('p', {className: 'says', role: 'status'});
  view.history = el('ol', {className: 'history'});
  const agent = el(
    'section',
    {className: 'agent'},
    el('h3', {textContent: 'Policy and tries'}),
    el('label', {}, view.suggest, 'suggest the next click', key('s')),
    view.says,
    el(
      'p',
      {className: 'buttons'},
      button('suggested', 'Take it', 't', () => view.takeSuggestion()),
      button('agent', 'Let it go on', 'a', () => view.event('agent', {steps: 5})),
      button('best', 'Best try', 'r', () => view.event('take', {take: 'best'})),
      button('given', 'Keep the given', 'v', () => view.event('take', {take: 'given'})),
    ),
  );
  view.panel.append(
    el(
      'p',
      {className: 'steps'},
      button('before', '← before', 'k', () => app.step(-1)),
      button('next', 'next →', 'j', () => app.step(1)),
      app.checking ? null : button('open', 'next to do', 'n', () => app.step(1, true)),
    ),
    view.title,
    view.told,
    el('div', {className: 'verdicts', role: 'group', 'aria-label': 'Verdict'}, ...view.verdicts),
    view.facts,
    guidelines(view),
    ...(app.checking
      ? []
      : [
          agent,
          el(
            'section',
            {},
            el('h3', {textContent: 'Words'}),
            el('label', {className: 'field'}, el('span', {}, 'sentence', key('q')), view.sentence),
            el('label', {className: 'field'}, el('span', {}, 'class', key('l')), view.label),
          ),
        ]),
    el('section', {}, el('label', {className: 'field'}, el('span', {}, 'note', key('w')), view.note), view.notes),
    ...(app.checking
      ? []
      : [
          el(
            'p',
            {className: 'buttons'},
            button('remove', 'Remove', 'Del', () => view.remove()),
            button('new', 'New object', 'N', () => view.add()),
            button('image', 'Whole image', 'i', () => app.go(`#/image/${app.rows.get(view.index)?.image}`)),
          ),
        ]),
    el('details', {className: 'past'}, el('summary', {textContent: 'What was done'}), view.history),
    el('datalist', {id: 'classes'}, ...app.session.classes.map(name => new Option(name))),
  );
}

function guidelines({app}) {
  if (!app.session.guidelines) return '';
  const shown = el(
    'details',
    {className: 'guidelines', open: app.store.get('guidelines', true)},
    el('summary', {textContent: 'Guidelines'}),
    el('div', {
      className: 'text',
      tabIndex: 0,
      role: 'region',
      'aria-label': 'Guidelines',
      textContent: app.session.guidelines,
    }),
  );
  shown.addEventListener('toggle', () => app.store.set('guidelines', shown.open));
  return shown;
}
