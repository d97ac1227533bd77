"""litellm, as an OpenAI server and as vLLM's. Argument: a server."""
import importlib.metadata
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402

litellm.suppress_debug_info = True
ask = dict(prompt="Once upon a time", api_base=sys.argv[1] + "/v1", api_key="any", max_tokens=8, temperature=0)
texts = [litellm.text_completion(model=kind + "/tales-7m", **ask).choices[0].text for kind in ("text-completion-openai", "hosted_vllm")]
stream = litellm.text_completion(model="text-completion-openai/tales-7m", **ask, stream=True)
texts.append("".join(e.choices[0].text or "" for e in stream if e.choices))
assert texts[0] and texts == texts[:1] * 3, texts
echo = litellm.text_completion(model="text-completion-openai/tales-7m", **ask, logprobs=2, echo=True)
assert echo.choices[0].text == "Once upon a time" + texts[0]
print("litellm", importlib.metadata.version("litellm"))
