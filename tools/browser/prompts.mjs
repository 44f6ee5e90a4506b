// Checks of what the page keeps of a conversation between visits: used again, refused where it is damaged or foreign, and
// gone with its model.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { open_tab } from './chromium.mjs';
import { run_in_firefox } from './firefox.mjs';
import { serve_hub } from './hub.mjs';
import { go, ready, state, until, visit } from './visitor.mjs';

const SHORT = { n: 12, temperature: 0, seed: 0, thinking: false };
const LONG = `What did he say? ${'The prince looked at her and was silent. '.repeat(20)}`;
const chat = (tab, request) => tab.evaluate((request) => window.headstart.chat(request), { ...SHORT, ...request });
const kept = (tab) => until(tab, () => window.headstart.models().prompts > 0);
const reload = async (tab) => {
  await tab.reload({ waitUntil: 'commit' });
  await ready(tab);
};

/** Runs `work(file)` on what is kept of the only model, in the page, once it is there; `file` has bytes() and set(bytes). */
const on_the_file = (tab, work) =>
  tab.evaluate(async (work) => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('prompts');
    let names;
    do {
      await new Promise((resolve) => setTimeout(resolve, 50));
      names = await Array.fromAsync(folder.keys());
    } while (names.length !== 1 || names[0].endsWith('.new'));
    const handle = await folder.getFileHandle(names[0]);
    const bytes = async () => new Uint8Array(await (await handle.getFile()).arrayBuffer());
    const set = async (bytes) => {
      const writable = await handle.createWritable();
      await writable.write(bytes);
      await writable.close();
    };
    return (0, eval)(`(${work})`)({ bytes, set });
  }, work.toString());

/** Waits until a whole file is kept and, for a second, none is written. Of two tabs, one may count what the other has half written. */
const at_rest = (tab) =>
  tab.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('prompts');
    for (let quiet = 0; quiet < 10; ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const names = await Array.fromAsync(folder.keys());
      quiet = names.length === 1 && !names[0].endsWith('.new') ? quiet + 1 : 0;
    }
  });

/** Waits long enough for something to be kept, and demands that nothing is. */
async function none_is_kept(tab) {
  await tab.waitForTimeout(1000);
  assert.ok((await tab.evaluate(() => window.headstart.models())).prompts === 0, 'something is kept');
}

export async function check_prompts(browser, url, dist, screenshots) {
  const models = path.join(dist, 'models');
  const embedded = path.join(models, readdirSync(models).find((name) => name.endsWith('.gguf')));
  const on_the_page = (body, options) => visit(browser, `${url}#chat`, body, options);

  await check('after a reload a conversation goes on from what the browser kept, and says the same', () =>
    on_the_page(async (tab) => {
      const first = await chat(tab, { text: LONG });
      assert.equal(first.n_known, 0);
      await kept(tab);
      await reload(tab);
      const messages = [{ role: 'user', content: LONG }, { role: 'assistant', content: first.answer }];
      await tab.evaluate((json) => window.headstart.recall(json), JSON.stringify(messages));
      const second = await chat(tab, { text: 'And then?' });
      assert.ok(second.n_known >= first.n_prompt, `${second.n_known} of ${second.n_prompt} tokens known`);
      await tab.locator('#to-chat').click();
      assert.equal(await tab.locator('#known-tokens').innerText(), `${second.n_known} of the prompt's ${second.n_prompt} tokens came from the cache.`);
      // From nothing it is the same.
      await tab.evaluate(() => window.headstart.generate({ prompt: 'It was', n: 4, temperature: 0, seed: 0 }));
      const again = await chat(tab, {});
      assert.ok(again.n_known <= 1, `${again.n_known} tokens known`);
      assert.deepEqual(again.ids, second.ids);
      await go(tab, 'models');
      await tab.locator('#remove-prompts').waitFor();
      await tab.locator('#choose').screenshot({ path: path.join(screenshots, 'prompts.png') });
      // What is being written just now is not deleted: on a busy machine the last answer still is.
      const prompts = () => tab.evaluate(() => window.headstart.models().prompts);
      for (let tries = 0; tries < 60 && (await prompts()) > 0; tries += 1) {
        await tab.locator('#remove-prompts').evaluate((button) => button.click());
        await tab.waitForTimeout(500);
      }
      assert.equal(await prompts(), 0);
      return `${second.n_known} of ${second.n_prompt} tokens were known`;
    }),
  );

  await check('a kept conversation that is damaged, cut or foreign is dropped with a word, and computed again', () =>
    on_the_page(async (tab) => {
      const { ids } = await chat(tab, { text: LONG });
      const harms = {
        'damaged': async ({ bytes, set }) => { const all = await bytes(); all[all.length - 100] ^= 1; await set(all); },
        'another model\'s': async ({ bytes, set }) => { const all = await bytes(); all[12] ^= 1; await set(all); },
        'cut off': async ({ bytes, set }) => set((await bytes()).slice(0, -50)),
        'version 77': async ({ bytes, set }) => { const all = await bytes(); all[8] = 77; await set(all); },
        'another kind of file': async ({ set }) => set(new Uint8Array(0x2000)),
      };
      const said = [];
      for (const [what, harm] of Object.entries(harms)) {
        await on_the_file(tab, harm);
        await reload(tab);
        const again = await chat(tab, { text: LONG });
        assert.deepEqual([again.n_known, again.ids], [0, ids], what);
        const { message } = await state(tab);
        assert.match(message, new RegExp(`not used.*prompt cache: .*${what}`), what);
        said.push(message);
      }
      return said[0];
    }),
  );

  await check('two tabs with one store answer both, and leave a whole file', async () => {
    const context = await browser.newContext();
    try {
      const opened = await Promise.all([1, 2].map(() => open_tab(context, `${url}#chat`)));
      const pair = opened.map(({ tab }) => tab);
      await Promise.all(pair.map(ready));
      for (let round = 0; round < 3; round += 1) {
        const [a, b] = await Promise.all(pair.map((tab) => chat(tab, { text: LONG, clear: true })));
        assert.deepEqual(a.ids, b.ids);
      }
      await at_rest(pair[0]);
      await Promise.all(pair.map(reload));
      const both = await Promise.all(pair.map((tab) => chat(tab, { text: LONG })));
      const n_known = both.map((answered) => answered.n_known);
      assert.ok(Math.max(...n_known) > 100, `${n_known} tokens known`);
      for (const tab of pair) assert.doesNotMatch((await state(tab)).message, /not used/);
      assert.deepEqual(opened.flatMap(({ problems }) => problems), []);
      return `${n_known.join(' and ')} tokens known after a reload of both`;
    } finally {
      await context.close();
    }
  });

  await check('what is kept of a conversation goes with it; and what is too large for the room that there is, is not kept', () =>
    on_the_page(async (tab) => {
      await chat(tab, { text: 'Why?' });
      await kept(tab);
      const { prompts } = await tab.evaluate(() => window.headstart.models());
      await tab.locator('#to-chat').click();
      await tab.locator('#clear').click();
      await until(tab, () => window.headstart.models().prompts === 0);
      await tab.workers()[0].evaluate((quota) => { navigator.storage.estimate = async () => ({ usage: 0, quota }); }, prompts * 9);
      await chat(tab, { text: 'Why?' });
      const { n_known } = await chat(tab, { text: 'And then?' });
      assert.ok(n_known > 0);
      await none_is_kept(tab);
    }),
  );

  await check('where conversations take more than their share of the room, the oldest go first, and no other', () =>
    on_the_page(async (tab) => {
      await chat(tab, { text: 'Why?' });
      await kept(tab);
      const { prompts } = await tab.evaluate(() => window.headstart.models());
      // What other models left: each far larger than what is written here.
      await tab.evaluate(async (bytes) => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('prompts');
        for (const name of ['older', 'newer']) {
          const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
          await writable.write(new Uint8Array(bytes));
          await writable.close();
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }, 10 * prompts);
      const names = () =>
        tab.evaluate(async () => {
          const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('prompts');
          return (await Array.fromAsync(folder.keys())).sort();
        });
      assert.equal((await names()).length, 3);
      // A tenth of the room is for conversations: it holds one of the two, and five times what is written here.
      await tab.workers()[0].evaluate((quota) => { navigator.storage.estimate = async () => ({ usage: 0, quota }); }, 150 * prompts);
      const { n_known } = await chat(tab, { text: 'And then?' });
      assert.ok(n_known > 0);
      let left = await names();
      while (left.includes('older') || left.some((name) => name.endsWith('.new'))) {
        await tab.waitForTimeout(100);
        left = await names();
      }
      assert.equal(left.length, 2, `${left}`);
      assert.ok(left.includes('newer'), `${left}`);
    }),
  );

  await check('what is kept of a conversation goes with its model', async () => {
    const hub = await serve_hub({ v4: [embedded] });
    try {
      await visit(browser, `${url}?hub=${encodeURIComponent(hub.url)}#chat`, async (tab) => {
        const plan = await tab.evaluate(() => window.headstart.find_model('ranges/v4'));
        await tab.evaluate((plan) => window.headstart.load_model(plan), plan);
        await chat(tab, { text: 'Why?' });
        await kept(tab);
        const row = await tab.evaluate(() => window.headstart.models().rows[0]);
        await tab.evaluate((id) => window.headstart.remove_model(id), row.id);
        await none_is_kept(tab);
        // It still answers, and nothing more is kept of it.
        await chat(tab, { text: 'And then?' });
        await none_is_kept(tab);
      });
    } finally {
      hub.close();
    }
  });

  await check(
    'Firefox keeps a conversation too, and goes on from it when the model is loaded again',
    async () => {
      const visit = `async () => {
        while (window.headstart?.state().status !== 'ready') await new Promise((resolve) => setTimeout(resolve, 100));
        const page = window.headstart;
        const bytes = await (await fetch('models/${path.basename(embedded)}')).arrayBuffer();
        const load = () => page.load_file(new File([bytes], 'again.gguf'));
        const chat = () => page.chat(${JSON.stringify({ ...SHORT, n: 4, text: LONG })});
        await load();
        const first = await chat();
        while (!(page.models().prompts > 0)) await new Promise((resolve) => setTimeout(resolve, 100));
        await load();
        const second = await chat();
        return { known: [first.n_known, second.n_known], ids: [first.ids, second.ids] };
      }`;
      const { known, ids } = await run_in_firefox(dist, visit, { timeout_ms: 280_000 });
      assert.ok(known[0] === 0 && known[1] > 100, `${known} tokens known`);
      assert.deepEqual(ids[0], ids[1]);
      return `${known[1]} tokens known`;
    },
    { timeout_ms: 300_000 },
  );
}
