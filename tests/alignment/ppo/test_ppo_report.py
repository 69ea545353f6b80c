"""What a run shows afterwards."""

import csv

import pytest
from small_ppo import LIKED, judge, run

from minillama.alignment.ppo import beta_frontier, draw_over_optimisation, over_optimisation, time_table, write_rows
from minillama.alignment.ppo.products import product_share
from minillama.training.metrics import read_metrics


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, run(folder, validation=judge(), iterations=4, evaluate_every=2)


def test_reward_against_truth(ran, tmp_path):
    asked = []

    def truth(prompt, text):
        asked.append((prompt.id, text))
        return -1.0 if prompt.kind == "story" else 2.0

    prompts = judge().prompts
    rows = over_optimisation(ran[1].folder, prompts, truth)
    assert [row["iteration"] for row in rows] == [0, 2, 4]
    assert len(asked) == 3 * len(prompts)
    assert rows[0]["kl"] == 0  # before PPO, to the last bit
    assert rows[-1]["kl"] != 0
    assert all(row["truth"] == pytest.approx(0.5) and row["truth.story"] == -1 for row in rows)
    validated = [row for row in read_metrics(ran[1].folder) if "validation" in row]
    assert [row["validation_reward"] for row in validated] == [row["reward"] for row in rows[1:]]
    assert [row["validation"] for row in validated] == [row["judged"] for row in rows[1:]]
    write_rows(tmp_path / "rows.csv", [*rows, {"more": 1}])
    with (tmp_path / "rows.csv").open() as file:
        read = list(csv.DictReader(file))
    assert float(read[1]["kl"]) == rows[1]["kl"]
    assert read[-1]["more"] == "1"
    draw_over_optimisation(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_over_optimisation([], tmp_path / "none.png")


def test_where_the_time_went(ran):
    folder = ran[1].folder
    *parts, whole = time_table(folder, {"update": 0.5, "reference": 1.0})
    assert [row["part"] for row in parts] == ["sampling", "scoring", "policy", "reference", "update"]
    assert sum(row["share"] for row in parts) == pytest.approx(1)
    shares = {row["part"]: row["share"] for row in parts}
    assert whole["products"] == pytest.approx(0.5 * shares["update"] + shares["reference"])
    assert next(row["products"] for row in parts if row["part"] == "sampling") is None
    table = time_table(folder, ran[1].products)
    assert {row["part"] for row in table if row["products"]} == {"policy", "reference", "update", "all"}
    assert 0 < table[-1]["products"] < 1


def test_products_are_timed():
    import numpy as np

    x, w = np.ones((400, 300), np.float32), np.ones((500, 300), np.float32)
    all_of_it = product_share(lambda ops: [ops.linear_backward(*ops.linear_forward(x, w)) for _ in range(9)])
    assert all_of_it > 0.9
    assert product_share(lambda ops: np.sort(x.ravel())) == 0


def test_frontier(tmp_path):
    validation = judge()
    changes = {"iterations": 16, "evaluate_every": 8, "batch": 24, "learning_rate": 2e-2, "warmup_iterations": 0}
    rows = beta_frontier(
        tmp_path,
        [0.0, 2.0],
        lambda beta, folder: run(folder, beta=beta, validation=validation, **changes),
        validation.prompts,
        lambda prompt, text: text.count(chr(LIKED - 3)),
    )
    assert [(row["beta"], row["which"]) for row in rows] == [(0, "chosen"), (0, "last"), (2, "chosen"), (2, "last")]
    free, held = rows[1]["kl"], rows[3]["kl"]
    print(f"KL {free:.2f} at beta 0, {held:.2f} at 2")
    assert abs(held) < free / 2
    assert rows[1]["reward"] > rows[3]["reward"]
    assert (tmp_path / "frontier.csv").read_text().count("\n") == 5
