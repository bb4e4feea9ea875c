// The faults of `lmserver fake`, and what is to become of each.
//
// `words` go into the model's name. `fails` is the code (or codes) that a client is told, and how many tokens it has
// had by then; without it the answer is whole (`ok` is its text). `final`: nobody else is asked even where no text was said;
// `hasBegun`: since something else was. `closes`: it is lmserver that has to close the connection. `formats` tells what is
// different where.

/** What `words=4` says. */
export const WORDS = 'w1 w2 w3 w4 ';

/** Where the failing target stands: alone, before a healthy one, behind one that fails. */
export const POSITIONS = ['only', 'first', 'last'];

/** The providers, by their names in the configuration. */
export const FORMATS = {
  openai: { kind: 'openai', path: '/v1' },
  responses: { kind: 'openai-responses', path: '/v1' },
  azure: { kind: 'azure', path: '', keys: 'api_version = "2024-10-21"\napi_key = "key"\n' },
  anthropic: { kind: 'anthropic', path: '/v1' },
  gemini: { kind: 'gemini', path: '/v1beta' },
  ollama: { kind: 'ollama', path: '' },
  cohere: { kind: 'cohere', path: '' },
  bedrock: { kind: 'bedrock', path: '', keys: 'region = "us-east-1"\naccess_key_id = "AKIDEXAMPLE"\nsecret_access_key = "key"\n' },
};

const UNREACHABLE = 'provider_unreachable';
const TRUNCATED = 'provider_truncated';
const TIMEOUT = 'provider_timeout';
const ERROR = 'provider_error';
const OVERLOADED = 'provider_overloaded';

const whole = (words, more = {}) => ({ words: `words=4,${words}`, ...more });
const fails = (words, code, tokens, more = {}) => ({ words: `words=4,${words}`, fails: [code, tokens], ...more });
const refused = (words, code, more = {}) => fails(words, code, 0, more);
/** What is different in some formats. */
const but = (formats, code, tokens) => ({ formats: Object.fromEntries(formats.map((format) => [format, { fails: [code, tokens] }])) });
/** These end with their end marker alone. */
const MARKED = ['responses', 'ollama', 'cohere'];
/** These do not say of what kind an error in the stream is. */
const MUTE = ['ollama', 'cohere'];

export const FAULTS = [
  // No reason to fail.
  whole('delay=5ms'),
  whole('split=1'),
  whole('split=7,gap=1ms,delay=1ms'),
  whole('split=crlf'),
  whole('split=utf8,unicode', { ok: 'wört😀1 wört😀2 wört😀3 wört😀4 ' }),
  whole('eol=crlf'),
  whole('eol=cr'),
  whole('comments,delay=2ms'),
  whole('gzip,delay=2ms'),
  whole('until_close'),
  whole('close'),
  whole('interim'),
  whole('type=html'),
  whole('type=none'),
  whole('no_usage'),
  whole('reasoning=3'),
  whole('huge=64K', { ok: `${'x'.repeat(64 << 10)}w2 w3 w4 ` }),
  whole('no_mark', but(MARKED, TRUNCATED, 4)),
  whole('finish=none', but(['gemini', 'bedrock'], TRUNCATED, 4)),
  whole('calls=2'),
  whole('fields=20'),
  whole('bad_json@2'),
  whole('garbage@2', but(['bedrock'], [ERROR, TRUNCATED], 2)),
  whole('stall=300ms@2'),
  whole('stall=300ms@start'),

  // Closed and reset.
  fails('cut@start', UNREACHABLE, 0),
  fails('reset@start', UNREACHABLE, 0),
  fails('cut@head', [UNREACHABLE, TRUNCATED], 0),
  fails('reset@head', [UNREACHABLE, TRUNCATED], 0),
  fails('cut@body', TRUNCATED, 0),
  fails('reset@body', TRUNCATED, 0),
  fails('cut@2', TRUNCATED, 2),
  fails('cut@2.5', TRUNCATED, 2),
  fails('reset@2', TRUNCATED, 2),
  fails('reset@2.5,split=50,gap=1ms', TRUNCATED, 2),
  fails('cut@0.5', TRUNCATED, 0),
  fails('cut@finish', TRUNCATED, 4),
  whole('cut@end', but(MARKED, TRUNCATED, 4)),
  whole('cut@last'),
  whole('reset@last,delay=1ms'),
  fails('until_close,cut@2', TRUNCATED, 2),
  fails('gzip,cut@2', TRUNCATED, 2),

  // Silence.
  fails('stall@start', TIMEOUT, 0, { closes: true }),
  fails('stall@head', TIMEOUT, 0, { closes: true }),
  fails('stall@body', TIMEOUT, 0, { closes: true }),
  fails('murmur@body', TIMEOUT, 0, { closes: true }),
  fails('stall@0.5', TIMEOUT, 0, { closes: true }),
  fails('stall@2', TIMEOUT, 2, { closes: true }),
  fails('stall@2.5', TIMEOUT, 2, { closes: true }),
  fails('murmur@2', TIMEOUT, 2, { closes: true }),
  fails('stall@finish', TIMEOUT, 4, { closes: true }),
  fails('stall@end', TIMEOUT, 4, { closes: true }),
  fails('endless,delay=9ms', TIMEOUT, Infinity, { closes: true }),
  whole('stall@last', { closes: true, ...but(['gemini'], TIMEOUT, 4) }),

  // Refused.
  refused('status=400', 'provider_bad_request', { final: true }),
  refused('status=401', 'provider_auth'),
  refused('status=402', 'provider_billing'),
  refused('status=403', 'provider_auth'),
  refused('status=404', 'provider_not_found'),
  refused('status=408', TIMEOUT),
  refused('status=413', 'provider_bad_request', { final: true }),
  refused('status=422', 'provider_bad_request', { final: true }),
  refused('status=429', 'provider_rate_limited'),
  refused('status=429,retry_after=100', 'provider_rate_limited'),
  refused('status=500', ERROR),
  refused('status=502', ERROR),
  refused('status=503', OVERLOADED),
  refused('status=503,html', OVERLOADED),
  refused('status=529', OVERLOADED),
  refused('status=200', ERROR),
  refused('status=200,html', [ERROR, TRUNCATED]),
  refused('status=307', ERROR),
  refused('status=500,stall@end', [ERROR, TIMEOUT], { closes: true }),
  refused('status=429,cut@end', ['provider_rate_limited', TRUNCATED]),

  refused('fields=300', ERROR),

  // Failing on the way.
  // Reasoning is content: nobody else is asked after it.
  fails('reasoning=2,cut@1', TRUNCATED, 0, { final: true, hasBegun: true }),
  fails('reasoning=2,error@2', ERROR, 0, { final: true, hasBegun: true }),
  fails('reasoning=2,stall@1', TIMEOUT, 0, { final: true, hasBegun: true, closes: true }),
  fails('error@0', ERROR, 0),
  fails('error=529@0', OVERLOADED, 0, but(MUTE, ERROR, 0)),
  fails('error@2', ERROR, 2),
  fails('error=429@2', 'provider_rate_limited', 2, but(MUTE, ERROR, 2)),
  fails('error=529@2,delay=2ms', OVERLOADED, 2, but(MUTE, ERROR, 2)),
  fails('error@finish', ERROR, 4),
  fails('truncate@body', TRUNCATED, 0),
  fails('truncate@2', TRUNCATED, 2),
  fails('gzip,truncate@2', TRUNCATED, 2),
  fails('bad_chunk@body,stall@0', [ERROR, TRUNCATED], 0, { closes: true }),
  fails('bad_chunk@2,stall@3', [ERROR, TRUNCATED], 2, { closes: true }),
];
