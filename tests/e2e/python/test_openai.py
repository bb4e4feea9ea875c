"""OpenAI's SDK for Python against a running lmserver: `LMSERVER_URL`, `LMSERVER_TEST_KEY`. Its provider is lib/model.mjs."""
import asyncio
import os
import unittest

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

URL = os.environ['LMSERVER_URL'] + '/v1'
KEY = os.environ['LMSERVER_TEST_KEY']
TEXT = ''.join(f'word-{number} ' for number in range(1, 21))
PARAMETERS = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city'], 'additionalProperties': False}
TOOLS = [{'type': 'function', 'function': {'name': 'weather', 'strict': True, 'parameters': PARAMETERS}}]


class Answer(BaseModel):
    answer: str
    sure: bool


def ask(content, **more):
    return {'model': 'default', 'messages': [{'role': 'user', 'content': content}], **more}


class ChatCompletions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = OpenAI(api_key=KEY, base_url=URL, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def test_a_stream(self):
        text, usage = '', None
        for chunk in self.client.chat.completions.create(**ask('Hello', stream=True, stream_options={'include_usage': True})):
            text += chunk.choices[0].delta.content or '' if chunk.choices else ''
            usage = chunk.usage or usage
        self.assertEqual(text, TEXT)
        self.assertEqual((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 20, 31))

    def test_a_whole_answer(self):
        answer = self.client.chat.completions.create(**ask('Hello', n=2))
        self.assertEqual([choice.message.content for choice in answer.choices], [TEXT, TEXT])
        self.assertEqual(answer.choices[0].finish_reason, 'stop')

    def test_raw_answers_have_their_channel(self):
        raw = self.client.chat.completions.with_raw_response.create(**ask('Hello'))
        self.assertTrue(raw.headers['x-channel-id'].startswith('chat:'))
        self.assertTrue(raw.headers['x-request-id'])
        self.assertEqual(raw.parse().choices[0].message.content, TEXT)

    def test_tools(self):
        whole = self.client.chat.completions.create(**ask('The weather?', tools=TOOLS))
        calls = whole.choices[0].message.tool_calls
        self.assertEqual([call.id for call in calls], ['call_a', 'call_b'])
        messages = ask('The weather?')['messages'] + [whole.choices[0].message]
        messages += [{'role': 'tool', 'tool_call_id': call.id, 'content': f'fine at {call.id}'} for call in calls]
        answer = self.client.chat.completions.create(model='default', messages=messages, tools=TOOLS)
        self.assertEqual(answer.choices[0].message.content, 'It is fine at call_b.')
        with self.client.chat.completions.stream(**ask('The weather?', tools=TOOLS)) as stream:
            done = [event for event in stream if event.type == 'tool_calls.function.arguments.done']
        self.assertEqual([event.parsed_arguments['city'] for event in done], ['Köln', 'Bonn'])

    def test_structured_output(self):
        answer = self.client.chat.completions.parse(**ask('As JSON', response_format=Answer))
        self.assertEqual(answer.choices[0].message.parsed, Answer(answer='42', sure=True))
        with self.client.chat.completions.stream(**ask('As JSON', response_format=Answer)) as stream:
            stream.until_done()
            self.assertEqual(stream.get_final_completion().choices[0].message.parsed, Answer(answer='42', sure=True))

    def test_errors(self):
        for stream in (True, False):
            for question, kind in (
                ('fail 400', openai.BadRequestError),
                ('fail 429', openai.RateLimitError),
                ('fail 500', openai.InternalServerError),
                ('fail 503', openai.InternalServerError),
            ):
                with self.subTest(question, stream=stream), self.assertRaises(kind):
                    self.client.chat.completions.create(**ask(question, stream=stream))
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(**{**ask('x'), 'model': 'nobody-has-this'})
        with self.assertRaises(openai.AuthenticationError), OpenAI(api_key='wrong', base_url=URL, max_retries=0) as stranger:
            stranger.models.list()

    def test_an_error_in_the_middle(self):
        text = ''
        with self.assertRaisesRegex(openai.APIError, 'lost my mind'):
            for chunk in self.client.chat.completions.create(**ask('fail later', stream=True)):
                text += chunk.choices[0].delta.content or ''
        self.assertEqual(text, 'word-1 word-2 ')

    def test_closing_a_stream(self):
        with self.client.chat.completions.create(**ask('go on', stream=True)) as stream:
            for chunk in stream:
                if 'word-3' in (chunk.choices[0].delta.content or ''):
                    break

    def test_models(self):
        self.assertIn('default', [model.id for model in self.client.models.list()])


class Responses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = OpenAI(api_key=KEY, base_url=URL, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def test_whole_and_streamed(self):
        self.assertEqual(self.client.responses.create(model='default', input='Hello').output_text, TEXT)
        with self.client.responses.stream(model='default', input='Hello') as stream:
            events = list(stream)
            self.assertEqual(stream.get_final_response().output_text, TEXT)
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))

    def test_structured_output(self):
        answer = self.client.responses.parse(model='default', input='As JSON', text_format=Answer)
        self.assertEqual(answer.output_parsed, Answer(answer='42', sure=True))

    def test_resuming(self):
        first = []
        with self.client.responses.create(model='default', input='Hello', stream=True, background=True) as stream:
            for event in stream:
                first.append(event)
                if len(first) == 6:
                    break
        rest = list(self.client.responses.retrieve(first[0].response.id, stream=True, starting_after=first[-1].sequence_number))
        numbers = [event.sequence_number for event in first + rest]
        self.assertEqual(numbers, list(range(len(numbers))))
        text = ''.join(event.delta for event in first + rest if event.type == 'response.output_text.delta')
        self.assertEqual(text, TEXT)


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        async with AsyncOpenAI(api_key=KEY, base_url=URL, max_retries=0) as client:
            async def one():
                stream = await client.chat.completions.create(**ask('Hello', stream=True))
                return ''.join([chunk.choices[0].delta.content or '' async for chunk in stream])
            self.assertEqual(set(await asyncio.gather(*(one() for _ in range(20)))), {TEXT})

    async def test_a_cancelled_task(self):
        async with AsyncOpenAI(api_key=KEY, base_url=URL, max_retries=0) as client:
            task = asyncio.create_task(client.chat.completions.create(**ask('say nothing', stream=True)))
            await asyncio.wait([task], timeout=0.2)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task


if __name__ == '__main__':
    unittest.main(verbosity=2)
