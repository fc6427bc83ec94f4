import pytest

from tmbench.errors import ConfigError
from tmbench.functions import find_function, portable


def test_finds_a_function_of_a_package():
    from tmbench.identity import content_id

    assert find_function("tmbench.identity:content_id") is content_id


def test_finds_a_function_of_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def twice(x):\n    return 2 * x\n")
    assert find_function(f"{path}:twice")(4) == 8


def test_two_files_of_one_name_stay_two(tmp_path):
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"def value():\n    return {value}\n")
    assert [find_function(f"{tmp_path}/{folder}/mine.py:value")() for folder in "ab"] == [1, 2]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("no_colon", "does not name a function"),
        ("tmbench.nothing:f", "cannot import"),
        ("tmbench.identity:content_ids", "content_id"),
        ("/nowhere/file.py:f", "no file"),
    ],
)
def test_says_what_is_wrong(reference, says):
    with pytest.raises(ConfigError, match=says):
        find_function(reference)


def test_a_file_that_cannot_be_imported_is_named(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import a_package_that_is_not_there\n")
    with pytest.raises(ConfigError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        find_function(f"{path}:f")


def test_portable_keeps_a_users_folder_out_of_the_key():
    key = {"a": [{"function": "/home/one/mine.py:f"}], "function": "package.module:g"}
    assert portable(key) == {"a": [{"function": "mine.py:f"}], "function": "package.module:g"}
