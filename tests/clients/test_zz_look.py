import json, pytest
from devstack.provider.agent import Plan, growing, say, shell
from tests.clients.codex import Codex
async def test_it(workplace, endpoint):
    codex = Codex(workplace, endpoint, is_built_in=True)
    steps = [shell("echo one"), shell("echo two"), shell("echo three"), say("All three.")]
    endpoint.provider.always(Plan(steps, usage=growing(1_000, by=3_000)).script())
    run = await codex.execute("Say one, two and three", settings={"model_auto_compact_token_limit": 6_000})
    for x in endpoint.provider.exchanges[3:5]:
        b=x.request.json
        print([k for k in b], len(b.get('tools') or []), b.get('tool_choice'))
        print(json.dumps(b.get('messages') or b.get('input'))[-1500:])
    assert 0
