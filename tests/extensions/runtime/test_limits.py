import pytest

from extensions.runtime.limits import limit_of


@pytest.mark.parametrize(("text", "n_bytes"), [(None, 7), ("", 7), ("0", 0), ("0.5", 2**29), ("2", 2**31)])
def test_a_limit_is_in_gib(monkeypatch: pytest.MonkeyPatch, text: str | None, n_bytes: int) -> None:
    monkeypatch.delenv("LIMIT", raising=False)
    if text is not None:
        monkeypatch.setenv("LIMIT", text)
    assert limit_of("LIMIT", 7, without="none") == n_bytes


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_what_is_no_limit_is_told_with_what_is_expected(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LIMIT", text)
    with pytest.raises(ValueError, match=rf"\$LIMIT is '{text}'; expected a number of GiB such as 3, or 0 for none"):
        limit_of("LIMIT", 3 * 2**30, without="none")
