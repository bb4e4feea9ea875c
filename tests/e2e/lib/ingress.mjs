// The ways to ask lmserver, each told as the same: how an answer ended, and what was said before.
//
// `ask(server, model)` resolves with `{ type: 'end' | 'error', code, message, text, attempts, status }`, and fails where a
// stream has no end, or more than one. `hasStatus`: a failure before the first word is an HTTP error.
import assert from 'node:assert/strict';
import { textOf } from './wire.mjs';
import { Socket } from './socket.mjs';

const QUESTION = 'say something';

/** Events of a channel: `start`, whatever is said, one terminal event. */
function judged(events, model) {
  const types = events.map(({ type }) => type);
  const isTerminal = (type) => type === 'end' || type === 'error';
  assert.equal(types[0], 'start', `the events are ${types}`);
  assert.equal(types.filter(isTerminal).length, 1, `the events are ${types}`);
  const last = events.at(-1);
  assert.ok(isTerminal(last.type), `something follows the end: ${types}`);
  assert.equal(events[0].model, model);
  return { ...last, text: textOf(events), status: 200 };
}

function post(server, path, body, headers = {}) {
  return fetch(`${server.url}${path}`, {
    method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers },
  });
}

/** The `data:` of each event of a response. */
async function dataOf(response) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const blocks = (await response.text()).split('\n\n').filter(Boolean);
  return blocks.flatMap((block) => block.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)));
}

async function subscribed(server, channel) {
  return (await dataOf(await fetch(`${server.url}/connection/sse?channel=${channel}`))).map((data) => JSON.parse(data));
}

/** The terminal event of the answer that a response of one of the providers' APIs told; it must say the same. */
async function confirmed(server, response, said) {
  const channel = response.headers.get('x-channel-id');
  assert.ok(channel, 'the response names no channel');
  const last = (await subscribed(server, channel)).at(-1);
  assert.equal(last.type, said.type, `the channel ended with ${JSON.stringify(last)}`);
  if (said.code) assert.equal(last.code, said.code);
  return { ...last, text: said.text, status: response.status };
}

/** A refusal in the shape of OpenAI's. */
async function refused(server, response) {
  const { error } = await response.json();
  assert.equal(typeof error.message, 'string');
  assert.equal(typeof error.type, 'string');
  return confirmed(server, response, { type: 'error', code: error.code });
}

/** A refusal in the shape of Anthropic's, whose words are fewer. */
async function refusedInItsWay(server, response) {
  const { type, error } = await response.json();
  assert.equal(type, 'error');
  assert.equal(typeof error.type, 'string');
  assert.equal(typeof error.message, 'string');
  return confirmed(server, response, { type: 'error' });
}

export const INGRESSES = [
  {
    name: 'POST and SSE',
    async ask(server, model) {
      return judged(await subscribed(server, await server.chat({ model, message: QUESTION })), model);
    },
  },
  {
    name: 'POST as SSE',
    async ask(server, model) {
      const response = await post(server, '/api/chat', { model, message: QUESTION }, { Accept: 'text/event-stream' });
      return judged((await dataOf(response)).map((data) => JSON.parse(data)), model);
    },
  },
  {
    name: 'WebSocket',
    async ask(server, model) {
      const socket = new Socket(server.port, await server.chat({ model, message: QUESTION }));
      assert.equal(await socket.closed, 1000);
      return judged(socket.events, model);
    },
  },
  {
    name: 'chat completions',
    hasStatus: true,
    async ask(server, model) {
      const body = { model, stream: true, messages: [{ role: 'user', content: QUESTION }] };
      const response = await post(server, '/v1/chat/completions', body);
      if (response.status !== 200) return refused(server, response);
      const data = await dataOf(response);
      const chunks = data.filter((it) => it !== '[DONE]').map((it) => JSON.parse(it));
      const errors = chunks.filter(({ error }) => error);
      const reasons = chunks.map(({ choices }) => choices?.[0]?.finish_reason).filter(Boolean);
      const text = chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? '').join('');
      assert.equal(errors.length + reasons.length, 1, `the stream ended with ${data.slice(-3)}`);
      if (errors.length === 1) return confirmed(server, response, { type: 'error', code: errors[0].error.code, text });
      assert.equal(data.at(-1), '[DONE]');
      return confirmed(server, response, { type: 'end', text });
    },
  },
  {
    name: 'chat completions as a whole',
    hasStatus: true,
    async ask(server, model) {
      const response = await post(server, '/v1/chat/completions', { model, messages: [{ role: 'user', content: QUESTION }] });
      if (response.status !== 200) return refused(server, response);
      const { choices } = await response.json();
      return confirmed(server, response, { type: 'end', text: choices[0].message.content ?? '' });
    },
  },
  {
    name: 'responses',
    hasStatus: true,
    async ask(server, model) {
      const response = await post(server, '/v1/responses', { model, stream: true, input: QUESTION });
      if (response.status !== 200) return refused(server, response);
      const events = (await dataOf(response)).filter((it) => it !== '[DONE]').map((it) => JSON.parse(it));
      const ends = events.filter(({ type }) => /^(error|response\.(completed|incomplete|failed))$/.test(type));
      assert.equal(ends.length, 1, `the stream ended with ${JSON.stringify(events.slice(-3))}`);
      assert.equal(events.at(-1), ends[0]);
      const text = events.map(({ type, delta }) => (type === 'response.output_text.delta' ? delta : '')).join('');
      return confirmed(server, response, { type: /completed/.test(ends[0].type) ? 'end' : 'error', text });
    },
  },
  {
    name: 'responses as a whole',
    hasStatus: true,
    async ask(server, model) {
      const response = await post(server, '/v1/responses', { model, input: QUESTION });
      if (response.status !== 200) return refused(server, response);
      const { status, output, error } = await response.json();
      if (status === 'failed') return confirmed(server, response, { type: 'error', code: error.code });
      const parts = output.flatMap(({ content }) => content ?? []);
      return confirmed(server, response, { type: 'end', text: parts.map(({ text }) => text ?? '').join('') });
    },
  },
  {
    name: 'messages',
    hasStatus: true,
    async ask(server, model) {
      const body = { model, stream: true, max_tokens: 100, messages: [{ role: 'user', content: QUESTION }] };
      const response = await post(server, '/v1/messages', body);
      if (response.status !== 200) return refusedInItsWay(server, response);
      const events = (await dataOf(response)).map((data) => JSON.parse(data));
      const ends = events.filter(({ type }) => type === 'message_stop' || type === 'error');
      assert.equal(ends.length, 1, `the stream ended with ${JSON.stringify(events.slice(-3))}`);
      assert.equal(events.at(-1), ends[0]);
      const text = events.map(({ delta }) => delta?.text ?? '').join('');
      return confirmed(server, response, { type: ends[0].type === 'error' ? 'error' : 'end', text });
    },
  },
  {
    name: 'messages as a whole',
    hasStatus: true,
    async ask(server, model) {
      const body = { model, max_tokens: 100, messages: [{ role: 'user', content: QUESTION }] };
      const response = await post(server, '/v1/messages', body);
      if (response.status !== 200) return refusedInItsWay(server, response);
      const { content } = await response.json();
      return confirmed(server, response, { type: 'end', text: content.map(({ text }) => text ?? '').join('') });
    },
  },
  {
    name: 'useChat',
    hasStatus: true,
    async ask(server, model) {
      const body = { id: model, model, trigger: 'submit-message', messages: [{ id: '1', role: 'user', parts: [{ type: 'text', text: QUESTION }] }] };
      const response = await post(server, '/api/ui/chat', body);
      if (response.status !== 200) {
        const { error } = await response.json();
        return confirmed(server, response, { type: 'error', code: error.code });
      }
      const parts = (await dataOf(response)).filter((it) => it !== '[DONE]').map((it) => JSON.parse(it));
      const ends = parts.filter(({ type }) => type === 'finish' || type === 'error');
      assert.equal(ends.length, 1, `the stream ended with ${JSON.stringify(parts.slice(-3))}`);
      const text = parts.map(({ type, delta }) => (type === 'text-delta' ? delta : '')).join('');
      return confirmed(server, response, { type: ends[0].type === 'error' ? 'error' : 'end', text });
    },
  },
];
