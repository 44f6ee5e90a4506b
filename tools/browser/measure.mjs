// Checks of what the page measures: probe, bench and verify, each by its button or its hook, broken off, and kept.
import assert from 'node:assert/strict';
import path from 'node:path';
import { check } from './check.mjs';
import { open_tab, start_chromium } from './chromium.mjs';
import { generate, go, ready, take_looks, unfold, until, visit } from './visitor.mjs';

const SHORT = { p: 16, n: 4, d: 0, r: 2 };
const measured = (tab) => tab.evaluate(() => window.headstart.reports().filter((run) => run.origin === 'measured'));

export async function check_measure(browser, url, screenshots) {
  // Not opened there: the page would write by itself first.
  const on_the_page = (body, options) =>
    visit(browser, `${url}#chat`, async (tab) => {
      await go(tab, 'test');
      await unfold(tab, '#single');
      return body(tab);
    }, options);

  await check('a bench has its tests, its limits, its stages and its check, is shown and kept', () =>
    on_the_page(async (tab) => {
      const report = await tab.evaluate((plan) => window.headstart.bench(plan), SHORT);
      assert_bench(report);
      const [run] = await measured(tab);
      assert.deepEqual(run.report, report);
      assert.equal(run.verdict, 'right');
      await go(tab, 'compare');
      const shown = await tab.locator('.run.open').innerText();
      for (const word of ['pp16', 'tg4', 'right']) assert.ok(shown.includes(word), `no ${word}: ${shown}`);
      // Which limit is the nearest depends on what else the machine does.
      assert.match(shown, /\d % of (read|FMA)/);
      assert.equal(await tab.locator('#comparison svg').count(), 0, 'charts that nobody asked for');
      await unfold(tab, '#tables');
      await tab.locator('#comparison svg').first().waitFor();
      await go(tab, 'test');
      assert.match(await tab.locator('#adapter .check').innerText(), /right/);
      // Measuring leaves the model as it was.
      await generate(tab, { prompt: 'It was', n: 4, temperature: 0, seed: 0 });
      const [test] = report.tests.filter(({ n_gen }) => n_gen > 0);
      return `${test.tokens_per_s.median.toFixed(1)} tokens/s, ${((test.share?.share ?? 0) * 100).toFixed(0)} % of ${test.share?.of}`;
    }),
  );

  await check('a probe measures limits that later figures are held against', () =>
    on_the_page(async (tab) => {
      await tab.locator('#probe').click();
      await until(tab, () => window.headstart.state().status === 'measuring');
      await ready(tab);
      const [{ report }] = await measured(tab);
      assert_probes(report);
      const bench = await tab.evaluate((plan) => window.headstart.bench(plan), SHORT);
      assert.deepEqual(bench.probes, report.probes);
      return report.probes.map(({ kind, value }) => `${kind} ${value.median.toPrecision(3)}`).join(', ');
    }),
  );

  await check('verify holds the adapter against the CPU executor, and the badge opens the details', () =>
    on_the_page(async (tab) => {
      await tab.locator('#verify').click();
      await until(tab, () => window.headstart.state().status === 'measuring');
      // Every kernel in every variant and config: minutes on a program on the CPU.
      await tab.waitForFunction(() => window.headstart.state().status === 'ready', null, { timeout: 1_140_000 });
      const [{ report, verdict }] = await measured(tab);
      assert.equal(verdict, 'right');
      assert_check(report);
      const badge = tab.locator('#adapter .check');
      assert.equal(await badge.locator('table').isVisible(), false);
      await badge.locator('summary').click();
      assert.match(await badge.locator('table').innerText(), /KL worst/);
      const { n_same, n_tokens, kl_max } = report.check.tokens;
      return `${n_same} of ${n_tokens} tokens, KL at most ${kl_max.toExponential(1)}`;
    }),
    { timeout_ms: 1_200_000 },
  );

  await check('tuned, and broken off before its end, the model writes what it wrote, and its reports say so', () =>
    on_the_page(async (tab) => {
      const before = await generate(tab, { prompt: 'It was', n: 12, temperature: 0, seed: 0 });
      await tab.locator('#tune').click();
      await until(tab, () => /^Tune: decode/.test(document.querySelector('#measure .progress')?.innerText ?? ''));
      await tab.locator('#cancel').click();
      await ready(tab);
      // The text that was written before is a run, too.
      const { report } = (await measured(tab)).find((run) => run.report.tuning);
      assert.equal(report.tuning.source, 'quick');
      assert.deepEqual(report.tuning.wrong, []);
      const after = await generate(tab, { prompt: 'It was', n: 12, temperature: 0, seed: 0 });
      assert.deepEqual(after.ids, before.ids);
      const tried = report.tuning.problems.filter((problem) => problem.n_tried > 0).length;
      // Folded by now: another run was opened.
      if (tried > 0) assert.equal(await tab.locator('.tuning').first().locator('tbody tr').count(), tried);
      // What was found is there at the next visit.
      await tab.reload();
      await ready(tab);
      const kept = await tab.evaluate(async () => {
        const result = (request) =>
          new Promise((done, fail) => Object.assign(request, { onsuccess: () => done(request.result), onerror: fail }));
        const database = await result(indexedDB.open('headstart-tunings'));
        return result(database.transaction('tunings').objectStore('tunings').getAll());
      });
      assert.ok(kept.length > 0 && JSON.parse(kept[0]).choices.length > 0, JSON.stringify(kept).slice(0, 200));
      return `${report.tuning.problems.length} problems in ${report.tuning.seconds.toFixed(1)} s`;
    }),
  );

  await check('while it measures, figures come and the page answers; cancelled, what was measured is kept', () =>
    on_the_page(async (tab) => {
      await tab.locator('summary', { hasText: 'Bench settings' }).click();
      await tab.locator('#bench-p').fill('0');
      await tab.locator('#bench-n').fill('4');
      await tab.locator('#bench-r').fill('100');
      await tab.locator('#bench-r').press('Tab');
      await tab.locator('#bench').click();
      await tab.locator('#measure .figures', { hasText: 'tg4' }).waitFor({ timeout: 90_000 });
      assert.ok((await tab.locator('#measure progress').getAttribute('aria-label')).length > 0);
      assert.equal(await tab.locator('#generate').isDisabled(), true);
      await tab.locator('#cancel').click();
      await ready(tab);
      const [{ report }] = await measured(tab);
      const { n } = report.tests[0].tokens_per_s;
      assert.ok(n >= 1 && n < 100, `${n} repetitions`);
      assert.match(await tab.locator('#told').innerText(), /was cancelled; what it had measured is kept/);
      return `after ${n} of 100 repetitions`;
    }),
  );

  await check('without a GPU the CPU is measured, and hears a cancel', async () => {
    const plain = await start_chromium({ webgpu: false });
    try {
      const { tab } = await open_tab(plain, `${url}#chat`);
      await ready(tab);
      await go(tab, 'test');
      const running = tab.evaluate(() => window.headstart.bench({ p: 0, n: 8, d: 0, r: 100 }));
      running.catch(() => {}); // as above: a check that fails meanwhile closes the tab
      await tab.locator('#measure .figures', { hasText: 'tg8' }).waitFor({ timeout: 90_000 });
      await tab.locator('#cancel').click();
      const { tests, adapter } = await running;
      assert.equal(adapter.backend, 'cpu');
      assert.ok(tests[0].tokens_per_s.n >= 1 && tests[0].tokens_per_s.n < 100);
      return `${tests[0].tokens_per_s.median.toFixed(1)} tokens/s`;
    } finally {
      await plain.close();
    }
  });

  await check('a bench that has no room is refused with a reason', () =>
    on_the_page(async (tab) => {
      const answer = await tab.evaluate(() => window.headstart.bench({ p: 5000, n: 0, r: 1 }).catch((error) => error.message));
      // By its hook, or in the page, which hears of it a moment later.
      if (typeof answer === 'string') assert.match(answer, /context/);
      else await until(tab, () => /context/.test(window.headstart.state().message));
      await ready(tab);
    }),
  );

  await check('looks: a bench', () =>
    on_the_page(async (tab) => {
      await tab.evaluate((plan) => window.headstart.bench(plan), SHORT);
      return take_looks(tab, path.join(screenshots, 'bench'));
    }),
  );
}

function assert_bench(report) {
  assert.equal(report.tests.length, 2);
  for (const test of report.tests) {
    assert.equal(test.tokens_per_s.n, SHORT.r);
    assert.ok(test.tokens_per_s.median > 0 && test.ms_per_token > 0 && test.bytes_per_token > 0);
    assert.ok(test.share.share > 0, 'no share of a limit');
  }
  assert_probes(report);
  if (report.adapter.features.includes('timestamp-query')) assert.ok(report.profiles.length > 0 && report.profiles[0].stages.length > 3);
  assert.equal(report.check.verdict, 'right', report.check.summary);
}

function assert_probes({ probes }) {
  assert.ok(probes.length >= 5, `${probes.length} probes`);
  for (const { kind, value, right } of probes) assert.ok(right && value.median > 0 && value.n > 0, `${kind}: ${JSON.stringify(value)}`);
}

function assert_check({ check }) {
  assert.equal(check.verdict, 'right', check.summary);
  assert.ok(check.tokens.n_tokens > 32 && check.tokens.n_same >= check.tokens.n_tokens - 1);
  assert.equal(check.twice_the_same, true);
  assert.equal(check.prefill_equals_decode, true);
  assert.ok(check.stages.length > 10, `${check.stages.length} stages`);
  assert.ok(check.kernels.n_cases > 50 && check.kernels.n_wrong === 0, JSON.stringify(check.kernels));
}
