/**
 * Parts of the page that need no page: history, live requests, words, pixels, what a browser says of
 * itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { describeDevice } from '../app/device.js';
import { History } from '../app/history.js';
import { Latest } from '../app/latest.js';
import { COLOURS, DIFFERENCE, paintDifference, paintLabels, paintMask } from '../app/paint.js';
import { Remote } from '../app/remote.js';
import { duration, median, percent, whereabouts } from '../app/words.js';

test('history: points add up, a box begins anew, and every step can be undone', () => {
  const history = new History();
  // A function, so that the types do not hold an earlier answer for the next one.
  const current = () => history.current;
  assert.equal(current(), null);
  history.addPoint({ x: 1, y: 2, isOnObject: true });
  history.addPoint({ x: 3, y: 4, isOnObject: false });
  assert.equal(history.before?.step, 1);
  history.setBox({ x0: 0, y0: 0, x1: 5, y1: 5 });
  assert.deepEqual(current()?.points, []);
  history.addPoint({ x: 2, y: 2, isOnObject: true });
  assert.deepEqual(current()?.box, { x0: 0, y0: 0, x1: 5, y1: 5 });
  history.undo();
  history.undo();
  assert.equal(current()?.points.length, 2);
  history.addPoint({ x: 9, y: 9, isOnObject: true });
  assert.equal(current()?.step, 5, 'a step has its number once');
  history.clear();
  history.undo();
  assert.equal(current(), null);
});

test('latest: of what comes while one runs only the newest is done', async () => {
  /** @type {number[]} */
  const done = [];
  const latest = new Latest(async (/** @type {number} */ n) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    done.push(n);
  });
  const first = latest.ask(1);
  for (const n of [2, 3, 4]) latest.ask(n);
  await first;
  assert.deepEqual(done, [1, 4]);
  const fifth = latest.ask(5);
  latest.ask(6);
  latest.drop();
  await fifth;
  assert.deepEqual(done, [1, 4, 5]);
});

test('latest: a failure does not block the next', async () => {
  const latest = new Latest(async (/** @type {boolean} */ fails) => {
    if (fails) throw new Error('once');
  });
  await assert.rejects(latest.ask(true), /once/);
  await latest.ask(false);
});

test('words', () => {
  assert.deepEqual([percent(0.004), percent(0.156), percent(1)], ['0.4 %', '16 %', '100 %']);
  assert.deepEqual([duration(3.26), duration(47.4), duration(1234)], ['3.3 ms', '47 ms', '1.2 s']);
  assert.deepEqual([median([3, 1, 2]), median([4, 1])], [2, 2.5]);
});

test('where a mask lies is said in words', () => {
  const size = { height: 3, width: 3 };
  /** @param {number[]} places */
  const at = (...places) =>
    whereabouts(
      Uint8Array.from({ length: 9 }, (_, i) => Number(places.includes(i))),
      size,
    );
  assert.deepEqual(
    [at(0), at(4), at(8), at(1), at(3)],
    ['top left', 'middle', 'bottom right', 'top', 'left'],
  );
  assert.equal(at(), 'nowhere');
  assert.equal(at(0, 2), 'top');
});

/** @param {Uint8ClampedArray} pixels @param {number} place */
const colourAt = (pixels, place) => [...pixels.slice(place * 4, place * 4 + 4)];

test('a mask is tinted inside, white at its border, and dims the rest', () => {
  const size = { height: 5, width: 5 };
  const mask = Uint8Array.from({ length: 25 }, (_, i) => Number(i % 5 < 3));
  const pixels = paintMask(mask, size, COLOURS.mask, COLOURS.dimmed);
  assert.deepEqual(colourAt(pixels, 6), COLOURS.mask);
  assert.deepEqual(colourAt(pixels, 7), COLOURS.outline);
  assert.deepEqual(colourAt(pixels, 8), COLOURS.dimmed);
  assert.deepEqual(colourAt(pixels, 0), COLOURS.mask, 'the edge of the photo is no border');
});

test('a difference has a colour for each side', () => {
  const pixels = paintDifference(Uint8Array.of(0, 1, 2, 3), { height: 1, width: 4 });
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => colourAt(pixels, i)),
    DIFFERENCE,
  );
});

test('the object under the pointer is stronger than the others', () => {
  const labels = Uint16Array.from({ length: 9 * 3 }, (_, i) => (i % 9 < 3 ? 1 : i % 9 < 6 ? 2 : 0));
  const pixels = paintLabels(labels, { height: 3, width: 9 }, 2);
  assert.ok(colourAt(pixels, 9 + 4)[3] > colourAt(pixels, 9 + 1)[3]);
  assert.deepEqual(colourAt(pixels, 9 + 7), [0, 0, 0, 0]);
});

/** @type {[string, string, RegExp, RegExp][]} */
const BROWSERS = [
  [
    'an iPhone',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1',
    /^iPhone, Safari 18\.2$/,
    /^iOS 18\.2$/,
  ],
  [
    'a Pixel with Firefox',
    'Mozilla/5.0 (Android 15; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0',
    /^Android, Firefox 132\.0$/,
    /^Android 15$/,
  ],
  ['something else', 'Lynx', /^unknown device, unknown browser$/, /^unknown system$/],
];
for (const [name, userAgent, model, os] of BROWSERS) {
  test(`the dump names ${name}`, async () => {
    const device = await describeDevice({ userAgent });
    assert.match(device.model, model);
    assert.match(device.os, os);
  });
}

test('a browser that says more is believed', async () => {
  const userAgentData = {
    getHighEntropyValues: async () => ({
      model: 'Pixel 9',
      platform: 'Android',
      platformVersion: '15.0.0',
      fullVersionList: [
        { brand: 'Not.A/Brand', version: '8.0' },
        { brand: 'Google Chrome', version: '131.0.1' },
      ],
    }),
  };
  const device = await describeDevice({ userAgent: 'Mozilla/5.0 (Linux; Android 10; K)', userAgentData });
  assert.deepEqual([device.model, device.os], ['Pixel 9, Google Chrome 131.0.1', 'Android 15.0.0']);
});

test('a remote pairs answers with calls, and a dead worker ends them all', async () => {
  /** @type {any[]} */
  const sent = [];
  const worker = /** @type {any} */ ({ postMessage: (/** @type {any} */ message) => sent.push(message) });
  const remote = new Remote(worker);
  const [first, second, third] = [
    remote.call('memory'),
    remote.call('coco', /** @type {any} */ ({})),
    remote.call('memory'),
  ];
  worker.onmessage({ data: { id: sent[1].id, error: 'no mask' } });
  worker.onmessage({ data: { id: sent[0].id, result: { bytes: 1 } } });
  assert.deepEqual(await first, { bytes: 1 });
  await assert.rejects(second, /no mask/);
  worker.onerror({ message: 'gone' });
  await assert.rejects(third, /gone/);
});
