// Decode of the embedded model in Chromium against the native program, both on SwiftShader with the same settings, by turns:
//   node tools/browser/against_native.mjs ROUNDS [FOLDER=dist] [PROGRAM=target/release/headstart]
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { open_tab, start_chromium } from './chromium.mjs';
import { serve } from './serve.mjs';
import { ready } from './visitor.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const [rounds, dist = path.join(root, 'dist'), program = path.join(root, 'target/release/headstart')] = process.argv.slice(2);
if (!(Number(rounds) > 0)) {
  console.error('usage: node tools/browser/against_native.mjs ROUNDS [FOLDER] [PROGRAM]');
  process.exit(2);
}
const N = 64;
const REPEATED = 3;

/** Tokens per second of the native program; Chromium always checks the bounds of shaders. */
function natively() {
  const settings = ['-a', 'swiftshader', '--shader-checks', '--tune', 'off', '--no-probe', '--no-check', '-o', 'json'];
  const plan = ['-p', '0', '-n', N, '-r', REPEATED].map(String);
  const output = execFileSync(program, ['bench', ...settings, ...plan], { stdio: ['ignore', 'pipe', 'ignore'] });
  return JSON.parse(output).find(({ n_gen }) => n_gen > 0).tokens_per_s;
}

/** Tokens per second of a page that was just opened. */
async function in_chromium() {
  const server = await serve(path.resolve(dist));
  const browser = await start_chromium();
  try {
    const { tab } = await open_tab(browser, `${server.url}#test`);
    await ready(tab);
    const { tests } = await tab.evaluate((plan) => window.headstart.bench(plan), { p: [], n: N, d: 0, r: REPEATED });
    return tests.find(({ n_gen }) => n_gen > 0).tokens_per_s.median;
  } finally {
    await browser.close();
    server.close();
  }
}

const found = { native: [], Chromium: [] };
for (let round = 0; round < Number(rounds); round += 1) {
  found.native.push(natively());
  found.Chromium.push(await in_chromium());
}
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
for (const [where, values] of Object.entries(found)) {
  const all = values.map((value) => value.toFixed(1)).join(' ');
  console.log(`${where}: ${median(values).toFixed(1)} tokens/s (${all}), ${(median(values) / median(found.native)).toFixed(2)} of native`);
}
