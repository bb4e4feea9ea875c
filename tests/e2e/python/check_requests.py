"""Reads lines of `{"name", "api", "body", "url", "headers", "text"}` and checks each body against its vendor's own SDK,
and the signature of a request to AWS against that of botocore.

Prints each violation; exits with 1 if there is any.
"""
import inspect
import json
import sys
import typing

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

from schema import violations


def openai_chat(body):
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
    return violations(body, CompletionCreateParamsStreaming)


def openai_responses(body):
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
    return violations(body, ResponseCreateParamsStreaming)


def anthropic(body):
    from anthropic.types.message_create_params import MessageCreateParamsStreaming
    # The SDK has left out what its newest models do not take; the API documents it for the others.
    sampling = {'temperature': float, 'top_p': float, 'top_k': int}
    said = [wrong for name, kind in sampling.items() if name in body for wrong in violations(body[name], kind, name)]
    rest = {name: value for name, value in body.items() if name not in sampling}
    return said + violations(rest, MessageCreateParamsStreaming)


def gemini(body):
    from google.genai import types
    Body = typing.TypedDict('GenerateContentRequest', {
        'contents': list[types.Content], 'systemInstruction': types.Content, 'tools': list[types.Tool],
        'toolConfig': types.ToolConfig, 'generationConfig': types.GenerationConfig,
        'safetySettings': list[types.SafetySetting], 'cachedContent': str,
    }, total=False)
    return violations(body, Body)


def ollama(body):
    from ollama._types import ChatRequest
    # The server takes any JSON Schema here; the SDK's type knows a few of its keys.
    schemas = [tool['function'].pop('parameters', {}) for tool in body.get('tools', [])]
    said = [f'{schema!r} is no JSON Schema' for schema in schemas if not isinstance(schema, dict)]
    return said + violations(body, ChatRequest)


def cohere(body):
    from cohere.v2.client import V2Client
    signature = inspect.signature(V2Client.chat_stream)
    hints = typing.get_type_hints(V2Client.chat_stream, include_extras=True)
    names = [name for name in signature.parameters if name not in ('self', 'request_options')]
    Body = typing.TypedDict('ChatStreamRequest', {**{name: hints[name] for name in names}, 'stream': bool}, total=False)
    return violations(body, Body)


def bedrock(body):
    session = botocore.session.get_session()
    shape = session.get_service_model('bedrock-runtime').operation_model('ConverseStream').input_shape
    report = ParamValidator().validate({'modelId': 'm', **_with_blobs(body, shape)}, shape)
    return [report.generate_report()] if report.has_errors() else []


def _with_blobs(value, shape):
    """Base64 texts, where the service's model has blobs, as the bytes that botocore wants."""
    if shape.type_name == 'structure' and isinstance(value, dict):
        return {key: _with_blobs(item, shape.members[key]) if key in shape.members else item for key, item in value.items()}
    if shape.type_name == 'list' and isinstance(value, list):
        return [_with_blobs(item, shape.member) for item in value]
    if shape.type_name == 'blob' and isinstance(value, str):
        return value.encode()
    return value


def signature(request):
    """The signature, made once more by botocore of the fields that are signed."""
    headers = request['headers']
    names = headers['authorization'].split('SignedHeaders=')[1].split(',')[0].split(';')
    signed = AWSRequest(
        method='POST', url=f'http://{headers["host"]}{request["url"]}', data=request['text'].encode(),
        headers={name: headers[name] for name in names},
    )
    signed.context['timestamp'] = headers['x-amz-date']
    auth = SigV4Auth(Credentials('AKIDEXAMPLE', 's3cret'), 'bedrock', 'eu-central-1')
    text = auth.string_to_sign(signed, auth.canonical_request(signed))
    want = auth.signature(text, signed)
    return [] if headers['authorization'].endswith(f'Signature={want}') else [f'botocore signs it with {want}']


CHECKS = {
    'openai-chat': openai_chat, 'openai-responses': openai_responses, 'anthropic': anthropic, 'gemini': gemini,
    'ollama': ollama, 'cohere': cohere, 'bedrock': bedrock,
}


def main():
    count, bad = 0, 0
    for line in sys.stdin:
        request = json.loads(line)
        count += 1
        violated = list(CHECKS[request['api']](request['body']))
        if request['api'] == 'bedrock':
            violated += signature(request)
        for said in violated:
            bad += 1
            print(f'{request["name"]}: {said}')
    print(f'{count} requests checked, {bad} violations')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
