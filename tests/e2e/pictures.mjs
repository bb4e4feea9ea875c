// Makes docs/images/stream.png: the chat page in mid-answer, after the network was cut and came back. `npm run pictures`
import { join } from 'node:path';
import { fileUrl, launch } from './lib/browser.mjs';
import { eventually } from './lib/condition.mjs';
import { Proxy } from './lib/proxy.mjs';
import { openai, ROOT, Server } from './lib/server.mjs';
import { Upstream } from './lib/upstream.mjs';

const QUESTION = 'Why does a cut connection lose nothing here?';
const ANSWER = `Because the answer is not tied to your connection. It is a channel: an append-only log that the server keeps, and your browser is only a cursor into it.

Every event has a position. When the network breaks, the model goes on writing into the log. When you come back, your browser sends the last position it saw, and the server continues with the very next event: first what you missed, then what is being written now, in order, once.`;

const upstream = await Upstream.start();
const server = await Server.start({
  config: openai(upstream.base, { model: 'llama3.2', rest: '[model.default]\ntargets = ["scripted/llama3.2"]' }),
  args: ['--allow-origin', 'null'],
});
const proxy = await Proxy.start(server.port);
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 860, height: 500 }, deviceScaleFactor: 1.5, colorScheme: 'light' });
await page.goto(`${fileUrl('client.html')}#server=${proxy.url}`);
await page.evaluate('$("settings").open = false');
await page.fill('#message', QUESTION);
await page.click('#send');
const answer = await upstream.next();
const pieces = ANSWER.match(/\s*\S+/g);
const text = () => page.textContent('#log article:last-child .text');
const half = Math.floor(pieces.length * 0.45);
answer.say(...pieces.slice(0, half));
await eventually(async () => (await text()).length > 100, 'the first part');
proxy.cut();
await eventually(async () => /reconnecting/.test(await page.textContent('#state')), 'the cut');
answer.say(...pieces.slice(half, -14));
await eventually(async () => (await page.textContent('#state')) === 'streaming', 'the return');
await page.waitForFunction((length) => document.querySelector('#log article:last-child .text').textContent.length >= length,
  pieces.slice(0, -14).join('').length);
await page.screenshot({ path: join(ROOT, 'docs/images/stream.png') });
await browser.close();
await Promise.all([server, proxy, upstream].map((thing) => thing.stop()));
