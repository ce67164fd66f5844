// Elements made of text, never of HTML: names and sentences come from data sets and models.

/** An element with properties, attributes (names with a dash, `role`, `for`) and children. */
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue;
    if (name.includes('-') || ['role', 'for', 'list'].includes(name)) made.setAttribute(name, value);
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made[name] = value;
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

export const at = id => document.getElementById(id);

/** A few words that go away by themselves. */
export function toast(words, kind = '') {
  const made = el('p', {className: `toast ${kind}`, textContent: words});
  at('toasts').append(made);
  while (at('toasts').children.length > 3) at('toasts').firstChild.remove();
  setTimeout(() => made.remove(), kind === 'bad' ? 9000 : 3500);
}

/** A dialog with a form; gives the form's values, or null where it was left. */
export function ask(title, fields, accept) {
  return new Promise(resolve => {
    const form = el(
      'form',
      {method: 'dialog'},
      el('h2', {textContent: title}),
      ...fields,
      el(
        'p',
        {className: 'buttons'},
        el('button', {type: 'button', textContent: 'Cancel', onclick: () => dialog.close()}),
        el('button', {className: 'main', textContent: accept}),
      ),
    );
    const dialog = el('dialog', {'aria-label': title}, form);
    let answer = null;
    form.addEventListener('submit', () => {
      answer = Object.fromEntries(new FormData(form));
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether keys belong to a field that is written in. */
export function writing(target) {
  return target.matches?.('textarea, select, input:not([type=checkbox], [type=range], [type=radio])') ?? false;
}

/** "about 12 minutes", "about 3 hours": how long, as one would say it. */
export function spoken(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 90) return minutes === 1 ? 'about a minute' : `about ${minutes} minutes`;
  return `about ${Math.round(minutes / 60)} hours`;
}
