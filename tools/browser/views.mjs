// Checks of the views: each has an address, keyboard and screen; the first writes by itself, tests the GPU, and shares.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { bench_of } from './reports.mjs';
import { go, ready, state, unfold, until, visit } from './visitor.mjs';

const SHORT = { p: 16, n: 8, d: 0, r: 2 };
const VIEWS = ['test', 'compare', 'models', 'chat'];
const shown = (tab) => tab.evaluate(() => [...document.querySelectorAll('main > .view')].filter((view) => !view.hidden).length);

export async function check_views(browser, url, screenshots) {
  await check('opened without an address it writes by itself, shows how fast, and keeps nothing of it', () =>
    visit(browser, url, async (tab) => {
      const { n_tokens, text } = await state(tab);
      assert.ok(n_tokens > 4 && text.length > 10, `${n_tokens} tokens`);
      assert.ok(Number.parseFloat(await tab.locator('.rate .figure strong').innerText()) > 0);
      assert.match(await tab.locator('#gpu-test').innerText(), /toy/);
      assert.deepEqual(await tab.evaluate(() => window.headstart.reports().filter((run) => run.origin === 'measured')), []);
      return `${n_tokens} tokens, ${await tab.locator('.rate .figure').innerText()}`;
    }),
  );

  await check('the button tests, shows one bar with the time left, and can be broken off', () =>
    visit(browser, url, async (tab) => {
      await tab.locator('#test-gpu').click();
      assert.equal(await tab.locator('#test-gpu').innerText(), 'Cancel');
      await tab.locator('#gpu-test .progress', { hasText: /about \d+ (s|min) left/ }).waitFor({ timeout: 60_000 });
      await tab.locator('#test-gpu').click();
      await ready(tab);
      assert.equal(await tab.locator('#test-gpu').innerText(), 'Test this GPU');
    }),
  );

  await check('a test ends in a sentence, and its link opens on that result', () =>
    visit(browser, `${url}#chat`, async (tab) => {
      await go(tab, 'test');
      const report = await tab.evaluate((plan) => window.headstart.test(plan), SHORT);
      assert.equal(report.tests.length, 2);
      assert.ok(report.probes.length >= 5);
      assert.equal(report.check.verdict, 'right');
      const said = await tab.locator('#result').innerText();
      assert.match(said, /SwiftShader|Swiftshader/);
      assert.match(said, /writes [\d.]+ tokens\/s with headstart-v4-11m: (faster|slower) than/);
      assert.match(said, /% of its memory bandwidth \([\d.]+ GB\/s\)/);
      assert.match(said, /checked against the CPU, and are right/);
      await tab.context().grantPermissions(['clipboard-read', 'clipboard-write']);
      await tab.locator('#share').click();
      await tab.getByText('The link is copied').waitFor();
      const link = await tab.evaluate(() => navigator.clipboard.readText());
      assert.ok(link.length <= 600, `${link.length} characters`);
      const downloading = tab.waitForEvent('download');
      await tab.locator('#save-card').click();
      const picture = path.join(screenshots, 'card.png');
      await (await downloading).saveAs(picture);
      const png = readFileSync(picture);
      assert.equal(png.toString('latin1', 1, 4), 'PNG');
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [1200, 630]);
      await go(tab, 'compare');
      assert.match(await tab.locator('#gallery .own').innerText(), /Yours/);
      await visit(browser, link, async (other) => {
        const received = await other.locator('#received').innerText();
        assert.match(received, /Sent to you: test yours/);
        const [claim] = said.match(/writes [\d.]+ tokens\/s/);
        assert.ok(received.includes(claim), `${claim}: ${received}`);
        await other.locator('#received').getByRole('button', { name: 'Test yours' }).click();
        await other.locator('#gpu-test .progress', { hasText: /left/ }).waitFor({ timeout: 60_000 });
        assert.equal(await other.locator('#received').count(), 0);
        assert.equal(await other.evaluate(() => document.activeElement.id), 'test-gpu');
        await other.locator('#test-gpu').click();
        await ready(other);
        // What was done is said over what is behind it, so not for ever.
        assert.match(await other.locator('#told').innerText(), /was cancelled/);
        await until(other, () => document.querySelector('#told').innerText === '');
      });
      return `${link.length} characters: ${said.split('\n')[0]}`;
    }),
  );

  await check('charts are drawn anew where the window gets another width', () =>
    visit(browser, `${url}#compare`, async (tab) => {
      await unfold(tab, '#tables');
      const drawn = () => tab.locator('.charts svg').first().evaluate((svg) => Number(svg.getAttribute('width')));
      const wide = await drawn();
      await tab.setViewportSize({ width: 360, height: 740 });
      await until(tab, () => Number(document.querySelector('.charts svg').getAttribute('width')) < 360);
      const narrow = await drawn();
      await tab.setViewportSize({ width: 1280, height: 900 });
      await until(tab, (wide) => Number(document.querySelector('.charts svg').getAttribute('width')) === wide, wide);
      return `${wide} and ${narrow} px`;
    }),
  );

  await check('the standard test says what whole models would do', () =>
    visit(browser, `${url}#chat`, async (tab) => {
      await go(tab, 'test');
      const plan = { p: 0, n: 2, d: 0, r: 1, standard: 'short' };
      const report = await tab.evaluate((plan) => window.headstart.test(plan), plan);
      assert.deepEqual(report.standard.map((result) => [result.model, result.n_measured_layers, result.n_layers]), [['DeepSeek V4-Flash', 2, 43], ['Llama 8B in Q4_0', 2, 32]]);
      const said = await tab.locator('#result').innerText();
      assert.match(said, /would write [\d.]+ tokens\/s with DeepSeek V4-Flash and [\d.]+ tokens\/s with Llama 8B in Q4_0/);
      assert.match(said, /not checked/, 'the short form has no check, and says so');
      return said.split('\n')[0];
    }),
  );

  await check('by keyboard alone: past the head of the page, and to each view', () =>
    visit(browser, `${url}#chat`, async (tab) => {
      const focused = (read) => tab.evaluate(`(${read})(document.activeElement)`);
      await tab.keyboard.press('Tab');
      assert.match(await focused('(at) => at.innerText'), /Skip/);
      await tab.keyboard.press('Enter');
      assert.equal(await focused('(at) => at.id'), 'main');
      assert.equal(new URL(tab.url()).hash, '#chat', 'the skip link left the view');
      for (const view of VIEWS.toReversed()) {
        const link = tab.locator(`nav a[href="#${view}"]`);
        await tab.keyboard.press('Shift+Tab');
        assert.equal(await focused('(at) => at.getAttribute("href")'), `#${view}`);
        await tab.keyboard.press('Enter');
        await until(tab, (view) => document.querySelector(`nav a[href="#${view}"]`).getAttribute('aria-current') === 'page', view);
        assert.equal(await shown(tab), 1);
        assert.ok((await tab.title()).startsWith(await link.innerText()), await tab.title());
      }
      await tab.goBack();
      await until(tab, () => location.hash === '#compare');
      assert.equal(await shown(tab), 1);
    }),
  );

  await check('a picture is not taken for a model, and the one there goes on', () =>
    visit(browser, `${url}#models`, async (tab) => {
      const picture = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
      await tab.locator('#file').setInputFiles({ name: 'cat.png', mimeType: 'image/png', buffer: picture });
      await tab.getByText('cat.png is a picture. A model is a .gguf file').waitFor();
      assert.equal((await state(tab)).status, 'ready');
    }),
  );

  await check('looks: every view, narrow to wide', () =>
    visit(browser, `${url}#chat`, async (tab) => {
      const card = bench_of(await report_of(tab), 'NVIDIA GeForce RTX 4070', 2100);
      await tab.evaluate((text) => window.headstart.import_reports(text, 'card.json'), JSON.stringify(card));
      await go(tab, 'compare');
      // What was imported opens by itself; how long a view is, is asked before anything is unfolded.
      await tab.locator('.run.open .run-head').click();
      for (const [width, height] of [[360, 800], [768, 900], [1440, 900]]) {
        await tab.setViewportSize({ width, height });
        for (const view of VIEWS) {
          await go(tab, view);
          const at = `${view} of ${width} px`;
          const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wider <= 0, `${at}: ${wider} px wider than the window`);
          const screens = await tab.evaluate(() => document.documentElement.scrollHeight / innerHeight);
          assert.ok(screens <= 3, `${at}: ${screens.toFixed(1)} screens`);
          const small = await tab.evaluate(smallest_type);
          assert.ok(small.px >= 12, `${at}: ${small.px} px: ${small.text}`);
          for (const colorScheme of ['light', 'dark']) {
            await tab.emulateMedia({ colorScheme });
            await tab.screenshot({ path: path.join(screenshots, `view-${view}-${width}-${colorScheme}.png`), fullPage: true });
          }
        }
      }
    }),
  );
}

/** Any report of the page's own, to make others of. */
async function report_of(tab) {
  await tab.evaluate(() => window.headstart.generate({ prompt: 'It was', n: 4, temperature: 0, seed: 0 }));
  return (await state(tab)).report;
}

/** The smallest type on show, in pixels as they are drawn. */
function smallest_type() {
  const texts = [...document.querySelectorAll('body *')].filter((at) => at.checkVisibility() && [...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const sizes = texts.map((at) => ({ px: Number.parseFloat(getComputedStyle(at).fontSize), text: at.textContent.slice(0, 40) }));
  return sizes.reduce((least, one) => (one.px < least.px ? one : least));
}
