#!/usr/bin/env python3
"""Time to the first token over TLS, with `warm_connections = 0` and with 1.

    cargo build --release
    benches/warm.py                    # about five minutes; needs openssl
    benches/warm.py --rounds 3 --rtt 0 --no-pause

A provider of its own speaks TLS 1.3 on the loopback, says the first token as soon as it has the
request, and the rest half a second later. Between it and lmserver lies a relay that holds all
bytes back for half of a round trip, and the first of a connection for a whole one more, which is
what connecting takes. Each round is a new server and four questions:

  first    nobody has asked before
  beside   the first is still being answered
  after    nothing is being answered any more
  pause    nobody has asked for 55 s: used connections are closed after 50 s
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time

HOLD = 0.5
PAUSE = 55
BODY = json.dumps({"message": "hi"}).encode()


def certify(directory):
    """An authority, and a certificate for 127.0.0.1 that it signed."""
    run = lambda *words: subprocess.run(
        ["openssl", *words], cwd=directory, check=True, capture_output=True
    )
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench")
    run("req", *key[:-2], "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=127.0.0.1")
    with open(os.path.join(directory, "leaf.ext"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    run("x509", "-req", "-in", "leaf.csr", *signer, "-extfile", "leaf.ext", "-out", "leaf.pem")


def event(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer(reader, writer):
    """Answers the requests of one connection."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n" + event({"content": "Hello"}))
            await asyncio.sleep(HOLD)
            done = b"data: [DONE]\n\n"
            writer.write(event({}, "stop") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done))
    writer.close()


async def carry(reader, writer, delay, first):
    """Copies bytes, each as late as a way of that length makes it."""
    loop = asyncio.get_running_loop()
    not_before = loop.time() + first
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            at = max(loop.time(), not_before) + delay
            loop.call_at(at, writer.write, data)
    loop.call_at(max(loop.time(), not_before) + delay, writer.close)


async def provide(directory, rtt, ports):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/leaf.pem", f"{directory}/leaf.key")
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]

    async def relay(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            carry(reader, far_writer, rtt / 2, rtt), carry(far_reader, writer, rtt / 2, 0)
        )

    front = server if rtt == 0 else await asyncio.start_server(relay, "127.0.0.1", 0)
    ports.put(front.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    """One lmserver before the provider."""

    def __init__(self, program, directory, provider, spares):
        self.port = free_port()
        path = f"{directory}/{self.port}.toml"
        with open(path, "w") as file:
            file.write(
                f'[server]\nlisten = "127.0.0.1:{self.port}"\n'
                f'[provider.p]\nkind = "openai"\nmodel = "m"\nca_file = "ca.pem"\n'
                f'base_url = "https://127.0.0.1:{provider}/v1"\nwarm_connections = {spares}\n'
                f'[log]\nlevel = "error"\n'
            )
        self.process = subprocess.Popen([program, "--config", path], stderr=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.01)
        raise RuntimeError("the server does not listen")

    def ask(self):
        """Milliseconds to the first token, and what ends when the answer has."""
        stream = socket.create_connection(("127.0.0.1", self.port))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            "POST /api/chat HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Accept: text/event-stream\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        begun, got = time.perf_counter(), b""
        stream.sendall(head.encode() + BODY)
        while b"Hello" not in got:
            more = stream.recv(65536)
            if not more or b'"error"' in got:
                raise RuntimeError(f"no answer: {got!r}")
            got += more
        took = (time.perf_counter() - begun) * 1000

        def finish():
            rest = got
            while b'"end"' not in rest:
                rest += stream.recv(65536)
            stream.close()

        rest = threading.Thread(target=finish)
        rest.start()
        return took, rest

    def stop(self):
        self.process.terminate()
        self.process.wait()


def play(server, figures):
    first, running = server.ask()
    # Time enough for a spare.
    time.sleep(HOLD / 2)
    beside, too = server.ask()
    running.join()
    too.join()
    after, last = server.ask()
    last.join()
    for name, took in (("first", first), ("beside", beside), ("after", after)):
        figures.setdefault(name, []).append(took)


def measure(options, directory, rtt, spares):
    ports = multiprocessing.Queue()
    target = lambda: asyncio.run(provide(directory, rtt / 1000, ports))
    provider = multiprocessing.Process(target=target, daemon=True)
    provider.start()
    port, figures = ports.get(timeout=10), {}
    servers = [Server(options.server, directory, port, spares) for _ in range(options.rounds)]
    try:
        for server in servers:
            play(server, figures)
        if options.pause:
            # Those that were asked first wait longest.
            time.sleep(PAUSE)
            for server in servers:
                took, rest = server.ask()
                rest.join()
                figures.setdefault("pause", []).append(took)
    finally:
        for server in servers:
            server.stop()
        provider.terminate()
    return figures


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    target = os.environ.get("CARGO_TARGET_DIR", f"{root}/target")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", default=f"{target}/release/lmserver")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rtt", type=float, nargs="*", default=[0, 30], help="milliseconds")
    parser.add_argument("--no-pause", dest="pause", action="store_false")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        certify(directory)
        print(f"time to the first token, ms, median (worst) of {options.rounds}")
        print(f"{'question':<10}{'rtt':>5}{'0 spares':>18}{'1 spare':>18}")
        for rtt in options.rtt:
            without, spare = (measure(options, directory, rtt, spares) for spares in (0, 1))
            for name in without:
                cells = (
                    f"{statistics.median(it):.1f} ({max(it):.1f})"
                    for it in (without[name], spare[name])
                )
                print(f"{name:<10}{rtt:>5.0f}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
