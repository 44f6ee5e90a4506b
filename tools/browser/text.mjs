// Checks of the page by itself, and of writing: what it weighs, its shaders, its ids, its controls, damaged files.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { open_tab } from './chromium.mjs';
import { damaged_files } from './damaged.mjs';
import { serve } from './serve.mjs';
import { assert_operable, generate, go, ready, state, take_looks, unfold, until, visit } from './visitor.mjs';

const root = path.resolve(import.meta.dirname, '../..');

export async function check_text(browser, server, dist, greedy, screenshots) {
  const model_file = files_in(dist).find((file) => file.endsWith('.gguf'));
  const on_the_page = (body, options) => visit(browser, `${server.url}#chat`, body, options);

  await check('all wasm together is at most 2 MB gzipped', () => {
    const wasm = files_in(dist).filter((file) => file.endsWith('.wasm'));
    assert.ok(wasm.length > 0, 'no wasm in the build');
    const bytes = wasm.reduce((sum, file) => sum + execFileSync('gzip', ['-9c', file], { maxBuffer: 2 ** 26 }).length, 0);
    assert.ok(bytes <= 2e6, `${bytes} bytes`);
    return `${(bytes / 1e6).toFixed(2)} MB`;
  });

  await check('the program is fetched once for the page and its worker, and the gallery is one file', async () => {
    const wanted = [];
    const counting = await serve(dist, { before: async (path) => wanted.push(path) });
    try {
      await visit(browser, `${counting.url}#compare`, async (tab) => {
        await tab.locator('#gallery li').first().waitFor();
        const of = (ending) => wanted.filter((path) => path.endsWith(ending));
        assert.deepEqual([of('.wasm').length, of('.json')], [1, ['/gallery.json']]);
      });
    } finally {
      counting.close();
    }
  });

  await check('Chromium accepts the text of every kernel in every variant', async () => {
    // tests/kernels.rs leaves them there.
    const folder = path.join(root, 'out/wgsl');
    assert.ok(existsSync(folder), 'no out/wgsl: run `cargo test --test main kernels::composed` first');
    const texts = readdirSync(folder).map((name) => ({ name, text: readFileSync(path.join(folder, name), 'utf8') }));
    assert.ok(texts.length > 50, `${texts.length} texts`);
    const broken = { name: 'broken', text: `${texts[0].text}\nfn broken() { workgroupBarrier() }` };
    const { tab } = await open_tab(browser, server.url);
    const complaints = await tab.evaluate(async (texts) => {
      const adapter = await navigator.gpu.requestAdapter();
      const requiredFeatures = ['subgroups', 'shader-f16'].filter((name) => adapter.features.has(name));
      const device = await adapter.requestDevice({ requiredFeatures });
      const found = [];
      for (const { name, text } of texts) {
        if (text.includes('enable f16;') && !adapter.features.has('shader-f16')) continue;
        device.pushErrorScope('validation');
        const info = await device.createShaderModule({ code: text }).getCompilationInfo();
        await device.popErrorScope();
        const error = info.messages.find((message) => message.type === 'error');
        if (error) found.push(`${name}:${error.lineNum}: ${error.message}`);
      }
      return found;
    }, [...texts, broken]);
    await tab.close();
    assert.match(complaints.pop() ?? '', /^broken/, 'a broken text was accepted');
    assert.deepEqual(complaints, []);
    return `${texts.length} texts`;
  });

  await check('subgroups of the browser are used where they add up right, and not where they do not', async () => {
    const of_page = (options) =>
      on_the_page(async (tab) => {
        const { ids } = await generate(tab, { prompt: greedy.prompt, n: 8, temperature: 0, seed: 0 });
        assert.deepEqual(ids, greedy.ids.slice(0, 8));
        const { subgroups, identity } = (await state(tab)).adapter;
        return [subgroups, identity.find(({ what }) => what === 'Subgroups').wgpu];
      }, options);
    // A compiler that leaves out the adding, in the worker, which is the page's only place with a GPU.
    const wrong = `const { createShaderModule } = GPUDevice.prototype;
      GPUDevice.prototype.createShaderModule = function (plan) {
        return createShaderModule.call(this, { ...plan, code: plan.code.replaceAll('subgroupAdd(value)', 'value') });
      };\n`;
    const before = (tab) =>
      tab.route('**/worker.js', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: wrong + (await response.text()) });
      });
    assert.deepEqual(await of_page(), [true, 'yes']);
    assert.deepEqual(await of_page({ before }), [false, 'no']);
  });

  await check('a prompt can be typed while the model still loads', async () => {
    let open_gate;
    const gate = new Promise((resolve) => (open_gate = resolve));
    const slow = await serve(dist, { before: (wanted) => wanted.endsWith('.gguf') && gate });
    const start = performance.now();
    const { tab, problems } = await open_tab(browser, `${slow.url}#chat`);
    try {
      await tab.locator('#prompt').fill('');
      await tab.locator('#prompt').pressSequentially('It was');
      const seconds = (performance.now() - start) / 1000;
      assert.equal(await tab.locator('#prompt').inputValue(), 'It was');
      assert.equal((await state(tab)).status, 'loading');
      open_gate();
      await ready(tab);
      assert.equal(await tab.locator('#prompt').inputValue(), 'It was');
      assert.deepEqual(problems, []);
      const loaded = (performance.now() - start) / 1000;
      return `typed ${seconds.toFixed(2)} s after opening, model ready after ${loaded.toFixed(2)} s`;
    } finally {
      open_gate();
      await tab.close();
      slow.close();
    }
  });

  await check('one flipped token would be noticed', () => {
    const flipped = greedy.ids.with(-1, greedy.ids.at(-1) + 1);
    assert.throws(() => assert_same_ids(greedy, flipped), /is .*, expected/);
    assert.throws(() => assert_same_ids(greedy, greedy.ids.slice(1)));
    assert.throws(() => assert_same_ids(greedy, [...greedy.ids, 0]));
  });

  await check('64 greedy tokens are those of the native program', () =>
    on_the_page(async (tab) => {
      const { ids, text } = await generate(tab, { prompt: greedy.prompt, n: greedy.ids.length, temperature: 0, seed: 0 });
      assert.ok(text.length > 0);
      assert_same_ids(greedy, ids);
      const { tokens_per_s, first_token_ms } = await state(tab);
      return `${Number(tokens_per_s).toFixed(1)} tokens/s, first token after ${Number(first_token_ms).toFixed(0)} ms`;
    }),
  );

  await check('one pass over prompt and continuation agrees with writing it token by token', () =>
    on_the_page(async (tab) => {
      const ids = [...greedy.prompt_ids, ...greedy.ids];
      const { top } = await tab.evaluate((ids) => window.headstart.eval({ ids }), ids);
      assert.equal(top.length, ids.length);
      const n_same = greedy.ids.filter((id, index) => id === top[greedy.prompt_ids.length - 1 + index]).length;
      assert.ok(n_same >= greedy.ids.length - 1, `${n_same} of ${greedy.ids.length} the same`);
      return `${n_same} of ${greedy.ids.length} the same`;
    }),
  );

  await check('by its controls: type, generate, read, see timings', () =>
    on_the_page(async (tab) => {
      await tab.locator('#prompt').fill(greedy.prompt);
      await tab.locator('#generate').click();
      // What is drawn may end before.
      await until(tab, () => {
        const { n_tokens, status } = window.headstart.state();
        return n_tokens >= 16 || status === 'error' || (n_tokens > 0 && status === 'ready');
      });
      if (await tab.locator('#stop').isVisible()) await tab.locator('#stop').click();
      await ready(tab);
      const shown = await tab.locator('#output').innerText();
      const { text } = await state(tab);
      assert.ok(text.trim().length > 0, 'no text');
      const plain = (text) => text.replace(/\s+/g, ' ').trim();
      assert.ok(plain(shown).includes(plain(text)), `shown: ${shown}\ntext: ${text}`);
      assert.match(await tab.locator('#timings').innerText(), /\d/);
      assert.match(await tab.locator('#adapter').innerText(), /\w/);
    }),
  );

  await check('it stops in the middle, and goes on when asked again', () =>
    on_the_page(async (tab) => {
      const long = generate(tab, { prompt: greedy.prompt, n: 400, temperature: 0, seed: 0 });
      await until(tab, () => window.headstart.state().n_tokens >= 4);
      await tab.locator('#stop').click();
      const { ids, stopped } = await long;
      assert.equal(stopped, true);
      assert.ok(ids.length >= 4 && ids.length < 400, `${ids.length} tokens`);
      const again = await generate(tab, { prompt: greedy.prompt, n: 8, temperature: 0, seed: 0 });
      assert.deepEqual(again.ids, greedy.ids.slice(0, 8));
      return `after ${ids.length} of 400 tokens`;
    }),
  );

  await check('the page answers while it generates', () =>
    on_the_page(async (tab) => {
      await tab.evaluate(() => {
        const seen = (window.seen = { gaps: [], frames: 0, clicks: [] });
        let last = performance.now();
        setInterval(() => {
          const now = performance.now();
          seen.gaps.push(now - last);
          last = now;
        }, 10);
        const frame = () => requestAnimationFrame(frame, (seen.frames += 1));
        requestAnimationFrame(frame);
        addEventListener('pointerdown', (event) => seen.clicks.push(performance.now() - event.timeStamp), true);
      });
      const running = generate(tab, { prompt: greedy.prompt, n: 400, temperature: 0, seed: 0 });
      await until(tab, () => window.headstart.state().n_tokens >= 4);
      await tab.evaluate(() => (window.seen.gaps.length = window.seen.frames = 0));
      await tab.mouse.click(5, 5);
      await tab.waitForTimeout(1000);
      const { gaps, frames, clicks } = await tab.evaluate(() => window.seen);
      assert.equal((await state(tab)).status, 'generating', 'it was over too soon to show anything');
      await tab.evaluate(() => window.headstart.stop());
      await running;
      const longest = Math.max(...gaps);
      assert.ok(gaps.length >= 10 && frames >= 3, `${gaps.length} timer ticks, ${frames} frames`);
      assert.ok(longest < 1000, `the main thread was away for ${longest.toFixed(0)} ms`);
      assert.equal(clicks.length, 1);
      return `longest gap ${longest.toFixed(0)} ms in ${gaps.length} ticks, click handled in ${clicks[0].toFixed(0)} ms`;
    }),
  );

  await check('after a damaged file it says what is wrong, and goes on', () =>
    on_the_page(async (tab) => {
      const messages = [];
      for (const { name, bytes } of damaged_files(readFileSync(model_file))) {
        await tab.locator('#file').setInputFiles({ name, mimeType: 'application/octet-stream', buffer: bytes });
        await until(tab, (name) => window.headstart.state().message?.includes(name), name);
        await ready(tab);
        const { message } = await state(tab);
        assert.ok((await tab.locator('body').innerText()).includes(name), `not shown: ${message}`);
        const { ids } = await generate(tab, { prompt: greedy.prompt, n: 8, temperature: 0, seed: 0 });
        assert.deepEqual(ids, greedy.ids.slice(0, 8), name);
        messages.push(message);
      }
      return messages.join(' | ');
    }),
  );

  await check('a picked GGUF loads and writes the same', () =>
    on_the_page(async (tab) => {
      await tab.locator('#file').setInputFiles(model_file);
      await until(tab, () => window.headstart.state().status === 'loading');
      await ready(tab);
      const { ids } = await generate(tab, { prompt: greedy.prompt, n: 8, temperature: 0, seed: 0 });
      assert.deepEqual(ids, greedy.ids.slice(0, 8));
    }),
  );

  await check('every control has a name, and the keyboard reaches it', () =>
    on_the_page(async (tab) => {
      const views = { test: ['test-gpu', 'bench', 'probe', 'verify', 'tune'], compare: ['import'], models: ['file', 'look-up'], chat: ['prompt', 'generate'] };
      for (const [view, ids] of Object.entries(views)) {
        await go(tab, view);
        if (view === 'test') await unfold(tab, '#single');
        if (view === 'models') await unfold(tab, '#more-models');
        await assert_operable(tab, ids);
      }
      await tab.locator('#generate').focus();
      await tab.keyboard.press('Enter');
      await until(tab, () => window.headstart.state().n_tokens >= 2);
      await tab.locator('#stop').focus();
      await tab.keyboard.press('Enter');
      await ready(tab);
      const live = await tab.locator('#status').evaluate((at) => at.closest('[role=status],[role=alert],[aria-live]') !== null);
      assert.ok(live, '#status is not announced');
    }),
  );

  await check('looks: writing', () =>
    on_the_page(async (tab) => {
      await generate(tab, { prompt: greedy.prompt, n: 64, temperature: 0, seed: 0 });
      return take_looks(tab, path.join(screenshots, 'writing'));
    }),
  );
}

/** Complains where `ids` are not those of the fixture `greedy`. */
export function assert_same_ids(greedy, ids) {
  const differs = greedy.ids.findIndex((id, index) => id !== ids[index]);
  const where = `token ${differs} is ${ids[differs]}, expected ${greedy.ids[differs]}`;
  assert.ok(differs < 0 && ids.length === greedy.ids.length, differs < 0 ? `${ids.length} tokens` : where);
}

function files_in(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}
