"""Promise: the code in `mobile-bindings/docs/python.md` runs as it stands there."""

import re


def test_the_code_of_an_app_in_a_day_runs(server, tmp_path, here):
    text = (here.parents[1] / "docs" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    names = {"folder": tmp_path / "amina", "card": server.cards("resident")[0]}
    server.start()
    for number, block in enumerate(blocks):
        exec(compile(block, f"python.md, block {number + 1}", "exec"), names)  # noqa: S102
