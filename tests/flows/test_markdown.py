import re

from hypothesis import given
from hypothesis import strategies as st

from firebreak.flows.markdown import fenced, inline, visible


@given(st.text(max_size=300))
def test_inline_text_has_no_live_markup_and_one_line(text: str) -> None:
    shown = inline(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert not re.search(r"(?<!\\)[`*_\[\]|]", shown.replace("\\\\", ""))


@given(st.text(alphabet=st.sampled_from("`~\nab<"), max_size=200))
def test_a_fence_can_not_be_closed_from_inside(text: str) -> None:
    lines = fenced(text).split("\n")
    fence = re.match(r"`+", lines[0])
    assert fence
    assert all(not line.strip().startswith(fence.group()) for line in lines[1:-1])
    assert lines[-1] == fence.group()


def test_what_hides_is_shown() -> None:
    assert visible("a\u200bb\u202ec\x00", 10) == "a\\u200bb\\u202ec\\u0000"
    assert visible("abcdef", 3) == "abc … (3 more characters)"
