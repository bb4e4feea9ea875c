#!/usr/bin/env python3
"""Writes the seeds: what is written here, and what is in tests/data.

The first byte of a seed is its target's mode (see fuzz/src/TARGET.rs); config has none.
"""

import hashlib
import json
import os
import pathlib
import shutil
import struct
import zlib

HERE = pathlib.Path(__file__).parent
SEEDS = HERE / "seeds"
DATA = HERE.parent / "tests" / "data"
EXAMPLE = HERE.parent / "lmserver.example.toml"
LARGEST = 8 * 1024


def write(target, mode, text):
    data = text.encode() if isinstance(text, str) else text
    data = mode.encode() + data
    if len(data) > LARGEST:
        return
    name = hashlib.sha256(data).hexdigest()[:16]
    (SEEDS / target / name).write_bytes(data)


def lines(text):
    return text.strip("\n").replace("\n", "\r\n") + "\r\n\r\n"


HOST = "Host: a"
GET = lines(f"GET / HTTP/1.1\n{HOST}")
CHUNKS = "5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n"
UPGRADE = lines(
    f"GET /connection/websocket?channel=x HTTP/1.1\n{HOST}\nUpgrade: websocket\n"
    "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

REQUESTS = [
    GET,
    GET + GET,
    "\r\n\r\n" + GET,
    lines("GET / HTTP/1.0"),
    lines("GET / HTTP/1.0\nConnection: keep-alive") + lines("GET / HTTP/1.0"),
    lines(f"OPTIONS * HTTP/1.1\n{HOST}"),
    lines(f"HEAD http://b:1/c?d=%20 HTTP/1.1\n{HOST}"),
    lines("CONNECT b:443 HTTP/1.1\nHost: b") + "tunnel",
    lines(f"POST / HTTP/1.1\n{HOST}\nContent-Length: 5") + "hello" + GET,
    lines(f"POST / HTTP/1.1\n{HOST}\nTransfer-Encoding: chunked") + CHUNKS + GET,
    lines(f"POST / HTTP/1.1\n{HOST}\nExpect: 100-continue\nContent-Length: 1") + "x" + GET,
    lines(f"POST / HTTP/1.1\n{HOST}\nContent-Length: 3\nTransfer-Encoding: chunked") + "0\r\n\r\n",
    lines(f"GET / HTTP/1.1\n{HOST}\nConnection: close") + "nothing of this is read",
    lines(f"GET / HTTP/1.1\n{HOST}\nX: a\n folded"),
    lines("GET / HTTP/1.1\nHost: [::1]:80\nAccept: a;q=0.5, b\nCookie: c=d"),
    lines("GET / HTTP/2.0"),
    UPGRADE + "\x01\x02\x03",
]

RESPONSES = [
    lines("HTTP/1.1 200 OK\nContent-Length: 5") + "hello",
    lines("HTTP/1.1 200 OK\nTransfer-Encoding: chunked") + CHUNKS,
    lines("HTTP/1.1 200 OK\nContent-Length: 9\nTransfer-Encoding: chunked") + CHUNKS,
    lines("HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2") + "hi",
    lines("HTTP/1.1 200 OK") + "until the end",
    lines("HTTP/1.1 100 Continue") + lines("HTTP/1.1 103 Early Hints\nLink: x") + lines("HTTP/1.1 204 No Content"),
    lines("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket") + "frames",
    lines("HTTP/1.1 304 Not Modified\nContent-Length: 9"),
    lines("HTTP/1.1 404\nContent-Length: 0"),
    lines("HTTP/1.1 200 OK\nConnection: close\nContent-Length: 5, 5") + "hello" + "junk",
]


def gzip(data, flags=0):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    extra = b""
    if flags & 4:
        extra += b"\x02\x00ab"
    if flags & 8:
        extra += b"name\x00"
    if flags & 16:
        extra += b"comment\x00"
    if flags & 2:
        extra += b"\x00\x00"
    end = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03" + extra + body + end


def http_response():
    for response in RESPONSES:
        for mode in "0123" "89:;":
            write("http_response", mode, response)
    text = b"data: hello\n\n" * 5
    for flags in (0, 2, 4, 8, 16, 30):
        write("http_response", "4", gzip(text, flags))
    write("http_response", "4", gzip(text) + gzip(b"") + gzip(text) + b"\0\0")
    write("http_response", "5", zlib.compress(text))
    write("http_response", "5", gzip(text)[10:-8])
    write("http_response", "6", text)
    packer = zlib.compressobj()
    damaged = packer.compress(b"a" * 6000) + packer.flush(zlib.Z_SYNC_FLUSH) + b"\xff"
    write("http_response", "5", damaged)
    packed = gzip(text)
    for coding in ("gzip", "deflate", "br"):
        head = lines(f"HTTP/1.1 200 OK\nContent-Encoding: {coding}\nContent-Length: {len(packed)}")
        write("http_response", "0", head.encode() + packed)


def frame(opcode, payload=b"", fin=True, mask=b"\x01\x02\x03\x04", length=None):
    first = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    bit = 0x80 if mask else 0
    if length == 64 or size > 65535:
        head = bytes([bit | 127]) + struct.pack(">Q", size)
    elif length == 16 or size > 125:
        head = bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head = bytes([bit | size])
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return first + head + (mask or b"") + payload


def frames(mask):
    say = lambda *parts, **more: frame(*parts, mask=mask, **more)
    return [
        say(1, b"hello"),
        say(1, "ä€😀".encode()),
        say(1, "ä€😀".encode()[:4], fin=False) + say(9, b"p") + say(0, "ä€😀".encode()[4:]),
        say(2, bytes(range(256))),
        say(1, b"", fin=False) + say(0, b"", fin=False) + say(0, b""),
        say(9, b"ping") + say(10, b"pong"),
        say(8, struct.pack(">H", 1000) + b"bye") + say(1, b"late"),
        say(8),
        say(8, b"\x03"),
        say(8, struct.pack(">H", 1005)),
        say(1, b"\xff"),
        say(1, b"\xed\xa0\x80"),
        say(2, b"x" * 5, length=16),
        say(2, b"x" * 5, length=64),
        say(0, b"x"),
        say(3, b""),
        say(1, b"a", fin=False) + say(1, b"b"),
        say(9, b"x" * 126),
        say(2, b"x" * 200, fin=False) + say(0, b"y" * 200),
    ]


def ws_frames():
    for wire in frames(b"\x01\x02\x03\x04") + [frame(1, b"hello", mask=b"\0\0\0\0")]:
        write("ws_frames", "0", wire)
        write("ws_frames", "2", wire)
    for wire in frames(None):
        write("ws_frames", "1", wire)
        write("ws_frames", "3", wire)


STREAMS = [
    "data: hello\n\n",
    "data: a\ndata: b\n\ndata\n\ndata:\n\n",
    "id: 1\nevent: x\ndata: y\n\nid\ndata: z\n\n",
    "retry: 1000\n: comment\n\ndata:  two spaces\n\n",
    "\ufeffdata: mark\r\n\r\ndata: cr\r\rdata: lf\n\n",
    "id: a\0b\nretry: x\nretry: 99999999999999999999\nunknown: field\nname\n\n",
    "data: no end",
    ": only a comment",
    "error: {\"message\":\"m\"}\n\ndata: [DONE]\n\n",
]


def sse_decoder():
    for stream in STREAMS:
        write("sse_decoder", "0", stream)
        write("sse_decoder", "1", stream)
    write("sse_decoder", "0", b"\xef\xbb")
    write("sse_decoder", "1", "data: ten bytes.\ndata: ten more.")
    for path in sorted((DATA / "openai").glob("*.sse")):
        if path.stat().st_size < 1500:
            write("sse_decoder", "0", path.read_bytes())


def event(headers, payload=b""):
    block = b"".join(bytes([len(name)]) + name + value for name, value in headers)
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


HEADERS = [
    (b"0", b"\0"), (b"1", b"\1"), (b"2", b"\2\2"), (b"3", b"\3\0\3"), (b"4", b"\4\0\0\0\4"),
    (b"5", b"\5" + bytes(8)), (b"6", b"\6\0\5bytes"), (b"7", b"\7\0\4utf8"), (b"8", b"\x08" + bytes(8)),
    (b"9", b"\x09" + bytes(16)),
]


def aws_event_stream():
    kind = [(b":event-type", b"\7\0\x0cmessageStart"), (b":message-type", b"\7\0\5event")]
    streams = [event([]), event([], b"payload"), event(HEADERS), event(kind, b"{}") * 2]
    streams += [streams[2][:-1] + b"x", streams[1][:9], event([(b"", b"\0")]), event([(b"a", b"\x0a")])]
    for stream in streams:
        for mode in "01":
            write("aws_event_stream", mode, stream)
    block = b"".join(bytes([len(name)]) + name + value for name, value in HEADERS)
    for content in (b"\0\0", bytes([len(block), 5]) + block + b"hello", b"\3\1\1a\0x" * 3, b"\4\0\1a\x0a\0"):
        write("aws_event_stream", "2", content)
        write("aws_event_stream", "3", content)


def provider(target, folder, suffix="sse"):
    for path in sorted((DATA / folder).glob(f"*.{suffix}")):
        for mode in "034":
            write(target, mode, path.read_bytes())
    for path in sorted((DATA / folder).glob("*.http")):
        write(target, "6", path.read_bytes())
    for body in ('{"error":{"message":"m","type":"t","code":"c"}}', '{"detail":[{"msg":"m"}]}', "text", ""):
        for mode in "0235":
            write(target, mode, body)


def provider_anthropic():
    provider("provider_anthropic", "anthropic")


def provider_bedrock():
    provider("provider_bedrock", "bedrock")
    answer = (
        'messageStart {"role":"assistant"}\n'
        'contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a\\ud83d"}}\n'
        'contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}\n'
        'contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}\n'
        'contentBlockStop {"contentBlockIndex":1}\n'
        'messageStop {"stopReason":"tool_use"}\n'
        'metadata {"usage":{"inputTokens":1,"outputTokens":2}}'
    )
    for text in (answer, answer + "\n" + answer, '!throttlingException {"message":"m"}', answer[:90], "x\n \n!"):
        write("provider_bedrock", "8", text)


def provider_openai():
    provider("provider_openai", "openai")


def provider_openai_responses():
    provider("provider_openai_responses", "openai-responses")


def provider_gemini():
    provider("provider_gemini", "gemini")


def provider_ollama():
    provider("provider_ollama", "ollama", "ndjson")


def provider_cohere():
    provider("provider_cohere", "cohere")


def config():
    for path in sorted((DATA / "config").glob("*.toml")):
        write("config", "", path.read_bytes())
    example = EXAMPLE.read_text()
    write("config", "", example)
    plain = "".join(line for line in example.splitlines(True) if not line.startswith("# "))
    write("config", "", plain.replace("\n#", "\n"))
    for text in (
        '[provider.openai]\napi_key = "sk-literal-0123456789"\n',
        '[auth]\ntoken_secret = "literal-literal-literal-literal-literal"\n',
        '[provider.x]\nkind = "openai"\napi_key = "env:FUZZ_KEY"\nbase_url = "http://h/v1"\nmodel = "m"\n',
        '[provider.x]\nkind = "openai"\nheaders = { X-Secret = "sk-in-a-field-0001" }\n',
        '[server]\nlisten = "unix:/run/x.sock"\nallowed_origins = ["*", "null"]\n',
        "[server]\nlisten = 1\nlisten = 2\n[server]\n",
        "a = [\n1,\n",
        'a = "\n',
        '"quoted key" = 1\na.b.c = {}\n',
    ):
        write("config", "", text)


PICTURE = "data:image/png;base64,aa"
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
CALL = {"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": FUNCTION}
RESPONSE = "0123456789abcdef" * 2
SAMPLING = {"temperature": 0.7, "top_p": 1, "max_tokens": 9, "stop": ["a"], "seed": -7, "user": "u"}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
CHOICE = {"type": "function", "function": {"name": "f"}}
TURNS = [
    {"role": "developer", "content": "", "name": "n"},
    {"role": "user", "content": [{"type": "text", "text": "a"},
                                 {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "r", "tool_call_id": "i"},
]

# Bodies of /api/chat that are read in one go, and others.
OWN = [
    '{"message":"Hello"}',
    ' { "model" : "m" , "message" : "a\\n\\u00e9\\ud83d\\ude00\\"" , "system":"s" } ',
    '{"messages":[{"role":"user","content":"a"},{"content":"","role":"assistant"}],"max_tokens":9}',
    '{"message":"a","temperature":0.70,"top_p":0.123456789012345,"model":"openai/x"}',
    '{"message":"a","temperature":1e-1,"max_tokens":18446744073709551615}',
    '{"message":"a","message":"b"}',
    '\ufeff{"message":"a"}',
    '{"message":""}',
    '{"message":"a","model":"unknown"}',
    '{"messages":[{"role":"user","content":"a","name":null}],"model":null}',
    "{}",
    "",
]
OWN_TREES = [
    {"messages": TURNS, "tools": [TOOL], "tool_choice": CHOICE, "response_format": FORMAT, **SAMPLING,
     "reasoning_effort": "low", "metadata": {"a": None}, "extra": {"b": [1.5, {}]}},
    {"messages": [{"role": "tool", "content": "a"}]},
    {"messages": [{"role": "user", "content": []}], "mesage": 1},
]

CHATS = [
    '{"messages":[{"role":"user","content":"Hello"}]}',
    '{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},'
    '"messages":[{"role":"system","content":"b"},{"role":"user","content":"a\\u0000\\/"}]}',
    '{"max_completion_tokens":2,"max_tokens":1,"temperature":2,"top_p":0.5,'
    '"messages":[{"role":"user","content":"a"}]}',
    '{"messages":[{"role":"user","content":"a"}],"stream":null,"n":8}',
    '{"messages":[{"role":"user","content":"a"}],"stream":true,"stream":false}',
    "[]",
]
CHAT_TREES = [
    {"messages": TURNS, "tools": [TOOL, {"type": "web_search"}], "tool_choice": "required", "n": 2, **SAMPLING,
     "response_format": FORMAT, "metadata": {"a": "b", "c": None}, "store": True, "logit_bias": {"1": 2},
     "frequency_penalty": 0, "presence_penalty": 1.5, "logprobs": True, "top_logprobs": 3, "other": [None]},
    {"messages": [{"role": "assistant", "content": "a", "function_call": {"name": "f", "arguments": ""},
                   "reasoning_content": "h"}, {"role": "function", "name": "f", "content": "r"}],
     "functions": [FUNCTION], "function_call": {"name": "f"}, "stop": ""},
    {"messages": [{"role": "assistant", "refusal": "no", "tool_calls": []}], "tools": [], "modalities": ["text"]},
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}, {"type": "refusal", "refusal": ""},
                                               {"type": "input_audio", "input_audio": {"data": "a"}}]}]},
]

RESPONSE_TREES = [
    {"input": "Hello"},
    {"input": "a", "model": "m", "instructions": "i", "store": False, "background": True, "stream": True,
     "previous_response_id": "resp_" + RESPONSE, "reasoning": {"effort": "low", "summary": "auto"},
     "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "a", "schema": {}}},
     "tools": [{"type": "function", **FUNCTION}, {"type": "web_search"}], "metadata": {"a": "b"},
     "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False, "max_output_tokens": 9,
     "temperature": 0.7, "top_p": 0.5, "service_tier": "flex", "include": [], "truncation": "auto"},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"},
                                            {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                                            {"type": "input_file", "file_data": "a", "filename": "b"},
                                            {"type": "input_audio", "input_audio": {"data": "a"}}]},
               {"type": "reasoning", "summary": [{"type": "summary_text", "text": "h"}], "content": []},
               {"type": "function_call", "call_id": "i", "name": "f", "arguments": "{}"},
               {"type": "function_call", "call_id": "j", "name": "f", "arguments": "{}"},
               {"type": "function_call_output", "call_id": "i", "output": "r"},
               {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]},
    {"input": [{"type": "item_reference", "id": "msg_" + RESPONSE}, {"type": "item_reference", "id": "rs_" + RESPONSE},
               {"type": "item_reference", "id": "fc_" + RESPONSE + "_0"}, {"role": "user", "content": []}]},
    {"input": [{"type": "item_reference", "id": "fc_" + RESPONSE + "_1"}]},
    {"input": [{"type": "item_reference", "id": "fc_" + RESPONSE + "_01"}] * 2},
    {"input": [{"type": "item_reference", "id": "rs_" + RESPONSE}]},
    {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
    {"input": []},
]

MESSAGE_TREES = [
    {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    {"max_tokens": 9, "model": "m", "stream": True, "temperature": 0.7, "top_p": 0.5, "top_k": 4,
     "stop_sequences": ["a"], "system": [{"type": "text", "text": "a"}], "metadata": {"user_id": "u"},
     "thinking": {"type": "enabled", "budget_tokens": 9000}, "tools": [{"name": "f", "input_schema": {}}],
     "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
     "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
     "messages": [
         {"role": "user", "content": [
             {"type": "text", "text": "a"},
             {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}},
             {"type": "document", "title": "t", "source": {"type": "url", "url": "https://h/a"}},
             {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}]},
         {"role": "assistant", "content": [{"type": "thinking", "thinking": "h", "signature": "s"},
                                           {"type": "tool_use", "id": "i", "name": "f", "input": {"a": 1}}]},
         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "is_error": True,
                                       "content": [{"type": "text", "text": "x"}]}]},
         {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "a"}]}]},
    {"max_tokens": 9, "messages": [{"role": "assistant", "content": []}]},
    {"max_tokens": 9, "messages": [{"role": "system", "content": []}]},
    {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i",
                                                                 "content": []}]}]},
    {"max_tokens": 9, "messages": [{"role": "user", "content": "a"}], "stop_sequences": [""]},
    {"messages": []},
]

UI_TREES = [
    {"id": "c", "trigger": "submit-message", "messages": [{"id": "1", "role": "user", "parts": [
        {"type": "text", "text": "a"}, {"type": "file", "mediaType": "image/png", "url": PICTURE},
        {"type": "file", "mediaType": "text/plain", "url": "data:,a", "filename": "n"}, {"type": "data-x"}]}]},
    {"messages": [{"id": "2", "role": "assistant", "parts": [
        {"type": "reasoning", "text": "h"}, {"type": "text", "text": "a"},
        {"type": "tool-f", "toolCallId": "i", "state": "output-available", "input": {"a": 1}, "output": {"b": 2}},
        {"type": "dynamic-tool", "toolName": "g", "toolCallId": "j", "state": "output-error", "errorText": "e"},
        {"type": "step-start"}, {"type": "text", "text": "b"}]}], "model": "m", "temperature": 0.5},
    {"messages": [{"role": "user", "parts": []}]},
]

# Wrong where a message could show what is wrong: `~` is a long text.
LONG = {
    "8": ['{"message":"~","model":"~"}', '{"~":1}', '{"message":"a","~":1,"~":2}', '{"messages":[{"role":"~"}]}',
          '{"message":"a","tool_choice":"~","reasoning_effort":"~","user":"~"}', '{"message":"a","seed":~}',
          '{"messages":[{"role":"user","content":[{"type":"~"}]}],"tools":[{"type":"~"}]}'],
    "9": ['{"messages":[{"role":"~"}]}', '{"messages":[{"role":"user","content":"a"}],"tool_choice":"~"}',
          '{"messages":[{"role":"user","content":"~"}],"model":"~"}', '{"messages":"~"}', '{"messages":[{"role":"user",'
          '"content":[{"type":"~"}]}],"tools":[{"type":"~"}],"response_format":{"type":"~"},"~":"~"}'],
    ":": ['{"input":[{"type":"~"}]}', '{"input":[{"role":"user","content":[{"type":"~"}]}]}', '{"input":"a","~":1}',
          '{"input":"a","previous_response_id":"~"}', '{"input":"a","tools":[{"type":"~"}],"text":{"verbosity":"~"}}',
          '{"input":"~","instructions":"~","metadata":{"~":"~"}}', '{"input":[{"type":"item_reference","id":"~"}]}'],
    ";": ['{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"~"}]}]}',
          '{"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"~"}]}]}',
          '{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"type":"~"}]}',
          '{"max_tokens":9,"messages":[{"role":"~","content":"~"}]}', '{"max_tokens":"~"}',
          '{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"thinking":{"type":"~"}}'],
    "<": ['{"messages":[{"role":"~","parts":[]}]}', '{"messages":[{"role":"user","parts":[{"type":"~"}]}]}',
          '{"messages":[{"role":"assistant","parts":[{"type":"tool-~","toolCallId":"~","state":"~"}]}],"id":"~"}'],
}

# What fuzz/src/request_body/built.rs makes bodies of: its keys and values by their places there.
BUILT = [
    b"\x00\x06\x02\x2f\x03\x06\x04\x1b\x05\x13\x06\x0e",
    b"\x01\xc0\x80\x14\x00\x15\x06\xff\x80\x15\x73a\\n\x14\x01\xff\xff\x06\x0e",
    b"\x01\x2e\x07\x09\x11\x80\x12\x09\x13\x0a\xff\x10\x0e\x06\x0c",
]


def request_body():
    for text in OWN:
        write("request_body", "0", text)
    for text in CHATS:
        write("request_body", "1", text)
    for mode, trees in zip("01234", (OWN_TREES, CHAT_TREES, RESPONSE_TREES, MESSAGE_TREES, UI_TREES)):
        for tree in trees:
            write("request_body", mode, json.dumps(tree, separators=(",", ":")))
    for mode in "pqrst":
        for plan in BUILT:
            write("request_body", mode, plan)
    for mode, texts in LONG.items():
        for text in texts:
            write("request_body", mode, text)
    named = {"input": [{"type": "item_reference", "id": f"fc_{RESPONSE}_%s1"}] * 2}
    write("request_body", "2", json.dumps(named).replace("%s", "0" * 1500))


def request(line, body="", *fields):
    head = [f"{line} HTTP/1.1", HOST, *fields]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return lines("\n".join(head)) + body


def connection():
    ask = '{"model":"default","messages":[{"role":"user","content":"one two three"}]}'
    publish = '{"channel":"x","data":{"n":1}}'
    talks = [
        request("GET /health") + request("GET /ready") + request("GET /metrics"),
        request("HEAD /") + request("GET /nothing") + request("OPTIONS /api/chat"),
        request("POST /api/chat", ask) + request("GET /api/chat/chat:1"),
        request("POST /api/chat", ask, "Accept: text/event-stream"),
        request("POST /api/chat", ask, "Idempotency-Key: k") * 2,
        request("POST /api/publish", publish) * 3 + request("GET /connection/sse?channel=x&after=0"),
        request("GET /connection/sse?channel=x", "", "Last-Event-ID: abcdef-1"),
        lines("GET /connection/sse?channel=x HTTP/1.0"),
        request("DELETE /api/chat/chat:1"),
        request("HEAD /") + "GET / HTTP/1.1\r\n\r\n",
        request("POST /api/chat", "[]") + "GET / HTTP/9.9\r\n\r\n",
        request("HEAD /", "", "Transfer-Encoding: chunked") + "no size\r\n",
        request("POST /api/publish", publish) + request("GET /connection/sse?channel=x"),
    ]
    for talk in talks + REQUESTS[:10]:
        for mode in "012;<":
            write("connection", mode, talk)
    publish = request("POST /api/publish", '{"channel":"x","data":1}')
    for wire in frames(b"\x01\x02\x03\x04")[:12]:
        write("connection", "0", publish.encode() + UPGRADE.encode() + wire)
    write("connection", "5", UPGRADE.encode() + frame(1, b"hello") + frame(9, b"p") + frame(8))


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(*fields):
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value % 2**64)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def framed(*fields):
    body = message(*fields)
    return varint(len(body)) + body


COMMANDS = [
    '{"connect":{"name":"js"},"id":1}\n{"subscribe":{"channel":"ch","flag":1,"recover":true},"id":2}',
    '{"id": 3, "connect": {"token": "eyJ0", "data": {"a": [1]}, "version": "1", "headers": {"A": "b"}, '
    '"subs": {"#42": {"recover": true, "offset": 0, "epoch": "e"}}}}',
    '{"subscribe":{"channel":"c","token":"t","offset":20,"epoch":"e","delta":"fossil","positioned":true,'
    '"recoverable":true,"join_leave":true,"data":null,"type":1},"id":4}',
    '{"subscribe":{"channel":"c","tf":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["v","w"]},'
    '{"op":"not","nodes":[{"key":"l","cmp":"lt","val":"1.5e2"}]}]}},"id":5}',
    "{}",
    "{}\n",
    "{}\n\n{}",
    '{"unsubscribe":{"channel":"ch"},"id":3}',
    '{"publish":{"channel":"t","data":{"a":[1,"\\u00e9\\n"]}},"id":6}\n{"publish":{"channel":"t","data":"x"},"id":7}',
    '{"presence":{"channel":"c"},"id":8}\n{"presence_stats":{"channel":"c"},"id":9}',
    '{"history":{"channel":"c","limit":-1,"since":{"offset":7,"epoch":"e"},"reverse":true},"id":10}',
    '{"rpc":{"method":"m","data":7},"id":11}\n{"send":{"data":[]}}',
    '{"refresh":{"token":"t"},"id":12}\n{"sub_refresh":{"channel":"c","token":"t"},"id":13}\n{"ping":{},"id":14}',
    '{"id":1,"id":2}',
    '{"rpc":{"method":"m"},"send":{"data":[]}}',
    "[]",
    '{"token":"t","subs":{"chat:1":{"recover":true,"offset":5,"epoch":"x"}}}',
]

LEAF = message((2, b"k"), (3, b"in"), (5, b"v"), (5, b"w"))
FILTER = message((1, b"not"), (6, LEAF))
POSITION = message((3, 1), (6, b"e"), (7, 300))
FRAMES = [
    framed((1, 1), (4, message((4, b"js")))) + framed((1, 2), (5, message((1, b"chat:1"), (14, 1)))),
    framed((1, 3), (4, message((1, b"t"), (2, b"{}"), (3, message((1, b"c"), (2, POSITION))),
                               (5, b"1"), (6, message((1, b"A"), (2, b"b"))), (7, -1)))),
    framed((1, 4), (5, message((1, b"c"), (8, b"\xff"), (9, 1), (10, 1), (11, 1), (12, b"fossil"), (13, FILTER)))),
    b"\0",
    b"\0\0",
    framed((1, 5), (6, message((1, b"c")))) + framed((1, 6), (7, message((1, b"c"), (2, b'{"a":1}'), (3, 0)))),
    framed((1, 7), (8, message((1, b"c")))) + framed((1, 8), (9, message((1, b"c")))),
    framed((1, 9), (10, message((1, b"c"), (7, -1), (8, message((1, 7), (2, b"e"))), (9, 1)))),
    framed((1, 10), (13, message((1, b"7"), (2, b"m")))) + framed((12, message((1, b"[]")))),
    framed((1, 11), (14, message((1, b"t")))) + framed((1, 12), (15, message((1, b"c"), (2, b"t")))),
    framed((7, b""), (12, b"")),
    framed((1, 13), (11, b"")) + framed((1, 2**32 + 1), (99, b"later")),
    b"\x05\x08\x01",
]


def centrifuge_json():
    for text in COMMANDS:
        write("centrifuge_json", "0", text)
    write("centrifuge_json", "1", "\n".join(["{}"] * 3))


def centrifuge_protobuf():
    for frame in FRAMES:
        write("centrifuge_protobuf", "0", frame)
    write("centrifuge_protobuf", "1", b"\0" * 3)


def centrifuge_emulation():
    for text in COMMANDS:
        body = {"session": "s", "node": "n", "data": text}
        write("centrifuge_emulation", "0", json.dumps(body))
    for frame in FRAMES:
        write("centrifuge_emulation", "2", message((1, b"n"), (2, b"s"), (3, frame)))
    write("centrifuge_emulation", "0", '{"session":"s"}')


def http_request():
    for text in REQUESTS:
        for mode in "01246":
            write("http_request", mode, text)
    write("http_request", "8", UPGRADE + "\x01\x02\x03")
    write("http_request", ":", GET + UPGRADE + "\x01\x02\x03")


if __name__ == "__main__":
    for target in (http_request, http_response, ws_frames, sse_decoder, aws_event_stream, provider_anthropic,
                   provider_bedrock, provider_openai, provider_openai_responses, provider_gemini, provider_ollama,
                   provider_cohere, config, connection, request_body, centrifuge_json, centrifuge_protobuf, centrifuge_emulation):
        folder = SEEDS / target.__name__
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        target()
        print(target.__name__, len(list(folder.iterdir())))
