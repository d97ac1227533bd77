"""langchain-openai: it sends explicit nulls and zeros, and a list of one prompt. Argument: a server."""
import importlib.metadata
import sys

from langchain_openai import OpenAI

ask = OpenAI(model="tales-7m", base_url=sys.argv[1] + "/v1", api_key="any", max_tokens=8, temperature=0)
text = ask.invoke("Once upon a time")
assert text and "".join(ask.stream("Once upon a time")) == text
assert [g[0].text for g in ask.generate(["Once upon a time", "One day"]).generations][0] == text
print("langchain-openai", importlib.metadata.version("langchain-openai"))
