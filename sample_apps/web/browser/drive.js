/**
 * A person in front of the page: opens it in real Chromium, does what the scenario says, and prints what it saw as
 * JSON.  `tests/sample_apps/test_web_page.py` serves the page and compares with the host.
 *
 *   node browser/drive.js ADDRESS PHOTO FOLDER STEP…
 */
import { writeFileSync } from 'node:fs';
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

/** Waits for the page to say something; fails with the page's own alert. @param {Page} page @param {string} what @param {(...args: any[]) => boolean} seen @param {any} [argument] */
async function wait(page, what, seen, argument) {
  await page.waitForFunction(seen, argument, { timeout: PATIENCE_MS }).catch(async (error) => {
    throw new Error(`${what}: ${await textOf(page, 'alert')} / ${await textOf(page, 'status')} (${error.message})`);
  });
}

/** Where a point of the photo, in shares of its sides, is on the screen. @param {Page} page @param {number} x @param {number} y */
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
  return { points: points.flatMap((/** @type {any} */ { x, y }) => [x, y]), box: box && [box.x0, box.y0, box.x1, box.y1] };
}

/** A new answer to a prompt, as the status line tells it. @param {Page} page @param {() => Promise<void>} act */
async function answer(page, act) {
  await page.evaluate(() => (/** @type {HTMLElement} */ (document.querySelector('#status')).textContent = ''));
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

/** @type {Record<string, (page: Page) => Promise<unknown>>} */
const STEPS = {
  /** A photo of one's own in place of the example. */
  photo: async (page) => {
    await page.setInputFiles('#open', photo);
    await wait(page, 'the photo', (name) => {
      const frame = document.querySelector('#frame');
      return frame?.ariaBusy === 'false' && frame.ariaLabel?.startsWith(name) === true;
    }, parse(photo).name);
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
    await wait(page, 'everything', () => /objects in/.test(document.querySelector('#everything-result')?.textContent ?? ''));
    const text = await textOf(page, 'everything-result');
    await shot(page, 'everything');
    const file = await page.isVisible('#everything-save') ? await saved(page, 'everything-save', 'everything.json') : null;
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
    const recipes = await page.$$eval('#recipe option', (options) => options.map((option) => /** @type {HTMLOptionElement} */ (option).value));
    await page.focus('#frame');
    await page.keyboard.press('Escape');
    await answer(page, () => tap(page, 0.4, 0.5));
    await page.selectOption('#compare', recipes[1]);
    await page.waitForSelector('#compare-result', { timeout: PATIENCE_MS });
    const difference = await textOf(page, 'compare-result');
    await shot(page, 'compare');
    await page.selectOption('#compare', '');
    await page.evaluate(() => (/** @type {HTMLElement} */ (document.querySelector('#status')).textContent = ''));
    await page.selectOption('#recipe', recipes[1]);
    await wait(page, 'the other recipe', () => /^Mask over/.test(document.querySelector('#status')?.textContent ?? ''));
    const other = await saved(page, 'rle', 'recipe.json');
    await page.evaluate(() => (/** @type {HTMLElement} */ (document.querySelector('#status')).textContent = ''));
    await page.selectOption('#recipe', recipes[0]);
    await wait(page, 'the first recipe', () => /^Mask over/.test(document.querySelector('#status')?.textContent ?? ''));
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
    await wait(page, 'fixtures', () => !(/** @type {HTMLButtonElement} */ (document.querySelector('#check')).disabled));
    await page.click('#check');
    await wait(page, 'a verdict', () => !(/** @type {HTMLElement} */ (document.querySelector('#verdict')).hidden));
    const { verdict, stage } = await page.evaluate(() => ({ .../** @type {HTMLElement} */ (document.querySelector('#verdict')).dataset }));
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
