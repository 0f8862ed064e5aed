"""Variables and files in texts, and `.env`."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.document.expand import Expanded, Expander, read_dotenv


@pytest.fixture
def expander(tmp_path: Path) -> Expander:
    (tmp_path / "secret.txt").write_text("s3cret\n", encoding="utf-8")
    return Expander({"HOST": "db", "PORT": "5432", "EMPTY": ""}, tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "db"),
        ("${HOST}:${PORT}/x", "db:5432/x"),
        ("${EMPTY}", ""),
        ("${file:secret.txt}", "s3cret"),
        ("$${HOST}", "${HOST}"),
        ("$${${HOST}}", "${db}"),
        ("$HOST costs $5", "$HOST costs $5"),
        ("plain", "plain"),
    ],
)
def test_texts_expand(expander: Expander, text: str, value: str) -> None:
    assert expander.value({"a": [text]}) == {"a": [value]}
    assert expander.problems == []


def test_numbers_and_keys_are_left_alone(expander: Expander) -> None:
    assert expander.value({"${HOST}": [1, None, True, 1.5]}) == {"${HOST}": [1, None, True, 1.5]}


def test_what_came_from_a_variable_says_so_but_an_escape_is_plain(expander: Expander) -> None:
    value = expander.value("x${PORT}")
    assert isinstance(value, Expanded)
    assert value.source == "x${PORT}"
    assert type(expander.value("$${PORT}")) is str


def test_an_expanded_text_travels_between_processes() -> None:
    value = pickle.loads(pickle.dumps(Expanded.of("5", "${PORT}")))
    assert (value, value.source) == ("5", "${PORT}")


def test_an_expansion_is_not_expanded_again(tmp_path: Path) -> None:
    assert Expander({"A": "${B}", "B": "x"}, tmp_path).value("${A}") == "${B}"


def test_every_missing_variable_is_named(expander: Expander) -> None:
    expander.value({"a": "${ONE} ${TWO}", "b": ["${THREE}"]})
    assert [(found.place, found.message) for found in expander.problems] == [
        (("a",), "the variable ONE is not set"),
        (("a",), "the variable TWO is not set"),
        (("b", 0), "the variable THREE is not set"),
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${a b}", "${9}", "${HOST", "${HOST:-x}"])
def test_what_is_no_reference_is_a_problem(expander: Expander, text: str) -> None:
    expander.value(text)
    assert [found.message for found in expander.problems] == [
        "a variable is not written as ${NAME} or ${file:PATH}"
    ]


def test_a_file_that_cannot_be_read_is_a_problem(expander: Expander, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    expander.value(["${file:none}", "${file:latin}", "${file:.}"])
    assert [found.message for found in expander.problems] == [
        "the file none cannot be read: No such file or directory",
        "the file latin is not UTF-8 text",
        "the file . cannot be read: Is a directory",
    ]


@settings(max_examples=100)
@given(st.text(alphabet="ab${}:", max_size=20))
def test_escaping_a_text_gives_it_back(text: str) -> None:
    assert Expander({}, Path()).value(text.replace("${", "$${")) == text


def test_dotenv_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        '# a comment\n\nA=1\nexport B = two words # note\nC="quo\\"ted\\n" # note\n'
        "D='as $it # is'\nE=\nF=a#b\n",
        encoding="utf-8",
    )
    values, problems = read_dotenv(path)
    assert problems == []
    assert values == {"A": "1", "B": "two words", "C": 'quo"ted\n', "D": "as $it # is", "E": "", "F": "a#b"}


def test_a_wrong_line_of_dotenv_is_a_problem_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\nhunter2\n", encoding="utf-8")
    values, problems = read_dotenv(path)
    assert values == {"A": "1"}
    assert [found.message for found in problems] == ["line 2 of .env is not NAME=value"]


def test_no_dotenv_is_fine_and_one_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == ({}, [])
    (tmp_path / ".env").mkdir()
    assert read_dotenv(tmp_path / ".env")[1][0].message == ".env cannot be read: IsADirectoryError"
