// Vercel's AI SDK: `useChat`'s transport and state over /api/ui/chat, and its core over /v1.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Chat } from '@ai-sdk/react';
import { DefaultChatTransport, generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { eventually, test } from './lib/condition.mjs';
import { startModel, TEXT } from './lib/model.mjs';
import { openai, Server } from './lib/server.mjs';

const KEY = 'key-of-the-tests';
const headers = { Authorization: `Bearer ${KEY}` };

let server, model;
before(async () => {
  model = await startModel();
  server = await Server.start({ config: openai(model.base, { provider: 'retries = 0\nbreaker_failures = 0', rest: `[auth]\napi_keys = ["${KEY}"]` }) });
});
after(() => Promise.all([server?.stop(), model?.stop()]));

const textOf = (message) => message.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');
const newChat = (more = {}) => new Chat({ transport: new DefaultChatTransport({ api: `${server.url}/api/ui/chat`, headers }), ...more });

describe('useChat of the AI SDK', () => {
  test('a message is answered as it streams', async () => {
    const chat = newChat();
    await chat.sendMessage({ text: 'think' });
    assert.equal(chat.status, 'ready', chat.error?.stack);
    assert.deepEqual(chat.messages.map((message) => message.role), ['user', 'assistant']);
    assert.equal(textOf(chat.messages[1]), TEXT);
    assert.equal(chat.messages[1].parts.find((part) => part.type === 'reasoning').text, 'Let me see. ');
    await chat.sendMessage({ text: 'Hello' });
    assert.deepEqual(model.requests.at(-1).messages.map((message) => message.role), ['user', 'assistant', 'user']);
    assert.equal(model.requests.at(-1).messages[1].content, TEXT);
    assert.equal(textOf(chat.messages[3]), TEXT);
  });

  test('a failure before and in the middle of an answer is an error of the chat', async () => {
    for (const [question, had] of [['fail 500', undefined], ['fail later', 'word-1 word-2 ']]) {
      let error;
      const chat = newChat({ onError: (thrown) => {
        error = thrown;
      } });
      await chat.sendMessage({ text: question });
      assert.equal(chat.status, 'error');
      assert.match(error.message, /the server failed|lost my mind/);
      if (had) assert.equal(textOf(chat.messages[1]), had);
    }
  });

  test('a page that is loaded anew takes the stream up again, with the whole text', async () => {
    const first = newChat({ id: 'reload-1' });
    first.sendMessage({ text: 'go on' }).catch(() => {});
    await eventually(() => first.messages.length > 1 && textOf(first.messages[1]).includes('word-20 '), 'some text');
    const second = newChat({ id: 'reload-1', messages: [first.messages[0]] });
    const resuming = second.resumeStream();
    await first.stop();
    await eventually(() => second.messages.length > 1 && textOf(second.messages[1]).includes('word-60 '), 'more text');
    assert.ok(textOf(second.messages[1]).startsWith('word-1 word-2 '));
    await second.stop();
    await resuming;
  });

  test('where nothing goes on there is nothing to take up', async () => {
    const chat = newChat({ id: 'nobody-asked-here' });
    await chat.resumeStream();
    assert.equal(chat.status, 'ready');
    const done = newChat({ id: 'done-1' });
    await done.sendMessage({ text: 'Hello' });
    const after = newChat({ id: 'done-1', messages: done.messages });
    await after.resumeStream();
    assert.equal(after.status, 'ready');
    assert.equal(after.messages.length, 2);
  });

  test('DELETE ends what stop() leaves going', async () => {
    const chat = newChat({ id: 'stop-1' });
    const going = chat.sendMessage({ text: 'go on' });
    await eventually(() => chat.messages.length > 1 && textOf(chat.messages[1]).includes('word-5 '), 'some text');
    const closed = model.closed;
    await chat.stop();
    await going;
    await fetch(`${server.url}/api/ui/chat/stop-1/stream`, { method: 'DELETE', headers });
    await eventually(() => model.closed > closed, 'the end of the provider\'s connection', 2000);
    const again = newChat({ id: 'stop-1' });
    await again.resumeStream();
    assert.equal(again.status, 'ready');
  });

  test('tools of the request are called by the page, and their results sent', async () => {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];
    const chat = new Chat({ transport: new DefaultChatTransport({ api: `${server.url}/api/ui/chat`, headers, body: { tools } }) });
    await chat.sendMessage({ text: 'The weather?' });
    const parts = chat.messages[1].parts.filter((part) => part.type === 'tool-weather');
    assert.deepEqual(parts.map((part) => [part.toolCallId, part.state, part.input.city]), [['call_a', 'input-available', 'Köln'], ['call_b', 'input-available', 'Bonn']]);
    for (const part of parts) await chat.addToolResult({ tool: 'weather', toolCallId: part.toolCallId, output: `fine in ${part.input.city}` });
    await chat.sendMessage();
    assert.ok(textOf(chat.messages.at(-1)).includes('It is fine in Bonn.'));
    assert.deepEqual(model.requests.at(-1).messages.map((message) => message.role), ['user', 'assistant', 'tool', 'tool']);
  });
});

describe('the core of the AI SDK over /v1', () => {
  const provider = () => createOpenAICompatible({ name: 'lmserver', baseURL: `${server.url}/v1`, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true })('default');

  test('text, streamed and whole', async () => {
    const streamed = streamText({ model: provider(), prompt: 'Hello' });
    let text = '';
    for await (const part of streamed.textStream) text += part;
    assert.equal(text, TEXT);
    assert.equal((await streamed.usage).outputTokens, 20);
    assert.equal((await generateText({ model: provider(), prompt: 'Hello' })).text, TEXT);
  });

  test('tools are called until there is text', async () => {
    const seen = [];
    const weather = tool({ description: 'The weather', inputSchema: z.object({ city: z.string() }), execute: ({ city }) => {
      seen.push(city);
      return `fine in ${city}`;
    } });
    const answer = await generateText({ model: provider(), prompt: 'The weather?', tools: { weather }, stopWhen: stepCountIs(3) });
    assert.deepEqual(seen, ['Köln', 'Bonn']);
    assert.match(answer.text, /fine in Bonn/);
  });

  test('an object by a schema', async () => {
    const { output } = await generateText({ model: provider(), prompt: 'As JSON', output: Output.object({ schema: z.object({ answer: z.string(), sure: z.boolean() }) }) });
    assert.deepEqual(output, { answer: '42', sure: true });
  });

  test('a failure', async () => {
    await assert.rejects(generateText({ model: provider(), prompt: 'fail 500', maxRetries: 0 }), /the server failed|answered/);
  });
});
