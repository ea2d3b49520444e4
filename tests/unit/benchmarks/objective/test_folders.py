"""What was measured is found again, on this machine or where it was published."""

from benchmarks.objective.__main__ import Folders


def test_a_setting_is_found_where_it_was_measured_or_published(tmp_path):
    here = Folders(tmp_path / "here", tmp_path / "published")
    elsewhere = Folders(tmp_path / "elsewhere", tmp_path / "published")
    here.written.mkdir()
    (here.written / Folders.name((0.5, 1.0))).write_text("{}", encoding="utf-8")

    assert here.find([0.5, 1.0]) == here.written / Folders.name((0.5, 1.0))
    assert elsewhere.find((0.5, 1.0)) is None
    assert here.publish() == 1
    assert elsewhere.find((0.5, 1.0)) == here.published / Folders.name((0.5, 1.0))
    assert elsewhere.find((1.0, 0.5)) is None
