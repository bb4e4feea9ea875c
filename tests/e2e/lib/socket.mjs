// A WebSocket subscriber (the `ws` package).
import WebSocket from 'ws';

export class Socket {
  constructor(port, channel, { after, headers = {}, query = '' } = {}) {
    const cursor = after === undefined ? '' : `&last_event_id=${after}`;
    this.events = [];
    this.watchers = new Set();
    this.ws = new WebSocket(`ws://127.0.0.1:${port}/connection/websocket?channel=${channel}${cursor}${query}`, { headers });
    this.ws.on('message', (data, binary) => {
      if (binary) throw new Error('a binary message');
      this.events.push(JSON.parse(data));
      this.#tell();
    });
    this.ws.on('error', () => {});
    this.ws.on('unexpected-response', (_, response) => {
      this.refused = response.statusCode;
      this.ws.terminate();
    });
    this.closed = new Promise((resolve) => this.ws.on('close', (code) => {
      this.code = code;
      this.#tell();
      resolve(code);
    }));
  }
  #tell() {
    for (const watcher of this.watchers) watcher();
  }
  async until(condition, what = condition.toString()) {
    while (!condition(this)) {
      if (this.code !== undefined) throw new Error(`closed with ${this.code} before ${what}`);
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
  send(message) {
    this.ws.send(JSON.stringify(message));
  }
  close() {
    this.ws.terminate();
  }
  get ids() {
    return this.events.map(({ id }) => id);
  }
  get types() {
    return this.events.map(({ type }) => type);
  }
}
