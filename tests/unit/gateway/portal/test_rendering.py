"""Templates: every one can be read, although each is compiled only when a page is first asked for."""

import pytest
from jinja2 import PackageLoader

from gateway.portal.assets import Assets
from gateway.portal.rendering import Renderer
from gateway.portal.site import Site

NAMES = sorted(name for name in PackageLoader("gateway.portal").list_templates() if name.endswith(".html"))


@pytest.mark.parametrize("name", NAMES)
def test_every_template_compiles(name: str) -> None:
    Renderer(Site("http://127.0.0.1:1"), Assets()).environment.get_template(name)
