import pytest

import pecl


@pytest.mark.parametrize("name", pecl.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(pecl, name)
    assert found.__name__ == name
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        getattr(pecl, "trian")  # noqa: B009
