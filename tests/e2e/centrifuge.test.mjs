// Centrifugo's JavaScript SDK, unmodified, over each of its transports and encodings: chats, channels, tokens.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { api, channel, chats, client, CONFIG, connected, endClients, inSeconds, Listener, next, read, token, WAYS, write } from './lib/centrifuge.mjs';
import { eventually, test } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { openai, Server } from './lib/server.mjs';
import { Upstream, words } from './lib/upstream.mjs';

const NAMESPACES = `
[namespace.room]
presence = true
join_leave = true
force_push_join_leave = true
history_size = 100
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_subscriber = true
allow_presence_for_subscriber = true
allow_history_for_subscriber = true

[namespace.bare]
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_presence_for_client = true
allow_history_for_client = true

[namespace.closed]
history_size = 10
history_ttl = "5m"
force_recovery = true

[namespace.short]
history_size = 2
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true

[namespace.delta]
history_size = 100
history_ttl = "5m"
force_recovery = true
allowed_delta_types = ["fossil"]
delta_publish = true
allow_subscribe_for_client = true
`;

let upstream, server, chat, long;
const SAID = words(40);
const text = (pieces) => pieces.join('');

before(async () => {
  upstream = await Upstream.start();
  chat = chats(upstream);
  server = await Server.start({ config: openai(upstream.base, { rest: CONFIG + NAMESPACES }) });
  long = await chat(server);
  long.words = words(10_000);
  long.answer.say(...long.words);
  long.answer.end();
});
after(() => {
  endClients();
  return Promise.all([server, upstream].map((thing) => thing?.stop()));
});

describe('the JavaScript SDK', { concurrency: true }, () => WAYS.forEach((way) => {
  const join = (user, options) => connected(server.port, way, user, options);

  describe(`${way.name}: a chat`, { concurrency: true }, () => {
    test('listened to from its start: the whole answer once', async () => {
      const { id, answer } = await chat(server);
      const listener = new Listener(await join(), id);
      await listener.until(({ subscribed }) => subscribed.length === 1);
      const [{ recoverable, positioned, streamPosition }] = listener.subscribed;
      assert.deepEqual([recoverable, positioned, typeof streamPosition.epoch], [true, true, 'string']);
      for (const word of SAID) answer.say(word);
      answer.end();
      await listener.ended();
      listener.assertWhole(text(SAID));
    });

    test('joined late: what was missed first, then live', async () => {
      const { id, answer } = await chat(server);
      answer.say(...SAID.slice(0, 20));
      await eventually(async () => (await server.state(id)).text === text(SAID.slice(0, 20)), 'the first half');
      const listener = new Listener(await join(), id);
      await listener.until(({ offset }) => offset === 21);
      answer.say(...SAID.slice(20));
      answer.end();
      await listener.ended();
      listener.assertWhole(text(SAID));
    });

    test('of 10,000 tokens, come to after its end', async () => {
      const listener = new Listener(await join(), long.id);
      await listener.ended();
      listener.assertWhole(text(long.words));
    });

    test('of 10,000 tokens, asked for from the beginning and from its middle', async () => {
      const made = await join();
      const whole = new Listener(made, long.id, { since: { offset: 0, epoch: '' } });
      await whole.ended();
      whole.assertWhole(text(long.words));
      const [{ recovered, wasRecovering, streamPosition }] = whole.subscribed;
      assert.deepEqual([recovered, wasRecovering], [true, true]);
      const rest = new Listener(await join(), long.id, { since: { offset: 5001, epoch: streamPosition.epoch } });
      await rest.ended();
      assert.equal(rest.events[0].offset, 5002);
      assert.equal(rest.text, text(long.words.slice(5000)));
    });

    test('cut off again and again in mid-answer: no loss, no repeat', async () => {
      const proxy = await Proxy.start(server.port);
      const { id, answer } = await chat(server);
      const made = await connected(proxy.port, way);
      const listener = new Listener(made, id);
      const said = words(300);
      const dictated = answer.dictate(said, 2).then(() => answer.end());
      for (const at of [30, 90, 150, 210]) {
        await listener.until(({ offset }) => offset >= at);
        proxy.cut();
      }
      await listener.ended();
      listener.assertWhole(text(said));
      assert.ok(listener.subscribed.length >= 5, `${listener.subscribed.length} subscriptions`);
      assert.ok(listener.subscribed.slice(1).every(({ recovered, wasRecovering }) => recovered && wasRecovering));
      await dictated;
      made.disconnect();
      await proxy.stop();
    });

    test('that a server which shuts down still gives, is heard to its end, also by who comes back', async () => {
      const going = await Server.start({ config: openai(upstream.base, { rest: CONFIG }) });
      const proxy = await Proxy.start(going.port);
      const { id, answer } = await chat(going);
      const made = await connected(proxy.port, way);
      const listener = new Listener(made, id);
      answer.say(...SAID.slice(0, 20));
      await listener.until(({ offset }) => offset === 21);
      going.signal('SIGTERM');
      await eventually(async () => (await fetch(`${going.url}/ready`)).status === 503, 'the shutdown');
      proxy.cut();
      await listener.until(({ subscribed }) => subscribed.length === 2);
      const told = next(made, 'connecting');
      answer.say(...SAID.slice(20));
      answer.end();
      await listener.ended();
      listener.assertWhole(text(SAID));
      assert.equal((await told).code, 3001);
      made.disconnect();
      await going.exited;
      await Promise.all([going, proxy].map((thing) => thing.stop()));
    });

    test('several on one connection do not mix', async () => {
      const made = await join();
      const three = await Promise.all([1, 2, 3].map(async (n) => {
        const { id, answer } = await chat(server);
        return { answer, said: words(20, n * 1000), listener: new Listener(made, id) };
      }));
      await Promise.all(three.map(({ answer, said }) => answer.dictate(said, 1).then(() => answer.end())));
      for (const { listener, said } of three) {
        await listener.ended();
        listener.assertWhole(text(said));
      }
    });

    test('is nobody else\'s to publish to: 103; an unknown one: 102', async () => {
      const made = await join('alice');
      await assert.rejects(made.publish(long.id, write(way, {})), { code: 103 });
      const listener = made.newSubscription(channel('chat'));
      listener.subscribe();
      assert.equal((await next(listener, 'unsubscribed')).code, 102);
      await assert.rejects(api(server, 'publish', { channel: long.id, data: {} }), { code: 103 });
    });
  });

  describe(`${way.name}: a channel`, { concurrency: true }, () => {
    test('carries what clients and the server API publish', async () => {
      const name = channel('room');
      const [alice, bob] = await Promise.all([join('alice'), join('bob')]);
      const [from, to] = [alice, bob].map((made) => new Listener(made, name));
      await Promise.all([from, to].map((listener) => listener.until(({ subscribed }) => subscribed.length)));
      const heard = next(to.sub, 'publication');
      await from.sub.publish(write(way, { said: 'hello\nWörld 🚀' }));
      const { data, offset, info } = await heard;
      assert.deepEqual(read(data), { said: 'hello\nWörld 🚀' });
      assert.deepEqual([offset, info.user, info.client], [1, 'alice', alice.id]);
      const tagged = next(to.sub, 'publication');
      const told = await api(server, 'publish', { channel: name, data: { said: 'by the server' }, tags: { kind: 'news' } });
      assert.equal(told.offset, 2);
      assert.deepEqual([(await tagged).tags, (await tagged).info], [{ kind: 'news' }, undefined]);
      await from.until(({ offset }) => offset === 2);
      assert.deepEqual(from.events.map(({ said }) => said), ['hello\nWörld 🚀', 'by the server']);
    });

    test('knows who is present, who joins and who leaves', async () => {
      const name = channel('room');
      const alice = await join('alice');
      const { sub } = new Listener(alice, name);
      await sub.ready();
      const joined = next(sub, 'join', ({ info }) => info.user === 'bob');
      const bob = await join('bob');
      await new Listener(bob, name).sub.ready();
      assert.equal((await joined).info.client, bob.id);
      const { clients } = await sub.presence();
      assert.deepEqual(Object.fromEntries(Object.entries(clients).map(([id, { client, user }]) => [id, [client, user]])),
        { [alice.id]: [alice.id, 'alice'], [bob.id]: [bob.id, 'bob'] });
      await new Listener(await join('bob'), name).sub.ready();
      assert.deepEqual(await sub.presenceStats(), { numClients: 3, numUsers: 2 });
      const left = next(sub, 'leave');
      bob.disconnect();
      assert.equal((await left).info.client, bob.id);
      assert.deepEqual(await sub.presenceStats(), { numClients: 2, numUsers: 2 });
    });

    test('has a history: pages, from a position, backwards', async () => {
      const name = channel('room');
      const { sub } = new Listener(await join('alice'), name);
      for (let n = 1; n <= 5; n += 1) await api(server, 'publish', { channel: name, data: { n } });
      const page = async (options) => (await sub.history(options)).publications.map(({ data, offset }) => [read(data).n, offset]);
      const { epoch, offset, publications } = await sub.history();
      assert.deepEqual([typeof epoch, offset, publications], ['string', 5, []]);
      assert.deepEqual(await page({ limit: 100 }), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
      assert.deepEqual(await page({ limit: 2, since: { offset: 2, epoch } }), [[3, 3], [4, 4]]);
      assert.deepEqual(await page({ limit: 2, reverse: true }), [[5, 5], [4, 4]]);
      assert.deepEqual(await page({ limit: 9, reverse: true, since: { offset: 3, epoch } }), [[2, 2], [1, 1]]);
      await assert.rejects(page({ limit: 1, since: { offset: 2, epoch: 'other' } }), { code: 112 });
    });

    test('gives back what was missed, and says when it cannot', async () => {
      const [whole, short] = [channel('room'), channel('short')];
      const made = await join('alice');
      const [kept, lost] = [whole, short].map((name) => new Listener(made, name));
      await Promise.all([kept, lost].map(({ sub }) => sub.ready()));
      for (const name of [whole, short]) await api(server, 'publish', { channel: name, data: { n: 1 } });
      await Promise.all([kept, lost].map((listener) => listener.until(({ offset }) => offset === 1)));
      made.disconnect();
      for (const name of [whole, short]) for (let n = 2; n <= 6; n += 1) await api(server, 'publish', { channel: name, data: { n } });
      made.connect();
      await kept.until(({ offset }) => offset === 6);
      assert.deepEqual(kept.events.map(({ n }) => n), [1, 2, 3, 4, 5, 6]);
      assert.deepEqual(kept.subscribed.map(({ recovered }) => recovered), [false, true]);
      await lost.until(({ subscribed }) => subscribed.length === 2);
      assert.deepEqual([lost.subscribed[1].wasRecovering, lost.subscribed[1].recovered], [true, false]);
      await api(server, 'publish', { channel: short, data: { n: 7 } });
      await lost.until(({ offset }) => offset === 7);
      assert.deepEqual(lost.events.map(({ n }) => n), [1, 7]);
    });

    test('answers 112 to a position that is lost, where the client has a way to load its state', async () => {
      const name = channel('short');
      for (let n = 1; n <= 5; n += 1) await api(server, 'publish', { channel: name, data: { n } });
      const positions = [{ offset: 1, epoch: '' }, { offset: 4, epoch: '' }];
      const listener = new Listener(await join('alice'), name, { getState: async () => positions.shift(), minResubscribeDelay: 10, maxResubscribeDelay: 50 });
      await listener.until(({ offset }) => offset === 5);
      assert.deepEqual([positions.length, listener.events.map(({ n }) => n)], [0, [5]]);
    });

    test('sends differences where they were agreed on', async () => {
      const name = channel('delta');
      const listener = new Listener(await join('alice'), name, { delta: 'fossil' });
      await listener.sub.ready();
      const filler = 'no two of these differ but in their number '.repeat(20);
      for (let n = 1; n <= 5; n += 1) await api(server, 'publish', { channel: name, data: { n, filler } });
      await listener.until(({ offset }) => offset === 5);
      assert.deepEqual(listener.events, [1, 2, 3, 4, 5].map((n) => ({ offset: n, n, filler })));
      const { numFullPayloads, numDeltaPayloads } = listener.sub.deltaStats();
      assert.deepEqual([numFullPayloads, numDeltaPayloads], [1, 4]);
    });

    test('is one of as many as a connection may have, asked for at once', async () => {
      const made = client(server.port, way, { token: token({ sub: 'alice' }) });
      const subs = Array.from({ length: 128 }, () => new Listener(made, channel('bare')).sub);
      made.connect();
      await Promise.all(subs.map((sub) => sub.ready()));
      const more = made.newSubscription(channel('bare'));
      more.subscribe();
      assert.equal((await next(more, 'unsubscribed')).code, 106);
    });

    const refused = async (made, name, options) => {
      const sub = made.newSubscription(name, options);
      sub.subscribe();
      return (await next(sub, 'unsubscribed')).code;
    };
    test('refuses by its own codes, and the connection goes on', async () => {
      const made = await join('alice');
      const bare = channel('bare');
      assert.equal(await refused(made, 'nowhere:1'), 102, 'an unknown namespace');
      assert.equal(await refused(made, channel('closed')), 103, 'nobody allowed it');
      assert.equal(await refused(await join(), channel('room')), 103, 'for clients with a name alone');
      assert.equal(await refused(made, 'x'.repeat(300)), 107, 'too long a name');
      await assert.rejects(made.publish(channel('room'), write(way, {})), { code: 103 });
      await assert.rejects(made.publish('nowhere:1', write(way, {})), { code: 102 });
      await assert.rejects(made.presence(bare), { code: 108 });
      await assert.rejects(made.presenceStats(bare), { code: 108 });
      await assert.rejects(made.history(bare), { code: 108 });
      await assert.rejects(made.rpc('method', write(way, {})), { code: 108 });
      const map = made.newMapSubscription(channel('room'));
      map.subscribe();
      assert.equal((await next(map, 'unsubscribed')).code, 108);
      assert.equal(made.state, 'connected');
    });
  });

  describe(`${way.name}: tokens`, { concurrency: true }, () => {
    test('a connection\'s is renewed before the server would end it', async () => {
      let asked = 0;
      const getToken = async () => {
        asked += 1;
        return token({ sub: 'alice', exp: inSeconds(asked === 1 ? 2 : 3600) });
      };
      const made = client(server.port, way, { getToken });
      let connections = 0;
      made.on('connected', () => {
        connections += 1;
      });
      made.connect();
      await eventually(() => asked === 2, 'the second token');
      await assert.rejects(made.rpc('method', write(way, {})), { code: 108 }); // the connection lives
      assert.equal(connections, 1);
    });

    test('an expired one is replaced at connect', async () => {
      const tokens = [token({ sub: 'alice', exp: inSeconds(-10) }), token({ sub: 'alice', exp: inSeconds(3600) })];
      const made = client(server.port, way, { getToken: async () => tokens.shift() });
      made.connect();
      await made.ready();
      assert.equal(tokens.length, 0);
    });

    test('a subscription\'s opens a closed channel, is bound to it, and is renewed', async () => {
      const made = await join('alice');
      const name = channel('closed');
      let asked = 0;
      const getToken = async (context) => {
        asked += 1;
        return token({ sub: 'alice', channel: context.channel, exp: inSeconds([-10, 2, 3600][asked - 1]) });
      };
      const listener = new Listener(made, name, { getToken, minResubscribeDelay: 10, maxResubscribeDelay: 50 });
      await eventually(() => asked === 3, 'the third token');
      await api(server, 'publish', { channel: name, data: { n: 1 } });
      await listener.until(({ offset }) => offset === 1);
      assert.equal(listener.subscribed.length, 1);
      assert.equal(await new Promise((resolve) => {
        const sub = made.newSubscription(channel('closed'), { token: 'no token at all' });
        sub.on('unsubscribed', ({ code }) => resolve(code)).subscribe();
      }), 103);
      const stolen = await join('mallory');
      stolen.newSubscription(name, { token: token({ sub: 'alice', channel: name }) }).subscribe();
      assert.equal((await next(stolen, 'disconnected')).code, 3500);
    });

    test('list channels that the server subscribes to', async () => {
      const name = channel('closed');
      const made = client(server.port, way, { token: token({ sub: 'alice', channels: [name], info: { name: 'Alice' } }) });
      const subscribed = next(made, 'subscribed');
      made.connect();
      assert.equal((await subscribed).channel, name);
      const heard = next(made, 'publication');
      await api(server, 'publish', { channel: name, data: { n: 1 } });
      assert.deepEqual([read((await heard).data), (await heard).offset], [{ n: 1 }, 1]);
    });
  });

  describe(`${way.name}: the server API`, { concurrency: true }, () => {
    test('reaches a user\'s connections: subscribe, publish, broadcast, unsubscribe, disconnect', async () => {
      const user = channel('user').slice(5);
      const made = await join(user);
      const names = [channel('closed'), channel('closed')];
      for (const name of names) {
        const subscribed = next(made, 'subscribed');
        await api(server, 'subscribe', { user, channel: name });
        assert.equal((await subscribed).channel, name);
      }
      const heard = [];
      made.on('publication', ({ channel: name, data }) => heard.push([name, read(data).n]));
      await api(server, 'publish', { channel: names[0], data: { n: 1 } });
      const { responses } = await api(server, 'broadcast', { channels: names, data: { n: 2 } });
      assert.deepEqual(responses.map(({ result }) => result.offset), [2, 1]);
      await eventually(() => heard.length === 3, 'three publications');
      assert.deepEqual(heard.sort(), [[names[0], 1], [names[0], 2], [names[1], 2]].sort());
      const gone = next(made, 'unsubscribed');
      await api(server, 'unsubscribe', { user, channel: names[0] });
      assert.equal((await gone).channel, names[0]);
      const disconnected = next(made, 'disconnected');
      await api(server, 'disconnect', { user, disconnect: { code: 4512, reason: 'out' } });
      assert.deepEqual(await disconnected, { code: 4512, reason: 'out' });
    });

    test('unsubscribes for good, and sees what clients see', async () => {
      const name = channel('room');
      const made = await join('alice');
      const { sub } = new Listener(made, name);
      await sub.ready();
      const data = { n: 1 };
      await api(server, 'publish', { channel: name, data, idempotency_key: 'once' });
      assert.equal((await api(server, 'publish', { channel: name, data, idempotency_key: 'once' })).offset, 1);
      const history = await api(server, 'history', { channel: name, limit: 10 });
      assert.deepEqual([history.offset, history.publications.map((pub) => [pub.offset, pub.data])], [1, [[1, data]]]);
      assert.deepEqual(Object.keys((await api(server, 'presence', { channel: name })).presence), [made.id]);
      const stats = await api(server, 'presence_stats', { channel: name });
      assert.deepEqual([stats.num_clients, stats.num_users], [1, 1]);
      const { channels } = await api(server, 'channels', {});
      assert.equal(channels[name].num_clients, 1);
      const gone = next(sub, 'unsubscribed');
      await api(server, 'unsubscribe', { user: 'alice', channel: name, client: made.id });
      assert.equal((await gone).code, 2000);
    });
  });
}));
