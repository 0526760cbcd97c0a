"""Ends of a portal request that are a page of their own.

PortalError
├── SignInNeeded      303 to /sign-in, and back afterwards
├── ProofNeeded       303 to /account/confirm, and back afterwards
├── FormRefused       403 the form does not come from a page of ours
├── FormUnreadable    400 it is no form, or too large
├── PageMissing       404 nothing here, or nothing of this visitor's
└── TooManyTries      429 with Retry-After
"""

from typing import ClassVar


class PortalError(Exception):
    """`title` and the text are shown to the visitor."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "That did not work"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SignInNeeded(PortalError):
    status = 303
    title = "Sign in"
    to: ClassVar[str] = "/sign-in"

    def __init__(self) -> None:
        super().__init__("Sign in to see this page.")


class ProofNeeded(SignInNeeded):
    """The session is too old for this: whoever sits there now may not be the user."""

    title = "Confirm that it is you"
    to = "/account/confirm"


class FormRefused(PortalError):
    status = 403
    title = "This form is not valid any more"

    def __init__(self) -> None:
        super().__init__("Nothing was changed. Go back, load the page again, and send the form once more.")


class FormUnreadable(PortalError):
    def __init__(self) -> None:
        super().__init__("What was sent cannot be read as a form. Nothing was changed.")


class PageMissing(PortalError):
    status = 404
    title = "There is nothing here"

    def __init__(self) -> None:
        super().__init__("The page does not exist, or is not yours to see.")


class TooManyTries(PortalError):
    status = 429
    title = "Please wait a moment"

    def __init__(self, seconds: int) -> None:
        unit = "second" if seconds == 1 else "seconds"
        super().__init__(f"There were too many tries. The next one is possible in {seconds} {unit}.")
        self.seconds = seconds
