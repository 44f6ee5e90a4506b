// A visitor of the page: opens it, waits for it, reads it, and demands that nothing is complained of.
import assert from 'node:assert/strict';
import { open_tab } from './chromium.mjs';

export const state = (tab) => tab.evaluate(() => window.headstart.state());
export const until = (tab, condition, argument) => tab.waitForFunction(condition, argument, { timeout: 90_000 });
export const ready = (tab) => until(tab, () => window.headstart?.state().status === 'ready');

/** Goes to a view by its address, as a link would. */
export async function go(tab, view) {
  await tab.evaluate((view) => { location.hash = view; }, view);
  await tab.locator(`nav a[href="#${view}"][aria-current="page"]`).waitFor();
}

/** Opens what is folded behind a summary, if it is not open. */
export async function unfold(tab, selector) {
  const details = tab.locator(selector);
  if (!(await details.evaluate((at) => at.open))) await details.locator('> summary').click();
}

/** Pictures of the page as it is, wide and narrow, dark and light, as `name-….png`; nothing may be wider than the window. */
export async function take_looks(tab, name) {
  for (const [form, viewport] of [['wide', { width: 1400, height: 900 }], ['narrow', { width: 390, height: 844 }]]) {
    await tab.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await tab.emulateMedia({ colorScheme });
      const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `${form}: ${wider} px wider than the window`);
      await tab.screenshot({ path: `${name}-${colorScheme}-${form}.png`, fullPage: true });
    }
  }
  return `${name}-*.png`;
}

export function generate(tab, request) {
  const answer = tab.evaluate((request) => window.headstart.generate(request), request);
  answer.catch(() => {}); // a check that fails meanwhile closes the tab; that is no second failure
  return answer;
}

/**
 * Opens `url`, waits for the model, runs `body(tab)`, and demands that nothing was complained of but what matches
 * `expected`. `before(tab)` runs before the page does.
 */
export async function visit(browser, url, body, { before, expected, ...options } = {}) {
  const { tab, problems } = await open_tab(browser, url, { before, ...options });
  try {
    await ready(tab);
    const remark = await body(tab);
    assert.deepEqual(problems.filter((problem) => !expected?.test(problem)), []);
    return remark;
  } catch (error) {
    const now = await state(tab).catch(() => null);
    error.stack += `\nproblems: ${JSON.stringify(problems)}\nstate: ${JSON.stringify(now)?.slice(0, 500)}`;
    throw error;
  } finally {
    await tab.close();
  }
}

/** Demands that every control on show has a name, and that the keyboard reaches those with these ids. */
export async function assert_operable(tab, ids) {
  const tree = await tab.locator('body').ariaSnapshot();
  const nameless = tree.match(/^\s*- (button|textbox|searchbox|slider|spinbutton|combobox|checkbox|radio|link)(?! ").*$/gm);
  assert.equal(nameless, null, `without a name: ${nameless}\n${tree}`);
  const reached = new Set();
  await tab.locator('body').press('Home');
  for (let presses = 0; presses < 60; presses += 1) {
    await tab.keyboard.press('Tab');
    reached.add(await tab.evaluate(() => document.activeElement?.id));
  }
  for (const id of ids) assert.ok(reached.has(id), `Tab does not reach #${id}`);
}
