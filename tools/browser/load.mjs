// How fast pages load a model: from a server on this machine, and once more from what they keep (OPFS). Several builds are measured
// by turns; each line has medians. Chromium runs without DevTools: to a page that is driven by it, it copies every byte that
// comes from the network, and downloads take twice as long.
//   node tools/browser/load.mjs MODEL.gguf [ROUNDS=3] [DIST=dist]...
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { arguments_of_chromium } from './chromium.mjs';
import { serve_hub } from './hub.mjs';
import { serve } from './serve.mjs';

const [model, rounds = '3', ...given] = process.argv.slice(2);
const dists = given.length > 0 ? given : ['dist'];
const n_bytes = statSync(model).size;
const hub = await serve_hub({ it: [model] });

// Runs in the page: loads the model three times, with a new page between, and says what that took.
const SCRIPT = `<script type="module">
  const say = (what) => fetch('./', { method: 'POST', body: JSON.stringify(what) });
  const until = async (holds) => { while (!holds()) await new Promise((again) => setTimeout(again, 50)); };
  try {
    await until(() => window.headstart?.state().status === 'ready');
    await new Promise((calm) => setTimeout(calm, 700));
    await say({ begins: true });
    const begin = performance.now();
    await window.headstart.load_model(await window.headstart.find_model('ranges/it'));
    const all_ms = performance.now() - begin;
    location.hash = 'chat';
    await until(() => document.querySelector('#timings .lanes li'));
    await say({ all_ms, load: document.querySelector('#timings .lanes li').innerText });
    const n = Number(sessionStorage.n ?? 0) + 1;
    sessionStorage.n = n;
    if (n < 3) location.reload();
  } catch (error) {
    await say({ error: String(error) });
  }
</script>`;

/** Processor seconds by kind of process: of those that this one has started, and of this one, which is the server. */
function processor_seconds() {
  const stat = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  const seconds = { gpu: 0, renderer: 0, utility: 0, browser: 0, server: 0 };
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(pid, stat(pid)[1]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const is_ours = (pid) => pid !== undefined && (pid === String(process.pid) || is_ours(parents.get(pid)));
  for (const pid of [...parents.keys()].filter(is_ours)) {
    try {
      const [kind] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').match(/(?<=--type=)(gpu|renderer|utility)/) ?? ['browser'];
      const [user, system] = stat(pid).slice(11, 13).map(Number);
      seconds[pid === String(process.pid) ? 'server' : kind] += (user + system) / 100;
    } catch {
      // As above.
    }
  }
  return seconds;
}

/** Opens a page of `dist` in a browser of its own; `note(way, figures)` hears of each load. */
async function measure(dist, note) {
  const profile = mkdtempSync(path.join(os.tmpdir(), 'headstart-load-'));
  let before;
  let ways = ['web', 'kept', 'kept'];
  const { promise, resolve, reject } = with_resolvers();
  const on_post = (text) => {
    const said = JSON.parse(text);
    if (said.error) return reject(new Error(said.error));
    if (said.begins) return (before = processor_seconds());
    const [, n, unit] = said.load.match(/([\d.]+)\s(ms|s)/);
    const after = processor_seconds();
    const spent = Object.fromEntries(Object.keys(after).map((kind) => [kind, after[kind] - before[kind]]));
    const [way, ...rest] = ways;
    note(way, { rate: n_bytes / (Number(n) * (unit === 's' ? 1000 : 1)) / 1e3, all_ms: said.all_ms, ...spent });
    ways = rest;
    if (rest.length === 0) resolve();
  };
  const server = await serve(dist, { inject: SCRIPT, on_post });
  const url = `${server.url}?hub=${encodeURIComponent(hub.url)}#models`;
  const { executable, args } = arguments_of_chromium();
  const browser = spawn(executable, ['--headless=new', `--user-data-dir=${profile}`, ...args, url], { stdio: 'ignore' });
  const ended = new Promise((resolve) => browser.on('exit', resolve));
  const patience = setTimeout(() => reject(new Error(`${dist}: no answer in 5 minutes`)), 300_000);
  try {
    await promise;
  } finally {
    clearTimeout(patience);
    browser.kill();
    await ended;
    server.close();
    // Its other processes still write for a moment.
    await new Promise((over) => setTimeout(over, 1500));
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

function with_resolvers() {
  let [resolve, reject] = [];
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

const found = new Map();
for (let round = 0; round < Number(rounds); round += 1) {
  for (const dist of dists) {
    await measure(dist, (way, figures) => {
      const of = `${dist}, ${way}`;
      found.set(of, [...(found.get(of) ?? []), figures]);
    });
  }
}
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
for (const [of, runs] of found) {
  const at = (figure, digits) => median(runs.map((run) => run[figure])).toFixed(digits);
  const spent = Object.keys(processor_seconds()).map((kind) => `${kind} ${at(kind, 2)}`);
  const sum = median(runs.map((run) => ['gpu', 'renderer', 'utility', 'browser'].reduce((sum, kind) => sum + run[kind], 0)));
  console.log(`${of}: ${at('rate', 0)} MB/s; with shaders ${at('all_ms', 0)} ms; processor ${sum.toFixed(2)} s: ${spent.join(', ')}`);
}
hub.close();
