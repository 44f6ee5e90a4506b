// Measures the page in Chromium and in Firefox and writes their reports: `node tools/browser/timings.mjs FOLDER`, after
// `cargo page`. Run it on a machine that does nothing else.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { start_chromium } from './chromium.mjs';
import { run_in_firefox } from './firefox.mjs';
import { serve } from './serve.mjs';
import { visit } from './visitor.mjs';

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../dist');
const plan = { p: 128, n: 64, d: [0, 512], r: 3 };
const folder = process.argv[2];
if (!folder) throw new Error('usage: node tools/browser/timings.mjs FOLDER');
mkdirSync(folder, { recursive: true });

const server = await serve(dist, { under: '/' });
const browser = await start_chromium();
await visit(browser, `${server.url}#chat`, async (tab) => {
  save('chromium-swiftshader', await tab.evaluate((plan) => window.headstart.bench(plan), plan));
});
await browser.close();
server.close();

const in_firefox = `async () => {
  while (window.headstart?.state().status !== 'ready') await new Promise((resolve) => setTimeout(resolve, 100));
  return window.headstart.bench(${JSON.stringify(plan)});
}`;
save('firefox-lavapipe', await run_in_firefox(dist, in_firefox, { timeout_ms: 580_000 }));

function save(name, report) {
  const file = path.join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(report, null, 2) + '\n');
  const rates = report.tests.map(({ n_prompt, n_gen, depth, tokens_per_s }) =>
    `${n_prompt ? `pp${n_prompt}` : `tg${n_gen}`} @ d${depth}: ${tokens_per_s.median.toFixed(1)} tokens/s`);
  console.log(`${file}: ${rates.join(', ')}; ${report.check?.verdict ?? 'not checked'}`);
}
