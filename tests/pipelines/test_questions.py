"""Questions of those who have told nothing yet."""

from types import SimpleNamespace

import numpy as np

from pipelines.questions import stranger_questions

STORE = SimpleNamespace(n_products=7, day0=86_400)


def test_strangers_by_profile_the_commonest_first() -> None:
    profiles = np.array([[1, 4], [2, 4], [2, 4], [3, 5], [2, 4], [3, 5]], np.int32)
    asked = stranger_questions(STORE, profiles, length=3, limit=2)  # type: ignore[arg-type]
    assert asked.users.tolist() == [-1, 1, 3]
    assert asked.texts.tolist() == ["", "", ""]
    assert asked.rows.tolist() == [[7, 7, 7]] * 3
    assert not asked.kinds.any()
    assert asked.timestamp.tolist() == [86_400] * 3


def test_a_shop_without_profiles_has_one_stranger() -> None:
    assert stranger_questions(STORE, np.zeros((4, 0), np.int32), 2).users.tolist() == [-1]  # type: ignore[arg-type]
    assert stranger_questions(STORE, np.zeros((0, 2), np.int32), 2).users.tolist() == [-1]  # type: ignore[arg-type]
