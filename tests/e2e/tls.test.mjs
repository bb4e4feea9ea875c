// HTTPS to providers that are not what they should be: each is `provider_unreachable`, and the message says why.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { promisify } from 'node:util';
import { test } from './lib/condition.mjs';
import { openai, Server } from './lib/server.mjs';
import { Upstream } from './lib/upstream.mjs';
import { subscribe } from './lib/wire.mjs';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'lmserver-tls-'));
const path = (name) => join(folder, name);
const openssl = (...args) => run('openssl', args, { cwd: folder });
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function authority(name) {
  await openssl('req', '-x509', ...NEW_KEY, '-days', '30', '-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/CN=${name}`,
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
}
/** A certificate for `names`, signed by `ca`, valid between the two dates. */
async function leaf(name, ca, names, { start = '20200101000000Z', end = '20491231235959Z' } = {}) {
  await openssl('req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
  writeFileSync(path(`${name}.cnf`), `[ca]\ndefault_ca=d\n[d]\ndatabase=${name}.db\nnew_certs_dir=.\nserial=${name}.srl\ndefault_md=sha256\npolicy=p
[p]\ncommonName=supplied\n[e]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=${names}\n`);
  writeFileSync(path(`${name}.db`), '');
  writeFileSync(path(`${name}.srl`), '01\n');
  await openssl('ca', '-batch', '-notext', '-config', `${name}.cnf`, '-cert', `${ca}.pem`, '-keyfile', `${ca}.key`, '-extensions', 'e',
    '-startdate', start, '-enddate', end, '-in', `${name}.csr`, '-out', `${name}.pem`);
}
const pair = (name) => ({ key: readFileSync(path(`${name}.key`)), cert: readFileSync(path(`${name}.pem`)) });

describe('a provider over HTTPS', () => {
  const running = [];
  before(async () => {
    await Promise.all([authority('ca'), authority('stranger')]);
    await Promise.all([
      leaf('good', 'ca', 'DNS:localhost,IP:127.0.0.1'),
      leaf('wrong-name', 'ca', 'DNS:api.example.com'),
      leaf('expired', 'ca', 'DNS:localhost', { end: '20210101000000Z' }),
      leaf('not-yet', 'ca', 'DNS:localhost', { start: '20480101000000Z' }),
      leaf('unknown-issuer', 'stranger', 'DNS:localhost'),
      openssl('req', '-x509', ...NEW_KEY, '-days', '30', '-keyout', 'self-signed.key', '-out', 'self-signed.pem', '-subj', '/CN=localhost',
        '-addext', 'subjectAltName=DNS:localhost'),
    ]);
  });
  after(async () => {
    await Promise.all(running.map((one) => one.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  async function secure(name) {
    const upstream = await Upstream.start(pair(name));
    running.push(upstream);
    upstream.always((answer) => {
      answer.say('over TLS');
      answer.end();
    });
    return upstream;
  }
  /** A TCP server that does `what` to each connection. */
  async function raw(what) {
    const server = createServer((socket) => what(socket.on('error', () => {})));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    running.push({ stop: () => server.close() });
    return { base: `https://localhost:${server.address().port}/v1` };
  }
  /** The last event of a chat with the provider at `base`. */
  async function outcome(base, provider = `ca_file = "${path('ca.pem')}"\nconnect_timeout = "2s"`) {
    const server = await Server.start({ config: openai(base, { provider }) });
    try {
      const exchange = await subscribe(server.port, await server.chat('hello'));
      await exchange.ended;
      return { ...exchange.events.at(-1).json, text: exchange.text };
    } finally {
      await server.stop();
    }
  }

  test('a good chain to the CA in `ca_file` works, by name and by address', async () => {
    const { base } = await secure('good');
    for (const url of [base, base.replace('localhost', '127.0.0.1')]) {
      const end = await outcome(url);
      assert.deepEqual([end.type, end.text], ['end', 'over TLS'], end.message);
    }
  });
  const bad = [
    ['a certificate for another name', () => secure('wrong-name'), /name|valid for|api\.example\.com/i],
    ['an expired certificate', () => secure('expired'), /expired/i],
    ['a certificate that is not valid yet', () => secure('not-yet'), /not (yet )?valid|NotValidYet/i],
    ['a self-signed certificate', () => secure('self-signed'), /certificate|issuer|trust/i],
    ['a certificate of an unknown issuer', () => secure('unknown-issuer'), /issuer|trust/i],
    ['plain HTTP on the port', () => raw((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'))), /TLS/],
    ['a connection cut at once', () => raw((socket) => socket.destroy()), /TLS|handshake|clos|reset/i],
    ['a connection cut in the handshake', () => raw((socket) => socket.once('data', () => socket.end(Buffer.from('160303', 'hex')))), /TLS|handshake|clos/i],
    ['a connection reset in the handshake', () => raw((socket) => socket.once('data', () => socket.resetAndDestroy())), /TLS|handshake|clos|reset/i],
  ];
  for (const [what, start, why] of bad) {
    test(`${what} is provider_unreachable, and the message says so`, async () => {
      const end = await outcome((await start()).base);
      assert.deepEqual([end.type, end.code], ['error', 'provider_unreachable'], end.message);
      assert.match(end.message, /localhost/, 'the host concerned');
      assert.match(end.message, why);
    });
  }
  test('a server that never answers the handshake is a timeout that names the timer', async () => {
    const { base } = await raw(() => {});
    const end = await outcome(base, `ca_file = "${path('ca.pem')}"\nconnect_timeout = "300ms"`);
    assert.deepEqual([end.type, end.code], ['error', 'provider_timeout'], end.message);
    assert.match(end.message, /connect/);
  });
  test('a closed port and an unknown name are provider_unreachable', async () => {
    const closed = await raw(() => {});
    await running.at(-1).stop();
    for (const base of [closed.base, 'https://no-such-host.invalid/v1']) {
      const end = await outcome(base);
      assert.deepEqual([end.type, end.code], ['error', 'provider_unreachable'], end.message);
      assert.match(end.message, new RegExp(new URL(base).hostname.replaceAll('.', '\\.')));
    }
  });
});
