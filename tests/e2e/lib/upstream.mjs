// A scripted OpenAI-compatible server: the test says, step by step, what the provider sends and when.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

class Answer {
  constructor(request, response, body) {
    Object.assign(this, { headers: request.headers, path: request.url, body, response });
    this.closed = new Promise((resolve) => response.once('close', resolve));
  }
  #head() {
    if (!this.response.headersSent) this.response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  }
  raw(text) {
    this.#head();
    this.response.write(text);
  }
  delta(delta, finish_reason = null) {
    this.raw(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: this.body.model,
      choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
  }
  say(...texts) {
    for (const content of texts) this.delta({ content });
  }
  /** One piece of text every `pause` ms, until the server hangs up. */
  async dictate(texts, pause) {
    for (const text of texts) {
      if (this.response.destroyed) return;
      this.say(text);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  end({ reason = 'stop', usage = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 } } = {}) {
    this.delta({}, reason);
    if (usage) this.raw(`data: ${JSON.stringify({ choices: [], usage })}\n\n`);
    this.raw('data: [DONE]\n\n');
    this.response.end();
  }
  fail(status, error) {
    this.response.writeHead(status, { 'Content-Type': 'application/json' });
    this.response.end(JSON.stringify({ error }));
  }
}

export class Upstream {
  /** `tls`: `{ key, cert }` in PEM; the base URL then says `https://localhost`. */
  static async start(tls) {
    const upstream = new Upstream();
    upstream.waiting = [];
    upstream.arrived = [];
    upstream.script = null;
    const serve = async (request, response) => {
      let text = '';
      for await (const piece of request) text += piece;
      const answer = new Answer(request, response, text ? JSON.parse(text) : {});
      if (upstream.script) return upstream.script(answer);
      const taker = upstream.waiting.shift();
      if (taker) taker(answer);
      else upstream.arrived.push(answer);
    };
    upstream.http = tls ? createTlsServer(tls, serve) : createServer(serve);
    upstream.http.on('tlsClientError', () => {});
    await new Promise((resolve) => upstream.http.listen(0, '127.0.0.1', resolve));
    upstream.port = upstream.http.address().port;
    upstream.base = tls ? `https://localhost:${upstream.port}/v1` : `http://127.0.0.1:${upstream.port}/v1`;
    return upstream;
  }
  /** The next request, as something to answer. */
  next() {
    const answer = this.arrived.shift();
    return answer ? Promise.resolve(answer) : new Promise((resolve) => this.waiting.push(resolve));
  }
  /** Answers every request to come with `script(answer)`; `null` hands them to `next` again. */
  always(script) {
    this.script = script;
  }
  async stop() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

/** `count` different words: a lost, doubled or swapped one shows in the text. */
export const words = (count, from = 1) => Array.from({ length: count }, (_, i) => `word-${from + i} `);
