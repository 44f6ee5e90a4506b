// Checks of what a GPU may do to a page: no memory for two models, or for one; a GPU process that crashes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { generate, ready, state, until, visit } from './visitor.mjs';

const llama = readFileSync(path.resolve(import.meta.dirname, '../../tests/fixtures/families/llama/model.gguf')).toString('base64');

/** Resolves to null once the model of the fixture is loaded, or to the message why it is not. */
const load_llama = (tab) =>
  tab.evaluate(
    async (text) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const loaded = window.headstart.load_file(new File([bytes], 'llama.gguf'));
      return loaded.then(() => null, (error) => error.message);
    },
    llama,
  );

/** From now on the worker's GPU has memory for `room` bytes more than it holds; what is destroyed is free again. */
const limit_memory = (tab, room) =>
  tab.workers()[0].evaluate((room) => {
    const { createBuffer } = GPUDevice.prototype;
    const { destroy } = GPUBuffer.prototype;
    GPUDevice.prototype.createBuffer = function (plan) {
      // More than any device gives is refused by the browser itself, in its own words.
      const fits = plan.size <= room;
      if (fits) room -= plan.size;
      return createBuffer.call(this, fits ? plan : { ...plan, size: 2 ** 50 });
    };
    GPUBuffer.prototype.destroy = function () {
      room += this.size;
      return destroy.call(this);
    };
  }, room);

async function kill_gpu_process(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const gpu = processInfo.find(({ type }) => type === 'GPU');
  assert.ok(gpu, `no GPU process among ${JSON.stringify(processInfo)}`);
  process.kill(gpu.id, 'SIGKILL');
}

export async function check_trouble(browser, url, greedy) {
  const on_the_page = (body, options) => visit(browser, `${url}#chat`, body, options);
  const writes_the_same = async (tab) => {
    const { ids } = await generate(tab, { prompt: greedy.prompt, n: 8, temperature: 0, seed: 0 });
    assert.deepEqual(ids, greedy.ids.slice(0, 8));
  };

  await check('where there is no memory for two models, the one before makes way', () =>
    on_the_page(
      async (tab) => {
        await limit_memory(tab, 1 << 20);
        assert.equal(await load_llama(tab), null);
        assert.equal((await state(tab)).model.name, 'llama');
      },
      { expected: /console/ },
    ),
  );

  await check('where there is no memory for the new one at all, the one before comes back', () =>
    on_the_page(
      async (tab) => {
        // No buffer at all for the new one, twice; then room for the one before.
        await tab.workers()[0].evaluate(() => {
          const { requestDevice } = GPUAdapter.prototype;
          const { createBuffer } = GPUDevice.prototype;
          let n_devices = 0;
          GPUAdapter.prototype.requestDevice = function (plan) {
            n_devices += 1;
            return requestDevice.call(this, plan);
          };
          GPUDevice.prototype.createBuffer = function (plan) {
            return createBuffer.call(this, n_devices > 2 ? plan : { ...plan, size: 2 ** 50 });
          };
        });
        const message = await load_llama(tab);
        assert.match(message, /adapter/);
        await ready(tab);
        await writes_the_same(tab);
      },
      { expected: /console/ },
    ),
  );

  await check('where neither the new one nor the one before can be had, the page does not say that it is ready', () =>
    on_the_page(
      async (tab) => {
        await tab.workers()[0].evaluate(() => {
          const { createBuffer } = GPUDevice.prototype;
          GPUDevice.prototype.createBuffer = function (plan) {
            return createBuffer.call(this, { ...plan, size: 2 ** 50 });
          };
        });
        assert.match(await load_llama(tab), /adapter/);
        // Nothing works now, and nothing more can be loaded here: the page must not say that it is ready.
        assert.equal((await state(tab)).status, 'error');
        assert.match(await load_llama(tab), /adapter/);
        const { status, model } = await state(tab);
        assert.deepEqual([status, model ?? null], ['error', null]);
        // A new worker, whose GPU is whole.
        await tab.reload();
        await ready(tab);
        await writes_the_same(tab);
      },
      { expected: /console/ },
    ),
  );

  await check('a GPU that is lost is reported, and the page loads a model again', () =>
    on_the_page(
      async (tab) => {
        const answer = generate(tab, { prompt: greedy.prompt, n: 400, temperature: 0, seed: 0 });
        await until(tab, () => window.headstart.state().n_tokens >= 3);
        await kill_gpu_process(browser);
        const message = await answer.then(() => null, (error) => error.message);
        assert.match(message ?? '', /lost|adapter/i);
        await until(tab, () => window.headstart.state().status === 'error');
        // The browser starts its GPU process again; until then there is no adapter.
        let failure = 'not tried';
        for (let tries = 0; failure && tries < 20; tries += 1) {
          failure = await load_llama(tab);
          if (failure) await tab.waitForTimeout(500);
        }
        assert.equal(failure, null);
        await ready(tab);
        return message.slice(0, 80);
      },
      { expected: /console/ },
    ),
  );
}
