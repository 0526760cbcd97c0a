"""What is said in mails: the templates in `templates/mail`, whose first line is the subject.

Every address in them is the site's own: what a request says of its host is never part of a mail.
"""

from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.portal.identity.mail import Mail
from gateway.portal.site import Site

FOLDER = Path(__file__).parent.parent / "templates/mail"


class Letters:
    """Writes the mails of one site."""

    def __init__(self, site: Site) -> None:
        # Plain text: there is nothing to escape for.
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=False,
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
        self._site = site

    def sign_up(self, to: str, *, link: str, valid: timedelta) -> Mail:
        return self._letter("sign_up", to, link=link, hours=_hours(valid))

    def already_known(self, to: str) -> Mail:
        """Instead of `sign_up` for who has an account: the page that asked for it says the same in both cases."""
        return self._letter("already_known", to)

    def reset(self, to: str, *, link: str, valid: timedelta) -> Mail:
        return self._letter("reset", to, link=link, minutes=round(valid.total_seconds() / 60))

    def invitation(self, to: str, *, link: str, valid: timedelta) -> Mail:
        """For an account that staff opened."""
        return self._letter("invitation", to, link=link, hours=_hours(valid))

    def password_changed(self, to: str, *, at: datetime) -> Mail:
        return self._letter("password_changed", to, at=_written(at))

    def provider_connected(self, to: str, *, at: datetime) -> Mail:
        return self._letter("provider_connected", to, at=_written(at))

    def _letter(self, name: str, to: str, **values: str | int) -> Mail:
        text = self._templates.get_template(f"{name}.txt").render(site=self._site, **values)
        subject, _, body = text.partition("\n")
        return Mail(to, subject, body.lstrip("\n"))


def _hours(valid: timedelta) -> int:
    return round(valid.total_seconds() / 3600)


def _written(at: datetime) -> str:
    return f"{at.day} {at:%B %Y, %H:%M} UTC"
