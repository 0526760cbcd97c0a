"""What can go wrong while the stack is started or stopped. Every text is a sentence that a person can act on.

DevstackError
├── BadSetting          a SMARTROUTE_* variable that cannot be used
├── PortTaken           somebody else listens where we should
├── FolderUnusable      the data folder cannot be written, or not by those who must
├── AlreadyRunning      a live stack holds the data folder
├── StartFailed         a child ended, or stayed silent, before it was ready
└── CommandFailed       a one-off command (migrate, seed) ended with an error
"""


class DevstackError(Exception):
    """Shown to the user as it is, without a traceback."""


class BadSetting(DevstackError):
    pass


class PortTaken(DevstackError):
    pass


class FolderUnusable(DevstackError):
    pass


class AlreadyRunning(DevstackError):
    pass


class StartFailed(DevstackError):
    pass


class CommandFailed(DevstackError):
    pass
