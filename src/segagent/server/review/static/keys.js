// Which key does what: one table for the keyboard and for the help, so that they cannot differ.

import {el, writing} from './dom.js';

const NAMES = {
  ' ': 'Space',
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Delete: 'Del',
  Escape: 'Esc',
  'ctrl+z': 'Ctrl+z',
  'ctrl+y': 'Ctrl+y',
  'ctrl+shift+z': 'Ctrl+Shift+z',
};

/** `views`: for each view, groups of `{title, keys: [[keys, words, does], ...]}`; `does` gets the event. */
export class Keys {
  constructor(views, current) {
    Object.assign(this, {views, current});
    addEventListener('keydown', event => this.pressed(event));
  }

  pressed(event) {
    if (document.querySelector('dialog[open]')) return;
    if (writing(event.target)) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    if (event.altKey) return;
    const control = event.ctrlKey || event.metaKey;
    const key = control ? `ctrl+${event.shiftKey ? 'shift+' : ''}${event.key.toLowerCase()}` : event.key;
    // Enter and Space on a button or link are the browser's.
    if (['Enter', ' '].includes(key) && event.target.closest?.('button, a, summary, input')) return;
    for (const {keys} of this.views[this.current()]) {
      const found = keys.find(([names]) => names.includes(key));
      if (!found) continue;
      if (found[2](event) !== false) event.preventDefault();
      return;
    }
  }

  help() {
    const dialog = el(
      'dialog',
      {className: 'keys', 'aria-label': 'Keys'},
      el('h2', {textContent: 'Keys'}),
      el(
        'div',
        {className: 'groups'},
        ...this.views[this.current()].map(({title, keys}) =>
          el(
            'section',
            {},
            el('h3', {textContent: title}),
            el(
              'dl',
              {},
              ...keys
                .filter(([, words]) => words)
                .flatMap(([names, words]) => [
                  el('dt', {}, ...names.map(name => el('kbd', {textContent: NAMES[name] ?? name}))),
                  el('dd', {textContent: words}),
                ]),
            ),
          ),
        ),
      ),
      el(
        'p',
        {className: 'buttons'},
        el('button', {className: 'main', textContent: 'Close', onclick: () => dialog.close()}),
      ),
    );
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('keydown', event => {
      if (event.key === '?') {
        event.stopPropagation();
        dialog.close();
      }
    });
    document.body.append(dialog);
    dialog.showModal();
  }
}

/** Focus a field, and do not write the key into it. */
export function focusOn(field) {
  field.focus();
  field.select?.();
}

export const key = name => el('kbd', {textContent: name, 'aria-hidden': 'true'});
