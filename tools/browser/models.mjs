// Checks of models from the web and from disk: found on a hub, streamed while they are loaded, kept, resumed, deleted; and
// whatever a server, a disk or a browser may do to that.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check } from './check.mjs';
import { run_in_firefox } from './firefox.mjs';
import { serve_hub } from './hub.mjs';
import { write_large_model } from './large.mjs';
import { serve } from './serve.mjs';
import { generate, go, ready, state, unfold, until, visit } from './visitor.mjs';

const families = path.resolve(import.meta.dirname, '../../tests/fixtures/families');
// Families loaded from safetensors: grouped-query attention, latent attention, the gated delta rule, short convolutions.
const STORED = ['qwen3', 'deepseek_v2_lite', 'qwen3_5', 'lfm2'];
const shelf = (tab) => tab.evaluate(() => window.headstart.models());
const find = (tab, words) => tab.evaluate((words) => window.headstart.find_model(words), words);
/** Resolves to the message where it fails. */
const attempt = (tab, what, plan) =>
  tab.evaluate(([what, plan]) => window.headstart[what](plan).then(() => null, (error) => error.message), [what, plan]);
const row_of = async (tab, plan) => (await shelf(tab)).rows.find((row) => row.plan.title === plan.title);
const NETWORK = /^(request|console|4\d\d)/;

/** What transformers write after the ids of a family's fixture, by its own file. */
function expected(name) {
  const file = readFileSync(path.join(families, name, 'expected.safetensors'));
  const n_header = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + n_header));
  const ints = (key) => {
    const [begin, end] = header[key].data_offsets;
    return Array.from({ length: (end - begin) / 4 }, (_, index) => file.readInt32LE(8 + n_header + begin + index * 4));
  };
  return { ids: ints('ids'), greedy: ints('greedy') };
}

/** The greedy ids that the model on the page would write after `ids`, if it was given those before each. */
const greedy_after = (ids, greedy) => `(async () => {
  const { top } = await window.headstart.eval({ ids: ${JSON.stringify([...ids, ...greedy])} });
  return Array.from(top).slice(${ids.length - 1}, -1);
})()`;

/** A tokenizer.json of bytes alone, behind characters that are composed (NFC). */
function composing() {
  const is_itself = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !is_itself(byte));
  const spelled = (byte) => String.fromCodePoint(is_itself(byte) ? byte : 256 + others.indexOf(byte));
  return {
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    model: { type: 'BPE', vocab: Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [spelled(byte), byte])), merges: [] },
  };
}

export async function check_models(browser, url, dist, greedy, screenshots) {
  const embedded = path.join(dist, 'models', readdirSync(path.join(dist, 'models')).find((name) => name.endsWith('.gguf')));
  const of = (family, ...names) => names.map((name) => path.join(families, family, name));
  const hub = await serve_hub({
    v4: [embedded],
    llama: of('llama', 'model.gguf'),
    ...Object.fromEntries(STORED.map((name) => [name, of(name, 'model.safetensors', 'config.json')])),
  });
  const at_hub = `${url}?hub=${encodeURIComponent(hub.url)}#models`;
  const on_the_page = (body, options) => visit(browser, at_hub, body, options);
  const total = readFileSync(embedded).length;
  const writes_the_same = async (tab) => {
    const { ids } = await generate(tab, { prompt: greedy.prompt, n: 16, temperature: 0, seed: 0 });
    assert.deepEqual(ids, greedy.ids.slice(0, 16));
  };

  await check('a model of the hub is loaded while it is downloaded, kept, loaded again without the hub, and deleted', async () =>
    on_the_page(async (tab) => {
      const plan = await find(tab, 'ranges/v4');
      assert.deepEqual(plan.files.map((file) => [file.bytes, file.sha256?.length]), [[total, 64]]);
      hub.requests.length = 0;
      const card = await tab.evaluate((plan) => window.headstart.load_model(plan), plan);
      assert.equal(card.bytes, total);
      await writes_the_same(tab);
      const ranges = hub.requests.map((request) => request.range);
      assert.ok(ranges.length > 3 && new Set(ranges).size === ranges.length, `${ranges}`);
      assert.ok(hub.requests.every(({ headers }) => !headers['if-range'] && !headers.referer && !headers.cookie));
      await tab.reload();
      await ready(tab);
      await until(tab, () => window.headstart.models().rows.length === 1);
      const { rows: [row], used } = await shelf(tab);
      assert.deepEqual([row.stage, row.done, row.plan.title], ['kept', total, plan.title]);
      assert.ok(used >= total, `${used} bytes used`);
      hub.requests.length = 0;
      await tab.locator('li.kept-row').getByRole('button', { name: 'Load' }).click();
      await until(tab, () => window.headstart.state().status === 'loading');
      await ready(tab);
      await writes_the_same(tab);
      assert.equal(hub.requests.length, 0);
      await tab.locator('li.kept-row').getByRole('button', { name: 'Delete' }).click();
      await until(tab, () => window.headstart.models().rows.length === 0);
      return `${ranges.length} requests`;
    }),
  );

  await check('servers without ranges, with hidden headers and with redirects will do', () =>
    on_the_page(async (tab) => {
      for (const manner of ['no-ranges', 'hidden', 'redirect']) {
        const plan = await find(tab, `${manner}/v4`);
        assert.equal(await attempt(tab, 'load_model', plan), null, manner);
        await writes_the_same(tab);
        assert.equal((await row_of(tab, plan)).stage, 'kept', manner);
        await tab.evaluate((id) => window.headstart.remove_model(id), (await row_of(tab, plan)).id);
      }
    }),
  );

  await check('of a file that cannot be had it says what is wrong, keeps nothing, and goes on', () =>
    on_the_page(
      async (tab) => {
        const messages = [];
        for (const [manner, says] of [['wrong-length', /bytes.*expected|expected.*bytes/], ['wrong-hash', /SHA-256.*deleted/s], ['missing', /404/], ['no-cors', /CORS/]]) {
          const plan = await find(tab, `${manner}/v4`);
          const message = await attempt(tab, 'load_model', plan);
          assert.match(message ?? 'it was loaded', says, manner);
          const row = await row_of(tab, plan);
          assert.deepEqual([row?.done ?? 0, Object.keys(row?.stage ?? { interrupted: 1 })], [0, ['interrupted']], manner);
          // The row may say it too, but where nothing has arrived there soon is none.
          await tab.locator('.notice', { hasText: message }).waitFor({ timeout: 10_000 });
          await ready(tab);
          await writes_the_same(tab);
          if (row) await tab.evaluate((id) => window.headstart.remove_model(id), row.id);
          messages.push(message);
        }
        return messages.join(' | ');
      },
      { expected: NETWORK },
    ),
  );

  await check('a cut connection is mended where it may, and resumed by hand where not, with what had arrived', () =>
    on_the_page(
      async (tab) => {
        const plan = await find(tab, 'cut/v4');
        // Each answer brings a little more.
        hub.settings.cut_after = 300_000;
        hub.requests.length = 0;
        assert.equal(await attempt(tab, 'get_model', plan), null);
        const n_mended = hub.requests.length;
        await tab.evaluate((id) => window.headstart.remove_model(id), (await row_of(tab, plan)).id);
        hub.settings.cut_after = Infinity;
        const slow = await find(tab, 'slow/v4');
        hub.settings.bytes_per_s = 1e6;
        const getting = attempt(tab, 'get_model', slow);
        getting.catch(() => {}); // a check that fails meanwhile closes the tab; that is no second failure
        await until(tab, () => window.headstart.models().rows.some((row) => row.done > 3e6 && row.per_s > 0));
        assert.match(await tab.locator('li.kept-row').innerText(), /MB of 7\.\d+ MB, .*\/s, \d+ s left/);
        await tab.locator('li.kept-row').getByRole('button', { name: 'Stop' }).click();
        assert.match(await getting, /stopped/);
        await tab.reload();
        await ready(tab);
        await until(tab, () => window.headstart.models().rows.length === 1);
        const { done } = await row_of(tab, slow);
        assert.ok(done >= 1 << 20 && done < total, `${done} bytes`);
        hub.settings.bytes_per_s = 1e8;
        hub.requests.length = 0;
        await tab.locator('li.kept-row').getByRole('button', { name: 'Resume' }).click();
        await until(tab, () => window.headstart.models().rows[0].stage === 'kept');
        const again = hub.requests.map(({ range }) => range.match(/\d+/g).map(Number)).reduce((sum, [from, to]) => sum + to + 1 - from, 0);
        assert.equal(again, total - done);
        await tab.evaluate((id) => window.headstart.remove_model(id), (await row_of(tab, slow)).id);
        return `${n_mended} requests for what was cut; ${again} of ${total} bytes after the stop`;
      },
      { expected: NETWORK },
    ),
  );

  await check('a full disk is said before and in the midst of a download', () =>
    on_the_page(
      async (tab) => {
        const devtools = await tab.context().newCDPSession(tab);
        const quota = (quotaSize) => devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(url).origin, quotaSize });
        const plan = await find(tab, 'slow/v4');
        const huge = { title: 'huge', files: [{ ...plan.files[0], bytes: 2 ** 41 }] };
        assert.match(await attempt(tab, 'get_model', huge), /2199023 MB are missing.*has room/);
        hub.settings.bytes_per_s = 1e6;
        const getting = attempt(tab, 'get_model', plan);
        await until(tab, () => window.headstart.models().rows.some((row) => row.done > 3e6));
        await quota(1000);
        const message = await getting;
        assert.match(message, /no room/);
        await quota(undefined);
        hub.settings.bytes_per_s = 1e8;
        assert.equal(await attempt(tab, 'get_model', plan), null);
        await tab.evaluate((id) => window.headstart.remove_model(id), (await row_of(tab, plan)).id);
        return message;
      },
      { expected: NETWORK },
    ),
  );

  await check('where the browser keeps no files, a model is loaded all the same, and that is said', async () => {
    const server = await serve(dist, { alter: without_files });
    try {
      await visit(browser, `${server.url}?hub=${encodeURIComponent(hub.url)}#models`, async (tab) => {
        const plan = await find(tab, 'ranges/v4');
        await tab.evaluate((plan) => window.headstart.load_model(plan), plan);
        await writes_the_same(tab);
        assert.match(await tab.locator('#kept-sum').innerText(), /keeps no files/);
        assert.match((await attempt(tab, 'get_model', plan)) ?? 'it was kept', /keeps no files/);
      });
    } finally {
      server.close();
    }
  });

  await check('by its controls: look up, load, see it kept; what is known to run has its sizes', () =>
    on_the_page(async (tab) => {
      await unfold(tab, '#more-models');
      await tab.locator('#model-words').fill('ranges/v4');
      await tab.locator('#look-up').click();
      await tab.locator('.offer', { hasText: 'SHA-256' }).waitFor();
      await tab.locator('#offer-load').click();
      // What was asked for is opened once it is there.
      await tab.waitForURL(/#chat$/);
      await ready(tab);
      await go(tab, 'models');
      await tab.locator('li.kept-row', { hasText: '7.' }).waitFor();
      await until(tab, () => window.headstart.models().rows[0]?.stage === 'kept');
      await tab.locator('#model-words').fill('../nothing');
      await tab.locator('#look-up').click();
      await tab.locator('#choose .trouble .said').waitFor();
      await tab.locator('#known summary').click();
      const distill = tab.locator('#known tr', { hasText: 'R1-Distill-Qwen-1.5B' });
      const before = await distill.innerText();
      assert.match(before, /1\.1\d GB.*4096 tokens/s);
      await tab.locator('#context').selectOption('16384');
      assert.match(await distill.innerText(), /16384 tokens/);
      const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `${wider} px wider than the window`);
      await tab.locator('#choose').screenshot({ path: path.join(screenshots, 'models.png') });
    }),
  );

  await check('one click on a card looks up, loads while it downloads, and opens what can be done with it', async () => {
    // The card's own repository, as this hub has it.
    const own = await serve_hub({ 'DeepSeek-R1-Distill-Qwen-1.5B-GGUF': of('llama', 'model.gguf') }, { named: 'model-Q4_K_M.gguf' });
    try {
      await visit(browser, `${url}?hub=${encodeURIComponent(own.url)}#models`, async (tab) => {
        const card = tab.locator('.model-card', { hasText: 'R1-Distill-Qwen-1.5B' });
        assert.match(await card.innerText(), /1\.1\d GB to download.*of memory/s);
        await card.getByRole('button').click();
        await tab.waitForURL(/#chat$/);
        await ready(tab);
        assert.equal((await state(tab)).model.file, 'model-Q4_K_M.gguf');
      });
    } finally {
      own.close();
    }
  });

  await check('without a hub that answers, a card says so in a sentence, and folds the details', () =>
    visit(
      browser,
      `${url}?hub=${encodeURIComponent('http://127.0.0.1:9')}#models`,
      async (tab) => {
        await tab.getByRole('button', { name: 'Run Qwen3-0.6B' }).click();
        await tab.getByText('The server did not answer. Are you online?').waitFor();
        assert.equal(await tab.locator('#choose .trouble .said').isVisible(), false);
      },
      { expected: NETWORK },
    ),
  );

  await check('a file of 300 MB takes little of the engine\'s own memory, from disk and from the web', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'headstart-large-'));
    const file = path.join(folder, 'large.gguf');
    const bytes = write_large_model(file);
    assert.ok(bytes >= 300e6, `${bytes} bytes`);
    const server = await serve(dist, { alter: that_tells_its_memory });
    const large = await serve_hub({ large: [file] });
    try {
      return await visit(browser, `${server.url}?hub=${encodeURIComponent(large.url)}#models`, async (tab) => {
        const before = await wasm_bytes(tab);
        const took = async () => {
          assert.equal((await state(tab)).model?.file, 'large.gguf', (await state(tab)).message);
          const beyond = (await wasm_bytes(tab)) - before;
          assert.ok(beyond < 64 << 20, `${beyond >> 20} MiB`);
          const { load, probes } = await tab.evaluate(() => window.headstart.probe());
          const { value } = probes.find((probe) => probe.kind === 'upload');
          const share = bytes / load.upload_ms / 1e6 / value.median;
          return `${(beyond / 2 ** 20).toFixed(0)} MiB, ${share.toFixed(2)} of the adapter's upload rate`;
        };
        await tab.locator('#file').setInputFiles(file);
        await until(tab, () => window.headstart.state().status === 'loading');
        await ready(tab);
        const from_disk = await took();
        const plan = await find(tab, 'ranges/large');
        await tab.evaluate((plan) => window.headstart.load_model(plan), plan);
        return `from disk ${from_disk}; from the web ${await took()}`;
      });
    } finally {
      server.close();
      large.close();
      rmSync(folder, { recursive: true });
    }
  }, { timeout_ms: 240_000 });

  const of_families = ['llama', ...STORED].map((name) => ({ name, ...expected(name) }));
  await check('one model of each family from the hub, and one from disk, write what transformers do', () =>
    on_the_page(async (tab) => {
      for (const { name, ids, greedy } of of_families) {
        const plan = await find(tab, `ranges/${name}`);
        await tab.evaluate((plan) => window.headstart.load_model(plan), plan);
        assert.deepEqual(await tab.evaluate(greedy_after(ids, greedy)), greedy, name);
      }
      await tab.locator('#file').setInputFiles(of('qwen3', 'config.json', 'model.safetensors'));
      await until(tab, () => window.headstart.state().status === 'loading');
      await ready(tab);
      assert.equal((await state(tab)).model.file, 'model.safetensors');
      const { ids, greedy } = of_families.find(({ name }) => name === 'qwen3');
      assert.deepEqual(await tab.evaluate(greedy_after(ids, greedy)), greedy);
      // A tokenizer that composes characters: the browser has Unicode's tables, and the program none.
      const kept = mkdtempSync(path.join(os.tmpdir(), 'composed-'));
      try {
        const tokenizer = path.join(kept, 'tokenizer.json');
        writeFileSync(tokenizer, JSON.stringify(composing()));
        const recommended = path.join(kept, 'generation_config.json');
        writeFileSync(recommended, JSON.stringify({ do_sample: true, temperature: 0.3, top_k: 7 }));
        await tab.locator('#file').setInputFiles([...of('qwen3', 'config.json', 'model.safetensors'), tokenizer, recommended]);
        await until(tab, () => window.headstart.state().status === 'loading');
        await ready(tab);
        const written = async (prompt) => (await generate(tab, { prompt, n: 6, temperature: 0, seed: 0 })).ids;
        const composed = await written('\u00e9');
        assert.deepEqual(await written('e\u0301'), composed);
        assert.notDeepEqual(await written('e\u0302'), composed);
        // Nobody has changed the sampling: it is as the files recommend.
        await go(tab, 'chat');
        assert.match(await tab.locator('details.fields:has(#temperature) summary').innerText(), /temperature 0.3, top-k 7, .*recommend/);
        assert.equal(await tab.locator('#temperature').inputValue(), '0.3');
      } finally {
        rmSync(kept, { recursive: true });
      }
      return of_families.map(({ name }) => name).join(', ');
    }),
  );

  await check(
    'Firefox downloads, keeps and loads them, and writes the same',
    async () => {
      const visit = `async () => {
        while (window.headstart?.state().status !== 'ready') await new Promise((resolve) => setTimeout(resolve, 100));
        const page = window.headstart;
        const written = {};
        for (const { name, ids, greedy } of ${JSON.stringify(of_families)}) {
          await page.load_model(await page.find_model('ranges/' + name));
          const { top } = await page.eval({ ids: [...ids, ...greedy] });
          written[name] = Array.from(top).slice(ids.length - 1, -1);
        }
        const plan = await page.find_model('ranges/v4');
        await page.get_model(plan);
        await page.load_model(plan);
        const { ids } = await page.generate({ prompt: ${JSON.stringify(greedy.prompt)}, n: 16, temperature: 0, seed: 0 });
        return { written, ids: Array.from(ids), kept: page.models().rows.map((row) => row.stage) };
      }`;
      hub.requests.length = 0;
      const options = { timeout_ms: 280_000, search: `?hub=${encodeURIComponent(hub.url)}` };
      const { written, ids, kept } = await run_in_firefox(dist, visit, options);
      assert.deepEqual(written, Object.fromEntries(of_families.map(({ name, greedy }) => [name, greedy])));
      assert.deepEqual(ids, greedy.ids.slice(0, 16));
      assert.deepEqual(kept, Array(of_families.length + 1).fill('kept'));
      return `${hub.requests.length} requests`;
    },
    { timeout_ms: 300_000 },
  );
  hub.close();
}

/** The worker's script, preceded by a browser that keeps no files. */
function without_files(wanted, text) {
  const refuse = `navigator.storage.getDirectory = () => Promise.reject(new DOMException('Not in this window.', 'SecurityError'));\n`;
  const late = (_, module) => `${refuse}const { default: init } = await import(${module});`;
  return wanted.endsWith('/worker.js') && text.replace(/import init from ("[^"]*");/, late);
}

/** The worker's script, which also answers how large its memory is: wasm's never shrinks, so that this is the peak. */
function that_tells_its_memory(wanted, text) {
  const start = 'await init({ module_or_path: await program });';
  const tell = `const wasm = ${start}
    // Not of the thread that hashes, which has a name.
    const line = self.name ? {} : new BroadcastChannel('memory');
    line.onmessage = ({ data }) => data === 'how much?' && line.postMessage(wasm.memory.buffer.byteLength);`;
  return wanted.endsWith('/worker.js') && text.replace(start, tell);
}

const wasm_bytes = (tab) =>
  tab.evaluate(
    () =>
      new Promise((resolve) => {
        const line = new BroadcastChannel('memory');
        line.onmessage = ({ data }) => resolve(data);
        line.postMessage('how much?');
      }),
  );
