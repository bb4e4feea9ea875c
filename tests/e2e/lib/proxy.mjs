// A network that the test can break: a TCP proxy that cuts connections, refuses new ones, counts bytes, and reads the
// request and status lines that pass.
import { connect, createServer } from 'node:net';

export class Proxy {
  static async start(target) {
    const proxy = new Proxy();
    proxy.target = target;
    proxy.pairs = new Set();
    proxy.exchanges = []; // { method, path, lastEventId, status }
    proxy.budget = Infinity; // bytes to the client after which its connection is cut
    await proxy.up();
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  #pair(client) {
    const server = connect(this.target, '127.0.0.1');
    const pair = { client, server, left: this.budget, waiting: [] };
    this.pairs.add(pair);
    const drop = () => {
      client.destroy();
      server.destroy();
      this.pairs.delete(pair);
    };
    for (const socket of [client, server]) socket.on('error', drop).on('close', drop).setNoDelay();
    client.on('data', (bytes) => {
      const head = /^([A-Z]+) (\S+) HTTP\/1\.[01]\r\n([^]*?)\r\n\r\n/.exec(bytes.toString('latin1'));
      if (head) {
        const lastEventId = /^last-event-id: *(.*?)\r?$/im.exec(head[3])?.[1];
        const exchange = { method: head[1], path: head[2], lastEventId, status: null };
        this.exchanges.push(exchange);
        pair.waiting.push(exchange);
      }
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      const head = /^HTTP\/1\.[01] (\d{3})/.exec(bytes.toString('latin1'));
      if (head && pair.waiting.length) pair.waiting.shift().status = Number(head[1]);
      if (bytes.length < pair.left) {
        pair.left -= bytes.length;
        client.write(bytes);
      } else {
        client.write(bytes.subarray(0, pair.left), drop);
        pair.left = 0;
      }
    });
    client.on('end', () => server.end());
    server.on('end', () => client.end());
  }

  /** Breaks every connection that there is. */
  cut() {
    for (const { client, server } of this.pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }
  /** The network is gone: connections break, new ones are refused. */
  async down() {
    const closed = new Promise((resolve) => this.listener.close(resolve));
    this.cut();
    await closed;
  }
  /** The network is back, at the same address. */
  async up() {
    this.listener = createServer({ allowHalfOpen: true }, (client) => this.#pair(client));
    await new Promise((resolve, reject) => {
      this.listener.once('error', reject);
      this.listener.listen(this.port ?? 0, '127.0.0.1', resolve);
    });
    this.port = this.listener.address().port;
  }
  async stop() {
    if (this.listener.listening) await this.down();
  }
  /** The exchanges on the event stream or the WebSocket. */
  listening() {
    return this.exchanges.filter(({ path }) => path.startsWith('/connection/'));
  }
}
