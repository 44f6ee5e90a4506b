// Checks of what the page keeps, takes in and gives out: storage, files, links, and what is wrong with them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { MALFORMED, bench_of, hostile_report, pack } from './reports.mjs';
import { generate, go, ready, take_looks, unfold, until, visit } from './visitor.mjs';

const runs = (tab) => tab.evaluate(() => window.headstart.reports().filter((run) => run.origin !== 'published'));
const own_report = (tab) => tab.evaluate(() => window.headstart.state().report);
const write_text = (tab) => generate(tab, { prompt: 'It was', n: 4, temperature: 0, seed: 0 });
const stored = (tab, n) => until(tab, (n) => window.headstart.reports().filter((run) => run.stored).length === n, n);
const import_reports = (tab, name, value) =>
  tab.locator('#import').setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)) });
const head = (tab, name) => tab.locator('.run-head', { hasText: name });
const action = (tab, name) => tab.locator('.run.open .run-body').getByRole('button', { name, exact: true });

export async function check_runs(browser, url, screenshots) {
  const on_the_page = (body, options) => visit(browser, `${url}#compare`, body, options);
  let base;

  await check('a run is kept, renamed, and still there after the page is loaded again', () =>
    on_the_page(async (tab) => {
      await write_text(tab);
      base = await own_report(tab);
      await stored(tab, 1);
      await head(tab, 'Text').click();
      await action(tab, 'Rename').click();
      await tab.keyboard.type('  my   first <b>run</b> ');
      await tab.keyboard.press('Enter');
      await stored(tab, 1);
      await tab.reload();
      await ready(tab);
      const [run, ...others] = await runs(tab);
      assert.equal(run.name, 'my first <b>run</b>');
      assert.deepEqual(run.report, base);
      assert.deepEqual(others, []);
      assert.ok((await tab.locator('#runs').innerText()).includes(run.name));
    }),
  );

  await check('a deleted run can be brought back, and stays away otherwise', () =>
    on_the_page(async (tab) => {
      await write_text(tab);
      await stored(tab, 1);
      await head(tab, 'Text').click();
      await action(tab, 'Delete').click();
      assert.deepEqual(await runs(tab), []);
      await tab.locator('#undelete').click();
      await stored(tab, 1);
      await action(tab, 'Delete').click();
      // Deleting is over when it is over in storage; the page does not show that moment.
      await until(tab, in_storage, 0);
      await tab.reload();
      await ready(tab);
      assert.deepEqual(await runs(tab), []);
    }),
  );

  await check('what is exported can be imported, once', () =>
    on_the_page(async (tab) => {
      await import_reports(tab, 'two.json', [bench_of(base, 'Adapter A', 100), bench_of(base, 'Adapter B', 50)]);
      await stored(tab, 2);
      const before = await runs(tab);
      assert.deepEqual(before.map((run) => run.origin), [{ imported: 'two.json' }, { imported: 'two.json' }]);
      const all = await downloaded(tab, tab.locator('#export-all'));
      assert.deepEqual(JSON.parse(all.text), before.map((run) => run.report));
      await head(tab, 'Adapter A').click();
      const one = await downloaded(tab, action(tab, 'Save as JSON'));
      assert.deepEqual(JSON.parse(one.text), before.find((run) => run.adapter.startsWith('Adapter A')).report);
      assert.match(one.name, /^headstart-bench-adapter-a-[a-z0-9-]*\.json$/);
      await import_reports(tab, 'again.json', all.text);
      await tab.getByText('All that again.json holds is here already.').waitFor();
      assert.equal((await runs(tab)).length, 2);
    }),
  );

  await check('a dropped report is compared, a dropped GGUF is loaded', () =>
    on_the_page(async (tab) => {
      await drop(tab, 'dropped.json', JSON.stringify(bench_of(base, 'Adapter D', 77)));
      await stored(tab, 1);
      assert.ok((await tab.locator('#gallery').innerText()).includes('Adapter D'));
      await unfold(tab, '#tables');
      await tab.locator('#comparison table', { hasText: 'Adapter D' }).waitFor();
      await drop(tab, 'dropped.gguf', 'no model');
      await until(tab, () => window.headstart.state().message.includes('dropped.gguf'));
    }),
  );

  await check('a link carries a report to another visitor, who may keep it', () =>
    on_the_page(async (tab) => {
      await import_reports(tab, 'a.json', bench_of(base, 'Adapter A', 100));
      await stored(tab, 1);
      const [{ report }] = await runs(tab);
      const link = await tab.evaluate(() => window.headstart.share_link(window.headstart.reports()[0].id));
      const sent = [];
      const remark = await visit(browser, link, async (other) => {
        const [received] = await runs(other);
        assert.equal(received.origin, 'received');
        assert.equal(received.stored, false);
        assert.deepEqual(figures_of(received.report), figures_of(report));
        const shown = await other.locator('body').innerText();
        assert.match(shown, /received by a link, not measured here/);
        assert.match(shown, /Sent to you: test yours\s+Adapter A writes 100 tokens\/s/);
        await other.reload();
        await ready(other);
        assert.equal((await runs(other)).length, 1, 'received twice');
        await go(other, 'compare');
        await unfold(other, '#tables');
        await other.locator('#comparison table', { hasText: 'Adapter A' }).waitFor();
        await other.goBack();
        await other.locator('#received').getByRole('button', { name: 'Keep it here' }).click();
        await stored(other, 1);
        assert.equal(new URL(other.url()).hash, '');
        await other.reload();
        await ready(other);
        const [kept] = await runs(other);
        assert.deepEqual(kept.report, received.report);
        assert.equal(kept.origin, 'received');
        assert.ok(link.length <= 600, `${link.length} characters`);
        return `${link.length} characters`;
      }, { before: (other) => other.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`)) });
      assert.ok(sent.length > 0 && sent.every((request) => !request.includes('report=')), 'the report was sent');
      return remark;
    }),
  );

  await check('the button copies that link, and without a clipboard shows it', () =>
    on_the_page(async (tab) => {
      await write_text(tab);
      await stored(tab, 1);
      await head(tab, 'Text').click();
      assert.equal(await action(tab, 'Copy link').count(), 0, 'a text has no figures to share');
      await import_reports(tab, 'a.json', bench_of(base, 'Adapter A', 100));
      await stored(tab, 2);
      await tab.context().grantPermissions(['clipboard-read', 'clipboard-write']);
      await action(tab, 'Copy link').click();
      await tab.getByText('The link is copied').waitFor();
      const link = await tab.evaluate(() => window.headstart.share_link(window.headstart.reports()[0].id));
      assert.equal(await tab.evaluate(() => navigator.clipboard.readText()), link);
      await tab.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
      await action(tab, 'Copy link').click();
      assert.equal(await tab.locator('#by-hand').inputValue(), link);
    }),
  );

  await check('texts that are no reports are refused with a reason, and cost nothing', () =>
    on_the_page(async (tab) => {
      await write_text(tab);
      await stored(tab, 1);
      for (const [name, text, says] of MALFORMED) {
        await import_reports(tab, name, text);
        const said = tab.locator('.troubles .said', { hasText: name });
        await said.waitFor();
        assert.match(await said.innerText(), says);
      }
      assert.equal((await runs(tab)).length, 1);
      for (const name of MALFORMED.keys()) await tab.locator('.troubles').getByRole('button', { name: 'Close' }).first().click();
      assert.equal(await tab.locator('.troubles .said').count(), 0);
    }),
  );

  await check('a hostile report is shown as text, everywhere', () =>
    on_the_page(async (tab) => {
      await import_reports(tab, '<img src=x onerror=hacked=1>.json', [hostile_report(base), bench_of(base, 'Adapter A', 100)]);
      await stored(tab, 2);
      await head(tab, 'onerror').click();
      for (const summary of await tab.locator('.run.open details > summary').all()) await summary.click();
      await harmless(tab);
      assert.ok((await tab.locator('.run.open').innerText()).includes('<img src=x'), 'not shown as text');
      await tab.screenshot({ path: path.join(screenshots, 'hostile.png'), fullPage: true });
    }),
  );

  await check('hostile links are refused with a reason, and the page goes on', async () => {
    const bomb = pack(`[${'0,'.repeat(20_000_000)}0]`);
    const links = [
      ['1.!!!', /base64/],
      ['', /begins with/],
      ['9.abcd', /begins with/],
      ['2.abcd', /unpack/],
      [`2.${pack({ ...base }).slice(2)}`, /no report/],
      [pack('no json').slice(0, -3), /unpack|JSON|base64/],
      [pack([base, base]), /one measured report/],
      [pack({ ...base, schema: 3 }), /version 3/],
      [bomb, /\d/],
    ];
    // One opens the page; the others are put in its address bar, one after the other.
    await visit(browser, `${url}#report=${links[0][0]}`, async (tab) => {
      for (const [index, [fragment, says]] of links.entries()) {
        await tab.evaluate((fragment) => { location.hash = `report=${fragment}`; }, fragment);
        const said = tab.locator('.troubles .said').nth(index);
        await said.waitFor();
        assert.match(await said.innerText(), says);
        assert.deepEqual(await runs(tab), []);
      }
      await write_text(tab);
      await stored(tab, 1);
    });
    await visit(browser, `${url}#report=${pack(hostile_report(base))}`, async (tab) => {
      assert.equal((await runs(tab)).length, 1);
      assert.ok((await tab.locator('#received').innerText()).includes('<img src=x'), 'not shown as text');
      await harmless(tab);
      await go(tab, 'compare');
      for (const summary of await tab.locator('.run.open details > summary').all()) await summary.click();
      await harmless(tab);
    });
    return `${links.length} links, one of which unpacks from ${bomb.length} characters to 40 MB`;
  }, { timeout_ms: 300_000 });

  const blocked = {
    'is missing': () => Object.defineProperty(window, 'indexedDB', { value: undefined }),
    'throws': () => Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('The operation is insecure.', 'SecurityError'); } }),
    'does not open': () => (IDBFactory.prototype.open = () => { throw new DOMException('A mutation was not allowed.', 'InvalidStateError'); }),
  };
  for (const [how, block] of Object.entries(blocked)) {
    await check(`where storage ${how}, the page says so and goes on from memory`, () =>
      on_the_page(
        async (tab) => {
          await tab.locator('#storage-trouble').waitFor();
          await write_text(tab);
          assert.equal((await runs(tab)).length, 1);
          assert.match(await tab.locator('#storage-trouble').innerText(), /keeps nothing.*in this tab only/s);
          const { text } = await downloaded(tab, tab.locator('#export-all'));
          assert.equal(JSON.parse(text).length, 1);
          await head(tab, 'Text').click();
          await action(tab, 'Delete').click();
          await tab.locator('#undelete').click();
          assert.equal((await runs(tab)).length, 1);
        },
        { before: (tab) => tab.addInitScript(block) },
      ),
    );
  }

  await check('where storage is full, nothing is lost, and trying again keeps it', () =>
    on_the_page(async (tab) => {
      await tab.evaluate(() => {
        const { put } = IDBObjectStore.prototype;
        window.make_room = () => (IDBObjectStore.prototype.put = put);
        IDBObjectStore.prototype.put = () => { throw new DOMException('The quota is used up.', 'QuotaExceededError'); };
      });
      await write_text(tab);
      const trouble = tab.locator('#storage-trouble');
      await trouble.waitFor();
      assert.match(await trouble.innerText(), /no room.*in this tab only/s);
      const [run] = await runs(tab);
      assert.equal(run.stored, false);
      await tab.evaluate(() => window.make_room());
      await trouble.getByRole('button', { name: 'Try again' }).click();
      await stored(tab, 1);
      await trouble.waitFor({ state: 'detached' });
    }),
  );

  await check('the timings that lie beside the page are compared, and are nobody\'s own', () =>
    on_the_page(
      async (tab) => {
        await until(tab, () => window.headstart.reports().length === 1);
        await unfold(tab, '#tables');
        await tab.locator('#comparison table', { hasText: 'Adapter P' }).waitFor();
        await unfold(tab, '#published');
        await head(tab, 'Adapter P').click();
        assert.match(await tab.locator('.run.open').innerText(), /came with the page, not measured here/);
        assert.equal(await action(tab, 'Delete').count(), 0);
        assert.equal(await tab.evaluate(() => window.headstart.export_reports()), '[]');
      },
      { before: (tab) => publish(tab, { 'adapter-p': bench_of(base, 'Adapter P', 120) }) },
    ),
  );

  await check('a browser with two adapters offers both', () =>
    on_the_page(
      async (tab) => {
        await go(tab, 'test');
        assert.match(await tab.locator('.choice').innerText(), /low power/i);
        await tab.locator('#low-power').click();
        await until(tab, () => window.headstart.state().adapter.power === 'low-power' && window.headstart.state().status === 'ready');
        assert.match(await tab.locator('#adapter .name').innerText(), /frugal/i);
        await write_text(tab);
        assert.match((await runs(tab))[0].adapter, /frugal/i);
        await tab.locator('#high-performance').click();
        await until(tab, () => window.headstart.state().adapter.power === 'high-performance' && window.headstart.state().status === 'ready');
      },
      { before: (tab) => tab.route('**/worker.js', with_two_adapters) },
    ),
  );

  await check('with one adapter there is nothing to choose', () =>
    on_the_page(async (tab) => assert.equal(await tab.locator('.choice').count(), 0)),
  );

  await check('looks: runs and comparison', () =>
    on_the_page(async (tab) => {
      await write_text(tab);
      const others = [bench_of(base, 'NVIDIA GeForce RTX 4070', 2100), bench_of(base, 'Intel Iris Xe', 410)];
      await import_reports(tab, 'others.json', others);
      await stored(tab, 3);
      await head(tab, 'GeForce').click();
      return take_looks(tab, path.join(screenshots, 'runs'));
    }),
  );
}

/** What a link carries of a report. */
function figures_of({ adapter, platform, tests, check, model }) {
  const tested = tests.map(({ n_prompt, n_gen, depth, tokens_per_s, ms_per_token, share }) => [n_prompt, n_gen, depth, tokens_per_s.median, ms_per_token, share]);
  return { name: adapter.name, backend: adapter.backend, os: platform.os, model: model.name, tested, verdict: check.verdict };
}

/** Demands that nothing of a report became an element, an attribute that runs, or a script that ran. */
async function harmless(tab) {
  const found = await tab.evaluate(() => ({
    hacked: window.hacked,
    images: document.querySelectorAll('img').length,
    scripts: document.querySelectorAll('#app script').length,
    handlers: [...document.querySelectorAll('#app *')].filter((at) => at.getAttributeNames().some((name) => name.startsWith('on'))).length,
  }));
  assert.deepEqual(found, { hacked: undefined, images: 0, scripts: 0, handlers: 0 });
}

/** Clicks, and gives the file that comes of it. */
async function downloaded(tab, button) {
  const [download] = await Promise.all([tab.waitForEvent('download'), button.click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
}

function drop(tab, name, text) {
  return tab.evaluate(({ name, text }) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  }, { name, text });
}

/** Puts reports beside the page. */
function publish(tab, reports) {
  return tab.route('**/gallery.json', (route) => route.fulfill({ json: { reports } }));
}

/** The worker's script, preceded by a browser in which the adapter that takes less power has another name. */
async function with_two_adapters(route) {
  const response = await route.fetch();
  const two = `
    const request = GPU.prototype.requestAdapter;
    GPU.prototype.requestAdapter = async function (options) {
      const adapter = await request.call(this, options);
      if (adapter && options?.powerPreference === 'low-power') {
        Object.defineProperty(adapter, 'info', { value: { vendor: 'frugal', architecture: 'swiftshader', device: '', description: '' } });
      }
      return adapter;
    };\n`;
  // Imports are carried out before what stands above them; so the page's own is put off.
  const text = (await response.text()).replace(/import init from ("[^"]*");/, (_, module) => `${two}const { default: init } = await import(${module});`);
  return route.fulfill({ response, body: text });
}

/** Whether so many runs lie in the browser's storage. */
function in_storage(n) {
  return new Promise((resolve, reject) => {
    const open = indexedDB.open('headstart');
    open.onerror = () => reject(open.error);
    open.onsuccess = () => {
      const count = open.result.transaction('runs').objectStore('runs').count();
      count.onsuccess = () => {
        open.result.close();
        resolve(count.result === n);
      };
    };
  });
}
