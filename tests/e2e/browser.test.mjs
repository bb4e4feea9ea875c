// The example pages in a real browser: from disk, from another origin, and over a network that breaks.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe } from 'node:test';
import { executablePath, fileUrl, launch, site } from './lib/browser.mjs';
import { eventually, skipUnless, test } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { openai, ROOT, Server } from './lib/server.mjs';
import { Upstream, words } from './lib/upstream.mjs';

const skip = skipUnless(executablePath, 'browser tests: no Chromium (Debian package chromium)');
const TEXT = 'Grüße, 世界 👩‍🚀!  Two  spaces,\n\ta line, <b>no tag</b> & the end.';
/** Longer than two of the server's `retry: 1000`: what has not come by then does not come. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 2500));

/** What a user sees of the newest answer. */
const seen = (page) => page.evaluate(() => {
  const last = [...document.querySelectorAll('#log article:not(.mine)')].at(-1);
  const part = (name) => {
    const node = last?.querySelector(`.${name}`);
    return !node || node.hidden ? '' : node.textContent;
  };
  const line = (id) => document.getElementById(id).textContent;
  const problem = document.getElementById('problem');
  return {
    state: line('state'), last: line('last'), reconnects: Number(line('reconnects')), problem: problem.hidden ? '' : problem.textContent,
    ...Object.fromEntries(['text', 'model', 'reasoning', 'refusal', 'tools', 'error', 'note', 'usage'].map((name) => [name, part(name)])),
  };
});

describe('client.html', { skip }, () => {
  const pages = {}; // further ones of the other origin
  let browser, upstream, server, echo, proxy, other, page;

  before(async () => {
    [browser, upstream, other] = await Promise.all([launch(), Upstream.start(), site(pages)]);
    const args = ['--allow-origin', 'null', '--allow-origin', other.origin];
    [server, echo] = await Promise.all([
      Server.start({ config: openai(upstream.base), args }),
      Server.start({ args }),
    ]);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([server, echo, upstream, other].map((thing) => thing?.stop()));
  });
  afterEach(async () => {
    await leave();
    upstream.always(null);
  });
  async function leave() {
    await page?.close();
    await proxy?.stop();
    page = proxy = undefined;
  }

  async function show(url, { on = server, transport = 'sse', channel } = {}) {
    await leave();
    proxy = await Proxy.start(on.port);
    page = await browser.newPage();
    const wish = new URLSearchParams({ server: proxy.url, transport, ...(channel && { channel }) });
    await page.goto(`${url}#${wish}`);
    return page;
  }
  async function say(text) {
    await page.fill('#message', text);
    await page.click('#send');
  }
  const until = (condition, what = condition.toString()) => eventually(async () => {
    const now = await seen(page);
    return condition(now) && now;
  }, what).catch(async (error) => {
    throw new Error(`${error.message}; the page shows ${JSON.stringify(await seen(page))}`);
  });

  const places = { 'from disk': () => fileUrl('client.html'), 'from another origin': () => `${other.origin}/client.html` };
  for (const [place, url] of Object.entries(places)) {
    for (const transport of ['sse', 'ws']) {
      test(`${place}, ${transport}: the whole text in order, and nothing is asked after the end`, async () => {
        await show(url(), { on: echo, transport });
        await say(TEXT);
        const now = await until(({ state }) => state === 'finished');
        assert.equal(now.text, TEXT);
        assert.equal(now.problem, '');
        await quiet();
        assert.deepEqual(proxy.listening().map(({ status }) => status), [transport === 'ws' ? 101 : 200]);
      });
    }
  }

  for (const transport of ['sse', 'ws']) {
    test(`${transport}: a network that breaks three times in mid-answer loses and repeats nothing`, async () => {
      const said = words(90);
      upstream.always(async (answer) => {
        await answer.dictate(said, 60);
        answer.end();
      });
      await show(fileUrl('client.html'), { transport });
      await say('count');
      await until(({ text }) => text.includes('word-5 '));
      proxy.cut();
      const back = await until(({ state, reconnects }) => state === 'streaming' && reconnects >= 1);
      assert.match(back.last, /^[^-]+-\d+$/);
      await until(({ text }) => text.includes('word-25 '));
      await proxy.down();
      await until(({ state }) => /reconnecting/.test(state));
      await proxy.up();
      const again = await until(({ state, text }) => state === 'streaming' && text.includes('word-40 '));
      assert.ok(again.reconnects >= 2, `reconnects: ${again.reconnects}`);
      // Cut inside an event: after its 1,000th byte the next connection's last event is broken off.
      proxy.budget = 1000;
      proxy.cut();
      await eventually(() => proxy.listening().filter(({ status }) => status === 200 || status === 101).length >= 4, 'a fourth connection');
      proxy.budget = Infinity;
      const end = await until(({ state }) => state === 'finished');
      assert.equal(end.text, said.join(''));
      assert.match(end.usage, /3 tokens in, 5 out/);
      const resumed = proxy.listening().filter(({ status }) => status === 200 || status === 101).slice(1);
      for (const { path, lastEventId } of resumed) {
        assert.match(lastEventId ?? new URL(path, 'http://x').searchParams.get('last_event_id') ?? '', /^[^-]+-[1-9]\d*$/);
      }
      const asked = proxy.listening().length;
      await quiet();
      assert.equal(proxy.listening().length, asked, 'requests after the end');
    });

    test(`${transport}: a page that is reloaded in mid-answer goes on with the same answer`, async () => {
      const said = words(40);
      upstream.always(async (answer) => {
        await answer.dictate(said, 40);
        answer.end();
      });
      await show(fileUrl('client.html'), { transport });
      await say('count');
      await until(({ text }) => text.includes('word-5 '));
      await page.reload();
      assert.equal((await until(({ state }) => state === 'finished')).text, said.join(''));
    });

    test(`${transport}: the stop button ends the generation`, async () => {
      await show(fileUrl('client.html'), { transport });
      await say('go on for ever');
      const answer = await upstream.next();
      answer.say('one ', 'two ');
      await until(({ text }) => text === 'one two ');
      await page.click('#stop');
      await answer.closed;
      const end = await until(({ state }) => state === 'stopped');
      assert.equal(end.text, 'one two ');
      assert.match(end.usage, /cancelled/);
    });

    test(`${transport}: an answer that the server has lost is said to be gone`, async () => {
      const old = await Server.start({ config: openai(upstream.base), args: ['--allow-origin', 'null'] });
      try {
        await show(fileUrl('client.html'), { transport, on: old });
        await say('hello');
        (await upstream.next()).say('half an ans');
        await until(({ text }) => text === 'half an ans');
        proxy.target = server.port; // as after a restart
        proxy.cut();
        const end = await until(({ state }) => state === 'failed');
        assert.match(end.error, /no longer kept/);
        assert.equal(end.text, 'half an ans');
        await quiet();
        assert.ok(proxy.listening().length <= 3, JSON.stringify(proxy.listening()));
      } finally {
        await old.stop();
      }
    });

    test(`${transport}: a page whose origin is refused says what to type`, async () => {
      const strict = await Server.start({});
      try {
        await show(fileUrl('client.html'), { transport, on: strict });
        await say('hello');
        const refused = await until(({ problem }) => problem);
        assert.match(refused.problem, /answers, but refuses pages from the origin null/);
        assert.match(refused.problem, /lmserver --allow-origin null/);
        assert.equal(await page.inputValue('#message'), 'hello', 'the message is kept for another try');
        // The same for a page that only listens.
        const channel = await strict.chat('hello');
        await show(`${other.origin}/client.html`, { transport, on: strict, channel });
        const listening = await until(({ problem }) => problem);
        assert.match(listening.problem, new RegExp(`lmserver --allow-origin ${other.origin}`));
      } finally {
        await strict.stop();
      }
    });

    test(`${transport}: reasoning, tool calls, refusals and the usage are shown`, async () => {
      await show(fileUrl('client.html'), { transport });
      await say('everything');
      const answer = await upstream.next();
      answer.delta({ reasoning_content: 'I think, ' });
      answer.delta({ reasoning_content: 'so.' });
      answer.say('Look: ');
      answer.delta({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":' } }] });
      answer.delta({ tool_calls: [{ index: 1, id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } }] });
      answer.delta({ tool_calls: [{ index: 0, function: { arguments: '"Ulm"}' } }] });
      // A call has an id of its own: it is no position to come back with.
      assert.match((await until(({ tools }) => tools.includes('Ulm'))).last, /^[a-z0-9]+-\d+$/);
      proxy.cut();
      answer.delta({ refusal: 'Not that.' });
      answer.end({ reason: 'tool_calls' });
      const now = await until(({ state }) => state === 'finished');
      assert.equal(now.reasoning, 'I think, so.');
      assert.equal(now.text, 'Look: ');
      assert.equal(now.tools, 'weather({"city":"Ulm"})\ntime({})');
      assert.equal(now.refusal, 'Not that.');
      assert.match(now.usage, /^tool_calls · 3 tokens in, 5 out · scripted\/tiny$/);
      assert.equal(now.model, 'default');
    });
  }

  test('a server that cannot be reached is said, with what to type', async () => {
    await show(fileUrl('client.html'));
    await proxy.down();
    await say('hello');
    const now = await until(({ problem }) => problem);
    assert.match(now.problem, /No server can be reached at http:\/\/127\.0\.0\.1:\d+/);
    assert.match(now.problem, /lmserver --allow-origin null/);
    await proxy.up();
    await page.click('#send');
    (await upstream.next()).end();
    await until(({ state, problem }) => state === 'failed' || (state === 'finished' && !problem));
  });

  test('a provider that breaks off is shown as an error, with the text so far', async () => {
    await show(fileUrl('client.html'));
    await say('hello');
    const answer = await upstream.next();
    answer.say('half');
    await until(({ text }) => text === 'half');
    answer.response.destroy();
    const now = await until(({ state }) => state === 'failed');
    assert.equal(now.text, 'half');
    assert.match(now.error, /provider_truncated/);
  });

  test('a reset clears what is shown', async () => {
    await show(fileUrl('client.html'), { transport: 'ws' });
    await say('hello');
    const answer = await upstream.next();
    answer.say('abc');
    await until(({ text }) => text === 'abc');
    await page.evaluate('current.last = "zzzz-99"');
    proxy.cut();
    await until(({ note }) => /Started over/.test(note));
    answer.say('def');
    answer.end();
    assert.equal((await until(({ state }) => state === 'finished')).text, 'abcdef');
  });

  test('a conversation sends what was said before', async () => {
    await show(fileUrl('client.html'));
    for (const [question, reply] of [['one?', 'One.'], ['two?', 'Two.']]) {
      await say(question);
      const answer = await upstream.next();
      assert.equal(answer.body.messages.at(-1).content, question);
      if (question === 'two?') {
        assert.deepEqual(answer.body.messages.map(({ role, content }) => [role, content]),
          [['user', 'one?'], ['assistant', 'One.'], ['user', 'two?']]);
      }
      answer.say(reply);
      answer.end();
      await until(({ state, text }) => state === 'finished' && text === reply);
    }
  });

  test('a server that wants an API key says so, and takes it', async () => {
    const locked = await Server.start({
      config: openai(upstream.base, { rest: '[auth]\napi_keys = ["sesame"]' }), args: ['--allow-origin', 'null'],
    });
    try {
      await show(fileUrl('client.html'), { on: locked });
      await say('hello');
      assert.match((await until(({ problem }) => problem)).problem, /401/);
      await page.fill('#key', 'sesame');
      await page.click('#send');
      const answer = await upstream.next();
      answer.say('Open.');
      await until(({ text }) => text === 'Open.');
      await page.click('#stop');
      await answer.closed;
      await until(({ state }) => state === 'stopped');
    } finally {
      await locked.stop();
    }
  });

  test('the page that the server itself serves works without any setting', async () => {
    page = await browser.newPage();
    await page.goto(`${echo.url}/`);
    await say(TEXT);
    assert.equal((await until(({ state }) => state === 'finished')).text, TEXT);
  });

  test('client-simple.html shows the answer', async () => {
    const source = readFileSync(join(ROOT, 'examples/client-simple.html'), 'utf8');
    pages['simple.html'] = source.replace('127.0.0.1:8080', new URL(echo.url).host);
    page = await browser.newPage();
    await page.goto(`${other.origin}/simple.html`);
    const line = TEXT.replace('\n', ' '); // an <input> holds no line break
    await page.fill('input', line);
    await page.click('button');
    const shown = await eventually(async () => {
      const text = await page.textContent('pre');
      return text.length >= line.length && text;
    }, 'the whole answer');
    assert.equal(shown, line);
  });

  test('a page that does not close gets exactly one 204 after the end, and asks no more', async () => {
    pages['naive.html'] = `<!doctype html><pre></pre><script>
      const source = new EventSource(location.hash.slice(1));
      source.onmessage = ({ data }) => document.querySelector('pre').append(JSON.parse(data).message);
    </script>`;
    proxy = await Proxy.start(echo.port);
    const channel = await echo.chat(TEXT);
    page = await browser.newPage();
    await page.goto(`${other.origin}/naive.html#${proxy.url}/connection/sse?channel=${channel}`);
    await eventually(() => proxy.listening()[1]?.status, 'the request after the end');
    await quiet();
    assert.deepEqual(proxy.listening().map(({ status }) => status), [200, 204]);
    assert.match(proxy.listening()[1].lastEventId, /^[^-]+-\d+$/);
    assert.equal(await page.textContent('pre'), TEXT);
  });
});
