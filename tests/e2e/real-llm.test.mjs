// A real language model behind lmserver: what a subscriber puts together is what the same request yields from it directly.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import OpenAI from 'openai';
import { eventually, skipUnless, test } from './lib/condition.mjs';
import { folder, Llm, present } from './lib/llm.mjs';
import { openai, Server } from './lib/server.mjs';
import { Socket } from './lib/socket.mjs';
import { listen, subscribe, textOf } from './lib/wire.mjs';

const skip = skipUnless(present, 'tests against a real language model: no ../shared/tools/real-llm');
const exact = (question, more = {}) => ({ messages: [{ role: 'user', content: question }], temperature: 0, seed: 7, max_tokens: 400, ...more });
const events = (reader) => reader.events.map((event) => (event.json ? { id: event.id, ...event.json } : event));
/** Generates until it is cancelled or the context is full. */
const ENDLESS = { max_tokens: 3500, extra: { ignore_eos: true } };

/** Reads a channel to its end; after some 400 bytes or 3 events the connection is cut and taken up again. */
async function cutAndResumed(server, id, transport) {
  const had = [];
  let cuts = -1;
  while (!['end', 'error'].includes(had.at(-1)?.type)) {
    const after = had.at(-1)?.id;
    cuts += 1;
    let reader;
    let most = Infinity;
    if (transport === 'sse') {
      reader = listen(server.port, id, { after, limit: 400 });
      await reader.ended;
    } else {
      reader = new Socket(server.port, id, { after });
      await Promise.race([reader.closed, reader.until((r) => r.events.length >= 3).catch(() => {})]);
      // More may have come at once, of an answer that is there already: they are lost with the connection.
      most = 3;
    }
    had.push(...events(reader).slice(0, most));
    reader.close();
  }
  assert.ok(cuts > 0, 'never cut');
  return had;
}

describe('a real language model', { skip }, () => {
  let llm, server;
  before(async () => {
    llm = await Llm.start();
    server = await Server.start({ config: openai(llm.base) });
  });
  after(() => Promise.all([llm?.stop(), server?.stop()]));

  for (const question of ['Hello', 'Grüße, 世界 🚀?']) {
    test(`${question}: OpenAI's SDK has the text, the finish reason and the usage of a direct request`, async () => {
      const request = { messages: [{ role: 'user', content: question }], temperature: 0, seed: 7, max_tokens: 200 };
      const direct = await llm.direct(request);
      const client = new OpenAI({ apiKey: 'none', baseURL: `${server.url}/v1`, maxRetries: 0 });
      const whole = await client.chat.completions.create({ model: 'default', ...request });
      assert.equal(whole.choices[0].message.content, direct.text);
      assert.equal(whole.choices[0].finish_reason, direct.finish_reason);
      assert.equal(whole.usage.completion_tokens, direct.usage.output_tokens);
      let text = '';
      for await (const chunk of await client.chat.completions.create({ model: 'default', stream: true, ...request })) text += chunk.choices[0].delta.content ?? '';
      assert.equal(text, direct.text);
    });
  }

  for (const question of ['Hello', 'Tell me a long story about the sea.', 'Grüße, 世界 🚀?']) {
    test(`${question}: early, late, and cut subscribers on both transports have the text of a direct request`, async () => {
      const request = exact(question);
      const direct = await llm.direct(request);
      assert.ok(direct.text.length > 0);
      const id = await server.chat(request);
      const early = [await subscribe(server.port, id), new Socket(server.port, id)];
      const cut = ['sse', 'ws'].map((transport) => cutAndResumed(server, id, transport));
      await Promise.all([early[0].ended, early[1].closed]);
      const late = [await subscribe(server.port, id), new Socket(server.port, id)];
      await Promise.all([late[0].ended, late[1].closed]);
      const wanted = events(early[0]);
      assert.equal(textOf(wanted), direct.text);
      const end = wanted.at(-1);
      assert.deepEqual([end.type, end.finish_reason], ['end', direct.finish_reason]);
      assert.equal(end.usage.input_tokens, direct.usage.input_tokens);
      assert.equal(end.usage.output_tokens, direct.usage.output_tokens);
      for (const got of [early[1], ...late].map(events)) assert.deepEqual(got, wanted);
      for (const got of await Promise.all(cut)) assert.deepEqual(got, wanted);
      assert.equal((await server.state(id)).text, direct.text);
    });
  }

  test('twelve answers at once keep their texts apart', async () => {
    const questions = Array.from({ length: 12 }, (_, i) => exact(`Question ${i}: what is the number ${i * 7}?`, { max_tokens: 40 + 10 * i }));
    const ids = await Promise.all(questions.map((question) => server.chat(question)));
    const streams = await Promise.all(ids.map((id) => subscribe(server.port, id)));
    await Promise.all(streams.map(({ ended }) => ended));
    for (const [i, question] of questions.entries()) assert.equal(streams[i].text, (await llm.direct(question)).text);
  });

  test('a length limit is the finish reason `length`', async () => {
    const exchange = await subscribe(server.port, await server.chat(exact('Tell me a long story.', { max_tokens: 5, extra: { ignore_eos: true } })));
    await exchange.ended;
    assert.equal(exchange.events.at(-1).json.finish_reason, 'length');
  });

  for (const [how, cancel] of [
    ['DELETE', (id) => fetch(`${server.url}/api/chat/${id}`, { method: 'DELETE' })],
    ['the WebSocket `cancel`', async (_, socket) => socket.send({ type: 'cancel' })],
  ]) {
    test(`${how} stops the generation`, async () => {
      await eventually(async () => (await llm.gauge('requests_processing')) === 0, 'an idle model');
      const before = await llm.gauge('tokens_predicted_total');
      const id = await server.chat(exact('Go on for ever.', ENDLESS));
      const socket = new Socket(server.port, id);
      await socket.until(({ events: got }) => got.length > 3);
      await cancel(id, socket);
      assert.equal(await socket.closed, 1000);
      assert.equal(socket.events.at(-1).finish_reason, 'cancelled');
      await eventually(async () => (await llm.gauge('requests_processing')) === 0, 'the model to stop');
      const made = (await llm.gauge('tokens_predicted_total')) - before;
      assert.ok(made < ENDLESS.max_tokens, `${made} tokens were made all the same`);
      assert.equal((await server.state(id)).text, textOf(socket.events));
    });
  }

  test('leaving does not cancel: who comes back finds the whole answer', async () => {
    const request = exact('Leave me.', { max_tokens: 1500, extra: { ignore_eos: true } });
    const id = await server.chat(request);
    const leaving = await subscribe(server.port, id);
    await leaving.until(({ events: got }) => got.length > 3);
    leaving.close();
    await eventually(async () => (await server.state(id)).status === 'completed', 'the end');
    const back = await subscribe(server.port, id, { after: leaving.ids.at(-1) });
    await back.ended;
    const { extra, ...plain } = request;
    assert.equal(leaving.text + back.text, (await llm.direct({ ...plain, ...extra })).text);
  });

  test('a question longer than the context is provider_context_length', async () => {
    const exchange = await subscribe(server.port, await server.chat(exact('word '.repeat(9000))));
    await exchange.ended;
    const { type, code, retryable, message } = exchange.events.at(-1).json;
    assert.deepEqual([type, code, retryable], ['error', 'provider_context_length', false]);
    assert.match(message, /context/);
  });
});

describe('a real language model with a key, behind TLS', { skip }, () => {
  let llm;
  before(async () => {
    llm = await Llm.start({ TLS: '1', API_KEY: 'sk-right' });
  });
  after(() => llm?.stop());
  const tls = `ca_file = "${join(folder, 'ca.pem')}"`;
  async function last(config) {
    const server = await Server.start({ config });
    try {
      const exchange = await subscribe(server.port, await server.chat(exact('Hello')));
      await exchange.ended;
      const said = exchange.raw.toString() + server.log;
      assert.ok(!/sk-(right|wrong)/.test(said), 'the key is never shown');
      return { ...exchange.events.at(-1).json, text: exchange.text };
    } finally {
      await server.stop();
    }
  }

  test('with its CA in `ca_file`: the text of a direct request', async () => {
    const end = await last(openai(llm.base, { key: 'sk-right', provider: tls }));
    assert.equal(end.type, 'end');
    assert.equal(end.text, (await llm.direct(exact('Hello'), 'sk-right')).text);
  });
  test('a wrong key is provider_auth', async () => {
    const end = await last(openai(llm.base, { key: 'sk-wrong', provider: tls }));
    assert.deepEqual([end.type, end.code, end.retryable], ['error', 'provider_auth', false]);
  });
  test('without `ca_file` its certificate is not trusted', async () => {
    const end = await last(openai(llm.base, { key: 'sk-right' }));
    assert.deepEqual([end.type, end.code], ['error', 'provider_unreachable']);
    assert.match(end.message, /certificate/i);
  });
});
