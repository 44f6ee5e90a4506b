// Checks of the page's conversation: by its controls and by its hook; thoughts apart from answers, and text as text.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { serve_hub } from './hub.mjs';
import { assert_operable, go, ready, state, take_looks, unfold, until, visit } from './visitor.mjs';

const SHORT = { n: 12, temperature: 0, seed: 0, thinking: false };
const chat = (tab, request) => tab.evaluate((request) => window.headstart.chat(request), { ...SHORT, ...request });

export async function check_chat(browser, url, dist, screenshots) {
  const on_the_page = (body, options) => visit(browser, `${url}#chat`, body, options);
  // The embedded model once more, with the smallest context that the page offers: to fill another takes minutes.
  const in_a_short_context = async (body) => {
    const models = path.join(dist, 'models');
    const hub = await serve_hub({ v4: [path.join(models, readdirSync(models).find((name) => name.endsWith('.gguf')))] });
    try {
      return await visit(browser, `${url}?hub=${encodeURIComponent(hub.url)}#models`, async (tab) => {
        await unfold(tab, '#more-models');
        await tab.locator('#context').selectOption('1024');
        await tab.evaluate(async () => window.headstart.load_model(await window.headstart.find_model('ranges/v4')));
        await go(tab, 'chat');
        return body(tab);
      });
    } finally {
      hub.close();
    }
  };

  await check('a conversation goes on from what the cache holds, and says the same from nothing', () =>
    on_the_page(async (tab) => {
      const first = await chat(tab, { text: 'What did he say?' });
      const second = await chat(tab, { text: 'And then?' });
      assert.ok(first.answer.length > 0 && second.answer.length > 0 && first.ids.length === SHORT.n);
      assert.equal(first.n_known, 0);
      assert.equal(second.n_known, first.n_prompt + SHORT.n - 1);
      // Another text takes the cache; the conversation then plays all of it again, and comes to the same.
      await tab.evaluate(() => window.headstart.generate({ prompt: 'It was', n: 4, temperature: 0, seed: 0 }));
      const again = await chat(tab, {});
      assert.deepEqual(again.ids, second.ids);
      assert.ok(again.n_known <= 1, `${again.n_known} tokens known`);
      const fresh = await chat(tab, { text: 'What did he say?', clear: true });
      assert.deepEqual(fresh.ids, first.ids);
      return `${second.n_known} of ${second.n_prompt} tokens were known`;
    }),
  );

  await check('what is thought stands apart from what is answered', () =>
    on_the_page(async (tab) => {
      // Told to think, the embedded model never comes to an answer.
      const { thought, answer, has_ended } = await chat(tab, { text: 'Why?', thinking: true });
      assert.ok(thought.length > 0 && answer === '' && !has_ended);
      const turn = tab.locator('#said li.answer');
      const plain = (text) => text.replace(/\s+/g, ' ').trim();
      await turn.locator('details.thought summary').click();
      assert.ok(plain(await turn.locator('details.thought p').innerText()).includes(plain(thought)));
      assert.equal(await turn.locator('.text').innerText(), '');
    }),
  );

  await check('by its controls: say, stop, regenerate, clear, and back to the text', () =>
    on_the_page(async (tab) => {
      await tab.locator('#to-chat').click();
      assert.match(await tab.locator('#doubt').innerText(), /not made for conversations/);
      await tab.locator('#thinking').uncheck();
      await tab.locator('#say').fill('<b id="bold">Who</b> is he?');
      await tab.locator('#say').press('Enter');
      await until(tab, () => window.headstart.state().said.at(-1)?.text.length > 10);
      assert.equal(await tab.locator('#to-continue').isDisabled(), true);
      await tab.locator('#stop').click();
      await ready(tab);
      const turns = tab.locator('#said li');
      assert.equal(await turns.count(), 2);
      assert.match(await turns.nth(1).innerText(), /Stopped by you/);
      assert.equal(await tab.locator('#bold').count(), 0, 'what was said became HTML');
      assert.match(await turns.nth(0).innerText(), /<b id="bold">Who<\/b> is he\?/);
      await tab.locator('#again').click();
      await until(tab, () => window.headstart.state().said.at(-1)?.text.length > 10);
      await tab.locator('#say').press('Escape');
      await ready(tab);
      assert.equal(await turns.count(), 2);
      await tab.locator('#to-continue').click();
      assert.equal(await tab.locator('#prompt').isVisible(), true);
      await tab.locator('#to-chat').click();
      assert.equal(await turns.count(), 2, 'the conversation is still there');
      await tab.locator('#clear').click();
      assert.equal(await turns.count(), 0);
      assert.equal((await state(tab)).said.length, 0);
    }),
  );

  await check('what is too long is refused and can be typed again; turns without room are dropped and named', () =>
    in_a_short_context(async (tab) => {
      await chat(tab, { text: 'Why?' });
      const long = 'a very long story '.repeat(300);
      const refusal = await chat(tab, { text: long }).catch((error) => error.message);
      assert.match(refusal, /message: \d+ tokens.*expected at most/);
      await ready(tab);
      assert.equal(await tab.locator('#said li').count(), 2);
      assert.equal(await tab.locator('#say').inputValue(), long);
      // Two that fit, but not beside each other.
      const story = 'a very long story '.repeat(105);
      await chat(tab, { text: story, n: 2 });
      const { dropped } = await chat(tab, { text: story, n: 2 });
      assert.match(dropped, /^dropped turns 1-2, \d+ tokens$/);
      assert.match(await tab.locator('#said li').last().innerText(), /The context is full: dropped turns 1-2/);
      return dropped;
    }),
  );

  await check('a conversation from a file goes on here, and what is no conversation is refused with a reason', () =>
    on_the_page(async (tab) => {
      await tab.locator('#to-chat').click();
      const pick = (name, text) => tab.locator('#recall').setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(text) });
      const messages = [
        { role: 'system', content: 'Be short.' }, { role: 'user', content: 'Who is he?' },
        { role: 'assistant', content: 'A prince.' }, { role: 'user', content: 'And she?' },
      ];
      await pick('talk.json', JSON.stringify({ messages }));
      await tab.locator('#said li').nth(2).waitFor();
      const shown = await tab.locator('#said li').allInnerTexts();
      assert.deepEqual(shown.map((text) => text.split('\n')[0]), ['system', 'You', 'Model']);
      assert.equal(await tab.locator('#say').inputValue(), 'And she?');
      const recalled = await chat(tab, { text: 'And she?' });
      assert.equal((await state(tab)).said.length, 5);
      // The same messages said one by one make a prompt of another length: these were really taken in.
      const fresh = await chat(tab, { text: 'And she?', clear: true });
      assert.ok(recalled.n_prompt > fresh.n_prompt + 8, `${recalled.n_prompt} and ${fresh.n_prompt} tokens`);
      await pick('other.json', '{"messages": 7}');
      await until(tab, () => /messages/.test(window.headstart.state().message));
      await ready(tab);
      assert.equal((await state(tab)).said.length, 2);
      await pick('more.json', JSON.stringify({ messages, stop: ['x'] }));
      await until(tab, () => /not read: stop/.test(window.headstart.state().message));
      await ready(tab);
      return `${recalled.n_prompt} tokens, ${fresh.n_prompt} without`;
    }),
  );

  await check('an answer has the look of its Markdown, and nothing in it can act', () =>
    on_the_page(async (tab) => {
      await tab.locator('#to-chat').click();
      const content = [
        '## What **it** is', 'Some *words* and `code`.', '', '1. First', '2. Second', '   - within', '', '```js', 'let a = "<b>";', '```',
        '> Quoted.', '', '<img src=x onerror="window.acted = true"> <script>window.acted = true</script>',
        '[a link](javascript:window.acted=true) ![a picture](https://example.org/p.png)', '', '| a | b |', '|---|---|', '| 1 | 2 |', '',
        'wide '.repeat(3) + 'x'.repeat(300),
      ].join('\n');
      const messages = [{ role: 'user', content: '**Why?**' }, { role: 'assistant', content }];
      const buffer = Buffer.from(JSON.stringify(messages));
      await tab.locator('#recall').setInputFiles({ name: 'talk.json', mimeType: 'application/json', buffer });
      const answer = tab.locator('#said li.answer .markdown');
      await answer.locator('h4').waitFor();
      const texts = (selector) => answer.locator(selector).allInnerTexts();
      assert.deepEqual(await texts('h4'), ['What it is']);
      assert.deepEqual([await texts('strong'), await texts('em'), await texts('p code')], [['it'], ['words'], ['code']]);
      assert.deepEqual((await texts('li')).map((text) => text.replace(/\s+/g, ' ')), ['1. First', '2. Second', '• within']);
      assert.deepEqual((await texts('pre'))[0].trim(), 'let a = "<b>";');
      assert.deepEqual(await texts('blockquote'), ['Quoted.']);
      assert.match((await texts('p')).join('\n'), /<img src=x.*<script>.*\n.*a link \(javascript:.*a picture \(https:/);
      assert.equal(await answer.locator('a, img, script, b').count(), 0);
      assert.equal(await tab.evaluate(() => window.acted), undefined);
      assert.equal(await tab.locator('#said li:not(.answer) .text').innerText(), '**Why?**');
      const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `${wider} px wider than the window`);
      await tab.screenshot({ path: path.join(screenshots, 'markdown.png'), fullPage: true });
    }),
  );

  await check('a conversation has names for its controls, and the keyboard reaches them', () =>
    on_the_page(async (tab) => {
      await chat(tab, { text: 'Why?' });
      await assert_operable(tab, ['to-continue', 'say', 'send', 'again', 'clear', 'thinking', 'recall']);
    }),
  );

  await check('looks: a conversation', () =>
    on_the_page(async (tab) => {
      await chat(tab, { text: 'What did he say?', n: 40 });
      await chat(tab, { text: 'And what did she think of it?', n: 40, thinking: true });
      return take_looks(tab, path.join(screenshots, 'chat'));
    }),
  );
}
