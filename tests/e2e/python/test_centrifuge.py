"""Centrifugo's Python SDK, unmodified, in both encodings, against the server at LMSERVER_URL.

`centrifuge-python.test.mjs` starts the server and runs this file.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
import unittest
import urllib.request
import uuid

from centrifuge import (
    Client,
    ClientState,
    DeltaType,
    ReplyError,
    StreamPosition,
    SubscriptionState,
)

URL = os.environ["LMSERVER_URL"]
SECRET = os.environ["LMSERVER_TEST_SECRET"]
KEY = os.environ["LMSERVER_TEST_KEY"]
WITHIN = 20  # seconds, for whatever is awaited


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(**claims):
    signed = b".".join(encode(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "HS256"}, claims))
    signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + encode(signature)).decode()


def post(path, body):
    request = urllib.request.Request(
        f"{URL}/api/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-API-Key": KEY},
    )
    with urllib.request.urlopen(request, timeout=WITHIN) as response:
        return json.load(response)


async def api(path, **body):
    answer = await asyncio.to_thread(post, path, body)
    assert "error" not in answer, answer
    return answer.get("result", answer)


def name(namespace):
    return f"{namespace}:{uuid.uuid4()}"


class Events:
    """Puts what handlers are called with into queues, by the handler's name."""

    def __init__(self, events):
        self.queues = {}
        for handler in [h for h in dir(events) if h.startswith("on_")]:
            self.queues[handler] = asyncio.Queue()
            setattr(events, handler, self.queues[handler].put)

    async def next(self, event):
        return await asyncio.wait_for(self.queues["on_" + event].get(), WITHIN)


class Encodings:
    """The tests of both encodings; the classes below say which."""

    use_protobuf = False

    async def asyncSetUp(self):
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            await client.disconnect()

    def client(self, user=None, **options):
        if user is not None:
            options["token"] = token(sub=user)
        client = Client(
            URL.replace("http", "ws", 1) + "/connection/websocket",
            use_protobuf=self.use_protobuf,
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.2,
            **options,
        )
        client.seen = Events(client.events)
        self.clients.append(client)
        return client

    async def connected(self, user=None, **options):
        client = self.client(user, **options)
        await client.connect()
        client.context = await client.seen.next("connected")
        return client

    async def subscribed(self, client, channel, **options):
        sub = client.new_subscription(channel, **options)
        sub.seen = Events(sub.events)
        await sub.subscribe()
        sub.context = await sub.seen.next("subscribed")
        return sub

    def write(self, data):
        return json.dumps(data).encode() if self.use_protobuf else data

    def read(self, data):
        return json.loads(data) if self.use_protobuf else data

    async def whole(self, sub, events):
        """Takes publications into `events` until the answer ends."""
        while not events or events[-1][1]["type"] not in ("end", "error"):
            pub = (await sub.seen.next("publication")).pub
            events.append((pub.offset, self.read(pub.data)))
        return events

    def assert_whole(self, events, said):
        self.assertEqual([offset for offset, _ in events], list(range(1, len(events) + 1)))
        self.assertEqual("".join(e["message"] for _, e in events if e["type"] == "chunk"), said)
        self.assertEqual(events[-1][1]["type"], "end")

    async def test_connects_and_is_told_who_it_is(self):
        client = await self.connected("alice")
        self.assertTrue(client.context.client)
        self.assertTrue(client.context.version)
        await client.disconnect()
        self.assertEqual(client.state, ClientState.DISCONNECTED)

    async def test_a_chat_from_its_start_and_after_its_end(self):
        said = " ".join(f"word-{n}" for n in range(60))
        answer = await api("chat", message=said)
        for _ in range(2):
            client = await self.connected()
            sub = await self.subscribed(client, answer["channel_id"])
            self.assert_whole(await self.whole(sub, []), said)
            await client.disconnect()

    async def test_a_chat_left_and_come_back_to(self):
        said = " ".join(f"word-{n}" for n in range(150))
        channel = (await api("chat", message=said))["channel_id"]
        client = await self.connected()
        sub = await self.subscribed(client, channel)
        events = []
        for _ in range(5):
            for _ in range(10):
                pub = (await sub.seen.next("publication")).pub
                events.append((pub.offset, self.read(pub.data)))
            await client.disconnect()
            await client.connect()
            context = await sub.seen.next("subscribed")
            self.assertTrue(context.was_recovering and context.recovered)
        self.assert_whole(await self.whole(sub, events), said)

    async def test_publications_of_a_client_and_of_the_server(self):
        channel = name("room")
        alice, bob = await self.connected("alice"), await self.connected("bob")
        one, two = await self.subscribed(alice, channel), await self.subscribed(bob, channel)
        await one.publish(self.write({"n": 1}))
        await api("publish", channel=channel, data={"n": 2}, tags={"kind": "news"})
        for sub in (one, two):
            first, second = [(await sub.seen.next("publication")).pub for _ in range(2)]
            self.assertEqual([self.read(p.data) for p in (first, second)], [{"n": 1}, {"n": 2}])
            self.assertEqual((first.offset, first.info.user), (1, "alice"))
            self.assertEqual((second.offset, second.info, dict(second.tags)), (2, None, {"kind": "news"}))

    async def test_presence_join_and_leave(self):
        channel = name("room")
        alice = await self.connected("alice")
        sub = await self.subscribed(alice, channel)
        self.assertEqual((await sub.seen.next("join")).info.user, "alice")
        bob = await self.connected("bob")
        await self.subscribed(bob, channel)
        self.assertEqual((await sub.seen.next("join")).info.client, bob.context.client)
        self.assertEqual(set((await sub.presence()).clients), {alice.context.client, bob.context.client})
        stats = await sub.presence_stats()
        self.assertEqual((stats.num_clients, stats.num_users), (2, 2))
        await bob.disconnect()
        self.assertEqual((await sub.seen.next("leave")).info.user, "bob")

    async def test_history(self):
        channel = name("room")
        sub = await self.subscribed(await self.connected("alice"), channel)
        for n in range(1, 6):
            await sub.publish(self.write({"n": n}))
        top = await sub.history()
        self.assertEqual((top.offset, top.publications), (5, []))

        async def page(**options):
            return [self.read(p.data)["n"] for p in (await sub.history(**options)).publications]

        self.assertEqual(await page(limit=-1), [1, 2, 3, 4, 5])
        self.assertEqual(await page(limit=2, since=StreamPosition(offset=2, epoch=top.epoch)), [3, 4])
        self.assertEqual(await page(limit=2, reverse=True), [5, 4])

    async def test_differences(self):
        channel = name("delta")
        sub = await self.subscribed(await self.connected("alice"), channel, delta=DeltaType.FOSSIL)
        filler = "no two of these differ but in their number " * 20
        for n in range(1, 6):
            await api("publish", channel=channel, data={"n": n, "filler": filler})
        for n in range(1, 6):
            pub = (await sub.seen.next("publication")).pub
            self.assertEqual((pub.offset, self.read(pub.data)), (n, {"n": n, "filler": filler}))

    async def test_refusals(self):
        client = await self.connected("alice")
        for channel, code in (("nowhere:1", 102), (name("closed"), 103), (name("chat"), 102)):
            sub = client.new_subscription(channel)
            seen = Events(sub.events)
            await sub.subscribe()
            self.assertEqual((await seen.next("unsubscribed")).code, code)
            self.assertEqual(sub.state, SubscriptionState.UNSUBSCRIBED)
        for call, code in (
            (lambda: client.publish("nowhere:1", self.write({})), 102),
            (lambda: client.publish(name("closed"), self.write({})), 103),
            (lambda: client.presence(name("bare")), 108),
            (lambda: client.history(name("bare")), 108),
            (lambda: client.rpc("method", self.write({})), 108),
        ):
            with self.assertRaises(ReplyError) as raised:
                await call()
            self.assertEqual(raised.exception.code, code)
        self.assertEqual(client.state, ClientState.CONNECTED)

    async def test_tokens(self):
        invalid = self.client(token="no token at all")
        await invalid.connect()
        self.assertEqual((await invalid.seen.next("disconnected")).code, 3500)

        asked = []

        async def get_token():
            asked.append(1)
            return token(sub="alice", exp=int(time.time()) + (2 if len(asked) == 1 else 3600))

        channel = name("closed")

        async def get_subscription_token(of):
            asked.append(of)
            return token(sub="alice", channel=of, exp=int(time.time()) + 3600)

        client = await self.connected(get_token=get_token)
        sub = await self.subscribed(client, channel, get_token=get_subscription_token)
        async with asyncio.timeout(WITHIN):
            while asked.count(1) < 2:
                await asyncio.sleep(0.02)
        await api("publish", channel=channel, data={"n": 1})
        self.assertEqual((await sub.seen.next("publication")).pub.offset, 1)
        self.assertEqual(asked.count(channel), 1)
        self.assertTrue(client.seen.queues["on_disconnected"].empty())

    async def test_the_server_api_reaches_a_user(self):
        user, channel = str(uuid.uuid4()), name("closed")
        client = await self.connected(user)
        await api("subscribe", user=user, channel=channel)
        self.assertEqual((await client.seen.next("subscribed")).channel, channel)
        await api("publish", channel=channel, data={"n": 1})
        self.assertEqual(self.read((await client.seen.next("publication")).pub.data), {"n": 1})
        await api("unsubscribe", user=user, channel=channel)
        self.assertEqual((await client.seen.next("unsubscribed")).channel, channel)
        await api("disconnect", user=user, disconnect={"code": 4512, "reason": "out"})
        ended = await client.seen.next("disconnected")
        self.assertEqual((ended.code, ended.reason), (4512, "out"))


class Json(Encodings, unittest.IsolatedAsyncioTestCase):
    pass


class Protobuf(Encodings, unittest.IsolatedAsyncioTestCase):
    use_protobuf = True


if __name__ == "__main__":
    unittest.main()
