// The life of the process: a graceful stop with streams under way, a reload, and what the command line says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { start } from './lib/child.mjs';
import { eventually, test } from './lib/condition.mjs';
import { binary, openai, Server } from './lib/server.mjs';
import { Upstream } from './lib/upstream.mjs';
import { ask, subscribe } from './lib/wire.mjs';

const json = { 'Content-Type': 'application/json' };
const post = (server) => ask(server.port, '/api/chat', { method: 'POST', body: '{"message":"late"}', headers: json });
const command = (args, options = {}) => new Promise((resolve) => {
  execFile(binary(), args, { timeout: 10_000, ...options }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
});
let upstream;
before(async () => {
  upstream = await Upstream.start();
});
after(() => upstream.stop());

describe('SIGTERM', () => {
  test('running streams finish and can be resumed, new chats get 503, then the process ends with 0', async () => {
    const server = await Server.start({ config: openai(upstream.base) });
    const id = await server.chat('hello');
    const answer = await upstream.next();
    answer.say('before ');
    const [watching, leaving] = [await subscribe(server.port, id), await subscribe(server.port, id)];
    await Promise.all([watching, leaving].map((one) => one.until(({ events }) => events.length === 2)));
    server.signal('SIGTERM');
    const refused = await eventually(async () => {
      const got = await post(server);
      return got.status === 503 && got;
    }, 'a POST to be refused');
    assert.equal(JSON.parse(refused.body).error.code, 'draining');
    assert.match(refused.headers['retry-after'], /^\d+$/);
    assert.equal((await ask(server.port, '/ready')).status, 503);
    assert.equal((await ask(server.port, '/health')).status, 200);
    const stranger = await subscribe(server.port, 'chat:00000000-0000-4000-8000-000000000000');
    assert.equal(stranger.status, 200);
    await stranger.ended;
    assert.match(stranger.tail ?? '', /^retry: ([1-4]\d{3}|5000)\n+$/);
    leaving.close();
    const back = await subscribe(server.port, id, { after: leaving.ids[1] });
    answer.say('after');
    answer.end();
    await Promise.all([watching.ended, back.ended]);
    assert.equal(watching.text, 'before after');
    assert.deepEqual(back.types, ['chunk', 'end']);
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    await server.stop();
  });

  test('after the drain time what still runs ends with `shutdown`', async () => {
    const server = await Server.start({ config: openai(upstream.base, { rest: '[limits]\ndrain = "200ms"' }) });
    const id = await server.chat('hello');
    const answer = await upstream.next();
    answer.say('half');
    const exchange = await subscribe(server.port, id);
    await exchange.until(({ events }) => events.length === 2);
    server.signal('SIGTERM');
    assert.equal(await exchange.ended, 'complete');
    const { type, code, retryable } = exchange.events.at(-1).json;
    assert.deepEqual([type, code, retryable], ['error', 'shutdown', true]);
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    await server.stop();
  });

  test('a second signal ends it at once', async () => {
    const server = await Server.start({ config: openai(upstream.base) });
    await server.chat('hello');
    await upstream.next();
    server.signal('SIGINT');
    await eventually(async () => (await ask(server.port, '/ready')).status === 503, 'the drain');
    server.signal('SIGINT');
    await server.exited;
    await server.stop();
  });

  test('an idle server ends at once', async () => {
    const server = await Server.start({});
    server.signal('SIGTERM');
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    await server.stop();
  });
});

describe('SIGHUP', () => {
  test('new chats go to the new provider, running ones finish where they began, a broken file changes nothing', async () => {
    const other = await Upstream.start();
    const server = await Server.start({ config: openai(upstream.base) });
    try {
      const old = await server.chat('old');
      const first = await upstream.next();
      first.say('from the ');
      server.configure(openai(other.base, { model: 'other' }));
      server.signal('SIGHUP');
      other.always((answer) => {
        answer.say('new');
        answer.end();
      });
      upstream.always((answer) => answer.end());
      const id = await eventually(async () => {
        const one = await server.chat('new');
        const exchange = await subscribe(server.port, one);
        await exchange.ended;
        return exchange.text === 'new' && one;
      }, 'a chat with the new provider');
      assert.equal((await server.state(id)).model, 'other');
      first.say('old one');
      first.end();
      const exchange = await subscribe(server.port, old);
      await exchange.ended;
      assert.equal(exchange.text, 'from the old one');

      const read = server.log.length;
      server.configure('[provider.scripted]\nkind = "openai"\nbase_uri = "x"\n');
      server.signal('SIGHUP');
      await server.logged(/base_url/, read); // the nearest known key
      const kept = await subscribe(server.port, await server.chat('still new'));
      await kept.ended;
      assert.equal(kept.text, 'new');
    } finally {
      upstream.always(null);
      await Promise.all([server.stop(), other.stop()]);
    }
  });
});

describe('the command line', () => {
  test('`check` names every mistake with its line and exits with 2, and with 0 when there is none', async () => {
    const server = await Server.start({});
    try {
      const file = join(server.folder, 'checked.toml');
      writeFileSync(file, openai('http://127.0.0.1:1/v1'));
      assert.equal((await command(['check', '--config', file])).code, 0);
      writeFileSync(file, '[server]\nlisten = "127.0.0.1:8080"\nlimit = 1\n\n[provider.a]\nkind = "opena"\nbase_uri = "x"\n');
      const { code, stdout, stderr } = await command(['check', '--config', file]);
      assert.equal(code, 2);
      const said = stdout + stderr;
      for (const expected of [/checked\.toml:3\b/, /checked\.toml:[67]\b/]) assert.match(said, expected);
    } finally {
      await server.stop();
    }
  });
  test('a mistake in the arguments exits with 2', async () => {
    const { code, stderr } = await command(['--no-such-flag']);
    assert.equal(code, 2);
    assert.match(stderr, /no-such-flag/);
  });
  test('--help and --version', async () => {
    for (const flag of ['--help', '--version']) {
      const { code, stdout } = await command([flag]);
      assert.equal(code, 0);
      assert.match(stdout, /lmserver/);
    }
  });
  test('a taken port is a failure with the address in it', async () => {
    const server = await Server.start({});
    const { code, stderr } = await command(['--listen', `127.0.0.1:${server.port}`], { cwd: server.folder });
    await server.stop();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(String(server.port)));
  });
  test('`ask` prints the answer', async () => {
    const server = await Server.start({});
    try {
      const { code, stdout } = await command(['ask', 'one two three'], { env: { ...process.env, PORT: String(server.port) }, cwd: server.folder });
      assert.equal(code, 0);
      assert.match(stdout, /^one two three\n?$/);
    } finally {
      await server.stop();
    }
  });
  test('Ctrl-C in `ask` cancels the generation', async () => {
    const server = await Server.start({ config: openai(upstream.base) });
    try {
      const child = start(binary(), ['ask', 'go on'], { env: { ...process.env, PORT: String(server.port) }, cwd: server.folder });
      const answer = await upstream.next();
      answer.say('half');
      await new Promise((resolve) => child.stdout.once('data', resolve));
      child.kill('SIGINT');
      await answer.closed;
      await child.ended;
    } finally {
      await server.stop();
    }
  });
});
