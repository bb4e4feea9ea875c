// What Centrifugo's JavaScript SDK does with each refusal and each end of a connection: how often it tries in the first
// seconds, counted on the wire, with its own delays. Nothing may make it try without a pause.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { api, channel, client, CONFIG, endClients, inSeconds, next, token, WAYS } from './lib/centrifuge.mjs';
import { eventually, test } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { Server } from './lib/server.mjs';

const WINDOW = 3000; // ms
const PATIENT = { minReconnectDelay: 500, maxReconnectDelay: 20_000 }; // the SDK's own
const MOST = 7; // at least 500 ms apart

const NAMESPACES = `
[namespace.room]
allow_subscribe_for_client = true
`;
const config = (rest) => CONFIG.replace('[client]', `[client]\n${rest}`) + NAMESPACES;

let server, strict, lively;
const alice = () => token({ sub: channel('user').slice(5) });
before(async () => {
  [server, strict, lively] = await Promise.all([
    Server.start({ config: config('user_connection_limit = 1\nexpired_close_delay = "1s"') }),
    Server.start({ config: config('').replace('without_token = true', 'without_token = false') }),
    Server.start({ config: config('ping_interval = "3s"\npong_timeout = "2900ms"') }),
  ]);
});
after(() => {
  endClients();
  return Promise.all([server, strict, lively].map((thing) => thing?.stop()));
});

/** A client behind a proxy that counts; `tries()` is how often it has tried to connect. */
async function watched(way, options, on = server) {
  const proxy = await Proxy.start(on.port);
  const made = client(proxy.port, way, { ...PATIENT, ...options });
  const seen = { made, proxy, connected: 0, ended: null, tries: () => proxy.listening().length };
  made.on('connected', () => {
    seen.connected += 1;
  });
  made.on('disconnected', ({ code }) => {
    seen.ended = code;
  });
  made.connect();
  return seen;
}
const window = () => new Promise((resolve) => setTimeout(resolve, WINDOW));

/** The client gave up with `code`, after its only try. */
async function givesUp(seen, code, tries = 1) {
  await eventually(() => seen.ended !== null, `the end, ${code}`);
  await window();
  assert.deepEqual([seen.ended, seen.tries()], [code, tries]);
  await seen.proxy.stop();
}
/** The client tries `least` times, and then with pauses. */
async function tries(seen, least, most = MOST) {
  await eventually(() => seen.tries() >= least, `try ${least}`);
  const before = seen.tries();
  await window();
  seen.made.disconnect();
  const after = seen.tries() - before;
  assert.ok(after <= most, `${after} tries in ${WINDOW} ms`);
  await seen.proxy.stop();
}
/** The client has tried so often, and does not try again. */
const settles = async (seen, times) => {
  await tries(seen, times, 0);
  assert.equal(seen.tries(), times);
};

describe('reconnecting', { concurrency: true }, () => WAYS.forEach((way) => {
  describe(way.name, { concurrency: true }, () => {
    const ends = [
      ['an invalid token', 3500, { token: 'no token at all' }],
      ['a token of another key', 3500, { token: token({ sub: 'a' }, 'other') }],
      ['a subscription token', 3500, { token: token({ sub: 'a', channel: 'room:1' }) }],
    ];
    for (const [name, code, options] of ends) {
      test(`${name}: one try`, async () => givesUp(await watched(way, options), code));
    }
    test('no token where one is needed: one try', async () => givesUp(await watched(way, {}, strict), 3501));

    test('an expired token and none newer: few tries', async () => {
      await tries(await watched(way, { getToken: async () => token({ sub: 'a', exp: inSeconds(-10) }) }), 2);
    });

    test('an expired connection that is not renewed: few tries', async () => {
      // The token is given once and for all: the SDK may end by itself or be told that it has expired.
      const seen = await watched(way, { token: token({ sub: 'a-once', exp: inSeconds(1) }) });
      await eventually(() => seen.tries() > 1 || seen.ended !== null, 'the end of the connection');
      await tries(seen, 1);
    });

    test('one connection too many of a user: one try', async () => {
      const mine = alice();
      const first = await watched(way, { token: mine });
      await first.made.ready();
      await givesUp(await watched(way, { token: mine }), 3504);
      assert.deepEqual([first.connected, first.tries()], [1, 1]);
      await first.proxy.stop();
    });

    for (const [code, again] of [[3503, 0], [3000, 1], [3012, 1], [3499, 1], [3999, 0], [4000, 1], [4499, 1], [4500, 0], [4999, 0]]) {
      test(`disconnected with ${code}: ${again ? 'one try more' : 'none'}`, async () => {
        const user = channel('user').slice(5);
        const seen = await watched(way, { token: token({ sub: user }) });
        await seen.made.ready();
        await api(server, 'disconnect', { user, disconnect: { code, reason: 'because' } });
        if (!again) return givesUp(seen, code);
        await eventually(() => seen.connected === 2, 'the second connection');
        return settles(seen, 2);
      });
    }

    test('nothing to say: pings are answered, and the connection stays', async () => {
      const seen = await watched(way, { maxServerPingDelay: 3000 }, lively);
      await seen.made.ready();
      await window(); // time for the first ping and for it to be missed
      await settles(seen, 1);
      assert.equal(seen.connected, 1);
    });

    test('an unknown channel, a forbidden one: asked for once, and the connection stays', async () => {
      const seen = await watched(way, { token: alice() });
      await seen.made.ready();
      for (const [name, code] of [[channel('chat'), 102], [channel('nowhere'), 102], [`$${channel('room')}`, 103]]) {
        const sub = seen.made.newSubscription(name);
        let asked = 0;
        sub.on('subscribing', () => {
          asked += 1;
        });
        sub.subscribe();
        assert.deepEqual([(await next(sub, 'unsubscribed')).code, asked], [code, 1]);
      }
      await settles(seen, 1);
    });

    test('a subscription ended by the server: not asked for again', async () => {
      const user = channel('user').slice(5);
      const seen = await watched(way, { token: token({ sub: user }) });
      const sub = seen.made.newSubscription(channel('room'));
      let asked = 0;
      sub.on('subscribing', () => {
        asked += 1;
      });
      sub.subscribe();
      await sub.ready();
      const gone = next(sub, 'unsubscribed');
      await api(server, 'unsubscribe', { user, channel: sub.channel });
      assert.equal((await gone).code, 2000);
      await settles(seen, 1);
      assert.equal(asked, 1);
    });

    test('a server that is full: few tries', async () => {
      const full = await Server.start({ config: `[limits]\nconnections = 1\n${config('')}` });
      const held = await fetch(`${full.url}/health`); // its connection is kept, and is all that there may be
      await held.text();
      const seen = await watched(way, {}, full);
      await tries(seen, 1);
      await full.stop();
    });

    test('a server that shuts down: few tries', async () => {
      const going = await Server.start({ config: config('') });
      const seen = await watched(way, { token: alice() }, going);
      await seen.made.ready();
      going.signal('SIGTERM');
      await going.exited;
      await tries(seen, 2);
      await going.stop();
    });
  });
}));
