"""The openai client: in one piece, as a stream, asynchronous, its errors, its retries. Arguments: a server, and one that is nearly always full."""
import asyncio
import sys

import openai

URL, FULL_URL = sys.argv[1:3]
MODEL = "tales-7m"
client = openai.OpenAI(base_url=URL + "/v1", api_key="any", max_retries=0)


def models():
    assert [m.id for m in client.models.list().data][0] == MODEL
    assert client.models.retrieve(MODEL).id == MODEL


def in_one_piece():
    r = client.completions.create(model=MODEL, prompt="Once", max_tokens=4, echo=True, logprobs=1, seed=1, temperature=0)
    p = r.choices[0].logprobs
    assert r.choices[0].text.startswith("Once") and len(p.tokens) == len(p.token_logprobs) == r.usage.total_tokens
    r = client.completions.create(model=MODEL, prompt=["a", "b"], n=2, stop=["x"], logit_bias={"50": -100}, user="u", best_of=2,
                                  frequency_penalty=.5, presence_penalty=.5, top_p=.9, max_tokens=8)
    assert [c.index for c in r.choices] == [0, 1, 2, 3]
    r = client.completions.create(model=MODEL, prompt=[[1, 2], [3]], max_tokens=5,
                                  extra_body={"top_k": 5, "min_p": .1, "repetition_penalty": 1.2, "ignore_eos": True},
                                  extra_headers={"X-Request-Id": "abc"})
    assert r._request_id == "abc" and r.usage.completion_tokens == 10
    return r.choices[0]


def as_stream():
    ask = dict(model=MODEL, prompt="Once upon a time", max_tokens=30, seed=7)
    whole = client.completions.create(**ask)
    events = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.text for e in events for c in e.choices) == whole.choices[0].text
    assert events[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert events[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    stream = client.completions.create(**{**ask, "max_tokens": 400}, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()


def refused(kind, code, call):
    try:
        call()
    except kind as e:
        assert e.code == code, (e.code, code)
        return
    raise AssertionError(f"not refused with {code}")


def errors():
    ask = client.completions.create
    refused(openai.BadRequestError, "unsupported_parameter", lambda: ask(model=MODEL, prompt="a", suffix="b"))
    refused(openai.BadRequestError, "context_length_exceeded", lambda: ask(model=MODEL, prompt=[1] * 600))
    refused(openai.NotFoundError, "model_not_found", lambda: ask(model="gpt-5", prompt="a"))
    refused(openai.NotFoundError, "unsupported_endpoint", lambda: client.embeddings.create(model=MODEL, input="hello"))
    refused(openai.BadRequestError, "no_chat_template",
            lambda: client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}]))


async def at_once():
    asynchronous = openai.AsyncOpenAI(base_url=URL + "/v1", api_key="any", max_retries=0)
    ask = dict(model=MODEL, prompt="One day", max_tokens=20, temperature=1)

    async def one(seed):
        whole = await asynchronous.completions.create(**ask, seed=seed)
        text = ""
        async for e in await asynchronous.completions.create(**ask, seed=seed, stream=True):
            text += e.choices[0].text
        assert text == whole.choices[0].text
    await asyncio.gather(*(one(i) for i in range(24)))


async def retries():
    """Refused with 429, it waits as it is told and asks again."""
    patient = openai.AsyncOpenAI(base_url=FULL_URL + "/v1", api_key="any", max_retries=20)
    answers = await asyncio.gather(*(patient.completions.create(model=MODEL, prompt="a", max_tokens=500, extra_body={"ignore_eos": True})
                                     for _ in range(8)))
    assert all(a.usage.completion_tokens == 500 for a in answers)


models()
in_one_piece()
as_stream()
errors()
asyncio.run(at_once())
asyncio.run(retries())
print("openai", openai.__version__)
