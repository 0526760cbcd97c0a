"""`explain`: one imagined request, decided and explained, without a router that runs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args
from uuid import UUID

import typer

from chassis.command_arguments import AsJson
from contracts.plans import PlanCatalogue
from contracts.router import Features, Lock, Need, RequestClass, Tier
from router.commands.arguments import fail, read_plans_if_there, read_profiles, remark
from router.domain import tiers
from router.domain.deciding import Question
from router.explaining import Explanation, explain, imagined, words
from router.profiles import Profile, Profiles
from router.settings import Settings

NO_REQUEST = UUID(int=0)
_CLASSES: tuple[RequestClass, ...] = get_args(RequestClass)
_NEEDS: tuple[Need, ...] = get_args(Need)
_LOCKS: tuple[Lock, ...] = get_args(Lock)
_TIERS: tuple[Tier, ...] = get_args(Tier)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="explain")(explain_request)


def explain_request(
    file: Annotated[Path, typer.Argument(help="A profiles file.")],
    alias: Annotated[str, typer.Option(help="The alias that is asked for.")],
    plan: Annotated[
        str | None, typer.Option(help="The plan that it is asked under. Default: that of the alias.")
    ] = None,
    request_class: Annotated[str, typer.Option("--class", help=f"One of {', '.join(_CLASSES)}.")] = "unknown",
    difficulty: Annotated[
        float | None, typer.Option(min=0, max=1, help="How probably a light model fails. Default: nothing is known.")
    ] = None,
    input_tokens: Annotated[int, typer.Option(min=0, help="Estimated tokens of input.")] = 1000,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="The cap of the answer. Default: none.")] = None,
    needs: Annotated[str, typer.Option(help=f"Separated by commas: {', '.join(_NEEDS)}.")] = "",
    reasoning: Annotated[bool, typer.Option("--reasoning", help="It asks for thoughts.")] = False,
    session: Annotated[str | None, typer.Option(help="The key of its session.")] = None,
    session_tier: Annotated[str | None, typer.Option(help="The tier that its session is in: light or strong.")] = None,
    lock: Annotated[str, typer.Option(help="What must not change: none, model or target.")] = "none",
    served_by: Annotated[str | None, typer.Option(help="The target that served it before.")] = None,
    failing: Annotated[list[str] | None, typer.Option(help="A target that fails; may be given several times.")] = None,
    theta: Annotated[float, typer.Option(help="The threshold of the profile just now.")] = tiers.FIRST_THETA,
    request: Annotated[UUID, typer.Option(help="The request's id: costs have a jitter by it.")] = NO_REQUEST,
    as_json: AsJson = False,
) -> None:
    """Decide an imagined request on a fleet at rest: where it goes, why, and what would change that.

    Exit 0: it has a plan. 1: no target can take it. 2: the question cannot be put.
    """
    profiles = read_profiles(file)
    served = _served(profiles, plan, alias)
    features = Features(
        request_class=_one_of(request_class, _CLASSES, "--class"),
        difficulty=difficulty,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        needs=tuple(_one_of(need, _NEEDS, "--needs") for need in _split(needs)),
        is_reasoning=reasoning,
    )
    past = _Past(session, session_tier, lock, served_by)
    question = _question(profiles, served, features, past, request=request, theta=theta, failing=failing or ())
    _show(alias, served, explain(question), as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Past:
    """What the imagined request belongs to."""

    session: str | None
    session_tier: str | None
    lock: str
    served_by: str | None


def _question(
    profiles: Profiles,
    served: str,
    features: Features,
    past: _Past,
    *,
    request: UUID,
    theta: float,
    failing: Sequence[str],
) -> Question:
    profile, tier = profiles.profiles[served], past.session_tier
    estimated = tiers.from_difficulty(features.difficulty) if profile.has_both_tiers else tiers.UNKNOWN
    return Question(
        request,
        features,
        profile,
        profiles.targets,
        imagined(profile.members, _members(failing, profile)),
        theta,
        estimated,
        lock=_one_of(past.lock, _LOCKS, "--lock"),
        session=past.session,
        session_tier=_one_of(tier, _TIERS, "--session-tier") if tier is not None else None,
        pinned=past.served_by,
    )


def _show(asked: str, served: str, explanation: Explanation, *, as_json: bool) -> None:
    typer.echo(json.dumps(_document(served, explanation)) if as_json else _text(asked, served, explanation))
    if not explanation.verdict.order:
        raise typer.Exit(1)


def _served(profiles: Profiles, plan: str | None, alias: str) -> str:
    """The alias that is served. Without plans it is the one that is asked for."""
    plans_file = Settings().plans_file
    plans = read_plans_if_there(plans_file)
    if plans is None:
        remark(f"without plans (there is no {plans_file}): taken as {alias} itself")
    served = alias if plans is None else _effective(plans, plan, alias)
    if served not in profiles.profiles:
        fail(f"no profile `{served}` in the file; there are {', '.join(profiles.profiles)}")
    return served


def _effective(plans: PlanCatalogue, plan: str | None, alias: str) -> str:
    if plan is None:
        return alias
    if plans.plan(plan) is None:
        fail(f"no plan `{plan}`; there are {', '.join(plans.names)}")
    if plans.plan_of_alias(alias) is None:
        fail(f"no alias `{alias}` in the plans; there are {', '.join(plans.aliases)}")
    return plans.effective_alias(plan=plan, asked=alias)


def _members(names: Sequence[str], profile: Profile) -> Sequence[str]:
    for name in names:
        if name not in profile.members:
            fail(f"no target `{name}` in the profile; there are {', '.join(profile.members)}")
    return names


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _one_of(text: str, known: Sequence[Any], option: str) -> Any:
    """The word as one of the closed set that it belongs to."""
    if text not in known:
        fail(f"`{text}` is nothing for {option}: one of {', '.join(known)}")
    return text


def _text(asked: str, served: str, explanation: Explanation) -> str:
    question = explanation.question
    gain = question.estimate.gain
    lines = [f"{asked} is served as {served}"]
    if question.profile.has_both_tiers:
        estimate = f"{gain:.3f}" if gain is not None else "nothing known"
        lines.append(f"estimate {estimate}, θ {question.theta:.3f}, tier {explanation.verdict.tier}")
    return "\n".join([*lines, "", words(explanation)])


def _document(served: str, explanation: Explanation) -> dict[str, Any]:
    question, verdict = explanation.question, explanation.verdict
    return {
        "alias": served,
        "estimate": question.estimate.gain,
        "theta": question.theta,
        "tier": verdict.tier,
        "rule": verdict.rule,
        "placement": verdict.placement,
        "order": verdict.order,
        "is_panic": verdict.is_panic,
        "rule_sentence": explanation.rule,
        "placement_sentence": explanation.placement,
        "targets": [asdict(target) for target in explanation.targets],
        "changes": explanation.changes,
    }
