// Works in one tab for a long time: loads a small model, reads, loads the page's own, writes, stops in the midst, writes
// again, and now and then loses the device. Fails where memory grows, or the text is not the one before.
//   node tools/browser/soak.mjs MINUTES [FOLDER=dist]
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { open_tab, start_chromium } from './chromium.mjs';
import { serve } from './serve.mjs';
import { generate, ready, state, until } from './visitor.mjs';

// Rounds in which allocators and their caches of shaders grow to what they need.
const N_WARM = 6;
const LOSES_EACH = 5;
// What may be held more than after these. A model that is not given back has several times that, over the rounds.
const MOST_GROWTH_MB = { wasm: 1, renderer: 48, GPU: 48 };

const [minutes, folder] = [Number(process.argv[2]), process.argv[3]];
if (!(minutes > 0)) {
  console.error('usage: node tools/browser/soak.mjs MINUTES [FOLDER=dist]');
  process.exit(2);
}
const root = path.resolve(import.meta.dirname, '../..');
const dist = path.resolve(folder ?? path.join(root, 'dist'));
const small = readFileSync(path.join(root, 'tests/fixtures/families/llama/model.gguf'));
const own_name = existsSync(dist) && readdirSync(path.join(dist, 'models')).find((name) => name.endsWith('.gguf'));
if (!own_name) throw new Error(`no page in ${dist}: build it by \`cargo page\``);
const own = readFileSync(path.join(dist, 'models', own_name));

// The worker keeps its program's memory and its last device within reach.
const within_reach = (text) =>
  text.replace(
    'await init(',
    `const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (plan) {
      return (self.device = await requestDevice.call(this, plan));
    };
    self.program = await init(`,
  );

/** Loads a file's bytes as a person's; null, or why not. */
const load = (tab, name, bytes) =>
  tab.evaluate(
    async ([name, text]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      return window.headstart.load_file(new File([bytes], name)).then(() => null, (error) => error.message);
    },
    [name, bytes.toString('base64')],
  );

/** Megabytes: of the program, and resident of the browser's processes. */
async function megabytes(browser, tab) {
  await tab.requestGC();
  const wasm = await tab.workers()[0].evaluate(() => self.program.memory.buffer.byteLength);
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const resident = (type) =>
    processInfo
      .filter((one) => one.type === type)
      .map(({ id }) => Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1] ?? 0) / 1024)
      .reduce((sum, of) => sum + of, 0);
  return { wasm: wasm / 2 ** 20, renderer: resident('renderer'), GPU: resident('GPU') };
}

const write = (tab, n = 24) => generate(tab, { prompt: 'It was late, and the prince', n, temperature: 0, seed: 0 });

async function stop_midway(tab) {
  const answer = write(tab, 400);
  await until(tab, () => window.headstart.state().n_tokens >= 3 || window.headstart.state().status === 'ready');
  await tab.evaluate(() => window.headstart.stop());
  await answer;
}

async function lose_device(tab) {
  const answer = write(tab, 400).then(() => null, (error) => error.message);
  await tab.workers()[0].evaluate(() => self.device.destroy());
  const message = await answer;
  assert.match(message ?? '', /lost|adapter/i, 'a text came to its end on a device that was lost');
}

const server = await serve(dist, { alter: (wanted, text) => wanted.endsWith('/worker.js') && within_reach(text) });
const browser = await start_chromium();
const { tab } = await open_tab(browser, `${server.url}#chat`);
let [n, n_lost, warm, told, text, tops] = [0, 0, null, 0, null, null];
const recent = [];
try {
  await ready(tab);
  const end = Date.now() + minutes * 60_000;
  while (Date.now() < end || !warm) {
    assert.equal(await load(tab, 'small.gguf', small), null);
    const { top } = await tab.evaluate(() => window.headstart.eval({ ids: [1, 2, 3, 4, 5, 6, 7, 8] }));
    assert.deepEqual(Array.from(top), (tops ??= Array.from(top)), `round ${n}`);
    assert.equal(await load(tab, own_name, own), null);
    await write(tab);
    if (n % LOSES_EACH === 1) {
      await lose_device(tab);
      n_lost += 1;
      assert.equal(await load(tab, own_name, own), null);
    }
    await stop_midway(tab);
    const { ids } = await write(tab);
    text ??= ids;
    assert.deepEqual(ids, text, `round ${n}`);
    n += 1;
    const now = await megabytes(browser, tab);
    if (n === N_WARM) warm = now;
    if (n === N_WARM || Date.now() - told > 20_000) {
      console.log(`round ${n}: ${Object.entries(now).map(([of, mb]) => `${of} ${mb.toFixed(1)} MB`).join(', ')}`);
      told = Date.now();
    }
    // For a while after a device is lost, much of it lies there beside the new one: what leaks is more in every round.
    recent.push(now);
    if (recent.length > 10) recent.shift();
    for (const [of, most] of Object.entries(MOST_GROWTH_MB)) {
      const least = Math.min(...recent.map((round) => round[of]));
      const allowed = warm ? warm[of] * 1.1 + most : Infinity;
      assert.ok(least <= allowed, `round ${n}: ${of} ${least.toFixed(1)} MB at least in ten rounds, at most ${allowed.toFixed(1)} expected`);
    }
  }
  assert.ok(n_lost > 0);
  console.log(`${n} rounds, ${n_lost} lost devices`);
} catch (error) {
  error.message += `\nstate: ${JSON.stringify(await state(tab).catch(() => null))?.slice(0, 500)}`;
  throw error;
} finally {
  await browser.close();
  server.close();
}
