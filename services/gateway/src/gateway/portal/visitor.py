"""Who reads a page, for its handler."""

from typing import Annotated

from fastapi import Depends, Request

from gateway.errors import ServiceUnavailable
from gateway.portal.errors import ProofNeeded, SignInNeeded
from gateway.portal.visit import Visitor, visit_of


def _visitor(request: Request) -> Visitor | None:
    return visit_of(request.scope).visitor


def _signed_in(request: Request) -> Visitor:
    """Raises `SignInNeeded`, and `ServiceUnavailable` when nobody can be known now."""
    visit = visit_of(request.scope)
    if visit.is_store_away:
        raise ServiceUnavailable
    if visit.visitor is None:
        raise SignInNeeded
    return visit.visitor


def _recently_signed_in(visitor: Annotated[Visitor, Depends(_signed_in)]) -> Visitor:
    """Raises `ProofNeeded` as well."""
    if not visitor.is_recent:
        raise ProofNeeded
    return visitor


MaybeVisitor = Annotated[Visitor | None, Depends(_visitor)]
SignedIn = Annotated[Visitor, Depends(_signed_in)]
RecentlySignedIn = Annotated[Visitor, Depends(_recently_signed_in)]
