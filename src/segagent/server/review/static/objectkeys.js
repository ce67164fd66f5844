// The keys of one object's view.

import {focusOn} from './keys.js';

/** Groups of keys, see `Keys`. */
export function objectKeys(view) {
  const strike = positive => () => (view.stage.cross ? view.stage.strike(positive) : view.hand.finish());
  const draw = [
    [['c'], 'click: left adds, right or Shift takes away', () => view.take('click')],
    [['b'], 'brush', () => view.take('brush')],
    [['e'], 'eraser', () => view.take('eraser')],
    [['x'], 'box', () => view.take('box')],
    [['g'], 'polygon; Enter or the first corner closes it', () => view.take('polygon')],
    [['['], 'smaller brush', () => view.resize(-1)],
    [[']'], 'larger brush', () => view.resize(1)],
    [['z', 'ctrl+z'], 'undo', () => view.event('undo')],
    [['y', 'Z', 'ctrl+y', 'ctrl+shift+z'], 'redo', () => view.event('redo')],
    [
      ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'],
      'move the cross',
      event =>
        view.stage.moveCross(
          ...{ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key],
        ),
    ],
    [['Enter'], 'press at the cross (Shift: the other sign)', event => strike(!event.shiftKey)()],
    [['Backspace'], "take the polygon's last corner back", () => view.hand.back() && view.stage.draw()],
  ];
  const words = [
    [['w'], 'write a note', () => focusOn(view.note)],
    [['l'], 'change the class', () => focusOn(view.label)],
    [['q'], 'change the sentence', () => focusOn(view.sentence)],
    [['Delete'], 'remove, restore', () => view.remove()],
    [['N'], 'new object', () => view.add()],
    [['i'], 'the whole image', () => view.app.go(`#/image/${view.app.rows.get(view.index)?.image}`)],
  ];
  const agent = [
    [['s'], 'suggestions on, off', () => view.setSuggest(!view.suggest.checked)],
    [['t'], "take the policy's next click", () => view.takeSuggestion()],
    [['a'], 'let the policy go on', () => view.event('agent', {steps: 5})],
    [['r'], 'take the best try', () => view.event('take', {take: 'best'})],
    [['v'], 'keep the given mask', () => view.event('take', {take: 'given'})],
  ];
  const judge = view.verdicts.map((button, place) => [
    [`${place + 1}`],
    button.id.replace('do-verdict-', '').replace('absent', 'not there'),
    () => button.click(),
  ]);
  const look = [
    [['m'], 'next view of the masks', () => view.lookOn()],
    [['d'], 'other objects', () => view.toggleOthers()],
    [['f'], 'fit the picture, the object', () => view.fit()],
    [['+', '='], 'zoom in', () => view.stage.zoomIn()],
    [['-'], 'zoom out', () => view.stage.zoomOut()],
    [[' '], 'hold and drag: move the picture', () => view.setSpace(true)],
  ];
  const step = [
    [['j'], 'next object', () => view.app.step(1)],
    [['k'], 'object before', () => view.app.step(-1)],
    [['n'], 'next one to do', () => view.app.step(1, true)],
    [
      ['u', 'Escape'],
      'back to the list',
      () => {
        if (!view.hand.cancel()) view.app.go('#/list');
        view.stage.draw();
      },
    ],
  ];
  const groups = [
    {title: 'Judge', keys: judge},
    {title: 'Go', keys: step},
    {title: 'Look', keys: look},
  ];
  if (view.app.checking) return [...groups, {title: 'Correct', keys: [draw[7], draw[8], words[0]]}];
  return [
    ...groups,
    {title: 'Draw', keys: draw},
    {title: 'Policy and tries', keys: agent},
    {title: 'Words', keys: words},
  ];
}
