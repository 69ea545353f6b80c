from minillama.files.suggestions import did_you_mean


def test_the_nearest_names_are_offered():
    assert did_you_mean("minhsh", ["exact", "minhash"]) == "did you mean minhash? "
    assert did_you_mean("7b", ["7B", "13B"]).startswith("did you mean 7B")
    assert did_you_mean("rope", ["rope_a", "rope_b"]) in (
        "did you mean rope_a or rope_b? ",
        "did you mean rope_b or rope_a? ",
    )
    assert did_you_mean("x" * 10_000, ["exact"]) == ""
    assert did_you_mean("", ["exact"]) == ""
