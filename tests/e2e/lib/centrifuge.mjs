// Centrifugo's JavaScript SDK as a client of lmserver, over each of its transports and encodings, and what a backend
// brings: signed tokens and the server API.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { ReadableStream } from 'node:stream/web';
import { Centrifuge as Json } from 'centrifuge';
import { Centrifuge as Protobuf } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

export const SECRET = 'secret-of-the-tests';
export const KEY = 'key-of-the-tests';

const way = (name, transport, Client) => ({ name, transport, Client });
export const WAYS = [
  way('WebSocket, JSON', 'websocket', Json),
  way('WebSocket, Protobuf', 'websocket', Protobuf),
  way('HTTP streaming, JSON', 'http_stream', Json),
  way('HTTP streaming, Protobuf', 'http_stream', Protobuf),
  way('SSE, JSON', 'sse', Json),
];

/** What the configuration of a server under test needs beside its provider. */
export const CONFIG = `
[auth]
api_keys = ["${KEY}"]

[client]
allow_anonymous_connect_without_token = true

[client.token]
hmac_secret_key = "${SECRET}"
`;

const open = new Set();
/** Ends the clients of all tests, so that none outlives its server. */
export const endClients = () => open.forEach((client) => client.disconnect());

/** A client that is not connected yet; it reconnects fast unless `options` say otherwise. */
export function client(port, { transport, Client }, options = {}) {
  const scheme = transport === 'websocket' ? 'ws' : 'http';
  const made = new Client([{ transport, endpoint: `${scheme}://127.0.0.1:${port}/connection/${transport}` }], {
    websocket: WebSocket, fetch, readableStream: ReadableStream, eventsource: EventSource,
    emulationEndpoint: `http://127.0.0.1:${port}/emulation`, minReconnectDelay: 20, maxReconnectDelay: 200, ...options,
  });
  made.on('error', () => {}); // each is a cause of what the tests look at
  made.on('connected', ({ client: id }) => {
    made.id = id;
  });
  open.add(made);
  return made;
}

/** A client that is connected as `user` (without one: anonymously). */
export async function connected(port, way, user, options = {}) {
  const made = client(port, way, user === undefined ? options : { token: token({ sub: user }), ...options });
  made.connect();
  await made.ready();
  return made;
}

/** What a publication carries, whatever the encoding. */
export const read = (data) => (data instanceof Uint8Array ? JSON.parse(Buffer.from(data)) : data);
/** What to give to `publish` of a client. */
export const write = ({ Client }, data) => (Client === Protobuf ? Buffer.from(JSON.stringify(data)) : data);

/** The next `event` for which `condition` holds, as the SDK describes it. */
export const next = (emitter, event, condition = () => true) => new Promise((resolve) => {
  const listener = (context) => {
    if (!condition(context)) return;
    emitter.off(event, listener);
    resolve(context);
  };
  emitter.on(event, listener);
});

/** A subscription that remembers what it got. */
export class Listener {
  constructor(made, channel, options) {
    this.events = []; // { offset, ...data }
    this.subscribed = []; // the contexts of `subscribed`
    this.watchers = new Set();
    const tell = () => {
      for (const watcher of this.watchers) watcher();
    };
    this.sub = made.newSubscription(channel, options);
    this.sub.on('publication', ({ data, offset }) => {
      this.events.push({ offset, ...read(data) });
      tell();
    });
    this.sub.on('subscribed', (context) => {
      this.subscribed.push(context);
      tell();
    });
    this.sub.on('unsubscribed', tell);
    this.sub.subscribe();
  }
  /** Resolves once `condition(this)` holds. */
  async until(condition) {
    while (!condition(this)) {
      assert.notEqual(this.sub.state, 'unsubscribed', `unsubscribed before ${condition}`);
      await new Promise((resolve) => {
        const watcher = () => {
          this.watchers.delete(watcher);
          resolve();
        };
        this.watchers.add(watcher);
      });
    }
    return this;
  }
  ended() {
    return this.until(({ events }) => ['end', 'error'].includes(events.at(-1)?.type));
  }
  /** The whole answer to a chat, exactly once and in order. */
  assertWhole(text) {
    assert.deepEqual(this.events.map(({ offset }) => offset), this.events.map((_, i) => i + 1), 'every offset once, in order');
    assert.equal(this.events[0].type, 'start');
    assert.equal(this.text, text);
    assert.equal(this.events.at(-1).type, 'end');
  }
  get text() {
    return this.events.filter(({ type }) => type === 'chunk').map(({ message }) => message).join('');
  }
  get offset() {
    return this.events.at(-1)?.offset ?? 0;
  }
}

const base64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
/** A JSON Web Token, HS256. */
export function token(claims, secret = SECRET) {
  const signed = `${base64({ typ: 'JWT', alg: 'HS256' })}.${base64(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
/** The time in `seconds`, as tokens say it. */
export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

/** A call of the server API; resolves with its `result`, fails with its `error`. */
export async function api(server, method, body, headers = {}) {
  const response = await fetch(`${server.url}/api/${method}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY, ...headers }, body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${method}: ${response.status}`);
  const { result, error } = await response.json();
  if (error) throw Object.assign(new Error(`${method}: ${error.code} ${error.message}`), error);
  return result;
}

/** Chats of tests that run at the same time: each is handed the provider's request for its own. */
export function chats(upstream) {
  const takers = new Map();
  upstream.always((answer) => takers.get(answer.body.messages.at(-1).content)(answer));
  return async (server, headers = { 'X-API-Key': KEY }) => {
    const message = randomUUID();
    const asked = new Promise((resolve) => takers.set(message, resolve));
    const id = await server.chat(message, headers);
    return { id, answer: await asked };
  };
}

/** A channel's name that no other test uses. */
export const channel = (namespace) => `${namespace}:${randomUUID()}`;
