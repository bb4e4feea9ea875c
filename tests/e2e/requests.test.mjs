// What lmserver sends to each provider, held against the types of that vendor's own Python SDK. A key that the vendor does not
// document, a value out of its lists, a missing key: each is a violation.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, skipUnless, test } from './lib/condition.mjs';
import { Server } from './lib/server.mjs';

const CHECK = fileURLToPath(new URL('python/check_requests.py', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
const present = spawnSync(python, ['-c', 'import openai, anthropic, google.genai, cohere, ollama, botocore']).status === 0;
const skip = skipUnless(present, `the vendors' schemas: ${python} lacks tests/e2e/python/requirements.txt`);

/** Each provider's wire format, the keys that its section needs beside `base_url`, and a model whose name a path must bear encoded. */
const PROVIDERS = {
  openai: { api: 'openai-chat', keys: 'api_key = "k"\nmax_tokens_field = "max_completion_tokens"' },
  azure: { api: 'openai-chat', keys: 'api_key = "k"' },
  'openai-responses': { api: 'openai-responses', keys: 'api_key = "k"' },
  anthropic: { api: 'anthropic', keys: 'api_key = "k"' },
  gemini: { api: 'gemini', keys: 'api_key = "k"' },
  ollama: { api: 'ollama', keys: '' },
  cohere: { api: 'cohere', keys: 'api_key = "k"' },
  bedrock: { api: 'bedrock', model: 'us.vendor.m-v1:0', keys: 'region = "eu-central-1"\naccess_key_id = "AKIDEXAMPLE"\nsecret_access_key = "s3cret"' },
};

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const WEATHER = {
  type: 'function',
  function: {
    name: 'weather', description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  },
};
const CLOCK = { type: 'function', function: { name: 'clock', parameters: { type: 'object', properties: {} } } };
const call = (id, name, args) => ({ id, type: 'function', function: { name, arguments: JSON.stringify(args) } });
const user = (content) => ({ role: 'user', content });
const schema = { type: 'object', properties: { answer: { type: 'string' } }, required: ['answer'], additionalProperties: false };

/** Questions that every provider can express. */
const COMMON = {
  'a message': { message: 'Hello' },
  'a system prompt': { system: 'Be brief.', messages: [user('Hello')] },
  'system messages': { messages: [{ role: 'system', content: 'Be brief.' }, user('Hello')] },
  'several turns': { messages: [user('Hello'), { role: 'assistant', content: 'Hi.' }, user('How are you?')] },
  'text in parts': { messages: [user([{ type: 'text', text: 'Hello' }, { type: 'text', text: 'there' }])] },
  'an image': { messages: [user([{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } }])] },
  limits: { message: 'Hello', temperature: 0.5, top_p: 0.9, max_tokens: 50 },
  tools: { message: 'Hello', tools: [WEATHER, CLOCK] },
  'tools with a choice': { message: 'Hello', tools: [WEATHER], tool_choice: 'auto' },
  'tool results': {
    tools: [WEATHER, CLOCK],
    messages: [
      user('The weather?'),
      { role: 'assistant', content: null, tool_calls: [call('call_1', 'weather', { city: 'Köln' }), call('call_2', 'clock', {})] },
      { role: 'tool', tool_call_id: 'call_1', content: '{"sky":"clear"}' },
      { role: 'tool', tool_call_id: 'call_2', content: 'noon' },
      user('And tomorrow?'),
    ],
  },
  'hints that may be left out': { message: 'Hello', seed: 7, user: 'u-1', metadata: { trace: 'a' } },
};

/** Questions that some providers refuse, since they cannot express them. */
const SOME = {
  stop: { message: 'Hello', stop: ['END', 'STOP'] },
  'a tool that must be called': { message: 'Hello', tools: [WEATHER], tool_choice: 'required' },
  'one tool that must be called': { message: 'Hello', tools: [WEATHER], tool_choice: { type: 'function', function: { name: 'weather' } } },
  'no tool call': { message: 'Hello', tools: [WEATHER], tool_choice: 'none' },
  'a JSON object': { message: 'Hello, as JSON', response_format: { type: 'json_object' } },
  'a JSON schema': { message: 'Hello', response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } },
  'an image by URL': { messages: [user([{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: 'https://images.example/a.png' } }])] },
  'low effort': { message: 'Hello', reasoning_effort: 'low' },
  'high effort': { message: 'Hello', reasoning_effort: 'high', max_tokens: 30_000 },
};

describe('the requests to providers', { skip }, () => {
  let server, upstream;
  const seen = []; // { provider, url, headers, body, text }
  before(async () => {
    // Each request is kept and refused, so that no answer is needed.
    upstream = createServer(async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      seen.push({ provider: request.url.split('/')[1], url: request.url, headers: request.headers, body: JSON.parse(text), text });
      response.writeHead(400, { 'Content-Type': 'application/json' }).end('{"error":{"message":"kept"}}');
    });
    await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${upstream.address().port}`;
    const section = ([kind, { keys }]) => `[provider.${kind}]\nkind = "${kind}"\nbase_url = "${base}/${kind}"\nretries = 0\nbreaker_failures = 0\n${keys}\n`;
    const config = `${Object.entries(PROVIDERS).map(section).join('\n')}\n[model.default]\ntargets = ["openai/m"]\n`;
    server = await Server.start({ config });
  });
  after(async () => {
    await server?.stop();
    upstream?.closeAllConnections();
    upstream?.close();
  });

  /** Asks, and waits until the provider has seen the question or lmserver has refused to put it. */
  async function ask(provider, question) {
    const count = seen.length;
    const id = await server.chat({ model: `${provider}/${PROVIDERS[provider].model ?? 'm'}`, ...question });
    const state = await eventually(async () => {
      const now = await server.state(id);
      return now.status !== 'streaming' && now;
    }, `an end of ${id}`);
    assert.equal(state.error.code, 'provider_bad_request');
    if (seen.length > count) return seen.at(-1);
    assert.match(state.error.message, /cannot express|must be/, 'a refusal says why');
    return null;
  }

  for (const [provider, { api }] of Object.entries(PROVIDERS)) {
    test(`${provider}: every request is one of its vendor's schema`, async () => {
      const requests = [];
      for (const [name, question] of Object.entries(COMMON)) {
        const request = await ask(provider, question);
        assert.ok(request, `${provider} refused: ${name}`);
        requests.push({ name: `${provider}, ${name}`, api, ...request });
      }
      let expressed = 0;
      for (const [name, question] of Object.entries(SOME)) {
        const request = await ask(provider, question);
        if (!request) continue;
        expressed += 1;
        requests.push({ name: `${provider}, ${name}`, api, ...request });
      }
      assert.ok(expressed >= 4, `${provider} expresses ${expressed} of ${Object.keys(SOME).length}`);
      const input = requests.map((request) => JSON.stringify(request)).join('\n');
      const checked = spawnSync(python, [CHECK], { input, encoding: 'utf8', env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } });
      assert.equal(checked.status, 0, checked.stdout + checked.stderr);
      assert.match(checked.stdout, new RegExp(`^${requests.length} requests checked, 0 violations`, 'm'));
    });
  }
});
