"""Fuzzy completion and the prompt's history."""

from hftune_tui.completion import LONGEST_HISTORY, Candidate, History, best, score


def texts(found):
    return [one.text for one in found]


def test_letters_must_stand_in_order():
    assert score("rn", "run") is not None
    assert score("nr", "run") is None
    assert score("", "run") == 0.0


def test_a_beginning_beats_letters_inside_and_the_shorter_name_wins():
    names = [Candidate(name) for name in ("/resume", "/compare", "/re", "/recipes", "/predict")]
    assert texts(best("/re", names))[:3] == ["/re", "/resume", "/recipes"]


def test_letters_that_begin_words_count_more():
    names = [Candidate("abcls-x"), Candidate("bert-cls")]
    assert texts(best("bc", names)) == ["bert-cls", "abcls-x"]


def test_case_does_not_matter_and_the_list_is_bounded():
    names = [Candidate(f"Run-{number:03d}") for number in range(200)]
    assert len(best("run", names)) == 50
    assert texts(best("RUN-199", names)) == ["Run-199"]


def test_history_walks_back_and_returns_to_what_was_being_written():
    history = History()
    for text in ("one", "two", "two", ""):
        history.add(text)
    assert history.move(-1, "draft") == "two"
    assert history.move(-1, "two") == "one"
    assert history.move(-1, "one") is None
    assert history.move(1, "one") == "two"
    assert history.move(1, "two") == "draft"
    assert history.move(1, "draft") is None


def test_history_is_bounded():
    history = History()
    for number in range(LONGEST_HISTORY + 50):
        history.add(str(number))
    seen = []
    while (line := history.move(-1, "")) is not None:
        seen.append(line)
    assert len(seen) == LONGEST_HISTORY and seen[-1] == "50"
