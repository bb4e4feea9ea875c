// What the other HTTP answers look like on the wire: CORS on every path and every error, HEAD, OPTIONS, and curl itself.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe } from 'node:test';
import { promisify } from 'node:util';
import { test } from './lib/condition.mjs';
import { openai, Server } from './lib/server.mjs';
import { Upstream } from './lib/upstream.mjs';
import { ask, open, textOf } from './lib/wire.mjs';

const run = promisify(execFile);
const PAGE = 'https://app.example';
const NOBODY = 'chat:00000000-0000-4000-8000-000000000000';
const json = { 'Content-Type': 'application/json' };
let upstream, server, any, plain;

before(async () => {
  upstream = await Upstream.start();
  [server, any, plain] = await Promise.all([
    Server.start({ config: openai(upstream.base, { rest: `[server]\nallowed_origins = ["${PAGE}"]\n[auth]\napi_keys = ["sesame"]` }) }),
    Server.start({ args: ['--allow-origin', '*'] }),
    Server.start({}),
  ]);
});
after(() => Promise.all([upstream, server, any, plain].map((thing) => thing?.stop())));
const list = (value) => (value ?? '').toLowerCase().split(/ *, */);

describe('CORS', () => {
  const wanted = 'last-event-id, authorization, idempotency-key, x-api-key, content-type';
  for (const path of ['/api/chat', `/api/chat/${NOBODY}`, `/connection/sse?channel=${NOBODY}`, '/api/publish', '/health']) {
    test(`a preflight for ${path} is 204 and allows what was asked`, async () => {
      const headers = { Origin: PAGE, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': wanted };
      const answer = await ask(server.port, path, { method: 'OPTIONS', headers });
      assert.equal(answer.status, 204);
      assert.equal(answer.headers['access-control-allow-origin'], PAGE);
      const methods = list(answer.headers['access-control-allow-methods']);
      for (const method of ['get', 'post', 'delete', 'options']) assert.ok(methods.includes(method), method);
      const allowed = list(answer.headers['access-control-allow-headers']);
      for (const name of list(wanted)) assert.ok(allowed.includes(name), name);
      assert.ok(list(answer.headers.vary).includes('origin'));
      assert.equal(answer.body, '');
    });
  }
  const errors = [
    [400, '/api/chat', { method: 'POST', body: '{', headers: { ...json, Authorization: 'Bearer sesame' } }],
    [401, '/api/chat', { method: 'POST', body: '{"message":"a"}', headers: json }],
    [401, '/api/chat', { method: 'POST', body: '{"message":"a"}', headers: { ...json, Authorization: 'Bearer wrong' } }],
    [404, '/no/such/path', {}],
    [404, `/api/chat/${NOBODY}`, {}],
    [404, `/connection/sse?channel=${NOBODY}`, {}],
    [405, '/api/chat', { method: 'PUT' }],
  ];
  for (const [status, path, options] of errors) {
    test(`the answer ${status} of ${options.method ?? 'GET'} ${path} can be read by an allowed page`, async () => {
      const answer = await ask(server.port, path, { ...options, headers: { ...options.headers, Origin: PAGE } });
      assert.equal(answer.status, status);
      assert.equal(answer.headers['access-control-allow-origin'], PAGE);
      assert.ok(list(answer.headers.vary).includes('origin'));
      const exposed = list(answer.headers['access-control-expose-headers']);
      assert.ok(exposed.includes('x-channel-id') && exposed.includes('retry-after'));
      const { error } = JSON.parse(answer.body);
      assert.ok(error.code && error.message);
      if (status === 405) assert.match(answer.headers.allow, /POST/);
    });
  }
  test('another origin gets no permission, and nothing of its request is done', async () => {
    for (const path of ['/api/chat', `/connection/sse?channel=${NOBODY}`, '/health']) {
      const preflight = await ask(server.port, path, { method: 'OPTIONS', headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST' } });
      assert.equal(preflight.headers['access-control-allow-origin'], undefined, path);
    }
    const posted = await ask(server.port, '/api/chat', { method: 'POST', body: '{"message":"a"}',
      headers: { ...json, Authorization: 'Bearer sesame', Origin: 'https://evil.example' } });
    assert.equal(posted.headers['access-control-allow-origin'], undefined);
    assert.equal(posted.status, 403);
    assert.equal(upstream.arrived.length, 0);
  });
  test('`*` allows every page, but never with credentials', async () => {
    for (const Origin of [PAGE, 'null']) {
      const answer = await ask(any.port, '/api/chat', { method: 'POST', body: '{"message":"a"}', headers: { ...json, Origin } });
      assert.equal(answer.status, 200);
      assert.ok([Origin, '*'].includes(answer.headers['access-control-allow-origin']));
      assert.equal(answer.headers['access-control-allow-credentials'], undefined);
    }
  });
  test('without a setting the page’s own host is allowed, and requests without Origin', async () => {
    const Origin = `http://127.0.0.1:${plain.port}`;
    for (const [headers, status] of [[{ Origin }, 200], [{}, 200], [{ Origin: 'null' }, 403], [{ Origin: PAGE }, 403]]) {
      const answer = await ask(plain.port, '/api/chat', { method: 'POST', body: '{"message":"a"}', headers: { ...json, ...headers } });
      assert.equal(answer.status, status, JSON.stringify(headers));
    }
  });
});

describe('HTTP', () => {
  test('HEAD answers like GET, without a body', async () => {
    for (const path of ['/', '/health', '/ready']) {
      const [head, get] = [await ask(plain.port, path, { method: 'HEAD' }), await ask(plain.port, path)];
      assert.equal(head.status, 200, path);
      assert.equal(head.body, '');
      assert.equal(head.headers['content-length'], get.headers['content-length']);
      assert.equal(head.headers['content-type'], get.headers['content-type']);
      assert.ok(get.body.length > 0);
    }
  });
  test('the page at / is HTML, complete', async () => {
    const answer = await ask(plain.port, '/');
    assert.match(answer.headers['content-type'], /^text\/html; *charset=utf-8$/i);
    assert.equal(Buffer.byteLength(answer.body), Number(answer.headers['content-length']));
    assert.match(answer.body, /^<!doctype html>/);
    assert.ok(!/(src|href)="https?:/.test(answer.body), 'no resource from elsewhere');
  });
  test('OPTIONS without CORS is answered', async () => {
    for (const path of ['/api/chat', '*']) {
      const answer = await ask(plain.port, path, { method: 'OPTIONS' });
      assert.equal(answer.status, 204, path);
    }
  });
  test('an API key is never repeated in an answer or in the log', async () => {
    for (const key of ['sesame', 'wrong-but-secret']) {
      const answer = await ask(server.port, `/api/chat?key=${key}`, { method: 'POST', body: '{"message":1}', headers: { ...json, Authorization: `Bearer ${key}` } });
      assert.ok(answer.status >= 400);
      assert.ok(!answer.raw.toString().includes(key));
      assert.ok(!server.log.includes(key), server.log);
    }
  });
});

describe('curl', () => {
  test('one command streams an answer', async () => {
    const { stdout } = await run('curl', ['-sN', `${plain.url}/api/chat`, '-H', 'Content-Type: application/json',
      '-H', 'Accept: text/event-stream', '-d', '{"message":"one two three"}']);
    const events = stdout.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
    assert.equal(textOf(events), 'one two three');
    assert.equal(events[0].type, 'start');
    assert.equal(events.at(-1).type, 'end');
  });
  test('post, listen, and listen again from a position', async () => {
    const posted = await run('curl', ['-s', `${plain.url}/api/chat`, '-d', '{"message":"one two three"}', '-H', 'Content-Type: application/json']);
    const { channel_id, message } = JSON.parse(posted.stdout);
    assert.equal(message, 'Channel created, start listening for messages');
    const all = await run('curl', ['-sN', `${plain.url}/connection/sse?channel=${channel_id}`]);
    const ids = all.stdout.match(/^id: .*$/gm);
    const rest = await run('curl', ['-sN', '-H', `Last-Event-ID: ${ids[1].slice(4)}`, `${plain.url}/connection/sse?channel=${channel_id}`]);
    assert.deepEqual(rest.stdout.match(/^id: .*$/gm), ids.slice(2));
    const none = await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Last-Event-ID: ${ids.at(-1).slice(4)}`,
      `${plain.url}/connection/sse?channel=${channel_id}`]);
    assert.equal(none.stdout, '204');
  });
  test('a kept connection takes the next request after a stream has ended', async () => {
    const body = ['-sN', '-H', 'Accept: text/event-stream', '-H', 'Content-Type: application/json', '-d', '{"message":"a"}'];
    const { stderr } = await run('curl', ['-v', ...body, `${plain.url}/api/chat`, '--next', '-sv', `${plain.url}/health`]);
    assert.match(stderr, /Re-using existing connection/i);
  });
  test('/health and /ready', async () => {
    for (const path of ['/health', '/ready']) assert.equal((await open(plain.port, path)).status, 200);
  });
});
