/**
 * A person in front of the page: opens it in real Chromium, does what the scenario says, and prints what it saw as
 * JSON.  `tests/sample_apps/test_web_page.py` serves the page and compares with the host.
 *
 *   node browser/drive.js ADDRESS PHOTO FOLDER STEP…
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { chromium } from 'playwright-core';

const [address, photo, folder, ...steps] = process.argv.slice(2);
const CHROMIUM = process.env.TINYSAM_CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--hide-scrollbars'],
];
const PATIENCE_MS = 120_000;
const PHONE = { width: 360, height: 780 };
const DESK = { width: 1440, height: 900 };

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page @param {string} id */
const textOf = async (page, id) => ((await page.textContent(`#${id}`)) ?? '').trim();

/**
 * Waits for the page to say something; fails with the page's own alert.
 * @param {Page} page @param {string} what @param {(...args: any[]) => boolean} seen @param {any} [argument]
 */
async function wait(page, what, seen, argument) {
  await page.waitForFunction(seen, argument, { timeout: PATIENCE_MS }).catch(async (error) => {
    throw new Error(
      `${what}: ${await textOf(page, 'alert')} / ${await textOf(page, 'status')} (${error.message})`,
    );
  });
}

/**
 * Where a point of the photo, in shares of its sides, is on the screen.
 * @param {Page} page @param {number} x @param {number} y
 */
async function placeOf(page, x, y) {
  const box = await page.locator('#overlay').boundingBox();
  if (!box) throw new Error('the photo is not on the page');
  return { x: box.x + x * box.width, y: box.y + y * box.height };
}

/** @param {Page} page @param {number} x @param {number} y @param {'left' | 'right'} [button] */
async function tap(page, x, y, button = 'left') {
  const place = await placeOf(page, x, y);
  await page.mouse.click(place.x, place.y, { button });
}

/** What the page asked, in pixels of the photo: a tap is where the screen's pixel is. @param {Page} page */
async function promptOf(page) {
  const { points, box } = await page.evaluate(() => /** @type {any} */ (globalThis).tinysam.prompt());
  return {
    points: points.flatMap((/** @type {any} */ { x, y }) => [x, y]),
    box: box && [box.x0, box.y0, box.x1, box.y1],
  };
}

/** In the page: forgets what the status line says, so that the next words are new. */
function silence() {
  const status = document.querySelector('#status');
  if (status) status.textContent = '';
}

/**
 * A new answer to a prompt, as the status line tells it.
 * @param {Page} page @param {() => Promise<void>} act
 */
async function answer(page, act) {
  await page.evaluate(silence);
  await act();
  await wait(page, 'a mask', () => /^Mask over/.test(document.querySelector('#status')?.textContent ?? ''));
  return { score: await textOf(page, 'score'), share: await textOf(page, 'share') };
}

/** What a button saves. @param {Page} page @param {string} id @param {string} name */
async function saved(page, id, name) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(`#${id}`)]);
  const path = join(folder, name);
  await download.saveAs(path);
  return { path, name: download.suggestedFilename() };
}

/** @param {Page} page @param {string} name */
async function shot(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

const ROUNDS = 8;
const HOVERS = 40;
const TICK_MS = 10;

/** In the page: opens a photo, encodes it and answers one tap. @param {string} data in base 64 */
async function firstMask(data) {
  const { remote } = /** @type {any} */ (globalThis).tinysam;
  const blob = new Blob([Uint8Array.from(atob(data), (character) => character.charCodeAt(0))]);
  const choice = {
    recipe: /** @type {HTMLSelectElement} */ (document.querySelector('#recipe')).value,
    accelerator: 'wasm',
  };
  const start = performance.now();
  const { height, width } = await remote.call('open', blob);
  const encoded = await remote.call('encode', choice);
  const points = [{ x: width / 2, y: height / 2, isOnObject: true }];
  const request = { points, box: null, step: 1, refines: null, maskIndex: null, shown: { height, width } };
  const { ms } = await remote.call('predict', choice, request);
  return { total: performance.now() - start, ...encoded, ...ms };
}

/** In the page: the masks that a moving pointer asks for. @param {number} count */
async function hoverMasks(count) {
  const { remote } = /** @type {any} */ (globalThis).tinysam;
  const choice = {
    recipe: /** @type {HTMLSelectElement} */ (document.querySelector('#recipe')).value,
    accelerator: 'wasm',
  };
  const shown = { height: 600, width: 900 };
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const points = [{ x: 10 + i, y: 20 + i, isOnObject: true }];
    await remote.call('predict', choice, {
      points,
      box: null,
      step: 0,
      refines: null,
      maskIndex: null,
      shown,
    });
  }
  return { total: performance.now() - start };
}

/** Milliseconds of processor time that Chromium's processes have used; Linux only. */
function processorMs() {
  /** @type {Map<number, {parent: number, ms: number}>} */
  const found = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      found.set(Number(name), {
        parent: Number(fields[1]),
        ms: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
      });
    } catch {
      // It ended meanwhile.
    }
  }
  const isOurs = (/** @type {number} */ pid) => {
    for (let at = found.get(pid); at; at = found.get(at.parent)) if (at.parent === process.pid) return true;
    return false;
  };
  return [...found].filter(([pid]) => isOurs(pid)).reduce((sum, [, { ms }]) => sum + ms, 0);
}

/** @type {Record<string, (page: Page) => Promise<unknown>>} */
const STEPS = {
  /** A photo of one's own in place of the example. */
  photo: async (page) => {
    await page.setInputFiles('#open', photo);
    await wait(
      page,
      'the photo',
      (name) => {
        const frame = document.querySelector('#frame');
        return frame?.ariaBusy === 'false' && frame.ariaLabel?.startsWith(name) === true;
      },
      parse(photo).name,
    );
    return page.getAttribute('#frame', 'aria-label');
  },
  hover: async (page) => {
    const count = () => page.evaluate(() => Number(document.documentElement.dataset.previews ?? 0));
    const before = await count();
    const start = Date.now();
    for (let i = 0; i < 40; i++) {
      const { x, y } = await placeOf(page, 0.2 + 0.6 * (i / 40), 0.5);
      await page.mouse.move(x, y);
      await page.waitForTimeout(50);
    }
    await page.waitForTimeout(500);
    return { masks: (await count()) - before, seconds: (Date.now() - start) / 1000 };
  },
  tap: async (page) => {
    const first = await answer(page, () => tap(page, 0.4, 0.5));
    const rle = await saved(page, 'rle', 'tap.json');
    const time = await textOf(page, 'time');
    return { ...first, ...rle, time, prompt: await promptOf(page) };
  },
  refine: async (page) => {
    const refined = await answer(page, () => tap(page, 0.6, 0.6, 'right'));
    const points = await page.evaluate(() => document.querySelectorAll('#undo:not(:disabled)').length);
    const undone = await answer(page, () => page.click('#undo'));
    return { refined, undone, points };
  },
  box: async (page) => {
    const [from, to] = [await placeOf(page, 0.25, 0.25), await placeOf(page, 0.75, 0.8)];
    const found = await answer(page, async () => {
      await page.mouse.move(from.x, from.y);
      await page.mouse.down();
      await page.mouse.move((from.x + to.x) / 2, to.y, { steps: 4 });
      await page.mouse.move(to.x, to.y, { steps: 4 });
      await page.mouse.up();
    });
    return { ...found, ...(await saved(page, 'rle', 'box.json')), prompt: await promptOf(page) };
  },
  cutOut: (page) => saved(page, 'cut-out', 'cut_out.png'),
  keyboard: async (page) => {
    await page.click('#clear');
    await page.focus('#frame');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Shift+ArrowUp');
    const pressed = await answer(page, () => page.keyboard.press('Enter'));
    await shot(page, 'keyboard');
    await page.keyboard.press('Escape');
    await wait(page, 'an empty stage', () => document.querySelector('#score')?.textContent === '–');
    return pressed;
  },
  everything: async (page) => {
    await page.click('#everything');
    await wait(page, 'everything', () =>
      /objects in/.test(document.querySelector('#everything-result')?.textContent ?? ''),
    );
    const text = await textOf(page, 'everything-result');
    await shot(page, 'everything');
    const file = (await page.isVisible('#everything-save'))
      ? await saved(page, 'everything-save', 'everything.json')
      : null;
    return { text, file };
  },
  stop: async (page) => {
    await page.click('#everything');
    await wait(page, 'a start', () => document.querySelector('#everything')?.textContent === 'Stop');
    await page.click('#everything');
    await wait(page, 'the end', () => document.querySelector('#everything')?.textContent === 'Find all');
    await page.click('#clear', { force: true, timeout: 1000 }).catch(() => {});
    return textOf(page, 'everything-result');
  },
  recipes: async (page) => {
    const recipes = await page.$$eval('#recipe option', (options) =>
      options.map((option) => /** @type {HTMLOptionElement} */ (option).value),
    );
    await page.focus('#frame');
    await page.keyboard.press('Escape');
    await answer(page, () => tap(page, 0.4, 0.5));
    await page.selectOption('#compare', recipes[1]);
    await page.waitForSelector('#compare-result', { timeout: PATIENCE_MS });
    const difference = await textOf(page, 'compare-result');
    await shot(page, 'compare');
    await page.selectOption('#compare', '');
    await page.evaluate(silence);
    await page.selectOption('#recipe', recipes[1]);
    await wait(page, 'the other recipe', () =>
      /^Mask over/.test(document.querySelector('#status')?.textContent ?? ''),
    );
    const other = await saved(page, 'rle', 'recipe.json');
    await page.evaluate(silence);
    await page.selectOption('#recipe', recipes[0]);
    await wait(page, 'the first recipe', () =>
      /^Mask over/.test(document.querySelector('#status')?.textContent ?? ''),
    );
    return { recipes, difference, other };
  },
  host: async (page) => {
    await page.selectOption('#compare', 'host tflite');
    await page.waitForSelector('#compare-result', { timeout: PATIENCE_MS });
    const difference = await textOf(page, 'compare-result');
    await page.selectOption('#compare', '');
    return difference;
  },
  check: async (page) => {
    await wait(
      page,
      'fixtures',
      () => !(/** @type {HTMLButtonElement} */ (document.querySelector('#check')).disabled),
    );
    await page.click('#check');
    await wait(
      page,
      'a verdict',
      () => !(/** @type {HTMLElement} */ (document.querySelector('#verdict')).hidden),
    );
    const { verdict, stage } = await page.evaluate(() => ({
      .../** @type {HTMLElement} */ (document.querySelector('#verdict')).dataset,
    }));
    await shot(page, 'check');
    return { verdict, stage, text: await textOf(page, 'verdict') };
  },
  /** A hundred taps: what the runtime holds must not grow. */
  memory: async (page) => {
    const bytes = () => page.evaluate(() => /** @type {any} */ (globalThis).tinysam.remote.call('memory'));
    await answer(page, () => tap(page, 0.3, 0.3));
    const before = (await bytes()).bytes;
    for (let i = 0; i < 100; i++) {
      await page.keyboard.press('Escape');
      await answer(page, () => tap(page, 0.2 + (i % 10) / 20, 0.3 + i / 250));
    }
    return { before, after: (await bytes()).bytes };
  },
  /** The pictures of the documentation: the example with a box around the saucer. */
  pictures: async (page) => {
    const box = async () => {
      const [from, to] = [await placeOf(page, 0.15, 0.06), await placeOf(page, 0.82, 0.97)];
      await answer(page, async () => {
        await page.mouse.move(from.x, from.y);
        await page.mouse.down();
        await page.mouse.move(to.x, to.y, { steps: 6 });
        await page.mouse.up();
      });
      await page.mouse.move(1, 1);
    };
    for (const [name, viewport, colorScheme] of /** @type {const} */ ([
      ['docs_desk', DESK, 'light'],
      ['docs_phone', PHONE, 'light'],
      ['docs_phone_dark', PHONE, 'dark'],
    ])) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await page.reload();
      await ready(page);
      await box();
      await page.screenshot({ path: join(folder, `${name}.png`) });
    }
  },
  /** First masks of the photo and hovering, by the page's own calls; processor time is of all of Chromium. */
  bench: async (page) => {
    const data = readFileSync(photo).toString('base64');
    const first = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = processorMs();
      const ms = await page.evaluate(firstMask, data);
      first.push({ ...ms, processor: processorMs() - before });
    }
    const before = processorMs();
    const hover = await page.evaluate(hoverMasks, HOVERS);
    return { first, hover: { ...hover, masks: HOVERS, processor: processorMs() - before } };
  },
  reload: async (page) => {
    await page.reload();
    await ready(page);
    return answer(page, () => tap(page, 0.4, 0.5));
  },
  desk: async (page) => {
    await page.setViewportSize(DESK);
    await shot(page, 'desk');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(page, 'desk_dark');
    await page.emulateMedia({ colorScheme: 'light' });
  },
  phone: async (page) => {
    await page.setViewportSize(PHONE);
    await shot(page, 'phone');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(page, 'phone_dark');
    await page.emulateMedia({ colorScheme: 'light' });
    return page.evaluate(() => document.documentElement.scrollWidth);
  },
};

/** @param {Page} page */
async function ready(page) {
  await wait(page, 'the page', () => document.documentElement.dataset.ready === 'yes');
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
/** @type {Record<string, unknown>} */
const seen = {};
try {
  const context = await browser.newContext({ viewport: DESK, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  const start = Date.now();
  await page.goto(address);
  await ready(page);
  seen.ready = { ms: Date.now() - start, isolated: await page.evaluate(() => crossOriginIsolated) };
  for (const step of steps) seen[step] = (await STEPS[step](page)) ?? null;
  seen.complaints = complaints;
} finally {
  await browser.close();
}
writeFileSync(join(folder, 'seen.json'), JSON.stringify(seen, null, 1));
