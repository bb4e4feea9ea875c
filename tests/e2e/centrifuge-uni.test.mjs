// Centrifugo's unidirectional transports, without an SDK; resuming by `Last-Event-ID`; and one answer listened to over
// every transport in turn.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { EventSource } from 'eventsource';
import { api, channel, chats, CONFIG, connected, endClients, Listener, token, WAYS } from './lib/centrifuge.mjs';
import { eventually, test } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { openai, Server } from './lib/server.mjs';
import { Socket } from './lib/socket.mjs';
import { Uni, UNI } from './lib/uni.mjs';
import { Upstream, words } from './lib/upstream.mjs';
import { listen } from './lib/wire.mjs';

const NAMESPACES = `
[namespace.room]
history_size = 100
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true

[namespace.closed]
`;

let upstream, server, lively, chat;
before(async () => {
  upstream = await Upstream.start();
  chat = chats(upstream);
  const config = (rest) => openai(upstream.base, { rest: CONFIG.replace('[client]', `[client]\n${rest}`) + NAMESPACES });
  [server, lively] = await Promise.all([
    Server.start({ config: config('') }),
    Server.start({ config: config('ping_interval = "1s"\npong_timeout = "500ms"') }),
  ]);
});
after(() => {
  endClients();
  return Promise.all([server, lively, upstream].map((thing) => thing?.stop()));
});

const text = (events) => events.filter(({ type }) => type === 'chunk').map(({ message }) => message).join('');
const terminal = (events) => ['end', 'error'].includes(events.at(-1)?.type);
const assertInOrder = (events) => assert.deepEqual(events.map(({ offset }) => offset), events.map((_, i) => i + 1), 'every offset once, in order');

describe('unidirectional transports', { concurrency: true }, () => {
  UNI.forEach((kind) => describe(kind, { concurrency: true }, () => {
    test('gives the whole answer to a chat, and its rest from a position', async () => {
      const { id, answer } = await chat(server);
      const said = words(40);
      answer.say(...said.slice(0, 20));
      await eventually(async () => (await server.state(id)).text === said.slice(0, 20).join(''), 'the first half');
      const whole = await new Uni(server.port, kind, { subs: { [id]: {} } }).until((uni) => uni.events(id).length === 21);
      const { client, version, ping, pong, session, subs } = whole.connect;
      assert.ok(client && version && ping > 0 && session, JSON.stringify(whole.connect));
      assert.equal(pong, undefined);
      const { epoch } = subs[id];
      answer.say(...said.slice(20));
      answer.end();
      await whole.until((uni) => terminal(uni.events(id)));
      assertInOrder(whole.events(id));
      assert.equal(text(whole.events(id)), said.join(''));
      whole.close();
      const rest = new Uni(server.port, kind, { subs: { [id]: { recover: true, epoch, offset: 31 } } });
      await rest.until((uni) => terminal(uni.events(id)));
      assert.deepEqual([rest.events(id)[0].offset, text(rest.events(id))], [32, said.slice(30).join('')]);
      assert.equal(rest.connect.subs[id].recovered, true);
      rest.close();
    });

    test('carries what is published, of the channels that the client may hear', async () => {
      const [heard, refused, pushed] = [channel('room'), channel('closed'), channel('closed')];
      const user = channel('user').slice(5);
      const uni = new Uni(server.port, kind, { token: token({ sub: user }), subs: { [heard]: {}, [refused]: {} } });
      await uni.until(({ connect }) => connect);
      assert.deepEqual(Object.keys(uni.connect.subs), [heard]);
      await api(server, 'publish', { channel: heard, data: { n: 1 } });
      await uni.until(() => uni.events(heard).length === 1);
      await api(server, 'subscribe', { user, channel: pushed });
      await uni.until(({ messages }) => messages.some((message) => message.subscribe && message.channel === pushed));
      await api(server, 'unsubscribe', { user, channel: pushed });
      await uni.until(({ messages }) => messages.some((message) => message.unsubscribe && message.channel === pushed));
      await api(server, 'disconnect', { user, disconnect: { code: 4501, reason: 'out' } });
      await uni.until(({ ended }) => ended);
      assert.deepEqual(uni.disconnect, { code: 4501, reason: 'out' });
      if (kind === 'uni_websocket') assert.deepEqual(uni.ended, { code: 4501, reason: 'out' });
    });

    test('turns refusals into disconnects', async () => {
      for (const [bad, code] of [['nothing like a token', 3500], [token({ sub: 'a', exp: 1 }), 3005], [token({ sub: 'a' }, 'other'), 3500]]) {
        const uni = await new Uni(server.port, kind, { token: bad }).until(({ ended }) => ended);
        assert.equal(uni.disconnect.code, code);
        assert.ok(uni.disconnect.reason);
      }
    });

    test('does not take a malformed request', async () => {
      const { ended } = await new Uni(server.port, kind, {}, { raw: '{"token":' }).until((uni) => uni.ended);
      assert.equal(ended.code, kind === 'uni_websocket' ? 3501 : 400);
    });

    test('pings, and needs no answer', async () => {
      const uni = new Uni(lively.port, kind);
      await uni.until(({ messages }) => messages.filter((message) => Object.keys(message).length === 0).length === 3);
      assert.equal(uni.ended, undefined);
      uni.close();
    });
  }));

  test('uni_websocket takes the connect request as first message, also an empty one', async () => {
    for (const raw of ['{}', 'null', '{"name":"a"}']) {
      const uni = await new Uni(server.port, 'uni_websocket', {}, { raw, first: true }).until(({ connect }) => connect);
      uni.close();
    }
  });

  test('an EventSource that is cut off resumes by itself: no loss, no repeat', async () => {
    const proxy = await Proxy.start(server.port);
    const { id, answer } = await chat(server);
    answer.say('before ');
    const first = await new Uni(server.port, 'uni_sse', { subs: { [id]: {} } }).until((uni) => uni.events(id).length === 2);
    first.close();
    // A position of its own, which is old at the second time: the one in `Last-Event-ID` is newer.
    const since = { recover: true, epoch: first.connect.subs[id].epoch, offset: 2 };
    const request = encodeURIComponent(JSON.stringify({ subs: { [id]: since } }));
    const source = new EventSource(`${proxy.url}/connection/uni_sse?cf_connect=${request}`);
    const events = [];
    const take = ({ offset, data }) => events.push({ offset, ...data });
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      (message.connect?.subs?.[id]?.publications ?? []).forEach(take);
      if (message.pub) take(message.pub);
    };
    const said = words(60);
    for (const [from, to] of [[0, 20], [20, 40], [40, 60]]) {
      answer.say(...said.slice(from, to));
      await eventually(() => events.length === to, `${to} words`);
      if (to < 60) proxy.cut();
    }
    answer.end();
    await eventually(() => terminal(events), 'the end');
    source.close();
    assert.deepEqual(events.map(({ offset }) => offset), events.map((_, i) => i + 3), 'every offset once, in order');
    assert.equal(text(events), said.join(''));
    const [opening, ...later] = proxy.listening();
    assert.equal(opening.lastEventId, undefined);
    assert.ok(later.length >= 2 && later.every(({ lastEventId }) => lastEventId));
    await proxy.stop();
  });
});

// Each listens to `id` after `at` (`{ epoch, offset }`) until it has heard `count` events or the last one.
const enough = (events, count) => events.length >= count || terminal(events);
const plain = (events) => events.map(({ id, ...rest }) => ({ offset: Number(id.split('-')[1]), ...rest }));
const HOPS = {
  'plain SSE': async (id, at, count) => {
    const stream = listen(server.port, id, { after: `${at.epoch}-${at.offset}` });
    const heard = () => plain(stream.events.map((event) => ({ id: event.id, ...event.json })));
    await stream.until(() => enough(heard(), count));
    stream.close();
    return heard();
  },
  'plain WebSocket': async (id, at, count) => {
    const socket = new Socket(server.port, id, { after: `${at.epoch}-${at.offset}` });
    await socket.until(() => enough(plain(socket.events), count));
    socket.ws.terminate();
    return plain(socket.events);
  },
  ...Object.fromEntries(WAYS.map((way) => [way.name, async (id, at, count) => {
    const made = await connected(server.port, way);
    const listener = new Listener(made, id, { since: at });
    await listener.until(({ events }) => enough(events, count));
    made.disconnect();
    return listener.events.slice();
  }])),
  ...Object.fromEntries(UNI.map((kind) => [kind, async (id, at, count) => {
    const uni = new Uni(server.port, kind, { subs: { [id]: { recover: true, ...at } } });
    await uni.until(() => enough(uni.events(id), count));
    uni.close();
    return uni.events(id);
  }])),
};

test('one answer over every transport in turn, each from the position where the last one was', async () => {
  const { id, answer } = await chat(server);
  const said = words(1500);
  const dictated = answer.dictate(said, 1).then(() => answer.end());
  const { position } = await server.state(id);
  const epoch = position.slice(0, position.lastIndexOf('-'));
  const events = [];
  const names = Object.keys(HOPS);
  for (let hop = 0; !terminal(events); hop += 1) {
    // 7 is prime to the number of transports: every one comes, and in every second round after another.
    const name = names[(hop * 7 + Math.floor(hop / names.length)) % names.length];
    const heard = await HOPS[name](id, { epoch, offset: events.length }, 25);
    assert.equal(heard[0].offset, events.length + 1, `the first over ${name}`);
    events.push(...heard);
  }
  assertInOrder(events);
  assert.equal(text(events), said.join(''));
  assert.ok(events.length / 25 > names.length, 'every transport had its turn');
  await dictated;
});
