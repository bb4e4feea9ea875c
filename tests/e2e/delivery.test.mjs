// What a listener gets, row by row, over real sockets: which answer, which events, which end.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { eventually, test } from './lib/condition.mjs';
import { openai, Server } from './lib/server.mjs';
import { Socket } from './lib/socket.mjs';
import { Upstream, words } from './lib/upstream.mjs';
import { ask, listen, open, subscribe, textOf } from './lib/wire.mjs';

const SAID = ['Hel', 'lo ', 'Wörld ', '🚀'];
const position = (id) => ({ epoch: id.slice(0, id.lastIndexOf('-')), offset: Number(id.slice(id.lastIndexOf('-') + 1)) });
const at = (channel, offset) => `${channel.epoch}-${offset}`;

let upstream, server, brief;

/** A chat that has said `SAID`: offsets 1 (start) to 5. */
async function running(on = server) {
  const id = await on.chat('hello');
  const answer = await upstream.next();
  answer.say(...SAID);
  const probe = await subscribe(on.port, id);
  await probe.until(({ events }) => events.length === 5);
  const { epoch } = position(probe.ids[0]);
  probe.close();
  return { id, answer, epoch, H: 5 };
}
/** The same, ended: the terminal event is offset 6. */
async function finished(on = server) {
  const channel = await running(on);
  channel.answer.end();
  await eventually(async () => (await on.state(channel.id)).status === 'completed', 'the end of the chat');
  return { ...channel, T: 6 };
}
const offsets = (ids) => ids.map((id) => position(id).offset);
const from = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

before(async () => {
  upstream = await Upstream.start();
  [server, brief] = await Promise.all([
    Server.start({ config: openai(upstream.base) }),
    Server.start({ config: openai(upstream.base, { rest: '[channels]\nttl = "200ms"\ntombstone_ttl = "10m"' }) }),
  ]);
});
after(() => Promise.all([server, brief, upstream].map((thing) => thing?.stop())));

describe('GET /connection/sse', () => {
  test('the head goes out at once, before the provider has answered', async () => {
    const exchange = await open(server.port, '/api/chat', {
      method: 'POST', body: '{"message":"hello"}', headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
    });
    const answer = await upstream.next();
    assert.equal(exchange.status, 200);
    assert.match(exchange.headers['content-type'], /^text\/event-stream/);
    assert.match(exchange.headers['x-channel-id'], /^chat:[0-9a-f-]{32,36}$/);
    assert.equal(exchange.headers['cache-control'], 'no-store, no-transform');
    assert.equal(exchange.headers['x-accel-buffering'], 'no');
    assert.equal(exchange.headers['transfer-encoding'], 'chunked');
    assert.equal(exchange.headers['content-encoding'], undefined);
    assert.ok(Date.parse(exchange.headers.date));
    await exchange.until(({ events }) => events.length === 1);
    answer.say(...SAID);
    answer.end();
    assert.equal(await exchange.ended, 'complete');
    assert.deepEqual(exchange.types, ['start', 'chunk', 'chunk', 'chunk', 'chunk', 'end']);
    assert.equal(exchange.text, SAID.join(''));
    assert.deepEqual(exchange.events[0].json, { type: 'start', message: '', model: 'default' });
    assert.deepEqual(exchange.events.at(-1).json, { type: 'end', message: '', finish_reason: 'stop',
      usage: { input_tokens: 3, output_tokens: 5 }, model: 'tiny', provider: 'scripted' });
    exchange.close();
  });

  const live = async (channel, exchange, ids) => {
    await exchange.until(({ events }) => events.length === ids.length);
    channel.answer.say('more');
    channel.answer.end();
    assert.equal(await exchange.ended, 'complete');
    assert.deepEqual(offsets(exchange.ids), [...ids, 6, 7]);
    assert.equal(exchange.types.at(-1), 'end');
    assert.deepEqual(exchange.retries, [1000]);
  };
  const rows = [
    ['no cursor', () => ({}), from(1, 5)],
    ['`earliest`', () => ({ query: '&last_event_id=earliest' }), from(1, 5)],
    ['`0`', () => ({ after: '0' }), from(1, 5)],
    ['an empty one', () => ({ query: '&last_event_id=' }), from(1, 5)],
    ['the same epoch, inside', (c) => ({ after: at(c, 2) }), from(3, 5)],
    ['the same epoch, at the newest', (c) => ({ after: at(c, 5) }), []],
    ['the same epoch, before the first', (c) => ({ after: at(c, 0) }), from(1, 5)],
    ['the query `last_event_id`', (c) => ({ query: `&last_event_id=${at(c, 3)}` }), from(4, 5)],
    ['the query `lastEventId`', (c) => ({ query: `&lastEventId=${at(c, 3)}` }), from(4, 5)],
    ['the query `since`', (c) => ({ query: `&since=${at(c, 3)}` }), from(4, 5)],
    ['header and query: the header wins', (c) => ({ after: at(c, 4), query: `&last_event_id=${at(c, 1)}` }), [5]],
    ['`now`', () => ({ query: '&last_event_id=now' }), []],
    ['after the newest', (c) => ({ after: at(c, 6) }), [0, ...from(1, 5)]],
    ['another epoch', () => ({ after: 'zzzzzz-2' }), [0, ...from(1, 5)]],
    ['an unreadable one', () => ({ after: 'what is this' }), [0, ...from(1, 5)]],
    ['an unreadable offset', (c) => ({ after: `${c.epoch}-99999999999999999999999` }), [0, ...from(1, 5)]],
  ];
  for (const [name, cursor, ids] of rows) {
    test(`running, cursor ${name}: ${ids.length ? ids : 'nothing'}, then live`, async () => {
      const channel = await running();
      const exchange = await subscribe(server.port, channel.id, cursor(channel));
      assert.equal(exchange.status, 200);
      await live(channel, exchange, ids);
      if (ids[0] === 0) {
        const { type, message, reason } = exchange.events[0].json;
        assert.deepEqual([type, message, typeof reason], ['reset', '', 'string']);
        assert.equal(exchange.ids[0], at(channel, 0));
      }
      exchange.close();
    });
  }

  const ends = [
    ['none', () => ({}), from(1, 6)],
    ['before the end', (c) => ({ after: at(c, 4) }), [5, 6]],
    ['before the end, in the query', (c) => ({ query: `&last_event_id=${at(c, 5)}` }), [6]],
    ['after the end', (c) => ({ after: at(c, 7) }), from(0, 6)],
    ['another epoch', () => ({ after: 'zzzzzz-6' }), from(0, 6)],
  ];
  for (const [name, cursor, ids] of ends) {
    test(`finished, cursor ${name}: ${ids}, then the answer ends`, async () => {
      const channel = await finished();
      const exchange = await subscribe(server.port, channel.id, cursor(channel));
      assert.equal(exchange.status, 200);
      assert.equal(await exchange.ended, 'complete');
      assert.deepEqual(offsets(exchange.ids), ids);
      assert.equal(exchange.types[0] === 'reset', ids[0] === 0);
      assert.deepEqual(exchange.retries, [1000]);
      exchange.close();
    });
  }

  test('finished, cursor at the end or `now`: 204, which stops EventSource for good', async () => {
    const channel = await finished();
    for (const cursor of [{ after: at(channel, 6) }, { query: `&last_event_id=${at(channel, 6)}` }, { query: '&last_event_id=now' }]) {
      const exchange = await subscribe(server.port, channel.id, cursor);
      assert.equal(exchange.status, 204);
      assert.equal(exchange.headers['content-length'], undefined, 'RFC 9110 8.6: none in a 204');
      assert.equal(exchange.headers['transfer-encoding'], undefined);
      exchange.close();
    }
  });

  test('unknown with a cursor: one `gone` event, and 204 for who comes back with its id', async () => {
    const exchange = await subscribe(server.port, 'chat:00000000-0000-4000-8000-000000000000', { after: 'abcdef-3' });
    assert.equal(exchange.status, 200);
    assert.equal(await exchange.ended, 'complete');
    assert.deepEqual(exchange.ids, ['gone-0']);
    assert.deepEqual([exchange.events[0].json.type, exchange.events[0].json.code], ['error', 'gone']);
    const again = await subscribe(server.port, 'chat:00000000-0000-4000-8000-000000000000', { after: 'gone-0' });
    assert.equal(again.status, 204);
    again.close();
  });

  test('never existed, no cursor: 404 with a JSON body', async () => {
    const answer = await ask(server.port, '/connection/sse?channel=chat:00000000-0000-4000-8000-000000000000');
    assert.equal(answer.status, 404);
    assert.match(answer.headers['content-type'], /^application\/json/);
    assert.equal(JSON.parse(answer.body).error.code, 'not_found');
  });

  test('expired: 410 without a cursor, `gone` with one', async () => {
    const channel = await running(brief);
    channel.answer.end();
    const answer = await eventually(async () => {
      const got = await ask(brief.port, `/api/chat/${channel.id}`);
      return got.status === 410 && got;
    }, 'the expiry');
    assert.equal(JSON.parse(answer.body).error.code, 'gone');
    const listened = await ask(brief.port, `/connection/sse?channel=${channel.id}`);
    assert.equal(listened.status, 410);
    assert.equal(JSON.parse(listened.body).error.code, 'gone');
    const exchange = await subscribe(brief.port, channel.id, { after: at(channel, 2) });
    assert.equal(exchange.status, 200);
    await exchange.ended;
    assert.deepEqual(exchange.ids, ['gone-0']);
  });

  test('an HTTP/1.0 client gets the events without chunks, until the connection closes', async () => {
    const channel = await running();
    const exchange = await subscribe(server.port, channel.id, { version: '1.0' });
    assert.equal(exchange.status, 200);
    assert.equal(exchange.headers['transfer-encoding'], undefined);
    assert.equal(exchange.headers['content-length'], undefined);
    await exchange.until(({ events }) => events.length === 5);
    channel.answer.end();
    assert.equal(await exchange.ended, 'complete');
    assert.deepEqual(offsets(exchange.ids), from(1, 6));
    assert.ok(!/\r\n[0-9a-f]+\r\n/.test(exchange.raw.toString('latin1').split('\r\n\r\n')[1]));
  });

  test('`retry:` stands just before the first event, and heartbeats only between events', async () => {
    const beating = await Server.start({ config: openai(upstream.base, { rest: '[limits]\nheartbeat = "50ms"' }) });
    try {
      const id = await beating.chat('hello');
      const answer = await upstream.next();
      const exchange = await subscribe(beating.port, id, { version: '1.0' });
      await exchange.until(({ comments }) => comments.length >= 2);
      answer.say('a');
      await exchange.until(({ events }) => events.length === 2);
      await exchange.until(({ comments }) => comments.length >= 4);
      answer.end();
      await exchange.ended;
      const body = exchange.raw.toString().split('\r\n\r\n')[1];
      assert.match(body, /^(: hb\n\n)*retry: 1000\nid: [^\n]+-1\ndata: \{"type":"start"[^\n]*\}\n\n(: hb\n\n)+id: [^\n]+-2\n/);
      assert.deepEqual(offsets(exchange.ids), [1, 2, 3], 'a heartbeat takes no offset');
    } finally {
      await beating.stop();
    }
  });

  test('over the limit of connections: `retry:` alone, never 503', async () => {
    const small = await Server.start({ config: openai(upstream.base, { rest: '[limits]\nconnections = 4' }) });
    const held = [];
    try {
      const id = await small.chat('hello');
      const answer = await upstream.next();
      let last;
      for (let i = 0; i < 12 && !last; i += 1) {
        const exchange = await subscribe(small.port, id);
        assert.equal(exchange.status, 200);
        await Promise.race([exchange.ended, exchange.until(({ events }) => events.length >= 1).catch(() => {})]);
        if (exchange.over) last = exchange;
        else held.push(exchange);
      }
      assert.ok(last, 'no subscriber was turned away');
      assert.deepEqual(last.events, []);
      assert.match(last.tail, /^retry: ([1-4]\d{3}|5000)\n+$/);
      for (const exchange of held.splice(1)) exchange.close();
      await eventually(async () => {
        const exchange = await subscribe(small.port, id);
        await Promise.race([exchange.ended, exchange.until(({ events }) => events.length >= 1).catch(() => {})]);
        exchange.close();
        return exchange.events.length >= 1;
      }, 'room again');
      answer.end();
    } finally {
      for (const exchange of held) exchange.close();
      await small.stop();
    }
  });
});

describe('GET /connection/websocket?channel=', () => {
  const rows = [
    ['none', undefined, from(1, 5)],
    ['inside', 2, from(3, 5)],
    ['at the newest', 5, []],
    ['after the newest', 6, from(0, 5)],
    ['of another epoch', 'zzzzzz-2', from(0, 5)],
  ];
  for (const [name, cursor, ids] of rows) {
    test(`running, cursor ${name}: the same events as JSON, then live, then close 1000`, async () => {
      const channel = await running();
      const after = typeof cursor === 'number' ? at(channel, cursor) : cursor;
      const socket = new Socket(server.port, channel.id, { after });
      await socket.until(({ events }) => events.length === ids.length);
      if (ids.length === 0) await new Promise((resolve) => socket.ws.once('open', resolve));
      channel.answer.say('more');
      channel.answer.end();
      assert.equal(await socket.closed, 1000);
      assert.deepEqual(offsets(socket.ids), [...ids, 6, 7]);
      assert.deepEqual(socket.events.at(-2), { id: at(channel, 6), type: 'chunk', message: 'more' });
      assert.equal(socket.events.at(-1).type, 'end');
      if (ids[0] === 0) assert.equal(socket.types[0], 'reset');
    });
  }
  const ends = [
    ['none', undefined, from(1, 6), 1000],
    ['before the end', 4, [5, 6], 1000],
    ['at the end', 6, [], 1000],
    ['after the end', 7, from(0, 6), 1000],
  ];
  for (const [name, cursor, ids, code] of ends) {
    test(`finished, cursor ${name}: ${ids.length ? ids : 'nothing'}, close ${code}`, async () => {
      const channel = await finished();
      const socket = new Socket(server.port, channel.id, { after: cursor && at(channel, cursor) });
      assert.equal(await socket.closed, code);
      assert.deepEqual(offsets(socket.ids), ids);
    });
  }
  test('unknown: one error event and 4404; with a cursor `gone` and 4410', async () => {
    const nobody = 'chat:00000000-0000-4000-8000-000000000000';
    const unknown = new Socket(server.port, nobody);
    assert.equal(await unknown.closed, 4404);
    assert.deepEqual(unknown.types, ['error']);
    const gone = new Socket(server.port, nobody, { after: 'abcdef-3' });
    assert.equal(await gone.closed, 4410);
    assert.deepEqual(gone.events.map(({ type, code }) => [type, code]), [['error', 'gone']]);
  });
  test('a refused origin is 403 before the upgrade', async () => {
    const channel = await running();
    const socket = new Socket(server.port, channel.id, { headers: { Origin: 'https://evil.example' } });
    await socket.closed;
    assert.equal(socket.refused, 403);
    channel.answer.end();
  });
  test('`cancel` ends the generation and every subscriber gets the terminal event', async () => {
    const channel = await running();
    const [socket, exchange] = [new Socket(server.port, channel.id), await subscribe(server.port, channel.id)];
    await socket.until(({ events }) => events.length === 5);
    socket.send({ type: 'cancel' });
    await channel.answer.closed;
    assert.equal(await socket.closed, 1000);
    await exchange.ended;
    assert.equal(socket.events.at(-1).finish_reason, 'cancelled');
    assert.equal(exchange.events.at(-1).json.finish_reason, 'cancelled');
    assert.equal((await server.state(channel.id)).status, 'cancelled');
  });
});

describe('one position for every transport', () => {
  test('cut after every so many bytes, resumed with the last complete id on either transport: nothing lost or doubled', async () => {
    const id = await server.chat('hello');
    const answer = await upstream.next();
    const said = words(12);
    answer.say(...said);
    answer.end();
    const whole = await subscribe(server.port, id);
    await whole.ended;
    const wanted = whole.events.map((event) => ({ id: event.id, ...event.json }));
    assert.equal(textOf(wanted), said.join(''));
    for (let bytes = 1; bytes <= whole.raw.length - whole.headLength; bytes += 11) {
      const cut = listen(server.port, id, { limit: bytes });
      await cut.ended;
      const had = cut.events.map((event) => ({ id: event.id, ...event.json }));
      const after = had.at(-1)?.id;
      let rest;
      if (bytes % 2) {
        const exchange = await subscribe(server.port, id, { after });
        await exchange.ended;
        rest = exchange.events.map((event) => ({ id: event.id, ...event.json }));
      } else {
        const socket = new Socket(server.port, id, { after });
        assert.equal(await socket.closed, 1000);
        rest = socket.events;
      }
      assert.deepEqual([...had, ...rest], wanted, `cut after ${bytes} bytes`);
    }
  });

  test('cut in mid-answer, again and again: the parts make the whole', async () => {
    const id = await server.chat('hello');
    const answer = await upstream.next();
    const said = words(60);
    const dictated = answer.dictate(said, 5).then(() => answer.end());
    const had = [];
    for (let turn = 0; had.at(-1)?.type !== 'end'; turn += 1) {
      const after = had.at(-1)?.id;
      const reader = turn % 2 ? new Socket(server.port, id, { after }) : await subscribe(server.port, id, { after });
      const wanted = 1 + (turn % 5);
      await reader.until(({ events, types }) => events.length >= wanted || types.at(-1) === 'end');
      had.push(...reader.events.map((event) => (event.json ? { id: event.id, ...event.json } : event)));
      reader.close();
    }
    await dictated;
    assert.equal(textOf(had), said.join(''));
    assert.deepEqual(offsets(had.map((event) => event.id)), from(1, 62));
  });

  test('GET /api/chat/{id} tells text and position, and the position resumes', async () => {
    const channel = await running();
    const state = await server.state(channel.id);
    assert.equal(state.status, 'streaming');
    assert.equal(state.text, SAID.join(''));
    assert.equal(state.position, at(channel, 5));
    const exchange = await subscribe(server.port, channel.id, { after: state.position });
    channel.answer.say('!');
    channel.answer.end();
    await exchange.ended;
    assert.deepEqual(offsets(exchange.ids), [6, 7]);
    const end = await server.state(channel.id);
    assert.deepEqual([end.status, end.text, end.finish_reason, end.provider, end.model],
      ['completed', `${SAID.join('')}!`, 'stop', 'scripted', 'tiny']);
    assert.deepEqual(end.usage, { input_tokens: 3, output_tokens: 5 });
  });
});

describe('a slow subscriber', () => {
  test('who reads nothing of a large answer holds nobody up, and finds all of it later', async () => {
    const id = await server.chat('hello');
    const answer = await upstream.next();
    const slow = await subscribe(server.port, id);
    slow.socket.pause();
    const quick = [await subscribe(server.port, id), new Socket(server.port, id)];
    const said = Array.from({ length: 200 }, (_, i) => `${i}:`.padEnd(16_000, 'x'));
    answer.say(...said);
    answer.end();
    await Promise.all([quick[0].ended, quick[1].closed]);
    assert.equal(slow.over, undefined, 'it still has not read');
    slow.socket.resume();
    assert.equal(await slow.ended, 'complete');
    const whole = said.join('');
    for (const reader of [slow, ...quick]) assert.ok(textOf(reader.events.map((event) => event.json ?? event)) === whole);
  });
});

describe('open channels', () => {
  test('what is published comes as it stands, to early, late and resuming subscribers on both transports', async () => {
    const open = await Server.start({ config: openai(upstream.base, { rest: '[channels]\nopen = true\nhistory_size = 3\n[auth]\napi_keys = ["sesame"]' }) });
    try {
      const publish = async (data, channel = 'news') => {
        const response = await fetch(`${open.url}/api/publish`, {
          method: 'POST', headers: { 'Content-Type': 'application/json', 'X-API-Key': 'sesame' }, body: `{"channel":"${channel}","data":${data}}`,
        });
        return { status: response.status, ...(await response.json()) };
      };
      const early = [await subscribe(open.port, 'news'), new Socket(open.port, 'news')];
      await new Promise((resolve) => early[1].ws.once('open', resolve));
      const data = ['{"b": 1, "a":[2,  3]}', '{"text":"Wörld\\n"}', '"plain"', '{"n":1.50}'];
      const results = [];
      for (const one of data) results.push((await publish(one)).result);
      assert.deepEqual(results.map(({ offset }) => offset), [1, 2, 3, 4]);
      const { epoch } = results[0];
      await Promise.all(early.map((reader) => reader.until(({ events }) => events.length === 4)));
      assert.deepEqual(early[0].events.map(({ data: got }) => got), data);
      assert.deepEqual(early[0].ids, from(1, 4).map((offset) => `${epoch}-${offset}`));
      assert.deepEqual(early[1].events, data.map((one, i) => ({ id: `${epoch}-${i + 1}`, data: JSON.parse(one) })));
      const resumed = await subscribe(open.port, 'news', { after: `${epoch}-2` });
      await resumed.until(({ events }) => events.length === 2);
      assert.deepEqual(resumed.events.map(({ data: got }) => got), data.slice(2));
      const behind = await subscribe(open.port, 'news', { after: `${epoch}-0` });
      await behind.until(({ events }) => events.length === 4);
      assert.equal(behind.events[0].json.type, 'reset');
      assert.deepEqual(behind.events.slice(1).map(({ data: got }) => got), data.slice(1), 'the history holds three');
      const reserved = await publish('{}', 'chat:00000000-0000-4000-8000-000000000000');
      assert.ok(reserved.error && !reserved.result, 'nobody else publishes to a chat');
      for (const reader of [early[0], early[1], resumed, behind]) reader.close();
    } finally {
      await open.stop();
    }
  });
});

describe('POST and DELETE /api/chat', () => {
  test('a repeated POST with the same Idempotency-Key is the same channel; another body is 422', async () => {
    const key = { 'Idempotency-Key': 'order-66' };
    const first = await server.chat('hello', key);
    const answer = await upstream.next();
    assert.equal(await server.chat('hello', key), first);
    await assert.rejects(server.chat('something else', key), ({ response, reply }) =>
      response.status === 422 && reply.error.code === 'idempotency_conflict');
    answer.end();
    await eventually(async () => (await server.state(first)).status === 'completed', 'the end');
    assert.equal(upstream.arrived.length, 0, 'the provider was asked once');
  });
  test('DELETE closes the provider’s connection, before its first byte as well', async () => {
    const id = await server.chat('hello');
    const answer = await upstream.next();
    const exchange = await subscribe(server.port, id);
    const response = await fetch(`${server.url}/api/chat/${id}`, { method: 'DELETE' });
    assert.ok(response.ok, String(response.status));
    await answer.closed;
    await exchange.ended;
    assert.deepEqual(exchange.types, ['start', 'end']);
    assert.equal(exchange.events[1].json.finish_reason, 'cancelled');
  });
  test('a body that is not right is 400 and says what is wrong', async () => {
    for (const [body, word] of [['{', /json/i], ['{}', /message/], ['{"message":"a","messages":[]}', /messages/], ['{"message":"a","mesage":1}', /mesage/]]) {
      const answer = await ask(server.port, '/api/chat', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
      assert.equal(answer.status, 400, body);
      const { error } = JSON.parse(answer.body);
      assert.equal(error.code, 'invalid_request');
      assert.match(error.message, word);
    }
  });
});
