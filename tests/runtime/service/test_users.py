"""The file of users: what is written into it, and who enters by it."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service import users
from cmdiad.runtime.service.users import PasswordHash, add_user, read_users


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost next to nothing."""
    monkeypatch.setattr(users, "_COST", 2)
    monkeypatch.setattr(users, "_LANES", 1)


def test_whoever_was_added_enters_with_the_newest_password_alone(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# the plant\n\n")
    assert not add_user(file, "plc", "first password")
    assert not add_user(file, "mes", "other password")
    assert add_user(file, "plc", "second password")
    read = read_users(file)
    assert sorted(read.names) == ["mes", "plc"] and file.read_text().startswith("# the plant\n\n")
    tries = [("plc", "second password")] * 2 + [("mes", "other password"), ("plc", "first password")]
    tries += [("plc", ""), ("plc", "other password"), ("nobody", "second password"), ("plc", "x" * 5000)]
    assert [read.may_enter(*one) for one in tries] == [True] * 3 + [False] * 5
    assert "password" not in file.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    add_user(tmp_path / "users", "plc", "first password")
    assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o600


def test_a_hash_is_read_as_it_was_written_and_two_of_one_password_differ() -> None:
    first, second = PasswordHash.of("a password"), PasswordHash.of("a password")
    assert PasswordHash.parse(str(first)) == first and first.salt != second.salt
    assert first.is_of("a password") and not first.is_of("b password")


@pytest.mark.parametrize(
    "line",
    [
        "plc",
        "plc:",
        "plc:secret",
        ":scrypt$2$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
        "plc:bcrypt$2$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
        "plc:scrypt$3$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
        "plc:scrypt$1073741824$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
        "plc:scrypt$2$8$99$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
        "plc:scrypt$2$8$1$c2FsdHNhbHQ=$",
        "plc:scrypt$2$8$1$!$MDEyMzQ1Njc4OWFiY2RlZg==",
        "mes:scrypt$2$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==",
    ],
)
def test_a_line_that_is_no_user_is_named_and_left_alone(line: str, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"mes:scrypt$2$8$1$c2FsdHNhbHQ=$MDEyMzQ1Njc4OWFiY2RlZg==\n{line}\n")
    with pytest.raises(UsageError, match="users, line 2: is not a user"):
        read_users(file)
    before = file.read_text()
    with pytest.raises(UsageError, match="line 2"):
        add_user(file, "plc", "first password")
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("a:b", "first password", "a name consists of"),
        ("", "first password", "a name"),
        ("plc", "short", "this one has 5"),
    ],
)
def test_names_and_passwords_that_are_none_are_refused(name: str, password: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        add_user(tmp_path / "users", name, password)
    assert not (tmp_path / "users").exists()


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: cannot be read"):
        read_users(tmp_path / "missing")
    (tmp_path / "users").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not text"):
        read_users(tmp_path / "users")
