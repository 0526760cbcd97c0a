from devstack.provider.agent import Plan, growing, say, shell
from tests.clients.codex import Codex
import pytest
@pytest.mark.parametrize("b",[0,1])
async def test_it(workplace, endpoint, b):
    codex = Codex(workplace, endpoint, is_built_in=bool(b))
    steps = [shell("echo one"), shell("echo two"), shell("echo three"), say("All three.")]
    endpoint.provider.always(Plan(steps, usage=growing(1_000, by=3_000)).script())
    run = await codex.execute("Say one, two and three", settings={"model_auto_compact_token_limit": 6_000})
    s=await endpoint.house.settlements(len(endpoint.provider.exchanges))
    print(b, len(endpoint.provider.exchanges), await endpoint.house.cost(), [str(x.outcome) for x in s], [x.call for x in s])
    assert 0
