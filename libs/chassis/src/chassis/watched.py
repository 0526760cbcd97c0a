"""Configuration files that may change while we run: schema-checked, reloaded, the last good one kept.

Polled by content, because a mounted ConfigMap changes by swapping a symbolic link, which file events miss.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)

POLL_SECONDS = 1.0


class _Loader(yaml.SafeLoader):
    """YAML without its silent trap: a key that is given twice is a mistake, not a correction."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"`{key}` is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


class ConfigInvalid(ValueError):
    """A configuration file cannot be used; the text names the file, the place in it and the reason."""


def load(path: Path, model: type[ModelT]) -> ModelT:
    """Read and check one YAML file. Raises `ConfigInvalid`."""
    return _parse(path, _read(path), model)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigInvalid(f"{path}: {exc.strerror}") from exc


def _parse(path: Path, raw: bytes, model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate(yaml.load(raw, _Loader))
    except (yaml.YAMLError, TypeError, RecursionError) as exc:  # an unhashable key, or nested beyond all reason
        raise ConfigInvalid(f"{path}: not YAML: {exc}") from exc
    except ValidationError as exc:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            for fault in exc.errors(include_input=False)
        )
        raise ConfigInvalid(f"{path}: {faults}") from exc


class Watched(Generic[ModelT]):
    """The current content of a file. `value` is always a checked one."""

    def __init__(self, path: Path, model: type[ModelT]) -> None:
        raw = _read(path)
        self._path = path
        self._model = model
        self._seen = hashlib.sha256(raw).digest()
        self._refused = ""
        self.value = _parse(path, raw, model)

    def refresh(self) -> bool:
        """Look at the file once. Whether `value` changed; a bad file is logged once and changes nothing."""
        try:
            raw = _read(self._path)
            digest = hashlib.sha256(raw).digest()
            if digest == self._seen:
                return False
            self._seen = digest
            self.value = _parse(self._path, raw, self._model)
        except ConfigInvalid as exc:
            if str(exc) != self._refused:
                log.error("configuration refused, the last good one stays in force", extra={"reason": str(exc)})
            self._refused = str(exc)
            return False
        self._refused = ""
        log.info("configuration reloaded", extra={"file": str(self._path)})
        return True

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Reload on change while the block runs."""
        task = asyncio.create_task(self._watch(), name=f"watch {self._path.name}")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.refresh()
