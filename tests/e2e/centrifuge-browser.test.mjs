// Centrifugo's JavaScript SDK in a real browser, in a page of another origin: the browser's own WebSocket, EventSource and
// fetch, with all that it asks of a server before it lets a page read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { executablePath, launch, site } from './lib/browser.mjs';
import { api, channel, chats, CONFIG, KEY, token, WAYS } from './lib/centrifuge.mjs';
import { eventually, skipUnless, test } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { openai, Server } from './lib/server.mjs';
import { Upstream, words } from './lib/upstream.mjs';

const skip = skipUnless(executablePath, 'the SDK in a browser: no Chromium (Debian package chromium)');
const bundle = (name) => readFileSync(fileURLToPath(new URL(`dist/${name}`, import.meta.resolve('centrifuge/build/protobuf').replace('build/protobuf/index.mjs', ''))));
const pages = {
  'json.html': '<!doctype html><script src="json.js"></script>',
  'json.js': skip || bundle('centrifuge.js'),
  'protobuf.html': '<!doctype html><script src="protobuf.js"></script>',
  'protobuf.js': skip || bundle('centrifuge.protobuf.js'),
};

/** Runs in the page. */
async function listen({ endpoint, transport, emulationEndpoint, connection, names }) {
  const client = new window.Centrifuge([{ transport, endpoint }], { emulationEndpoint, token: connection, minReconnectDelay: 20, maxReconnectDelay: 200 });
  window.seen = { events: {}, connected: 0 };
  client.on('connected', () => {
    window.seen.connected += 1;
  });
  const subscribed = names.map((name) => {
    window.seen.events[name] = [];
    const sub = client.newSubscription(name);
    sub.on('publication', ({ data, offset }) => {
      const read = data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data;
      window.seen.events[name].push({ offset, ...read });
    });
    sub.subscribe();
    return sub.ready();
  });
  client.connect();
  await Promise.all(subscribed);
}

describe('the JavaScript SDK in a browser', { skip, concurrency: true }, () => {
  let browser, upstream, server, other, chat;
  before(async () => {
    [browser, upstream, other] = await Promise.all([launch(), Upstream.start(), site(pages)]);
    chat = chats(upstream);
    const rest = `${CONFIG}\n[namespace.room]\nhistory_size = 10\nhistory_ttl = "5m"\nforce_recovery = true\nallow_subscribe_for_client = true`;
    server = await Server.start({ config: openai(upstream.base, { rest }), args: ['--allow-origin', other.origin] });
  });
  after(async () => {
    await browser?.close();
    await Promise.all([server, upstream, other].map((thing) => thing?.stop()));
  });

  for (const { name, transport } of WAYS) {
    test(`${name}: an answer and a channel, cut off in the middle`, async () => {
      const proxy = await Proxy.start(server.port);
      const room = channel('room');
      const { id, answer } = await chat(server, { 'X-API-Key': KEY });
      const page = await browser.newPage();
      await page.goto(`${other.origin}/${name.includes('Protobuf') ? 'protobuf' : 'json'}.html`);
      await page.evaluate(listen, {
        transport, endpoint: `${transport === 'websocket' ? 'ws' : 'http'}://127.0.0.1:${proxy.port}/connection/${transport}`,
        emulationEndpoint: `${proxy.url}/emulation`, connection: token({ sub: 'alice' }), names: [id, room],
      });
      const seen = () => page.evaluate(() => window.seen);
      const said = words(60);
      answer.say(...said.slice(0, 30));
      await api(server, 'publish', { channel: room, data: { n: 1 } });
      await eventually(async () => (await seen()).events[id].length === 31, 'the first half');
      await eventually(async () => (await seen()).events[room].length === 1, 'the first publication');
      proxy.cut();
      answer.say(...said.slice(30));
      answer.end();
      await api(server, 'publish', { channel: room, data: { n: 2 } });
      await eventually(async () => (await seen()).events[id].at(-1).type === 'end', 'the end');
      await eventually(async () => (await seen()).events[room].length === 2, 'the second publication');
      const { events, connected } = await seen();
      assert.deepEqual(events[id].map(({ offset }) => offset), events[id].map((_, i) => i + 1));
      assert.equal(events[id].filter(({ type }) => type === 'chunk').map(({ message }) => message).join(''), said.join(''));
      assert.deepEqual(events[room], [{ offset: 1, n: 1 }, { offset: 2, n: 2 }]);
      assert.equal(connected, 2);
      await page.close();
      await proxy.stop();
    });
  }

  test('a page of an origin that is not allowed cannot connect', async () => {
    const foreign = await site(pages);
    for (const { name, transport } of WAYS.filter(({ name: of }) => of.includes('JSON'))) {
      const page = await browser.newPage();
      await page.goto(`${foreign.origin}/json.html`);
      const proxy = await Proxy.start(server.port);
      const outcome = await page.evaluate(async ([kind, url, port]) => {
        const client = new window.Centrifuge([{ transport: kind, endpoint: `${url}/connection/${kind}` }], { emulationEndpoint: `http://127.0.0.1:${port}/emulation` });
        const failed = new Promise((resolve) => client.on('error', () => resolve('refused')));
        client.connect();
        const end = await Promise.race([failed, client.ready().then(() => 'connected', () => 'ended')]);
        client.disconnect();
        return end;
      }, [transport, transport === 'websocket' ? `ws://127.0.0.1:${proxy.port}` : proxy.url, proxy.port]);
      assert.equal(outcome, 'refused', name);
      await page.close();
      await proxy.stop();
    }
    await foreign.stop();
  });
});
