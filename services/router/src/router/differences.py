"""What changes between two profiles files, in words: by alias and by target."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from router.profiles import Profiles


def differences(old: Profiles, new: Profiles) -> list[str]:
    """A line for every difference; none when both say the same. Keys are references, and not shown all the same."""
    lines = [f"version: {old.version} → {new.version}"] if old.version != new.version else []
    lines += _between("alias", _plain(old.profiles), _plain(new.profiles))
    lines += _between("target", _plain(old.targets), _plain(new.targets))
    return lines


def is_silent(old: Profiles, new: Profiles) -> bool:
    """Whether the content changed and the version was not raised: receipts could not tell the two apart."""
    return old != new and new.version <= old.version


def _plain(sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: dict(_flat(section.model_dump(mode="json"))) for name, section in sections.items()}


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by their dotted names."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _between(kind: str, old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old:
            yield f"{kind} {name}: new{_told(new[name])}"
        elif name not in new:
            yield f"{kind} {name}: gone"
        else:
            for setting in [*new[name], *(setting for setting in old[name] if setting not in new[name])]:
                before, after = old[name].get(setting), new[name].get(setting)
                if before != after:
                    yield f"{kind} {name}: {setting} {_change(setting, before, after)}"


def _told(section: Mapping[str, Any]) -> str:
    """The facts of a new section that say most of it."""
    said = [f"{name} {_value(name, section[name])}" for name in _TELLING if section.get(name)]
    return f", {'; '.join(said)}" if said else ""


_TELLING = ("targets", "light", "strong", "strong_budget", "base_url", "model")


def _change(setting: str, before: Any, after: Any) -> str:
    if setting == "key":
        return "removed" if after is None else "added" if before is None else "is another one"
    if isinstance(before, list) and isinstance(after, list):
        return _list_change(before, after)
    return f"{_value(setting, before)} → {_value(setting, after)}"


def _list_change(before: Sequence[str], after: Sequence[str]) -> str:
    added, removed = [one for one in after if one not in before], [one for one in before if one not in after]
    if not before or not after:
        return f"{', '.join(before) or 'none'} → {', '.join(after) or 'none'}"
    if added or removed:
        return " ".join([*(f"+{one}" for one in added), *(f"-{one}" for one in removed)])
    return f"in another order: {', '.join(before)} → {', '.join(after)}"


def _value(setting: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if setting == "strong_budget":
        return f"{value * 100:g} %"
    return f"{value:g}" if isinstance(value, float) else str(value)
