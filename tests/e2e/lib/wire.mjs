// HTTP and Server-Sent Events read byte by byte from a plain socket, so that nothing a library would smooth over is missed.
import { connect } from 'node:net';

const CRLF2 = Buffer.from('\r\n\r\n');

/** One request on a connection of its own. `await exchange.head`, then read `events`, `body` or `ended`. */
export class Exchange {
  /** After `limit` bytes of the body, as they come on the wire, the connection is reset, and no byte more is seen. */
  constructor(port, request, limit = Infinity) {
    this.limit = limit;
    this.events = []; // { id, data, json }
    this.retries = []; // the values of `retry:` lines
    this.comments = [];
    this.body = '';
    this.raw = Buffer.alloc(0);
    this.watchers = new Set();
    this.socket = connect(port, '127.0.0.1', () => this.socket.write(request));
    this.head = new Promise((resolve, reject) => Object.assign(this, { resolveHead: resolve, rejectHead: reject }));
    this.head.catch(() => {});
    // How the answer ended: 'complete' (by its framing), or 'cut'.
    this.ended = new Promise((resolve) => {
      this.finish = (how) => {
        this.over ??= how;
        resolve(this.over);
        this.#tell();
      };
    });
    this.socket.on('data', (bytes) => this.#take(bytes));
    this.socket.on('end', () => this.#eof());
    this.socket.on('error', () => this.#eof());
    this.socket.on('close', () => this.#eof());
  }

  #take(bytes) {
    this.raw = Buffer.concat([this.raw, bytes]);
    if (!this.headLength) {
      const at = this.raw.indexOf(CRLF2);
      if (at < 0) return;
      this.headLength = at + 4;
      this.#head(this.raw.subarray(0, at).toString('latin1'));
    }
    this.raw = this.raw.subarray(0, this.headLength + this.limit);
    this.rest = this.raw.subarray(this.read ?? this.headLength);
    this.#body();
    this.read = this.raw.length - this.rest.length;
    this.#tell();
    if (this.raw.length < this.headLength + this.limit) return;
    this.finish('cut');
    this.socket.resetAndDestroy();
  }

  #head(text) {
    const [line, ...fields] = text.split('\r\n');
    this.version = line.slice(0, 8);
    this.status = Number(line.slice(9, 12));
    this.headers = {};
    for (const field of fields) {
      const name = field.slice(0, field.indexOf(':')).toLowerCase();
      const value = field.slice(field.indexOf(':') + 1).trim();
      this.headers[name] = name in this.headers ? `${this.headers[name]}, ${value}` : value;
    }
    this.resolveHead(this);
  }

  #body() {
    if (this.over) return;
    if (this.headers['transfer-encoding'] === 'chunked') {
      // A chunk's bytes count as they come, as they do for a browser.
      for (;;) {
        if (this.left > 0) {
          const part = this.rest.subarray(0, this.left);
          this.left -= part.length;
          this.rest = this.rest.subarray(part.length);
          this.#text(part);
          if (this.left > 0) return;
        }
        if (this.left === 0) {
          if (this.rest.length < 2) return;
          this.rest = this.rest.subarray(2);
          this.left = undefined;
          if (this.last) return this.finish('complete');
        }
        const at = this.rest.indexOf('\r\n');
        if (at < 0) return;
        this.left = parseInt(this.rest.subarray(0, at).toString('latin1'), 16);
        this.last = this.left === 0;
        this.rest = this.rest.subarray(at + 2);
      }
    }
    this.#text(this.rest);
    this.length = (this.length ?? 0) + this.rest.length;
    this.rest = Buffer.alloc(0);
    const wanted = this.status === 204 ? 0 : Number(this.headers['content-length'] ?? NaN);
    if (this.length === wanted) this.finish('complete');
  }

  #text(bytes) {
    this.bytes = Buffer.concat([this.bytes ?? Buffer.alloc(0), bytes]);
    this.body = this.bytes.toString('utf8');
    if (!/event-stream/.test(this.headers['content-type'] ?? '')) return;
    for (let at; (at = this.bytes.indexOf('\n\n')) >= 0; this.bytes = this.bytes.subarray(at + 2)) {
      this.#block(this.bytes.subarray(0, at).toString('utf8'));
    }
    this.body = '';
    // The answer of a server that drains is `retry:` alone, without a block's end.
    this.tail = this.bytes.toString('utf8');
  }

  #block(text) {
    const event = { data: undefined };
    for (const line of text.split('\n')) {
      if (line.startsWith(':')) this.comments.push(line);
      else if (line.startsWith('id: ')) event.id = line.slice(4);
      else if (line.startsWith('retry: ')) this.retries.push(Number(line.slice(7)));
      else if (line.startsWith('data: ')) event.data = line.slice(6);
      else throw new Error(`unexpected line in the stream: ${JSON.stringify(line)}`);
    }
    if (event.data === undefined) return;
    event.json = JSON.parse(event.data);
    this.events.push(event);
  }

  #eof() {
    if (!this.status) this.rejectHead(new Error('the connection ended before the answer'));
    const framed = this.headers && ('content-length' in this.headers || 'transfer-encoding' in this.headers);
    this.finish(this.status && !framed ? 'complete' : 'cut');
  }

  #tell() {
    for (const watcher of this.watchers) watcher();
  }

  /** Resolves once `condition(this)` holds; fails when the answer ends before. */
  async until(condition, what = condition.toString()) {
    while (!condition(this)) {
      if (this.over) throw new Error(`the answer ended (${this.over}) before ${what}; events: ${JSON.stringify(this.events)}`);
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

  close() {
    this.socket.resetAndDestroy();
  }
  get ids() {
    return this.events.map(({ id }) => id);
  }
  get types() {
    return this.events.map(({ json }) => json.type);
  }
  get text() {
    return textOf(this.events.map(({ json }) => json));
  }
}

export const textOf = (events) => events.filter(({ type }) => type === 'chunk').map(({ message }) => message).join('');

/** Sends a request. */
export function send(port, path, { method = 'GET', headers = {}, version = '1.1', body, limit } = {}) {
  const fields = { Host: `127.0.0.1:${port}`, ...headers };
  if (body !== undefined) fields['Content-Length'] = Buffer.byteLength(body);
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return new Exchange(port, `${method} ${path} HTTP/${version}\r\n${lines.join('')}\r\n${body ?? ''}`, limit);
}

/** Sends a request and resolves with the exchange once its head has come. */
export const open = (port, path, options) => send(port, path, options).head;

/** Like `open`, but waits for the whole answer. */
export async function ask(port, path, options) {
  const exchange = await open(port, path, options);
  if (options?.method === 'HEAD') exchange.close();
  await exchange.ended;
  exchange.socket.destroy();
  return exchange;
}

/** Listens to a channel over Server-Sent Events. */
export const listen = (port, channel, { after, query = '', headers = {}, ...rest } = {}) =>
  send(port, `/connection/sse?channel=${channel}${query}`, {
    headers: { Accept: 'text/event-stream', ...(after === undefined ? {} : { 'Last-Event-ID': after }), ...headers }, ...rest,
  });
export const subscribe = (port, channel, options) => listen(port, channel, options).head;
