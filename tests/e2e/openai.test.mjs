// OpenAI's SDK for JavaScript, unmodified but for its base URL: Chat Completions, Responses, models.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { eventually, test } from './lib/condition.mjs';
import { startModel, TEXT } from './lib/model.mjs';
import { openai, Server } from './lib/server.mjs';
import { Socket } from './lib/socket.mjs';
import { subscribe, textOf } from './lib/wire.mjs';

const KEY = 'key-of-the-tests';
const ask = (content, more = {}) => ({ model: 'default', messages: [{ role: 'user', content }], ...more });
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ type: 'function', function: { name: 'weather', parameters } }];
const Answer = z.object({ answer: z.string(), sure: z.boolean() });
const all = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

let server, model, client;
before(async () => {
  model = await startModel();
  server = await Server.start({ config: openai(model.base, { provider: 'retries = 0\nbreaker_failures = 0', rest: `[auth]\napi_keys = ["${KEY}"]` }) });
  client = new OpenAI({ apiKey: KEY, baseURL: `${server.url}/v1`, maxRetries: 0 });
});
after(() => Promise.all([server?.stop(), model?.stop()]));

describe('chat.completions of the OpenAI SDK', () => {
  test('a stream has the text, the finish reason and the usage', async () => {
    const chunks = await all(await client.chat.completions.create(ask('Hello', { stream: true, stream_options: { include_usage: true } })));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), TEXT);
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean), ['stop']);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.prompt_tokens, 11);
    assert.equal(chunks.at(-1).usage.completion_tokens, 20);
    assert.equal(chunks.at(-1).usage.total_tokens, 31);
    assert.equal(chunks.at(-1).usage.prompt_tokens_details.cached_tokens, 4);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    assert.ok(chunks.every((chunk) => chunk.object === 'chat.completion.chunk' && chunk.model && chunk.created > 1_700_000_000));
  });

  test('without include_usage no chunk is without choices', async () => {
    const chunks = await all(await client.chat.completions.create(ask('Hello', { stream: true })));
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1));
  });

  test('a whole answer', async () => {
    const answer = await client.chat.completions.create(ask('Hello'));
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.choices[0].message.content, TEXT);
    assert.equal(answer.choices[0].message.role, 'assistant');
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer.usage.total_tokens, 31);
    const cut = await client.chat.completions.create(ask('be long'));
    assert.equal(cut.choices[0].finish_reason, 'length');
  });

  test('the stream helper puts an answer together, reasoning beside it', async () => {
    const answer = await client.chat.completions.stream(ask('Hello')).finalChatCompletion();
    assert.equal(answer.choices[0].message.content, TEXT);
    const chunks = await all(await client.chat.completions.create(ask('think', { stream: true })));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.reasoning_content ?? '').join(''), 'Let me see. ');
  });

  test('several choices', async () => {
    const whole = await client.chat.completions.create(ask('Hello', { n: 3 }));
    assert.deepEqual(whole.choices.map((choice) => [choice.index, choice.message.content]), [0, 1, 2].map((index) => [index, TEXT]));
    assert.equal(whole.usage.completion_tokens, 60);
    const answer = await client.chat.completions.stream(ask('Hello', { n: 2 })).finalChatCompletion();
    assert.deepEqual(answer.choices.map((choice) => choice.message.content), [TEXT, TEXT]);
  });

  test('tool calls, streamed, whole, and run to their end by the helper', async () => {
    const whole = await client.chat.completions.create(ask('The weather?', { tools }));
    assert.equal(whole.choices[0].finish_reason, 'tool_calls');
    const calls = whole.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((call) => [call.id, call.type, call.function.name, JSON.parse(call.function.arguments).city]),
      [['call_a', 'function', 'weather', 'Köln'], ['call_b', 'function', 'weather', 'Bonn']]);
    const streamed = await client.chat.completions.stream(ask('The weather?', { tools })).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.tool_calls.map((call) => call.function.arguments), calls.map((call) => call.function.arguments));
    const seen = [];
    const runnable = { type: 'function', function: { name: 'weather', description: 'w', parameters, parse: JSON.parse, function: ({ city }) => { seen.push(city); return `fine in ${city}`; } } };
    const runner = client.chat.completions.runTools(ask('The weather?', { stream: true, tools: [runnable] }));
    assert.equal(await runner.finalContent(), 'It is fine in Bonn.');
    assert.deepEqual(seen, ['Köln', 'Bonn']);
    const sent = model.requests.at(-1).messages;
    assert.deepEqual(sent.map((message) => message.role), ['user', 'assistant', 'tool', 'tool']);
    assert.deepEqual(sent.slice(2).map((message) => message.tool_call_id), ['call_a', 'call_b']);
  });

  test('structured output is parsed', async () => {
    const format = { response_format: zodResponseFormat(Answer, 'answer') };
    const answer = await client.chat.completions.parse(ask('As JSON', format));
    assert.deepEqual(answer.choices[0].message.parsed, { answer: '42', sure: true });
    assert.equal(model.requests.at(-1).response_format.json_schema.strict, true);
    const streamed = await client.chat.completions.stream(ask('As JSON', format)).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.parsed, { answer: '42', sure: true });
  });

  test('a refusal', async () => {
    const answer = await client.chat.completions.create(ask('refuse'));
    assert.equal(answer.choices[0].message.refusal, 'I would rather not.');
    assert.equal(answer.choices[0].message.content, null);
    const streamed = await client.chat.completions.stream(ask('refuse')).finalChatCompletion();
    assert.equal(streamed.choices[0].message.refusal, 'I would rather not.');
  });

  test('what has no place of its own is handed on', async () => {
    await client.chat.completions.create(ask('Hello', { frequency_penalty: 0.5, logit_bias: { 50: 1 }, parallel_tool_calls: false, seed: 3, user: 'u', verbosity: 'low', my_own: { a: 1 } }));
    const sent = model.requests.at(-1);
    assert.equal(sent.frequency_penalty, 0.5);
    assert.deepEqual(sent.logit_bias, { 50: 1 });
    assert.equal(sent.parallel_tool_calls, false);
    assert.deepEqual(sent.my_own, { a: 1 });
  });

  for (const stream of [false, true]) {
    const how = stream ? 'a stream' : 'a whole answer';
    test(`${how} that fails before its first token is an HTTP error of the right class`, async () => {
      for (const [question, type, status, code] of [
        ['fail 400', OpenAI.BadRequestError, 400, null],
        ['fail 413', OpenAI.BadRequestError, 400, 'context_length_exceeded'],
        ['fail 429', OpenAI.RateLimitError, 429, null],
        ['fail 500', OpenAI.InternalServerError, 502, null],
        ['fail 503', OpenAI.InternalServerError, 503, null],
        ['fail 401', OpenAI.InternalServerError, 502, null],
      ]) {
        const error = await client.chat.completions.create(ask(question, { stream })).then(() => null, (thrown) => thrown);
        assert.ok(error instanceof type, `${question}: ${error}`);
        assert.equal(error.status, status, question);
        if (code) assert.equal(error.code, code);
        assert.equal(typeof error.error.message, 'string');
        assert.ok(!JSON.stringify(error.error).includes('sk-upstream-secret'));
        if (question === 'fail 429') assert.equal(error.headers.get('retry-after'), '7');
      }
    });

    test(`${how} that cannot be asked for is refused with what is wrong`, async () => {
      for (const [question, type, status] of [
        [{ model: 'nobody-has-this', messages: [{ role: 'user', content: 'x' }] }, OpenAI.NotFoundError, 404],
        [{ model: 'default' }, OpenAI.BadRequestError, 400],
        [{ model: 'default', messages: [] }, OpenAI.BadRequestError, 400],
        [{ model: 'default', messages: [{ role: 'user', content: 'x' }], temperature: 'hot' }, OpenAI.BadRequestError, 400],
        [{ model: 'default', messages: [{ role: 'user', content: 'x' }], n: 0 }, OpenAI.BadRequestError, 400],
      ]) {
        const error = await client.chat.completions.create({ ...question, stream }).then(() => null, (thrown) => thrown);
        assert.ok(error instanceof type, `${JSON.stringify(question)}: ${error}`);
        assert.equal(error.status, status);
        assert.equal(error.type, 'invalid_request_error');
      }
      const stranger = new OpenAI({ apiKey: 'wrong', baseURL: `${server.url}/v1`, maxRetries: 0 });
      await assert.rejects(stranger.chat.completions.create(ask('Hello', { stream })), OpenAI.AuthenticationError);
    });
  }

  test('a stream that fails in its middle raises what had come, then the error', async () => {
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of await client.chat.completions.create(ask('fail later', { stream: true }))) text += chunk.choices[0]?.delta.content ?? '';
    }, (error) => error instanceof OpenAI.APIError && /lost my mind/.test(error.message));
    assert.equal(text, 'word-1 word-2 ');
    await assert.rejects(client.chat.completions.create(ask('fail later')), OpenAI.APIError);
  });

  test('the SDK tries again where that helps, and gets its answer', async () => {
    const patient = new OpenAI({ apiKey: KEY, baseURL: `${server.url}/v1`, maxRetries: 1 });
    const before = model.requests.length;
    await assert.rejects(patient.chat.completions.create(ask('fail 400')), OpenAI.BadRequestError);
    assert.equal(model.requests.length, before + 1);
  });

  for (const question of ['go on', 'say nothing']) {
    for (const stream of [true, false]) {
      test(`closing cancels: "${question}", ${stream ? 'a stream' : 'a whole answer'}`, async () => {
        const [asked, closed] = [model.requests.length, model.closed];
        const controller = new AbortController();
        const going = client.chat.completions.create(ask(question, { stream }), { signal: controller.signal }).then(async (answer) => {
          if (stream) for await (const chunk of answer) if (chunk) break;
        });
        going.catch(() => {});
        await eventually(() => model.requests.length > asked, 'the question to arrive');
        if (!stream || question === 'say nothing') controller.abort();
        await going.catch(() => {});
        await eventually(() => model.closed > closed, 'the end of the provider\'s connection', 2000);
      });
    }
  }

  test('others watch by X-Channel-Id, and keep it alive', async () => {
    const controller = new AbortController();
    const { response } = await client.chat.completions.create(ask('go on', { stream: true }), { signal: controller.signal }).withResponse();
    const channel = response.headers.get('x-channel-id');
    assert.match(channel, /^chat:/);
    const closed = model.closed;
    const watcher = await subscribe(server.port, channel);
    const other = new Socket(server.port, channel);
    await other.until((socket) => socket.events.length > 3);
    controller.abort();
    const had = other.events.length;
    await other.until((socket) => socket.events.length > had + 10);
    assert.equal(model.closed, closed);
    watcher.close();
    other.close();
    await eventually(() => model.closed > closed, 'the end of the provider\'s connection', 2000);
  });

  test('an answer is a channel like any other', async () => {
    const { data, response } = await client.chat.completions.create(ask('Hello')).withResponse();
    const late = await subscribe(server.port, response.headers.get('x-channel-id'));
    await late.ended;
    assert.equal(textOf(late.events.map((event) => event.json ?? {})), data.choices[0].message.content);
  });
});

describe('models of the OpenAI SDK', () => {
  test('are listed and found', async () => {
    const list = await all(client.models.list());
    assert.ok(list.some((it) => it.id === 'default' && it.object === 'model'), JSON.stringify(list));
    assert.equal((await client.models.retrieve('default')).id, 'default');
    await assert.rejects(client.models.retrieve('nobody-has-this'), OpenAI.NotFoundError);
  });
});

describe('responses of the OpenAI SDK', () => {
  const input = (text, more = {}) => ({ model: 'default', input: text, ...more });

  test('a whole answer', async () => {
    const answer = await client.responses.create(input('Hello', { instructions: 'Be brief.' }));
    assert.equal(answer.output_text, TEXT);
    assert.equal(answer.status, 'completed');
    assert.equal(answer.usage.total_tokens, 31);
    assert.deepEqual(model.requests.at(-1).messages.map((message) => message.role), ['system', 'user']);
  });

  test('a stream has its events in order, densely numbered', async () => {
    const events = await all(await client.responses.create(input('think', { stream: true })));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
    const types = events.map((event) => event.type);
    assert.deepEqual(types.slice(0, 2), ['response.created', 'response.in_progress']);
    assert.equal(types.at(-1), 'response.completed');
    assert.equal(events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta).join(''), TEXT);
    assert.equal(events.find((event) => event.type === 'response.output_text.done').text, TEXT);
    const helper = await client.responses.stream(input('Hello')).finalResponse();
    assert.equal(helper.output_text, TEXT);
  });

  test('tool calls and their results', async () => {
    const flat = [{ type: 'function', name: 'weather', parameters: { ...parameters, additionalProperties: false }, strict: true }];
    const first = await client.responses.create(input('The weather?', { tools: flat }));
    const calls = first.output.filter((item) => item.type === 'function_call');
    assert.deepEqual(calls.map((call) => [call.call_id, call.name, JSON.parse(call.arguments).city]), [['call_a', 'weather', 'Köln'], ['call_b', 'weather', 'Bonn']]);
    const results = calls.map((call) => ({ type: 'function_call_output', call_id: call.call_id, output: `fine (${call.call_id})` }));
    const second = await client.responses.create({ model: 'default', tools: flat, input: [{ role: 'user', content: 'The weather?' }, ...first.output, ...results] });
    assert.equal(second.output_text, 'It is fine (call_b).');
    const third = await client.responses.create({ model: 'default', tools: flat, input: results, previous_response_id: first.id });
    assert.equal(third.output_text, 'It is fine (call_b).');
    const streamed = await client.responses.stream(input('The weather?', { tools: flat })).finalResponse();
    assert.deepEqual(streamed.output.filter((item) => item.type === 'function_call').map((call) => call.arguments), calls.map((call) => call.arguments));
  });

  test('structured output is parsed', async () => {
    const answer = await client.responses.parse(input('As JSON', { text: { format: zodTextFormat(Answer, 'answer') } }));
    assert.deepEqual(answer.output_parsed, { answer: '42', sure: true });
  });

  test('errors are of the right class', async () => {
    for (const stream of [true, false]) {
      await assert.rejects(client.responses.create(input('fail 429', { stream })), OpenAI.RateLimitError);
      await assert.rejects(client.responses.create({ ...input('x', { stream }), model: 'nobody-has-this' }), OpenAI.NotFoundError);
    }
    const events = [];
    await assert.rejects(async () => {
      for await (const event of await client.responses.create(input('fail later', { stream: true }))) {
        events.push(event);
        if (event.type === 'response.failed') throw new Error(event.response.error.message);
      }
    }, /lost my mind/);
    assert.ok(events.some((event) => event.type === 'response.output_text.delta'));
  });

  test('in the background, left, taken up again at a number, and cancelled', async () => {
    const stream = await client.responses.create(input('go on', { stream: true, background: true }));
    let id, last;
    for await (const event of stream) {
      id ??= event.response?.id;
      last = event.sequence_number;
      if (last >= 10) break;
    }
    const closed = model.closed;
    let next = last + 1;
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last })) {
      assert.equal(event.sequence_number, next);
      next += 1;
      if (next > last + 20) break;
    }
    assert.equal(model.closed, closed, 'an answer in the background goes on');
    const cancelled = await client.responses.cancel(id);
    assert.equal(cancelled.status, 'cancelled');
    await eventually(() => model.closed > closed, 'the end of the provider\'s connection', 2000);
    assert.equal((await client.responses.retrieve(id)).status, 'cancelled');
    await client.responses.delete(id);
    await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
  });
});
