// The unidirectional transports, as a client without an SDK reads them.
import WebSocket from 'ws';

export const UNI = ['uni_sse', 'uni_http_stream', 'uni_websocket'];

/** What a server said over one such connection: `messages`, and how it ended. */
export class Uni {
  /** `request` is the ConnectRequest; `raw` replaces its text. */
  constructor(port, kind, request = {}, { raw = JSON.stringify(request), headers = {}, first = false } = {}) {
    this.messages = [];
    this.watchers = new Set();
    const url = (scheme, query) => `${scheme}://127.0.0.1:${port}/connection/${kind}${query ? `?cf_connect=${encodeURIComponent(raw)}` : ''}`;
    if (kind === 'uni_websocket') this.#socket(url('ws', !first), first ? raw : undefined);
    else if (kind === 'uni_sse') this.#stream(url('http', true), { headers: { Accept: 'text/event-stream', ...headers } }, 'data: ');
    else this.#stream(url('http', false), { method: 'POST', headers, body: raw }, '');
  }

  #socket(url, first) {
    const ws = new WebSocket(url);
    this.close = () => ws.terminate();
    if (first !== undefined) ws.on('open', () => ws.send(first));
    ws.on('message', (data) => {
      for (const line of data.toString().split('\n')) this.#take(line);
    });
    ws.on('error', () => {});
    ws.on('close', (code, reason) => this.#end({ code, reason: reason.toString() }));
  }

  async #stream(url, options, prefix) {
    const stop = new AbortController();
    this.close = () => stop.abort();
    try {
      const response = await fetch(url, { ...options, signal: stop.signal });
      Object.assign(this, { status: response.status, type: response.headers.get('content-type') });
      let rest = '';
      for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + bytes).split('\n');
        rest = lines.pop();
        for (const line of lines) {
          if (prefix && line.startsWith('id: ')) this.id = line.slice(4);
          else if (response.ok && line.trim() && line.startsWith(prefix)) this.#take(line.slice(prefix.length));
        }
      }
      this.#end({ code: response.status });
    } catch (error) {
      this.#end({ error });
    }
  }

  #take(line) {
    this.messages.push(JSON.parse(line));
    this.#tell();
  }
  #end(how) {
    this.ended ??= how;
    this.#tell();
  }
  #tell() {
    for (const watcher of this.watchers) watcher();
  }

  /** Resolves once `condition(this)` holds; fails when the connection ends before. */
  async until(condition) {
    while (!condition(this)) {
      if (this.ended) throw new Error(`ended (${JSON.stringify(this.ended)}) before ${condition}; messages: ${JSON.stringify(this.messages)}`);
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

  get connect() {
    return this.messages.find(({ connect }) => connect)?.connect;
  }
  get disconnect() {
    return this.messages.find(({ disconnect }) => disconnect)?.disconnect;
  }
  /** The events of one channel, those in the connect message first: `{ offset, ...data }`. */
  events(channel) {
    const first = this.connect?.subs?.[channel]?.publications ?? [];
    const pushed = this.messages.filter((message) => message.pub && message.channel === channel).map(({ pub }) => pub);
    return [...first, ...pushed].map(({ offset, data }) => ({ offset, ...data }));
  }
}
