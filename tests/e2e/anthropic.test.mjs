// Anthropic's SDK for JavaScript, unmodified but for its base URL.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { eventually, test } from './lib/condition.mjs';
import { startModel, TEXT } from './lib/model.mjs';
import { openai, Server } from './lib/server.mjs';

const KEY = 'key-of-the-tests';
const ask = (content, more = {}) => ({ model: 'default', max_tokens: 1000, messages: [{ role: 'user', content }], ...more });
const tools = [{ name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }];

let server, model, client;
before(async () => {
  model = await startModel();
  server = await Server.start({ config: openai(model.base, { provider: 'retries = 0\nbreaker_failures = 0', rest: `[auth]\napi_keys = ["${KEY}"]` }) });
  client = new Anthropic({ apiKey: KEY, baseURL: server.url, maxRetries: 0 });
});
after(() => Promise.all([server?.stop(), model?.stop()]));

describe('messages of the Anthropic SDK', () => {
  test('a stream and a whole answer', async () => {
    const stream = client.messages.stream(ask('think', { system: 'Be brief.' }));
    const message = await stream.finalMessage();
    assert.deepEqual(message.content.map((block) => block.type), ['thinking', 'text']);
    assert.equal(await stream.finalText(), TEXT);
    assert.equal(message.stop_reason, 'end_turn');
    assert.equal(message.usage.output_tokens, 20);
    const whole = await client.messages.create(ask('Hello'));
    assert.equal(whole.content[0].text, TEXT);
    assert.deepEqual(model.requests.map((body) => body.messages[0].role).slice(-2), ['system', 'user']);
  });

  test('tool calls', async () => {
    for (const message of [await client.messages.create(ask('The weather?', { tools })), await client.messages.stream(ask('The weather?', { tools })).finalMessage()]) {
      assert.equal(message.stop_reason, 'tool_use');
      assert.deepEqual(message.content.filter((block) => block.type === 'tool_use').map((block) => [block.id, block.input.city]), [['call_a', 'Köln'], ['call_b', 'Bonn']]);
    }
  });

  test('structured output is parsed', async () => {
    const format = zodOutputFormat(z.object({ answer: z.string(), sure: z.boolean() }));
    const message = await client.messages.parse(ask('As JSON', { output_config: { format } }));
    assert.deepEqual(message.parsed_output, { answer: '42', sure: true });
    assert.equal(model.requests.at(-1).response_format.json_schema.strict, true);
  });

  test('errors', async () => {
    for (const stream of [true, false]) {
      await assert.rejects(client.messages.create(ask('fail 429', { stream })), Anthropic.RateLimitError);
      await assert.rejects(client.messages.create(ask('fail 500', { stream })), Anthropic.InternalServerError);
      await assert.rejects(client.messages.create(ask('x', { stream, max_tokens: 'many' })), Anthropic.BadRequestError);
    }
    await assert.rejects(client.messages.stream(ask('fail later')).finalMessage(), /lost my mind/);
  });

  test('closing cancels', async () => {
    const closed = model.closed;
    for await (const event of await client.messages.create(ask('go on', { stream: true }))) if (event.type === 'content_block_delta') break;
    await eventually(() => model.closed > closed, 'the end of the provider\'s connection', 2000);
  });
});
