"""Anthropic's SDK for Python against a running lmserver: `LMSERVER_URL`, `LMSERVER_TEST_KEY`. Its provider is lib/model.mjs."""
import asyncio
import os
import unittest

import anthropic
from anthropic import Anthropic, AsyncAnthropic

URL = os.environ['LMSERVER_URL']
KEY = os.environ['LMSERVER_TEST_KEY']
TEXT = ''.join(f'word-{number} ' for number in range(1, 21))
SCHEMA = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}
TOOLS = [{'name': 'weather', 'description': 'The weather', 'input_schema': SCHEMA}]


def ask(content, **more):
    return {'model': 'default', 'max_tokens': 1000, 'messages': [{'role': 'user', 'content': content}], **more}


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = Anthropic(api_key=KEY, base_url=URL, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def test_a_whole_answer(self):
        message = self.client.messages.create(**ask('Hello', system='Be brief.'))
        self.assertEqual([block.text for block in message.content if block.type == 'text'], [TEXT])
        self.assertEqual((message.role, message.type, message.stop_reason), ('assistant', 'message', 'end_turn'))
        self.assertEqual((message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0), message.usage.output_tokens), (11, 20))
        self.assertEqual(self.client.messages.create(**ask('be long')).stop_reason, 'max_tokens')

    def test_a_stream(self):
        with self.client.messages.stream(**ask('think')) as stream:
            text = ''.join(stream.text_stream)
            message = stream.get_final_message()
        self.assertEqual(text, TEXT)
        self.assertEqual([block.type for block in message.content], ['thinking', 'text'])
        self.assertEqual(message.content[0].thinking, 'Let me see. ')
        self.assertEqual(message.usage.output_tokens, 20)
        types = [event.type for event in self.client.messages.create(**ask('Hello', stream=True)) if event.type != 'ping']
        self.assertEqual(types[:2], ['message_start', 'content_block_start'])
        self.assertEqual(types[-3:], ['content_block_stop', 'message_delta', 'message_stop'])

    def test_tools(self):
        with self.client.messages.stream(**ask('The weather?', tools=TOOLS)) as stream:
            streamed = stream.get_final_message()
        whole = self.client.messages.create(**ask('The weather?', tools=TOOLS))
        for message in (streamed, whole):
            self.assertEqual(message.stop_reason, 'tool_use')
            uses = [block for block in message.content if block.type == 'tool_use']
            self.assertEqual([(use.id, use.name, use.input) for use in uses], [('call_a', 'weather', {'city': 'Köln'}), ('call_b', 'weather', {'city': 'Bonn'})])
        results = [{'type': 'tool_result', 'tool_use_id': use.id, 'content': f'fine at {use.id}'} for use in uses]
        messages = [*ask('The weather?')['messages'], {'role': 'assistant', 'content': whole.content}, {'role': 'user', 'content': results}]
        answer = self.client.messages.create(model='default', max_tokens=100, messages=messages, tools=TOOLS)
        self.assertEqual(answer.content[0].text, 'It is fine at call_b.')

    def test_errors(self):
        for stream in (True, False):
            for question, kind in (
                ('fail 400', anthropic.BadRequestError),
                ('fail 429', anthropic.RateLimitError),
                ('fail 500', anthropic.InternalServerError),
                ('fail 503', anthropic.InternalServerError),
            ):
                with self.subTest(question, stream=stream), self.assertRaises(kind) as raised:
                    self.client.messages.create(**ask(question, stream=stream))
                self.assertEqual(raised.exception.body['type'], 'error')
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(**{**ask('x'), 'model': 'nobody-has-this'})
        with self.assertRaises(anthropic.AuthenticationError), Anthropic(api_key='wrong', base_url=URL, max_retries=0) as stranger:
            stranger.messages.create(**ask('x'))

    def test_an_error_in_the_middle(self):
        text = ''
        with self.assertRaisesRegex(anthropic.APIStatusError, 'lost my mind'):
            for event in self.client.messages.create(**ask('fail later', stream=True)):
                if event.type == 'content_block_delta':
                    text += event.delta.text
        self.assertEqual(text, 'word-1 word-2 ')


class Closing(unittest.TestCase):
    def test_closing_a_stream(self):
        with Anthropic(api_key=KEY, base_url=URL, max_retries=0) as client, client.messages.stream(**ask('go on')) as stream:
            for text in stream.text_stream:
                if 'word-3' in text:
                    break


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        async with AsyncAnthropic(api_key=KEY, base_url=URL, max_retries=0) as client:
            async def one():
                async with client.messages.stream(**ask('Hello')) as stream:
                    return await stream.get_final_text()
            self.assertEqual(set(await asyncio.gather(*(one() for _ in range(20)))), {TEXT})


if __name__ == '__main__':
    unittest.main(verbosity=2)
