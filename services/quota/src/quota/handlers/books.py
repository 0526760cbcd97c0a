"""Quota's books, asked for page by page."""

from contracts.quota import Books, BooksReply, ReadBooks
from quota.store import BookKeeping


class BookHandlers:
    """One snapshot a page."""

    def __init__(self, books: BookKeeping) -> None:
        self._books = books

    async def read(self, question: ReadBooks) -> BooksReply:
        accounts = await self._books.page(
            question.day,
            through_sequence=question.through_sequence,
            account_id=question.account_id,
            after=question.after,
            limit=question.limit,
        )
        is_full = len(accounts) == question.limit
        return Books(accounts=tuple(accounts), next=accounts[-1].account_id if is_full else None)
