#!/usr/bin/env python3
"""Writes layout.ld: which functions and constants are used for a token, for a question and at the start.

    benches/layout.py

It builds the release with its symbols, runs it under valgrind's lackey, which tells every instruction and every load,
beside a provider of its own, asks questions on /v1/chat/completions and /api/chat, and sorts what was used by what it
was used for first. Names are written without the parts that differ from one compiler to the next, where they still mean
the same. Needs valgrind, nm and a linker whose map is LLVM's.
"""

import collections
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "layout"
PROGRAM = TARGET / "release/lmserver"
MAP = TARGET / "map"
# The flags go to the program alone: hashes in names depend on the profile.
BUILD = ["cargo", "rustc", "--release", "--bin", "lmserver", "--target-dir", TARGET, "--", "-Cstrip=none", f"-Clink-arg=-Wl,-Map={MAP}"]
TOKENS = 60
# Seconds that the provider thinks before its first two tokens, so that what runs for the first is known by its time.
THINKING = 1
PLAIN = '[provider.mock]\nkind = "openai"\nmodel = "m"\nbase_url = "{provider}"\napi_key = "unused"\n'
# Servers that are only started: with a provider behind TLS, and with what people often set.
STARTS = [
    '[provider.openai]\napi_key = "unused"\n',
    '[auth]\napi_keys = ["not-a-real-key"]\n[channels]\nopen = true\nhistory_size = 4096\n[client]\n'
    'ping_interval = "10m"\n[limits]\nheartbeat = "10m"\nconnections = 16000\n[log]\nlevel = "error"\n' + PLAIN,
    '[provider.echo]\nkind = "echo"\n',
]
QUESTIONS = [
    ("/v1/chat/completions", {"model": "mock/m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}),
    ("/api/chat", {"model": "mock/m", "message": "Hello"}),
]
KEYS = '[auth]\napi_keys = ["not-a-real-key"]\n'
# Bytes: a larger function of which less than a third runs stands behind the dense ones.
SPARSE = 1024
# Where valgrind loads a position-independent program.
LOADED_AT = 0x108000
HEAD = """\
/* Which functions lie together in the program: those of the start, then those that run for a token, those that the
 * first one of an answer needs too, and those of a question and its answer; and so for constants, but for the start.
 * Pages are mapped and read whole, and each costs a walk of the page tables: what is used together is found together,
 * and what is not used takes no memory. A name that the program does not have is passed over: another compiler gives
 * other hashes, and what bears one here lies with the last group there. benches/layout.py writes this file.
 */
SECTIONS
{
  .text.ordered :
  {
"""
BETWEEN = """\
  }
}
INSERT BEFORE .text;
SECTIONS
{
  .rodata.ordered :
  {
"""
TAIL = """\
  }
}
INSERT BEFORE .rodata;
"""
# A function, or the constants of one.
Section = collections.namedtuple("Section", "at size name is_constant")


def provide(listener, begin):
    """A provider that says a token at a time, and calls `begin` before the first and the second."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0}]}

    def said(delta, reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        event = b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"
        return b"%x\r\n%s\r\n" % (len(event), event)

    def answer(client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while client.recv(65536):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(TOKENS):
                if number < 2:
                    time.sleep(THINKING)
                    begin()
                client.sendall(said({"content": f" {number:015}"}))
                time.sleep(0.06)
            client.sendall(said({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def ask(port, path, question):
    """One question, and all of its answer."""
    body = json.dumps(question)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nAuthorization: Bearer not-a-real-key\r\n"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        got = b""
        while not got.endswith(b"0\r\n\r\n"):
            piece = client.recv(65536)
            if not piece:
                raise SystemExit(f"{path}: the answer was cut: {got!r}")
            got += piece


def trace(sections, question=None):
    """What ran at the start and for each question until its first token, for that, and behind it: how often each
    instruction did, in the order of their first run."""
    phases = [collections.Counter()]
    provider = socket.create_server(("127.0.0.1", 0))
    begin = lambda: phases.append(collections.Counter())
    threading.Thread(target=provide, args=(provider, begin), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reading, writing = os.pipe()

    def read():
        with open(reading) as lines:
            for line in lines:
                # An instruction, or a load or store of one.
                if line[0] in "I ":
                    at, size = line[3:].split(",")
                    phases[-1][int(at, 16) - LOADED_AT, int(size)] += 1

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        sections = sections.format(provider=f"http://127.0.0.1:{provider.getsockname()[1]}/v1")
        settings.write(f'[server]\nlisten = "127.0.0.1:{port}"\n{sections}')
        settings.flush()
        command = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-fd={writing}", PROGRAM, "--config", settings.name]
        server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
        os.close(writing)
        reader = threading.Thread(target=read)
        reader.start()
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if server.poll() is not None:
                        raise SystemExit("the server did not start") from None
                    time.sleep(0.2)
            time.sleep(1)
            for _ in range(2 if question else 0):
                begin()
                ask(port, *question)
                time.sleep(1)
        finally:
            ran = phases[:]
            # What runs at the end only is nobody's memory while the server runs.
            begin()
            server.terminate()
            server.wait()
            reader.join()
    return ran


def symbols():
    """The functions of the program: address, size and name, by address."""
    lines = subprocess.run(["nm", "-nS", "--defined-only", PROGRAM], capture_output=True, text=True, check=True).stdout
    fields = (line.split() for line in lines.splitlines())
    return [(int(at, 16), int(size, 16), name) for at, size, kind, name in (f for f in fields if len(f) == 4) if kind in "tTwW"]


def constants():
    """The constants of the program: address, size and name, by address. The linker's map tells of them."""
    lines = re.findall(r"^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ .*:\(\.rodata\.(.*)\)$", MAP.read_text(), re.MULTILINE)
    return [(int(at, 16), int(size, 16), name) for at, size, name in lines if not name.startswith(("cst", "str"))]


def pattern(name):
    """A name without hashes and without the numbers of copies."""
    if name.startswith(".Lanon."):
        return name
    if name.startswith("_ZN"):
        return re.sub(r"17h[0-9a-f]{16}E.*", "17h*", name)
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", re.sub(r"\.\d+$", "", name)) + "*"


def groups(of_address):
    """What stands in each group, in the order of its first use."""
    start, token, first_token, kept, first = {}, {}, {}, {}, {}
    asking = collections.Counter()
    used = collections.defaultdict(set)
    runs = [(PLAIN + KEYS, asked) for asked in QUESTIONS] + [(sections, None) for sections in STARTS]
    for sections, asked in runs:
        at_start, *questions = trace(sections, asked)
        start.update((of_address[at], None) for at, _ in at_start if at in of_address)
        for group, phases in zip([first, kept], [questions[:3], questions[3:]] if asked else []):
            counts = sum(phases, collections.Counter())
            if group is kept:
                first_token.update((of_address[at], None) for at, _ in phases[1] if at in of_address)
            asking.update({of_address[at] for at, _ in counts if at in of_address})
            for (at, size), count in counts.items():
                if it := of_address.get(at):
                    group[it] = None
                    used[it].add((at, size))
                    # A function that is entered as often as that, or a constant that is read as often, is of a token;
                    # some of them come together.
                    if (at == it.at or it.is_constant) and count * 4 > TOKENS:
                        token[it] = None

    def is_sparse(it):
        return it.size > SPARSE and sum(size for _, size in used[it]) * 3 < it.size

    def ordered(group):
        """Those of which little runs behind the others, whose pages they would stretch; first what every question needs."""
        group = list(group)
        most = max((asking[it] for it in group), default=0)
        return sorted(group, key=lambda it: (is_sparse(it), asking[it] < most))

    def both(group):
        return [it for it in group if it in start], [it for it in group if it not in start]

    first_token = [it for it in first_token if it not in token]
    kept = [it for it in kept if it not in token and it not in first_token]
    first = [it for it in first if it not in token and it not in first_token and it not in kept]
    asked = {*token, *first_token, *kept}
    # What the start needs stands side by side, so that an idle server has few pages.
    (start_and_kept, kept), (start_and_token, token) = both(kept), both(token)
    start_and_first_token, first_token = both(first_token)
    return {
        "the start": [it for it in start if it not in asked],
        "the start and a question": ordered(start_and_kept),
        "the start and a first token": ordered(start_and_first_token),
        "the start and a token": ordered(start_and_token),
        "a token": ordered(token),
        "a first token": ordered(first_token),
        "a question on a kept connection, and its answer": ordered(kept),
        "a first question": ordered(it for it in first if it not in start),
    }


def write(out, of_group, alike, is_constant):
    """The groups' lines of functions, or of constants."""
    kind = ".rodata" if is_constant else ".text"
    alike = alike[is_constant]
    last = {}
    for what, group in of_group.items():
        chosen = [it for it in group if it.is_constant == is_constant]
        out.write(f"    /* of {what} */\n")
        written = set()
        for it in chosen:
            which = pattern(it.name)
            # A name without its hash may mean some that are never used here, or used for something else.
            if not alike[which].issubset(chosen):
                last[which] = None
                which = f"{it.name}*"
            if which not in written:
                written.add(which)
                out.write(f"    *({kind}*.{which})\n")
    out.write("    /* of the same names */\n")
    for which in last:
        out.write(f"    *({kind}*.{which})\n")


def main():
    subprocess.run(BUILD, cwd=ROOT, check=True)
    of_address = {}
    alike = {False: collections.defaultdict(set), True: collections.defaultdict(set)}
    for is_constant, found in [(False, symbols()), (True, constants())]:
        for at, size, name in found:
            it = Section(at, size, name, is_constant)
            alike[is_constant][pattern(name)].add(it)
            of_address.update((address, it) for address in range(at, at + size))
    of_group = groups(of_address)
    with open(ROOT / "layout.ld", "w") as out:
        out.write(HEAD)
        write(out, of_group, alike, is_constant=False)
        out.write(BETWEEN)
        of_group.pop("the start")
        write(out, of_group, alike, is_constant=True)
        out.write(TAIL)


main()
