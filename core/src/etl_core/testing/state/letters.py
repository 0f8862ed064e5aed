"""The clauses of a state store about dead letters."""

from __future__ import annotations

from typing import Any

from etl_core.model import Stream
from etl_core.testing.state.base import StateClauses, letter, position
from etl_core.testing.verdicts import expect

__all__ = ["LetterClauses"]

_BYTES = bytes(range(256))


class LetterClauses(StateClauses):
    """Rejected rows are kept exactly and once."""

    def test_dead_letters_come_back_as_they_were(self) -> None:
        """Dead letters come back with every field and byte, the oldest first, no more than asked for.

        Keep the row as bytes, and order by the order in which they were added.
        """
        name = self.pipeline()
        odd: list[dict[str, Any]] = [{"row": _BYTES}, {"row": b"", "column": 'ü"\U0001f600'}]
        odd += [{"row": b"x" * (1 << 20)}, {"stream": Stream("", "t"), "stage": "transform"}]
        letters = [letter(name, 9 - n, **changed) for n, changed in enumerate(odd)]
        with self.store() as store, self.another(store) as other:
            fence = store.claim(name)
            store.add_dead_letters(fence, letters[:1])
            store.add_dead_letters(fence, [])
            store.add_dead_letters(fence, letters[1:])
            for each in (store, other):
                found = each.dead_letters(name)
                expect(len(found) == len(letters), "not every dead letter is there", found=len(found))
                wrong = [n for n, pair in enumerate(zip(found, letters, strict=True)) if pair[0] != pair[1]]
                expect(not wrong, "dead letters come back otherwise, or not oldest first", places=wrong)
                limited = list(each.dead_letters(name, 2))
                expect(limited == letters[:2], "`limit` is not honoured", found=len(limited))

    def test_dead_letters_are_kept_once(self) -> None:
        """A dead letter added again is left as it is; pipeline, epoch, stream, seq and stage identify it.

        After a retry the same rows are rejected again: insert what is not there, and update nothing.
        """
        name = self.pipeline()
        first = letter(name)
        others = [
            letter(name, epoch=8),
            letter(name, stream=Stream("a.b", "other")),
            letter(name, stream=Stream("other", first.stream.name)),
            letter(name, seq=f"{2:040x}"),
            letter(name, stage="load"),
        ]
        again = letter(name, code="other", column="other", row=b"other", at=2.5)
        with self.store() as store:
            fence = store.claim(name)
            store.add_dead_letters(fence, [first])
            store.add_dead_letters(fence, [again, *others, others[0]])
            store.add_dead_letters(fence, [first, *others])
            found = list(store.dead_letters(name))
            kept = len(found)
            expect(kept == len({first, *others}), "not every dead letter is kept once", kept=kept)
            expect(found == [first, *others], "a dead letter was changed by another of the same identity")

    def test_a_full_store_refuses_dead_letters(self) -> None:
        """Where its bound would be passed it raises StateError and keeps all it has; nothing is dropped.

        Count before adding, in the same transaction; what is there already needs no room.
        """
        if self.letters_setting is None:
            self.left_out("letters_setting", "the setting that bounds its dead letters")
        name = self.pipeline()
        letters = [letter(name, n) for n in range(3)]
        with self.store(**{self.letters_setting: 2}) as store:
            other = self.pipeline("-other")
            store.add_dead_letters(store.claim(other), [letter(other)])
            fence = store.claim(name)
            store.add_dead_letters(fence, letters[:2])
            self.refused(store.add_dead_letters, fence, letters[1:], what="a dead letter beyond the bound")
            store.add_dead_letters(fence, letters[:2])
            expect(list(store.dead_letters(name)) == letters[:2], "a full store lost a dead letter")
            store.save(fence, position(1))
