// The page's tests, on a built dist/ under a sub-path:  node tools/browser/test.mjs [FOLDER=dist]
// Every check opens the page as a visitor would, and uses its controls, or `window.headstart` where ids are compared.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { check_chat } from './chat.mjs';
import { check, finish } from './check.mjs';
import { open_tab, start_chromium } from './chromium.mjs';
import { run_in_firefox } from './firefox.mjs';
import { check_measure } from './measure.mjs';
import { check_models } from './models.mjs';
import { check_prompts } from './prompts.mjs';
import { check_trouble } from './trouble.mjs';
import { check_runs } from './runs.mjs';
import { assert_same_ids, check_text } from './text.mjs';
import { check_views } from './views.mjs';
import { serve } from './serve.mjs';
import { ready, until } from './visitor.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const dist = path.resolve(process.argv[2] ?? path.join(root, 'dist'));
const under = '/some/path/';
// What the native program writes: a prompt, its ids, and those of its greedy continuation.
const greedy = JSON.parse(readFileSync(path.join(root, 'tests/fixtures/greedy.json'), 'utf8'));
const screenshots = path.join(root, 'out/screenshots');
mkdirSync(screenshots, { recursive: true });

// Two browsers side by side, of which neither keeps two cores busy by itself. Each takes what comes next; the longest come first,
// so both end at about the same time.
const groups = [
  (browser, server) => check_measure(browser, server.url, screenshots),
  (browser, server) => check_runs(browser, server.url, screenshots),
  (browser, server) => check_models(browser, server.url, dist, greedy, screenshots),
  (browser, server) => check_prompts(browser, server.url, dist, screenshots),
  (browser, server) => check_text(browser, server, dist, greedy, screenshots),
  (browser, server) => check_views(browser, server.url, screenshots),
  (browser, server) => check_chat(browser, server.url, dist, screenshots),
  () => check_firefox(),
  (browser, server) => check_trouble(browser, server.url, greedy),
  (_, server) => check_no_webgpu(server),
];
await Promise.all([1, 2].map(() => in_chromium(async (browser, server) => {
  for (let group = groups.shift(); group; group = groups.shift()) await group(browser, server);
})));
finish();

/** Runs `checks(browser, server)` with a Chromium and a server of their own. */
async function in_chromium(checks) {
  const server = await serve(dist, { under });
  const browser = await start_chromium();
  try {
    await checks(browser, server);
  } finally {
    await browser.close();
    server.close();
  }
}

/** A browser that has the API and no adapter. */
async function check_no_webgpu(server) {
  await check('without WebGPU it says why, and what to do, and writes on the CPU', async () => {
    const plain = await start_chromium({ webgpu: false });
    try {
      const { tab } = await open_tab(plain, server.url);
      await ready(tab);
      const message = await tab.locator('.notice').innerText();
      assert.match(message, /No GPU found: running on the CPU/);
      assert.match(message, /WebGPU/);
      assert.equal(await tab.locator('#test-gpu').innerText(), 'Test this CPU');
      await tab.locator('.notice summary').click();
      assert.match(await tab.locator('.notice').innerText(), /chrome:\/\/gpu/);
      await until(tab, () => window.headstart.state().n_tokens > 4);
      await tab.screenshot({ path: path.join(screenshots, 'no-webgpu.png'), fullPage: true });
      return message.split('\n')[0];
    } finally {
      await plain.close();
    }
  });
}

/** Of the two browsers the other one, on Mesa's driver. */
function check_firefox() {
  return check(
    'Firefox writes the same 64 tokens, and its numbers are right',
    async () => {
      const { ids, adapter, verified, seconds } = await run_in_firefox(dist, visit_in_firefox(greedy), { timeout_ms: 580_000 });
      assert_same_ids(greedy, ids);
      assert.equal(verified.verdict, 'right', verified.summary);
      return `${JSON.stringify(adapter)?.slice(0, 120)}; ready, wrote and checked after ${seconds} s`;
    },
    { timeout_ms: 600_000 },
  );
}

function visit_in_firefox({ prompt, ids }) {
  return `async () => {
    const seconds = [];
    const note = () => seconds.push(Math.round(performance.now() / 1000));
    for (;;) {
      const { status, message } = window.headstart?.state() ?? {};
      if (status === 'ready') break;
      if (status === 'error' || status === 'no-webgpu') throw new Error(status + ': ' + message);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    note();
    const request = { prompt: ${JSON.stringify(prompt)}, n: ${ids.length}, temperature: 0, seed: 0 };
    const { ids } = await window.headstart.generate(request);
    note();
    // Of verify's thousands of results each takes this browser a tenth of a second to hand over; a bench's check has few.
    const { check: verified } = await window.headstart.bench({ p: 16, n: 4, d: 0, r: 1 });
    note();
    return { ids: Array.from(ids), verified, seconds, adapter: window.headstart.state().adapter };
  }`;
}
