/** The browser as a device: replay, post the dump, show the verdict. */
import { App } from './app.js';
import { describeDevice } from './device.js';
import { button, download, element, part } from './elements.js';
import { answerOf } from './host.js';
import { median } from './words.js';

const ASK_EVERY_MS = 500;

export class CheckCard {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.isRunning = false;
    this.progress = element('check-progress', HTMLProgressElement);
    const { api, fixtures } = app.config;
    this.api = api ? new URL(api, document.baseURI) : null;
    part('check-card').hidden = !fixtures;
    button('check').onclick = () => (this.isRunning ? app.remote.stop() : this.run());
    if (!this.api && fixtures) {
      part('check-text').textContent =
        'Replays recorded prompts here and saves what came out, for compare-dump on the host.';
      button('check').disabled = false;
    }
    if (this.api) this.wait(this.api).catch((error) => this.refused(error));
  }

  /** The host writes its fixtures while the page is opened already. @param {URL} api */
  async wait(api) {
    for (;;) {
      const { state, error } = await answerOf(await fetch(new URL('fixtures', api)));
      if (state === 'failed') throw new Error(error);
      if (state === 'ready') break;
      await pause();
    }
    button('check').disabled = false;
  }

  run() {
    return this.app.run(async () => {
      this.begin();
      try {
        const device = await describeDevice(navigator);
        const { blob, latencies } = await this.app.remote.call('check', this.app.choice, device);
        for (const [step, runs] of Object.entries(latencies)) this.app.speed.add({ [step]: median(runs) });
        if (this.api) await this.judge(this.api, blob);
        else this.save(blob);
      } catch (error) {
        this.refused(error);
      } finally {
        this.end();
      }
    });
  }

  begin() {
    this.isRunning = true;
    button('check').textContent = 'Stop';
    part('verdict').hidden = true;
    this.progress.hidden = false;
    this.progress.value = 0;
    this.app.say('Replaying the fixtures');
    this.app.remote.onProgress = ({ check }) => {
      if (check) this.progress.value = check.done / check.total;
    };
  }

  end() {
    this.isRunning = false;
    button('check').textContent = 'Check this phone';
    this.progress.hidden = true;
    this.app.remote.onProgress = () => {};
  }

  /** @param {URL} api @param {Blob} dump */
  async judge(api, dump) {
    this.app.say('The host judges');
    this.progress.removeAttribute('value');
    const { check } = await answerOf(await fetch(new URL('checks', api), { method: 'POST', body: dump }));
    for (;;) {
      const state = await answerOf(await fetch(new URL(`checks/${check}`, api)));
      if (state.state === 'refused') throw new Error(state.error);
      if (state.state === 'judged') return this.tell(state);
      await pause();
    }
  }

  /**
   * @param {{verdict: string, answer: string, stage: string | null, advice: string | null, report: string}} state
   */
  tell({ verdict, answer, stage, advice, report }) {
    const passed = verdict === 'PASSED';
    const text = passed
      ? 'PASSED: every stage is within its bounds.'
      : [answer, advice].filter(Boolean).join('. ');
    this.show(text, passed ? 'passed' : 'failed');
    part('verdict').dataset.verdict = verdict;
    part('verdict').dataset.stage = stage ?? '';
    this.app.say(`${verdict}. The report is on the host: ${report}`);
  }

  /** @param {Blob} blob */
  save(blob) {
    download(blob, 'dump.zip');
    this.show('dump.zip is saved. On the host: tinysam-mobile compare-dump BUNDLE dump.zip', '');
  }

  /** @param {unknown} error */
  refused(error) {
    this.show(error instanceof Error ? error.message : String(error), 'failed');
    this.app.say('The check did not end');
  }

  /** @param {string} text @param {string} kind */
  show(text, kind) {
    part('verdict').className = `verdict ${kind}`;
    part('verdict').textContent = text;
    part('verdict').hidden = false;
  }
}

/** @returns {Promise<void>} */
function pause() {
  return new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
}
