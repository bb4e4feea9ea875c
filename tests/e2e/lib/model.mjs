// A provider whose answers depend on the question, for tests of other people's SDKs: it streams Chat Completions.
import { Upstream, words } from './upstream.mjs';

export const TEXT = words(20).join('');
export const USAGE = { prompt_tokens: 11, completion_tokens: 20, total_tokens: 31, prompt_tokens_details: { cached_tokens: 4 } };
const ERRORS = {
  401: { message: 'Incorrect API key provided: sk-upstream-secret', type: 'invalid_request_error', param: null, code: 'invalid_api_key' },
  400: { message: 'this is no good', type: 'invalid_request_error', param: 'messages', code: null },
  413: { message: 'maximum context length is 8 tokens', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' },
  429: { message: 'slow down', type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' },
  500: { message: 'the server failed', type: 'server_error', param: null, code: null },
  503: { message: 'overloaded', type: 'server_error', param: null, code: 'overloaded' },
};

/** The text of the last user message. */
function asked(body) {
  const { content } = body.messages.findLast((message) => message.role === 'user');
  return typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('');
}

/** Starts it. `model.requests` has the bodies that came, `model.closed` counts the connections that clients ended early. */
export async function startModel() {
  const model = await Upstream.start();
  model.requests = [];
  model.closed = 0;
  model.always(async (answer) => {
    const question = asked(answer.body);
    model.requests.push(answer.body);
    let ended = false;
    answer.closed.then(() => {
      model.closed += ended ? 0 : 1;
    });
    const end = (more) => {
      ended = true;
      answer.end({ usage: USAGE, ...more });
    };
    const refusal = /^fail (\d+)$/.exec(question);
    if (refusal) {
      ended = true;
      const headers = refusal[1] === '429' ? { 'Retry-After': '7' } : {};
      answer.response.writeHead(refusal[1] === '413' ? 400 : Number(refusal[1]), { 'Content-Type': 'application/json', ...headers });
      return answer.response.end(JSON.stringify({ error: ERRORS[refusal[1]] }));
    }
    if (question === 'fail later') {
      answer.say('word-1 ', 'word-2 ');
      ended = true;
      answer.raw('data: {"error":{"message":"lost my mind","type":"server_error","code":"server_error"}}\n\n');
      return answer.response.end();
    }
    if (question === 'say nothing') return undefined;
    if (question === 'go on') return answer.dictate(words(100_000), 5);
    if (answer.body.messages.at(-1).role === 'tool') {
      answer.say(`It is ${answer.body.messages.at(-1).content}.`);
      return end();
    }
    if (answer.body.tools && question.includes('weather')) {
      const part = (index, more) => answer.delta({ tool_calls: [{ index, ...more }] });
      part(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } });
      part(0, { function: { arguments: '{"city":' } });
      part(0, { function: { arguments: '"Köln"}' } });
      part(1, { id: 'call_b', type: 'function', function: { name: 'weather', arguments: '{"city":"Bonn"}' } });
      return end({ reason: 'tool_calls' });
    }
    if (answer.body.response_format?.type === 'json_schema') {
      answer.say('{"answer"', ':"42","sure":', 'true}');
      return end();
    }
    if (question === 'refuse') {
      answer.delta({ refusal: 'I would ' });
      answer.delta({ refusal: 'rather not.' });
      return end();
    }
    if (question === 'think') answer.delta({ reasoning_content: 'Let me see. ' });
    answer.say(...words(20));
    return end({ reason: question === 'be long' ? 'length' : 'stop' });
  });
  return model;
}
