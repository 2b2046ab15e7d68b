"""Pairs in the hub's cache: with their weights, and without them."""

from huggingface_hub import constants

from pecl.encoders.pairs import PAIRS, is_cached


def test_settings_without_weights_are_no_pair(tmp_path, monkeypatch):
    """An interrupted download, or another program that reads only the tokenizer, leaves them."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    pair = PAIRS["siglip2-b16"]
    folder = tmp_path / "models--google--siglip2-base-patch16-224"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    (snapshot / "config.json").write_text("{}")
    assert not is_cached(pair)

    (snapshot / "model.safetensors").write_bytes(b"")
    assert is_cached(pair)
