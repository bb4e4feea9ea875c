// The fault matrix: each fault of `lmserver fake` × each way to ask × each place of the failing target in the list.
//
// However a provider fails: one terminal event or one clear HTTP error, in bounded time; the provider's connection is
// closed; nobody else is asked after the first word; and `attempts` tells who failed before.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FAULTS, FORMATS, POSITIONS, WORDS } from './lib/faults.mjs';
import { INGRESSES } from './lib/ingress.mjs';
import { eventually } from './lib/condition.mjs';
import { Server } from './lib/server.mjs';
import { Socket } from './lib/socket.mjs';

/** The first event, the next one, all: short, but long for a machine that does everything at once. */
const TIMERS = { first_event: 1500, between_events: 1500, total: 4000 };

/** How many rows go on at the same time. */
const TOGETHER = 128;

/** From the terminal event to the end of the provider's connection. */
const CLOSED_WITHIN = 3000;

/** From a cancel to the same, on a machine that may be busy. */
const CANCELLED_WITHIN = 500;

/** Where no target fails before the row's own, and where one does. */
const HEALTHY = 'words=2';
const FAILING = 'status=503';

/** Fails twice, then answers. */
const FRAGILE = 'words=4,status=503,fail_first=2,id=fragile';

const rows = [];
let server;
let fake;

/** The rows of a format: all of them for one, for the others each fault once, in turns. */
function expand(format, isWhole) {
  for (const [at, fault] of FAULTS.entries()) {
    const expected = { ...fault, ...fault.formats?.[format] };
    if (expected.skip) continue;
    const all = INGRESSES.flatMap((ingress) => POSITIONS.map((position) => ({ ingress, position })));
    const turn = at + Object.keys(FORMATS).indexOf(format) * 2;
    // What is no fault is asked for in each way, but not at each place.
    const some = fault.fails ? all : all.filter((_, index) => index % POSITIONS.length === at % POSITIONS.length);
    for (const one of isWhole ? some : [all[turn % all.length]]) {
      const id = `r${rows.length}`;
      rows.push({ ...one, id, format, expected, target: `${fault.words},id=${id}`, name: `${fault.words} (${format}, ${one.ingress.name}, ${one.position})` });
    }
  }
}

/** The model that a row asks for, and the sections of the configuration that it needs. */
function model({ id, format, target, position }) {
  const own = `${format}/${target}`;
  const targets = {
    only: [own],
    first: [own, `openai/${HEALTHY},id=${id}s`],
    last: [`openai/${FAILING},id=${id}f`, own],
  }[position];
  return `[model.${id}]\ntargets = ${JSON.stringify(targets)}\n`;
}

function configuration() {
  const timers = Object.entries(TIMERS).map(([name, ms]) => `${name}_timeout = "${ms}ms"\n`).join('');
  const section = (name, { kind, path, keys = '' }) =>
    `[provider.${name}]\nkind = "${kind}"\nbase_url = "${fake.url}${path}"\nretries = 0\n${keys}`;
  // Each twice: with short timers, and with all the time there is.
  const providers = Object.entries(FORMATS).map(([name, format]) => `${section(name, format)}${timers}${section(`slow-${name}`, format)}`);
  return `[model.default]\ntargets = ["openai/any"]\n${providers.join('')}${others()}${rows.map(model).join('')}`;
}

/** A provider that is asked again, and one that is soon left alone. */
const others = () => `
[provider.again]
kind = "openai"
base_url = "${fake.url}/v1"
first_event_timeout = "300ms"
retries = 2
retry_backoff = "20ms"

[provider.again-gemini]
kind = "gemini"
base_url = "${fake.url}/v1beta"

[provider.fragile]
kind = "openai"
base_url = "${fake.url}/v1"
retries = 0
breaker_failures = 2
breaker_cooldown = "500ms"

[model.fragile]
targets = ["fragile/${FRAGILE}", "openai/${HEALTHY}"]
`;

/** What the fake knows of one model's requests. */
async function report(name) {
  const response = await fetch(`${fake.url}/fake/requests?model=${encodeURIComponent(name)}`);
  return response.json();
}

async function seen(name) {
  return (await report(name)).models[name] ?? { count: 0, open: 0 };
}

/** What a client is to be told. */
function wanted({ expected, position, format, target, id }) {
  const attempt = (provider, model, codes) => ({ provider, model, codes: [codes].flat() });
  const before = position === 'last' ? [attempt('openai', `${FAILING},id=${id}f`, 'provider_overloaded')] : [];
  const { fails, ok = WORDS } = expected;
  if (!fails) return { text: ok, attempts: before, asks: 0 };
  const [codes, tokens] = fails;
  const isFinal = tokens > 0 || expected.final || position !== 'first';
  if (isFinal) {
    const text = WORDS.split(/(?<= )/).slice(0, tokens).join('');
    return { codes: [codes].flat(), text, isOpen: tokens === Infinity, isEarly: tokens === 0 && !expected.hasBegun, attempts: before, asks: 0 };
  }
  return { text: 'w1 w2 ', attempts: [attempt(format, target, codes)], asks: 1 };
}

function judge(row, said, want) {
  if (want.codes) {
    assert.equal(said.type, 'error', `it ended with ${JSON.stringify(said)}`);
    assert.ok(want.codes.includes(said.code), `${said.code} is not ${want.codes}: ${said.message}`);
  } else {
    assert.equal(said.type, 'end', `it failed: ${JSON.stringify(said)}`);
  }
  const isWhole = want.isOpen ? said.text?.startsWith(want.text) : said.text === want.text;
  if (said.text !== undefined) assert.ok(isWhole, `it said ${said.text.length} bytes: ${said.text.slice(0, 80)}`);
  if (want.isEarly && row.ingress.hasStatus) assert.ok(said.status >= 400, `an early failure under status ${said.status}`);
  const attempts = said.attempts ?? [];
  assert.equal(attempts.length, want.attempts.length, `attempts are ${JSON.stringify(attempts)}`);
  for (const [at, attempt] of want.attempts.entries()) {
    const { provider, model, code } = attempts[at];
    assert.deepEqual([provider, model], [attempt.provider, attempt.model]);
    assert.ok(attempt.codes.includes(code), `the attempt's ${code} is not ${attempt.codes}`);
  }
}

async function play(row) {
  const began = Date.now();
  const said = await row.ingress.ask(server, row.id);
  const took = Date.now() - began;
  const want = wanted(row);
  judge(row, said, want);
  assert.ok(took < TIMERS.total * 2 + 3000, `it took ${took} ms`);
  const own = await eventually(async () => {
    const state = await seen(row.target);
    return state.open === 0 && state;
  }, 'the end of the connection to the provider', CLOSED_WITHIN);
  // A connection that is closed before it has answered may have been an old one: then it is asked once more.
  const most = row.expected.words.includes('@start') ? 2 : 1;
  assert.ok(own.count >= 1 && own.count <= most, `it was asked ${own.count} times`);
  if (row.expected.closes) assert.equal(own.closed_by_client, own.count, `the connection ended so: ${JSON.stringify(own)}`);
  if (row.position === 'first') assert.equal((await seen(`${HEALTHY},id=${row.id}s`)).count, want.asks, 'the second target');
}

describe('faults', () => {
  before(async () => {
    fake = await Server.start({ args: ['fake'] });
    for (const format of Object.keys(FORMATS)) expand(format, format === (process.env.FORMAT ?? 'openai'));
    server = await Server.start({ config: configuration() });
  });
  after(async () => {
    await server?.stop();
    await fake?.stop();
  });

  test('whatever a provider does, a client is told one end', { timeout: 180_000 }, async () => {
    const failures = [];
    const waiting = rows.filter(({ name }) => new RegExp(process.env.FAULT ?? '').test(name));
    const count = waiting.length;
    const began = Date.now();
    await Promise.all(Array.from({ length: TOGETHER }, async () => {
      for (let row; (row = waiting.pop());) await play(row).catch((error) => failures.push(`${row.name}: ${error.message}`));
    }));
    console.log(`${count} rows in ${Date.now() - began} ms`);
    assert.equal(failures.length, 0, `${failures.length} of ${count} rows:\n${failures.sort().join('\n')}`);
  });

  test('a target is asked again where that may help, and never after the first word', async () => {
    const again = [
      // words, what is told, the codes of attempts, how often it is asked, at least how long it takes, who is asked
      ['status=503,fail_first=1', WORDS, ['provider_overloaded'], 2],
      ['status=503,fail_first=2', WORDS, ['provider_overloaded', 'provider_overloaded'], 3],
      ['status=503,fail_first=3', 'provider_overloaded', ['provider_overloaded', 'provider_overloaded'], 3],
      ['cut@body,fail_first=1', WORDS, ['provider_truncated'], 2],
      ['reset@head,fail_first=1', WORDS, ['provider_truncated'], 2],
      ['error=529@0,fail_first=1', WORDS, ['provider_overloaded'], 2],
      ['status=429,retry_after=1,fail_first=1', WORDS, ['provider_rate_limited'], 2, 1000],
      ['status=429,retry_after=1,fail_first=1', WORDS, ['provider_rate_limited'], 2, 1000, 'again-gemini'],
      ['status=429,retry_after=100,fail_first=1', 'provider_rate_limited', [], 1],
      ['status=401,fail_first=1', 'provider_auth', [], 1],
      ['status=400,fail_first=1', 'provider_bad_request', [], 1],
      ['stall@body,fail_first=1', 'provider_timeout', [], 1],
      ['cut@2,fail_first=1', 'provider_truncated', [], 1],
      ['error=529@1,fail_first=1', 'provider_overloaded', [], 1],
    ];
    const failures = [];
    await Promise.all(again.map(async ([words, told, codes, count, least = 0, provider = 'again']) => {
      const name = `words=4,${words},id=${provider}`;
      const began = Date.now();
      const said = await INGRESSES[0].ask(server, `${provider}/${name}`);
      assert.equal(said.type === 'end' ? said.text : said.code, told, name);
      assert.deepEqual((said.attempts ?? []).map(({ code }) => code), codes, name);
      assert.equal((await seen(name)).count, count, name);
      assert.ok(Date.now() - began >= least, `${name} was not waited for`);
    }).map((row) => row.catch((error) => failures.push(error.message))));
    assert.deepEqual(failures, []);
  });

  test('a target that fails again and again is left alone for a while', async () => {
    const ask = async () => (await INGRESSES[0].ask(server, 'fragile')).text;
    const count = async () => (await seen(FRAGILE)).count;
    for (let time = 0; time < 4; time += 1) assert.equal(await ask(), 'w1 w2 ', `question ${time}`);
    assert.equal(await count(), 2);
    await eventually(async () => (await ask()) === WORDS, 'the target is tried again', 5000);
    assert.equal(await count(), 3);
  });

  test('an event that is too large ends the answer, in every format', { timeout: 60_000 }, async () => {
    for (const format of Object.keys(FORMATS)) {
      const name = `words=2,huge=5M,id=${format}`;
      const said = await INGRESSES[0].ask(server, `slow-${format}/${name}`);
      assert.deepEqual([said.type, said.text], ['error', ''], format);
      assert.ok(['too_large', 'provider_error'].includes(said.code), `${format}: ${said.code}`);
      await eventually(async () => (await seen(name)).open === 0, `${name} is closed`, CLOSED_WITHIN);
    }
  });

  test('whoever cancels ends the connection to the provider, whatever it is doing', async () => {
    const post = (path, body, signal) => fetch(`${server.url}${path}`, {
      method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, signal,
    });
    const messages = [{ role: 'user', content: 'say something' }];
    const ways = {
      async delete(model) {
        const channel = await server.chat({ model, message: 'say something' });
        return () => fetch(`${server.url}/api/chat/${channel}`, { method: 'DELETE' });
      },
      async socket(model) {
        const socket = new Socket(server.port, await server.chat({ model, message: 'say something' }));
        await socket.until(({ events }) => events.length > 0, 'the start');
        return () => socket.send({ type: 'cancel' });
      },
      async completions(model) {
        const client = new AbortController();
        post('/v1/chat/completions', { model, stream: true, messages }, client.signal).catch(() => {});
        return () => client.abort();
      },
      async whole(model) {
        const client = new AbortController();
        post('/v1/chat/completions', { model, messages }, client.signal).catch(() => {});
        return () => client.abort();
      },
    };
    const places = ['stall@start', 'stall@head', 'stall@body', 'murmur@body', 'stall@2', 'stall@2.5', 'stall@end', 'endless,delay=2ms'];
    for (const [way, begin] of Object.entries(ways)) {
      await Promise.all(places.map(async (words) => {
        const name = `${words},id=${way}`;
        const cancel = await begin(`slow-openai/${name}`);
        await eventually(async () => (await seen(name)).open === 1, `${name} is asked`);
        const { now_ms: began } = await report(name);
        await cancel();
        await eventually(async () => (await seen(name)).closed_by_client === 1, `${name} is closed`, CLOSED_WITHIN);
        const took = (await report(name)).requests[0].ended_ms - began;
        assert.ok(took < CANCELLED_WITHIN, `${name} was closed after ${took} ms`);
      }));
    }
  });

  test('nothing is left behind', async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.ok(/^lmserver_panics_total 0$/m.test(metrics), 'a plugin panicked');
    assert.ok(/^lmserver_runs 0$/m.test(metrics), 'answers still run');
  });
});
