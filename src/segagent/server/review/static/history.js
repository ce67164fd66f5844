// What was done to an object, as the record counts it: what holds after undo and redo, and in words.

import {VERDICTS} from './rows.js';

/** Kinds of events that change the mask. */
export const MASKS = ['click', 'box', 'stroke', 'polygon', 'agent', 'take', 'corrected', 'added'];

/** The clicks of the run, or those that a person made one after the other up to now. */
export function clicks({standing, history, clicks: given}) {
  const drawn = moments(history)
    .filter(event => MASKS.includes(event.kind) && event.kind !== 'added')
    .reverse();
  if (!drawn.length) return standing.added ? [] : given.map(([x, y, positive]) => ({x, y, positive}));
  const other = drawn.findIndex(event => event.kind !== 'click');
  return drawn.slice(0, other < 0 ? undefined : other).map(event => event.did);
}

/** An event in words: what, who, when. */
export function told(event) {
  return [described(event), event.by, clock(event.when)].filter(Boolean).join(', ');
}

/** The events that hold after undo and redo, as the record counts them. */
function moments(history) {
  let path = [],
    place = 0;
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
    case 'click':
      return did.positive ? 'click on the object' : 'click beside the object';
    case 'stroke':
      return did.positive ? 'brush' : 'eraser';
    case 'polygon':
      return did.positive === false ? 'polygon taken away' : 'polygon';
    case 'agent':
      return 'the policy went on';
    case 'take':
      return `took the ${did.take} mask`;
    case 'verdict':
      return did.verdict ? `verdict: ${VERDICTS[did.verdict]}` : 'verdict';
    case 'note':
      return 'note';
    case 'rephrased':
      return 'other sentence';
    case 'relabelled':
      return did.label ? `class ${did.label}` : 'other class';
    default:
      return kind;
  }
}

const clock = when => (when && !Number.isNaN(Date.parse(when)) ? new Date(when).toLocaleString() : (when ?? ''));
